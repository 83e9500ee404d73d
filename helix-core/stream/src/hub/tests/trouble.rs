//! A desktop that is not there, or has no encoders.

use super::*;

fn notices(sent: &[Down]) -> Vec<(NoticeCode, &str)> {
    let notices = sent.iter().filter_map(|message| match message {
        Down::Notice(notice) => Some((notice.code, notice.text.as_str())),
        _ => None,
    });
    notices.collect()
}

#[test]
fn who_comes_while_there_is_no_desktop_is_told_so_after_its_hello() {
    let mut room = Room::new();
    let ended = "the desktop has ended";
    room.hub.notice(NoticeCode::CompositorEnded, ended);
    // Something else does not make it well.
    room.hub.notice(NoticeCode::EncoderFailed, "no encoder");
    let one = room.join(&greeting("one"));
    let sent = room.sent(one);
    assert!(matches!(&sent[0], Down::Hello(_)));
    assert_eq!(notices(&sent), [(NoticeCode::CompositorEnded, ended)]);
    assert_eq!(room.hub.waits_in_vain(one), None, "it was greeted");

    room.hub.closed(Codec::H264);
    let waits = room.join(&greeting("waits"));
    assert_eq!(room.sent(waits), []);
    assert_eq!(room.hub.waits_in_vain(waits), Some(ended));
    room.hub.notice(NoticeCode::Well, "");
    assert_eq!(room.hub.waits_in_vain(waits), None);
    let actions = room.hub.opened(description(Codec::H264));
    room.actions.extend(actions);
    assert_eq!(notices(&room.sent(waits)), []);
}

#[test]
fn whoever_begins_to_listen_while_there_is_no_sound_is_told_so_once() {
    let mut room = Room::new();
    let (one, two) = (room.join(&greeting("one")), room.join(&greeting("two")));
    let told = |room: &mut Room| {
        let actions = room.hub.silent("no server");
        let to = |action| match action {
            Action::Send(id, Down::Notice(notice)) => (id, notice.code),
            other => panic!("{other:?}"),
        };
        actions.into_iter().map(to).collect::<Vec<_>>()
    };
    assert_eq!(told(&mut room), [], "nobody listens");
    room.say(one, Up::Audio(true));
    assert_eq!(told(&mut room), [(one, NoticeCode::NoSound)]);
    assert_eq!(told(&mut room), []);
    room.say(two, Up::Audio(true));
    assert_eq!(told(&mut room), [(two, NoticeCode::NoSound)]);
    // Again, where it was heard in between.
    room.hub.heard(&Bytes::from_static(b"opus"), Micros(5));
    assert_eq!(told(&mut room).len(), 2);
}

#[test]
fn without_any_encoder_viewers_are_told_what_to_install() {
    let mut room = Room::new();
    let hub = Hub::new(Options::default(), size(), &[], room.now);
    room.hub = hub.with_hint(Some("install x264"));
    room.hub.opened(description(Codec::Stills));
    let one = room.join(&greeting("one"));
    let sent = room.sent(one);
    let [(NoticeCode::NoEncoder, text)] = notices(&sent)[..] else {
        panic!("{sent:?}");
    };
    assert!(
        text.contains("encoders for nothing (install x264)"),
        "{text}"
    );
}
