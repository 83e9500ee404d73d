mod absence;
mod patches;
mod sizes;
mod trouble;

use std::time::Duration;

use bytes::Bytes;
use helix_proto::desktop::{Button, Key, Micros, Point, TouchPhase, Up};

use super::*;
use crate::{encode::Encoded, pacing::BitsPerSecond};

fn size() -> Size {
    Size::new(1280, 720).unwrap()
}

fn description(codec: Codec) -> Description {
    Description {
        codec,
        name: "test".to_owned(),
        config: String::new(),
        size: size(),
    }
}

fn greeting(name: &str) -> Greeting {
    Greeting {
        looks_on: false,
        patches: false,
        size: size(),
        codecs: vec![Codec::H264],
        name: name.to_owned(),
    }
}

/// A hub, its time, and what its viewers were sent.
struct Room {
    hub: Hub,
    now: Instant,
    actions: Vec<Action>,
}

impl Room {
    #[expect(clippy::disallowed_methods, reason = "an arbitrary zero")]
    fn new() -> Self {
        let now = Instant::now();
        let codecs = [Codec::H264, Codec::Av1];
        let mut room = Self {
            hub: Hub::new(Options::default(), size(), &codecs, now),
            now,
            actions: Vec::new(),
        };
        for codec in codecs {
            room.hub.opened(description(codec));
        }
        room.hub.opened(description(Codec::Stills));
        room.hub.captured(size(), Change::Much);
        room
    }

    fn join(&mut self, greeting: &Greeting) -> ViewerId {
        let (id, actions) = self.hub.join(greeting, self.now).unwrap();
        self.actions.extend(actions);
        id
    }

