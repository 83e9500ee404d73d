//! Patches instead of pictures.

use helix_proto::desktop::Piece;

use super::*;
use crate::patch::Patch;

fn takes_patches(name: &str) -> Greeting {
    Greeting {
        patches: true,
        ..greeting(name)
    }
}

fn patch() -> Patch {
    Patch {
        pieces: vec![Piece {
            x: 8,
            y: 16,
            size: Size::new(10, 20).unwrap(),
        }],
        qoi: Bytes::from_static(b"qoi"),
    }
}

impl Room {
    /// A little has changed, a refresh of the screen later: whether that is sent by itself. With
    /// a picture it is not, where it was encoded instead.
    fn little(&mut self) -> Vec<bool> {
        self.little_of(patch().qoi.len())
    }

    fn little_of(&mut self, bytes: usize) -> Vec<bool> {
        self.pass(Duration::from_millis(17));
        self.hub.captured(size(), Change::Patch { bytes });
        let (plan, _) = self.hub.plan(self.now);
        if plan.work.iter().any(|work| !work.patch) {
            self.encode();
        }
        for work in plan.work.iter().filter(|work| work.patch) {
            let actions = self.hub.patched(work.codec, &patch(), Micros(2), self.now);
            self.actions.extend(actions);
        }
        plan.work.iter().map(|work| work.patch).collect()
    }

    /// Of the pictures and patches that one was sent.
    fn sequences(&mut self, to: ViewerId) -> Vec<(u32, &'static str)> {
        let sent = self.sent(to).into_iter();
        sent.filter_map(|message| match message {
            Down::Frame(frame) if frame.flags.key => Some((frame.sequence, "key")),
            Down::Frame(frame) => Some((frame.sequence, "frame")),
            Down::Patch(patch) => Some((patch.sequence, "patch")),
            _ => None,
        })
        .collect()
    }
}

#[test]
fn what_is_little_is_sent_as_it_is_and_the_video_goes_on_after_it() {
    let mut room = Room::new();
    let one = room.join(&takes_patches("one"));
    room.encode();
    room.painted(one, 1);
    assert_eq!(room.little(), [true]);
    assert_eq!(room.little(), [true]);
    // Nothing else is due: the picture is there.
    assert!(room.encode().is_empty());
    room.painted(one, 3);
    assert_eq!(room.frame(), [false]);
    let expected = [(1, "key"), (2, "patch"), (3, "patch"), (4, "frame")];
    assert_eq!(room.sequences(one), expected);
    let sent = {
        room.little();
        room.sent(one)
    };
    let [Down::Patch(sent)] = &sent[..] else {
        panic!("{sent:?}")
    };
    assert_eq!((&sent.pieces, &sent.qoi), (&patch().pieces, &patch().qoi));
    assert_eq!(sent.captured, Micros(2));
}

#[test]
fn one_that_takes_none_is_sent_pictures_and_so_are_those_beside_it() {
    let mut room = Room::new();
    assert!(!room.hub.takes_patches());
    let (one, two) = (
        room.join(&takes_patches("one")),
        room.join(&greeting("two")),
    );
    assert!(room.hub.takes_patches());
    room.encode();
    for id in [one, two] {
        room.painted(id, 1);
    }
    assert_eq!(room.little(), [false]);
    room.hub.leave(two);
    assert_eq!(room.little(), [true]);
    let expected = [(1, "key"), (2, "frame"), (3, "patch")];
    assert_eq!(room.sequences(one), expected);
}

#[test]
fn who_has_not_the_picture_before_is_sent_a_whole_one() {
    let mut room = Room::new();
    let one = room.join(&takes_patches("one"));
    room.encode();
    // It is captured, and not encoded: that of a moment before was.
    room.hub.captured(size(), Change::Much);
    assert!(room.encode().is_empty());
    assert_eq!(room.little(), [false]);
    assert_eq!(room.little(), [true]);
    room.painted(one, 3);
    room.say(one, Up::KeyFrame);
    room.pass(Duration::from_secs(3));
    assert_eq!(room.little(), [false]);
    let expected = [(1, "key"), (2, "frame"), (3, "patch"), (4, "key")];
    assert_eq!(room.sequences(one), expected);
}

#[test]
fn one_that_has_fallen_behind_does_not_keep_others_from_patches_and_begins_anew() {
    let mut room = Room::new();
    let (one, two) = (
        room.join(&takes_patches("one")),
        room.join(&takes_patches("two")),
    );
    room.encode();
    room.painted(one, 1);
    room.pass(Duration::from_secs(30));
    for id in [one, two] {
        room.say(id, Up::Ping { token: 1 });
    }
    assert_eq!(room.little(), [true]);
    room.painted(one, 2);
    assert_eq!(room.sequences(one), [(1, "key"), (2, "patch")]);
    assert_eq!(room.sequences(two), [(1, "key")]);
    room.painted(two, 1);
    room.pass(Duration::from_secs(30));
    assert_eq!(room.little(), [false]);
    assert_eq!(room.sequences(two), [(3, "key")]);
}

#[test]
fn what_would_queue_on_its_way_is_a_picture_that_the_encoder_makes_small() {
    let mut room = Room::new();
    let one = room.join(&takes_patches("one"));
    room.say(one, Up::Bitrate(480));
    room.encode();
    room.painted(one, 1);
    // A sixtieth of 480 kbit.
    assert_eq!(room.little_of(1_000), [true]);
    assert_eq!(room.little_of(1_001), [false]);
}

#[test]
fn stills_are_whole() {
    let mut room = Room::new();
    let one = room.join(&Greeting {
        codecs: Vec::new(),
        ..takes_patches("one")
    });
    assert!(!room.hub.takes_patches());
    room.encode();
    room.painted(one, 1);
    assert_eq!(room.little(), [false]);
}

#[test]
fn what_is_drawn_again_as_it_was_is_not_sent_and_a_patch_to_it_stays_one() {
    let mut room = Room::new();
    let one = room.join(&takes_patches("one"));
    room.encode();
    room.painted(one, 1);
    room.pass(Duration::from_millis(17));
    room.hub.captured(size(), Change::None);
    assert!(room.encode().is_empty());
    // Too early for it, and drawn again as it is meanwhile.
    room.hub.captured(size(), Change::Patch { bytes: 3 });
    room.hub.captured(size(), Change::None);
    assert!(room.hub.plan(room.now).0.work[0].patch);
    // Whoever comes is sent what is there, and so is everybody at another size.
    let two = room.join(&takes_patches("two"));
    assert_eq!(room.encode(), [true]);
    assert_eq!(room.sequences(two), [(1, "key")]);
    let other = Size::new(800, 600).unwrap();
    room.hub.captured(other, Change::None);
    assert_eq!(room.hub.size(), other);
}
