//! A holder of the controls that is gone without a word.

use super::*;

/// Viewers, of whom some say something each second; what the desktop was done meanwhile.
fn seconds(room: &mut Room, count: u32, who_says: &[ViewerId]) {
    for _ in 0..count {
        room.pass(Duration::from_secs(1));
        for id in who_says {
            room.say(*id, Up::Ping { token: 1 });
        }
        let (_, actions) = room.hub.plan(room.now);
        room.actions.extend(actions);
    }
}

#[test]
fn its_keys_are_let_go_of_and_the_controls_go_to_the_next_that_is_there() {
    let mut room = Room::new();
    let one = room.join(&greeting("one"));
    let (silent, hidden) = (
        room.join(&greeting("silent")),
        room.join(&greeting("hidden")),
    );
    let onlooker = room.join(&Greeting {
        looks_on: true,
        ..greeting("looks on")
    });
    let heir = room.join(&greeting("heir"));
    room.say(one, press(30));
    room.say(hidden, Up::Visible(false));
    assert_eq!(room.inputs().len(), 1);
    room.actions.clear();
    let there = [hidden, onlooker, heir];
    seconds(&mut room, 5, &there);
    assert_eq!((room.hub.controls(), room.inputs()), (Some(one), vec![]));
    // It is asked again in time, without anything that happens.
    let wake = room.hub.plan(room.now).0.wake.unwrap();
    assert!(wake <= room.now + Duration::from_secs(1));
    seconds(&mut room, 1, &there);
    assert_eq!(room.hub.controls(), Some(heir));
    let (key, down) = (key(30), false);
    assert_eq!(room.inputs(), [Input::Key { key, down }]);
    assert!(!room.actions.contains(&Action::Interrupt));
    let told = |message: &Down| {
        matches!(message, Down::Presence(present)
            if present.iter().any(|one| one.flags.you && one.flags.controls))
    };
    assert!(room.sent(heir).iter().any(told));
    assert!(!room.sent(silent).iter().any(told));
    // What the one before says late is nothing to the desktop.
    room.say(one, press(31));
    assert_eq!(room.inputs(), []);
}

#[test]
fn one_that_is_alone_keeps_the_controls_but_holds_nothing() {
    let mut room = Room::new();
    let one = room.join(&greeting("one"));
    room.say(one, press(30));
    room.inputs();
    seconds(&mut room, 6, &[]);
    assert_eq!(room.hub.controls(), Some(one));
    assert_eq!(room.inputs().len(), 1);
    // Nothing more follows, so nobody has to look again.
    assert_eq!(room.hub.absent_due(room.now), None);
    room.say(one, press(30));
    assert_eq!(room.inputs().len(), 1);
}

#[test]
fn one_that_comes_back_gets_the_controls_of_the_one_that_it_was() {
    let mut room = Room::new();
    let before = room.join(&greeting("one"));
    room.say(before, press(30));
    room.pass(Duration::from_secs(6));
    room.actions.clear();
    let after = room.join(&greeting("one"));
    assert_eq!(room.hub.controls(), Some(after));
    assert_eq!(room.inputs().len(), 1);
    assert!(matches!(&room.sent(after)[0], Down::Hello(hello) if hello.flags.controls));
}

#[test]
fn one_that_says_anything_at_all_keeps_the_controls() {
    let mut room = Room::new();
    let (one, two) = (room.join(&greeting("one")), room.join(&greeting("two")));
    room.say(one, press(30));
    room.inputs();
    for _ in 0..10 {
        seconds(&mut room, 5, &[two]);
        room.say(one, Up::Ping { token: 1 });
    }
    assert_eq!(room.hub.controls(), Some(one));
    assert_eq!(room.inputs(), []);
}