    fn say(&mut self, id: ViewerId, message: Up) {
        let actions = self.hub.message(id, message, Micros(42), self.now).unwrap();
        self.actions.extend(actions);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// Encodes what the hub wants; how many pictures that were, and whether key frames.
    fn encode(&mut self) -> Vec<bool> {
        let (plan, actions) = self.hub.plan(self.now);
        self.actions.extend(actions);
        let keys = plan.work.iter().map(|work| work.key).collect();
        for Work { codec, key, .. } in plan.work {
            let picture = Picture {
                codec,
                encoded: Encoded {
                    picture: Bytes::from_static(&[7; 2_000]),
                    key,
                },
                refines: false,
                captured: Micros(1),
                capture: Duration::ZERO,
                encode: Duration::ZERO,
            };
            let actions = self.hub.encoded(&picture, self.now);
            self.actions.extend(actions);
        }
        keys
    }

    /// A picture that differs, a refresh of the screen later.
    fn frame(&mut self) -> Vec<bool> {
        self.pass(Duration::from_millis(17));
        self.hub.captured(size(), Change::Much);
        self.encode()
    }

    /// What one was sent since this was asked last, and what the desktop was done.
    fn sent(&mut self, to: ViewerId) -> Vec<Down> {
        let mut sent = Vec::new();
        self.actions.retain(|action| match action {
            Action::Send(id, message) if *id == to => {
                sent.push(message.clone());
                false
            }
            _ => true,
        });
        sent
    }

    fn frames(&mut self, to: ViewerId) -> Vec<(u32, bool)> {
        let sent = self.sent(to).into_iter();
        sent.filter_map(|message| match message {
            Down::Frame(frame) => Some((frame.sequence, frame.flags.key)),
            _ => None,
        })
        .collect()
    }

    fn inputs(&mut self) -> Vec<Input> {
        let mut inputs = Vec::new();
        self.actions.retain(|action| match action {
            Action::Input(_, input) => {
                inputs.push(input.clone());
                false
            }
            _ => true,
        });
        inputs
    }

    fn painted(&mut self, id: ViewerId, sequence: u32) {
        self.say(id, Up::Painted { sequence, queue: 0 });
    }
}

fn key(code: u16) -> Key {
    Key::new(code, 0).unwrap()
}

fn press(code: u16) -> Up {
    let (key, down) = (key(code), true);
    Up::Key { key, down }
}

#[test]
fn the_first_message_is_a_hello_and_the_first_picture_a_key_frame() {
    let mut room = Room::new();
    let one = room.join(&greeting("one"));
    assert_eq!(room.encode(), [true]);
    let sent = room.sent(one);
    let Down::Hello(hello) = &sent[0] else {
        panic!("{sent:?}");
    };
    assert!(hello.flags.controls && hello.flags.clipboard && hello.flags.audio);
    let Some(Down::Frame(frame)) = sent.last() else {
        panic!("{sent:?}");
    };
    assert_eq!((frame.sequence, frame.flags.key), (1, true));
}

#[test]
fn nothing_is_sent_before_the_encoder_is_open() {
    let mut room = Room::new();
    room.hub.closed(Codec::H264);
    let one = room.join(&greeting("one"));
    room.say(one, Up::Ping { token: 1 });
    room.frame();
    assert_eq!(room.sent(one), []);
    assert_eq!(room.hub.to_open(), [Codec::H264]);
    let actions = room.hub.opened(description(Codec::H264));
    room.actions.extend(actions);
    assert!(matches!(room.sent(one)[0], Down::Hello(_)));
}

#[test]
fn a_desktop_that_does_not_change_sends_nothing() {
    let mut room = Room::new();
    let one = room.join(&greeting("one"));
    room.encode();
    room.painted(one, 1);
    room.pass(Duration::from_secs(1));
    // What there is to say about the first picture.
    room.encode();
    room.sent(one);
    for _ in 0..1_000 {
        room.pass(Duration::from_millis(100));
        assert!(room.encode().is_empty());
    }
    assert_eq!(room.sent(one), []);
    let (plan, _) = room.hub.plan(room.now);
    assert!(plan.watched);
    assert_eq!(plan.wake, None);
}

#[test]
fn nobody_to_watch_means_nothing_to_capture() {
    let mut room = Room::new();
    assert!(!room.hub.plan(room.now).0.watched);
    let one = room.join(&greeting("one"));
    assert!(room.hub.plan(room.now).0.watched);
    room.say(one, Up::Visible(false));
    assert!(!room.hub.plan(room.now).0.watched);
    assert!(room.frame().is_empty());
    room.say(one, Up::Visible(true));
    assert_eq!(room.frame(), [true]);
}

#[test]
fn a_late_viewer_begins_with_a_key_frame_of_what_is_there() {
    let mut room = Room::new();
    let one = room.join(&greeting("one"));
    for sequence in 1..10 {
        room.frame();
        room.painted(one, sequence);
    }
    room.frames(one);
    let two = room.join(&greeting("two"));
    room.pass(Duration::from_millis(17));
    // The desktop has not changed.
    assert_eq!(room.encode(), [true]);
    assert_eq!(room.frames(two), [(1, true)]);
    assert_eq!(room.frames(one), [(10, true)]);
}

#[test]
fn a_stalled_viewer_costs_the_others_nothing_and_comes_back_with_a_key_frame() {
    let mut room = Room::new();
    let (fast, stalled) = (
        room.join(&greeting("fast")),
        room.join(&greeting("stalled")),
    );
    room.frame();
    room.sent(stalled);
    for sequence in 1..=300 {
        room.painted(fast, sequence);
        // No picture fails to come, and none is a key frame.
        assert_eq!(room.frame(), [false], "{sequence}");
    }
    let sent = room.sent(stalled);
    let got = sent
        .iter()
        .filter(|message| matches!(message, Down::Frame(_)))
        .count();
    assert!(
        (50..=65).contains(&got),
        "{got} pictures in the second before it was given up"
    );
    let slow = |message: &&Down| matches!(message, Down::Notice(notice) if notice.code == NoticeCode::Slow);
    assert_eq!(sent.iter().filter(slow).count(), 1);
    // It paints what it has.
    room.painted(stalled, 1 + u32::try_from(got).unwrap());
    room.painted(fast, 301);
    assert_eq!(room.frame(), [true]);
    let frames = room.frames(stalled);
    assert_eq!(frames, [(302, true)]);
}

#[test]
fn a_slow_viewer_makes_the_others_rate_a_quarter_at_least() {
    let mut room = Room::new();
    let (fast, slow) = (room.join(&greeting("fast")), room.join(&greeting("slow")));
    let rate = |room: &mut Room| room.hub.plan(room.now).0.work[0].rate.kbits();
    assert_eq!(rate(&mut room), 6_000);
    room.say(slow, Up::Bitrate(3_000));
    assert_eq!(rate(&mut room), 3_000);
    room.say(slow, Up::Bitrate(1));
    assert_eq!(rate(&mut room), 1_500);
    room.say(fast, Up::Bitrate(1_000));
    assert_eq!(rate(&mut room), 250);
}

#[test]
fn a_thousand_pictures_a_second_become_sixty() {
    let mut room = Room::new();
    let one = room.join(&greeting("one"));
    let mut pictures = 0;
    for _ in 0..1_000 {
        room.pass(Duration::from_millis(1));
        room.hub.captured(size(), Change::Much);
        let more = room.encode().len();
        pictures += more;
        if more > 0 {
            room.painted(one, u32::try_from(pictures).unwrap());
        }
    }
    assert!((55..=67).contains(&pictures), "{pictures}");
}

#[test]
fn controls_go_to_the_first_then_to_who_takes_them_then_to_who_was_there_longest() {
    let mut room = Room::new();
    let looks_on = room.join(&Greeting {
        looks_on: true,
        ..greeting("looks on")
    });
    assert_eq!(room.hub.controls(), None);
    let (one, two, three) = (
        room.join(&greeting("one")),
        room.join(&greeting("two")),
        room.join(&greeting("three")),
    );
    assert_eq!(room.hub.controls(), Some(one));
    room.say(looks_on, Up::TakeOver);
    assert_eq!(room.hub.controls(), Some(one));
    room.say(three, Up::TakeOver);
    assert_eq!(room.hub.controls(), Some(three));
    let sent = room.sent(one);
    let Some(Down::Presence(present)) = sent.last() else {
        panic!("{sent:?}");
    };
    let flags: Vec<_> = present
        .iter()
        .map(|one| (one.flags.controls, one.flags.you))
        .collect();
    assert_eq!(
        flags,
        [(false, false), (false, true), (false, false), (true, false)]
    );
    room.hub.leave(three);
    assert_eq!(room.hub.controls(), Some(one));
    room.hub.leave(one);
    assert_eq!(room.hub.controls(), Some(two));
    room.hub.leave(two);
    assert_eq!(room.hub.controls(), None);
}

#[test]
fn input_counts_only_from_who_has_the_controls() {
    let mut room = Room::new();
    let (one, two) = (room.join(&greeting("one")), room.join(&greeting("two")));
    for message in [
        press(30),
        Up::Text("x".to_owned()),
        Up::Move(Point::default()),
        Up::Resize(size()),
        Up::Clipboard(Clipboard::Text("x".to_owned())),
    ] {
        let ignored = room.hub.message(two, message.clone(), Micros(0), room.now);
        assert_eq!(ignored, Ok(vec![]), "{message:?}");
        room.say(one, message);
    }
    assert_eq!(room.inputs().len(), 3);
    assert!(room.actions.contains(&Action::Resize(one, size())));
    assert!(
        room.actions
            .contains(&Action::Copy(Clipboard::Text("x".to_owned())))
    );
}

#[test]
fn whatever_is_held_is_let_go_of_on_blur_take_over_and_leaving() {
    let up = |code| Input::Key {
        key: key(code),
        down: false,
    };
    for end in 0..3 {
        let mut room = Room::new();
        let (one, two) = (room.join(&greeting("one")), room.join(&greeting("two")));
        room.say(one, press(29));
        room.say(one, press(30));
        room.say(
            one,
            Up::Button {
                button: Button::Left,
                down: true,
            },
        );
        room.say(
            one,
            Up::Touch {
                phase: TouchPhase::Down,
                finger: 3,
                at: Point::default(),
            },
        );
        assert_eq!(room.inputs().len(), 4);
        match end {
            0 => room.say(one, Up::Release),
            1 => room.say(two, Up::TakeOver),
            _ => {
                let actions = room.hub.leave(one);
                room.actions.extend(actions);
            }
        }
        let released = [
            up(30),
            up(29),
            Input::Button {
                button: Button::Left,
                down: false,
            },
            Input::Touch {
                phase: TouchPhase::Cancelled,
                finger: 3,
                at: Point::default(),
            },
        ];
        assert_eq!(room.inputs(), released);
        room.say(one, Up::Release);
        assert_eq!(room.inputs(), []);
    }
}

#[test]
fn a_key_goes_down_and_up_once_and_no_one_holds_more_than_the_bound() {
    let mut room = Room::new();
    let one = room.join(&greeting("one"));
    room.say(one, press(30));
    room.say(one, press(30));
    room.say(
        one,
        Up::Key {
            key: key(30),
            down: false,
        },
    );
    room.say(
        one,
        Up::Key {
            key: key(30),
            down: false,
        },
    );
    assert_eq!(room.inputs().len(), 2);
    for code in 1..200 {
        room.say(one, press(code));
    }
    assert_eq!(room.inputs().len(), MAX_HELD);
}

#[test]
fn pointers_of_others_are_shown_and_not_too_often() {
    let mut room = Room::new();
    let (one, two) = (room.join(&greeting("one")), room.join(&greeting("two")));
    room.pass(Duration::from_secs(1));
    room.sent(one);
    room.sent(two);
    for x in 0..1_000 {
        room.pass(Duration::from_millis(1));
        room.say(one, Up::Move(Point { x, y: 0 }));
        room.say(two, Up::Move(Point { x, y: 1 }));
        room.encode();
    }
    let pointers = |sent: &[Down]| {
        sent.iter()
            .filter(|one| matches!(one, Down::Pointer(_)))
            .count()
    };
    let (to_one, to_two) = (room.sent(one), room.sent(two));
    assert_eq!(pointers(&to_one), 0);
    assert!(
        (15..=21).contains(&pointers(&to_two)),
        "{}",
        pointers(&to_two)
    );
    let presences = to_one
        .iter()
        .filter(|one| matches!(one, Down::Presence(_)))
        .count();
    assert!((15..=21).contains(&presences), "{presences}");
}

#[test]
fn pointers_of_many_are_shown_more_seldom_and_the_desktops_as_often_as_ever() {
    let mut room = Room::new();
    let viewers: Vec<_> = (0..64).map(|_| room.join(&greeting("one"))).collect();
    room.pass(Duration::from_secs(1));
    room.actions.clear();
    for x in 0..1_000 {
        room.pass(Duration::from_millis(1));
        for id in &viewers {
            room.say(*id, Up::Move(Point { x, y: 0 }));
        }
        room.encode();
    }
    let sent = room.sent(viewers[63]);
    let count = |is: fn(&&Down) -> bool| sent.iter().filter(is).count();
    let presences = count(|one| matches!(one, Down::Presence(_)));
    assert!((2..=4).contains(&presences), "{presences}");
    let pointers = count(|one| matches!(one, Down::Pointer(_)));
    assert!((15..=21).contains(&pointers), "{pointers}");
}

#[test]
fn the_best_codec_that_there_is_an_encoder_for_is_chosen_and_stills_otherwise() {
    let mut room = Room::new();
    let mut with = |codecs: &[Codec]| {
        let id = room.join(&Greeting {
            codecs: codecs.to_vec(),
            ..greeting("one")
        });
        room.sent(id)
    };
    let codec = |sent: &[Down]| match &sent[0] {
        Down::Hello(hello) => hello.codec,
        other => panic!("{other:?}"),
    };
    let no_encoder = |sent: &[Down]| {
        let told = |one: &Down| matches!(one, Down::Notice(notice) if notice.code == NoticeCode::NoEncoder);
        sent.iter().any(told)
    };
    let sent = with(&[Codec::Hevc, Codec::Av1, Codec::H264]);
    assert_eq!((codec(&sent), no_encoder(&sent)), (Codec::Av1, false));
    let sent = with(&[]);
    assert_eq!((codec(&sent), no_encoder(&sent)), (Codec::Stills, false));
    let sent = with(&[Codec::Hevc, Codec::Vp9]);
    assert_eq!((codec(&sent), no_encoder(&sent)), (Codec::Stills, true));
}

#[test]
fn an_encoder_that_fails_for_good_is_replaced_and_its_viewers_hear_why() {
    let mut room = Room::new();
    let codecs = vec![Codec::Av1, Codec::H264];
    let one = room.join(&Greeting {
        codecs,
        ..greeting("one")
    });
    room.encode();
    room.sent(one);
    let actions = room.hub.failed(Codec::Av1, "no memory");
    room.actions.extend(actions);
    let sent = room.sent(one);
    assert!(matches!(&sent[0], Down::Hello(hello) if hello.codec == Codec::H264));
    assert!(matches!(&sent[1], Down::Notice(notice) if notice.text == "no memory"));
    assert_eq!(room.frame(), [true]);
    assert_eq!(room.frames(one), [(2, true)]);
}

#[test]
fn another_size_is_a_second_hello_and_a_key_frame() {
    let mut room = Room::new();
    let one = room.join(&greeting("one"));
    room.encode();
    room.painted(one, 1);
    room.sent(one);
    let other = Size::new(800, 600).unwrap();
    room.hub.captured(other, Change::Much);
    assert!(room.encode().is_empty());
    assert_eq!(room.hub.to_open(), [Codec::H264]);
    let actions = room.hub.opened(Description {
        size: other,
        ..description(Codec::H264)
    });
    room.actions.extend(actions);
    room.pass(Duration::from_millis(17));
    assert_eq!(room.encode(), [true]);
    let sent = room.sent(one);
    assert!(matches!(&sent[0], Down::Hello(hello) if hello.size == other));
    assert!(matches!(sent.last(), Some(Down::Frame(frame)) if frame.size == other));
}

#[test]
fn the_clipboard_goes_to_who_has_the_controls_unless_it_is_switched_off() {
    let mut room = Room::new();
    let (one, two) = (room.join(&greeting("one")), room.join(&greeting("two")));
    let content = Clipboard::Text("copied".to_owned());
    let to = |hub: &Hub| hub.copied(content.clone());
    assert_eq!(
        to(&room.hub),
        [Action::Send(one, Down::Clipboard(content.clone()))]
    );
    room.say(two, Up::TakeOver);
    assert_eq!(
        to(&room.hub),
        [Action::Send(two, Down::Clipboard(content.clone()))]
    );
    room.hub.options.clipboard = false;
    assert_eq!(to(&room.hub), []);
    room.say(two, Up::Clipboard(content.clone()));
    assert!(!room.actions.contains(&Action::Copy(content.clone())));
}

#[test]
fn one_viewer_more_than_the_bound_is_refused() {
    let mut room = Room::new();
    for _ in 0..MAX_VIEWERS {
        room.join(&greeting("one"));
    }
    assert_eq!(room.hub.join(&greeting("two"), room.now), Err(Full));
    let left = *room.hub.viewers.keys().next().unwrap();
    room.hub.leave(left);
    assert!(room.hub.join(&greeting("two"), room.now).is_ok());
}

#[test]
fn one_that_is_not_there_and_a_second_hello_do_nothing() {
    let mut room = Room::new();
    assert_eq!(room.hub.leave(ViewerId(9)), []);
    assert_eq!(
        room.hub
            .message(ViewerId(9), Up::TakeOver, Micros(0), room.now),
        Ok(vec![])
    );
    let one = room.join(&greeting("one"));
    let again = room
        .hub
        .message(one, Up::Hello(greeting("one")), Micros(0), room.now);
    assert_eq!(again, Err("a second Hello"));
}

#[test]
fn a_ping_is_answered_with_the_time() {
    let mut room = Room::new();
    let one = room.join(&greeting("one"));
    room.sent(one);
    room.say(one, Up::Ping { token: 7 });
    let (token, now) = (7, Micros(42));
    assert_eq!(room.sent(one), [Down::Pong { token, now }]);
}

#[test]
fn an_encoder_that_takes_a_while_takes_nothing_from_the_rate_of_pictures() {
    let mut room = Room::new();
    room.join(&greeting("one"));
    room.encode();
    room.pass(Duration::from_millis(10));
    let picture = Picture {
        codec: Codec::H264,
        encoded: Encoded {
            picture: Bytes::from_static(b"x"),
            key: false,
        },
        refines: false,
        captured: Micros(1),
        capture: Duration::ZERO,
        encode: Duration::from_millis(10),
    };
    room.hub.encoded(&picture, room.now);
    room.hub.captured(size(), Change::Much);
    assert_eq!(room.hub.plan(room.now).0.work, []);
    room.pass(Duration::from_millis(6));
    assert_eq!(room.hub.plan(room.now).0.work.len(), 1);
}

#[test]
fn sound_goes_to_who_asked_for_it_and_is_listened_to_only_meanwhile() {
    let mut room = Room::new();
    let (one, two) = (room.join(&greeting("one")), room.join(&greeting("two")));
    room.actions.clear();
    let hear = |room: &mut Room| {
        let actions = room.hub.heard(&Bytes::from_static(b"opus"), Micros(5));
        let to = actions.into_iter().map(|action| match action {
            Action::Send(id, Down::Audio(audio)) => (id, audio.sequence),
            other => panic!("{other:?}"),
        });
        to.collect::<Vec<_>>()
    };
    assert_eq!(hear(&mut room), []);
    room.say(one, Up::Audio(true));
    room.say(two, Up::Audio(true));
    room.say(two, Up::Visible(false));
    assert_eq!(room.actions, [Action::Listen(true)]);
    assert_eq!(hear(&mut room), [(one, 1), (two, 1)]);
    room.say(one, Up::Audio(false));
    assert_eq!(hear(&mut room), [(two, 2)]);
    let left = room.hub.leave(two);
    assert!(left.contains(&Action::Listen(false)), "{left:?}");
    assert_eq!(hear(&mut room), []);
}

#[test]
fn where_there_is_no_sound_nobody_listens_and_the_hello_says_so() {
    let mut room = Room::new();
    let one = room.join(&greeting("one"));
    let offers = |sent: &[Down]| matches!(&sent[0], Down::Hello(hello) if hello.flags.audio);
    assert!(offers(&room.sent(one)));
    room.hub.options.audio = false;
    let two = room.join(&greeting("two"));
    assert!(!offers(&room.sent(two)));
    room.say(two, Up::Audio(true));
    assert!(!room.actions.contains(&Action::Listen(true)));
}

#[test]
fn what_the_pointer_looks_like_is_told_to_all_and_to_who_comes_later() {
    let mut room = Room::new();
    let one = room.join(&greeting("one"));
    room.sent(one);
    let actions = room.hub.pointer_looks(Cursor::Hidden);
    assert_eq!(actions, [Action::Send(one, Down::Cursor(Cursor::Hidden))]);
    let two = room.join(&greeting("two"));
    let sent = room.sent(two);
    assert!(matches!(&sent[0], Down::Hello(_)));
    assert_eq!(sent[1], Down::Cursor(Cursor::Hidden));
}

#[test]
fn taking_over_ends_what_programs_do_also_by_who_has_the_controls_but_not_by_who_looks_on() {
    let mut room = Room::new();
    let (one, two) = (room.join(&greeting("one")), room.join(&greeting("two")));
    let onlooker = room.join(&Greeting {
        looks_on: true,
        ..greeting("three")
    });
    let mut interrupts = |id: ViewerId| {
        room.actions.clear();
        room.say(id, Up::TakeOver);
        room.actions.contains(&Action::Interrupt)
    };
    assert!(interrupts(one), "who has the controls");
    assert!(interrupts(two), "who takes them");
    assert!(!interrupts(onlooker));
    assert_eq!(room.hub.controls(), Some(two));
}

#[test]
fn all_are_shown_where_a_program_moves_the_pointer() {
    let mut room = Room::new();
    let (one, two) = (room.join(&greeting("one")), room.join(&greeting("two")));
    room.pass(Duration::from_secs(1));
    let at = Point { x: 7, y: 8 };
    room.hub.moved(at);
    room.encode();
    for id in [one, two] {
        assert!(room.sent(id).contains(&Down::Pointer(at)));
    }
}

#[test]
fn one_that_wants_few_pictures_gets_few_unless_others_want_more_of_the_same() {
    let mut room = Room::new();
    let slow = room.join(&greeting("slow"));
    room.hub.set_fps(slow, 10);
    let in_a_second = |room: &mut Room| {
        let mut pictures = 0;
        for _ in 0..60 {
            pictures += room.frame().len();
            let newest = room.frames(slow).last().copied();
            if let Some((sequence, _)) = newest {
                room.painted(slow, sequence);
            }
        }
        pictures
    };
    let alone = in_a_second(&mut room);
    assert!((9..=11).contains(&alone), "{alone}");
    room.join(&greeting("fast"));
    let together = in_a_second(&mut room);
    assert!(together > 50, "{together}");
}

#[test]
fn a_picture_that_stays_is_made_better_until_there_is_nothing_to_add() {
    let mut room = Room::new();
    let one = room.join(&greeting("one"));
    room.say(one, Up::Bitrate(500));
    room.encode();
    let encoded = |bytes| Picture {
        codec: Codec::H264,
        encoded: Encoded {
            picture: vec![7; bytes].into(),
            key: false,
        },
        refines: true,
        captured: Micros(1),
        capture: Duration::ZERO,
        encode: Duration::ZERO,
    };
    room.pass(Duration::from_millis(17));
    room.hub.captured(size(), Change::Much);
    room.hub.encoded(&encoded(100), room.now);
    // Small as it was, it may be coarse, and so may what was small once again: the fourth is not.
    let sizes = [5_000, 100, 100, 5_000, 100, 100, 100, 100];
    for (times, bytes) in (1..).zip(sizes) {
        assert_eq!(room.hub.plan(room.now).0.work, [], "{times}");
        room.pass(Duration::from_millis(120));
        let (plan, _) = room.hub.plan(room.now);
        assert_eq!(plan.work.len(), 1, "{times}");
        assert!(!plan.work[0].key);
        // More than this viewer's line has, as it comes seldom.
        assert_eq!(plan.work[0].rate, BitsPerSecond(3_500_000));
        room.hub.encoded(&encoded(bytes), room.now);
        let sequence = 2 + times;
        room.say(one, Up::Painted { sequence, queue: 0 });
    }
    room.pass(Duration::from_secs(10));
    assert_eq!(room.hub.plan(room.now).0.work, []);
    // However large they are, they come to an end.
    room.hub.captured(size(), Change::Much);
    let mut times = 0;
    while !room.hub.plan(room.now).0.work.is_empty() {
        room.hub.encoded(&encoded(5_000), room.now);
        times += 1;
        let sequence = 10 + times;
        room.say(one, Up::Painted { sequence, queue: 0 });
        room.pass(Duration::from_millis(120));
    }
    assert_eq!(times, 13);
}
