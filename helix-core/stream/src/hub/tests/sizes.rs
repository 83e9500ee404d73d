//! Other sizes.

use super::*;

fn resize(width: u16, height: u16) -> Up {
    Up::Resize(Size::new(width, height).unwrap())
}

#[test]
fn a_size_that_no_desktop_begins_with_is_refused_and_odd_ones_become_even() {
    let mut room = Room::new();
    let (one, two) = (room.join(&greeting("one")), room.join(&greeting("two")));
    room.say(one, resize(7_681, 4_321));
    let largest = Size::new(7_680, 4_320).unwrap();
    assert!(room.actions.contains(&Action::Resize(one, largest)));
    for (width, height, why) in [
        (8_192, 720, "a desktop's width is 320 to 7680 pixels"),
        (1_280, 4_322, "a desktop's height is 240 to 4320 pixels"),
        (1, 1, "a desktop's width is 320 to 7680 pixels"),
    ] {
        room.pass(Duration::from_secs(5));
        room.actions.clear();
        room.say(one, resize(width, height));
        let (code, text) = (NoticeCode::InputRefused, why.to_owned());
        assert_eq!(room.sent(one), [Down::Notice(Notice { code, text })]);
        room.say(two, resize(width, height));
        assert_eq!(room.actions, []);
    }
}

#[test]
fn an_encoder_that_fails_at_one_size_is_there_again_at_another() {
    let mut room = Room::new();
    let one = room.join(&greeting("one"));
    room.hub.failed(Codec::H264, "too large");
    room.hub.opened(description(Codec::Stills));
    assert_eq!(room.hub.viewers_of(Codec::Stills), [one]);
    let other = Size::new(800, 600).unwrap();
    room.hub.resized(other, &[Codec::H264, Codec::Av1]);
    room.hub.captured(other, Change::Much);
    assert_eq!(room.hub.to_open(), [Codec::H264]);
    room.actions.clear();
    let actions = room.hub.opened(Description {
        size: other,
        ..description(Codec::H264)
    });
    room.actions.extend(actions);
    assert!(matches!(&room.sent(one)[0], Down::Hello(hello) if hello.codec == Codec::H264));
    assert_eq!(room.encode(), [true]);
}
