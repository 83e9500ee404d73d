//! The desktop's messages: as the vectors say, back and forth, and whatever else arrives.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use bytes::Bytes;
use helix_proto::desktop::{
    Audio, Button, Clipboard, Codec, Cursor, Down, Error, Frame, FrameFlags, Greeting, Hello,
    HelloFlags, Image, Key, MAX_CLIPBOARD, MAX_PATCH, MAX_SIDE, MAX_UP, Micros, Notice, NoticeCode,
    Patch, Piece, Point, Presence, PresenceFlags, Size, Stats, Still, TouchPhase, Up,
};
use proptest::{collection::vec, option, prelude::*};
use serde_json::Value;

const VECTORS: &str = include_str!("desktop-vectors.json");

fn vectors(part: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(VECTORS).unwrap();
    all[part].as_array().unwrap().clone()
}

fn hex(text: &str) -> Bytes {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

fn number<T: TryFrom<i64>>(fields: &Value, field: &str) -> T {
    let number = fields[field]
        .as_i64()
        .unwrap_or_else(|| panic!("{field} in {fields}"));
    T::try_from(number).ok().unwrap()
}

fn text(fields: &Value, field: &str) -> String {
    fields[field].as_str().unwrap().to_owned()
}

fn bytes(fields: &Value, field: &str) -> Bytes {
    hex(fields[field].as_str().unwrap())
}

fn size(fields: &Value) -> Size {
    Size::new(number(fields, "width"), number(fields, "height")).unwrap()
}

fn point(fields: &Value) -> Point {
    Point {
        x: number(fields, "x"),
        y: number(fields, "y"),
    }
}

fn codec(number: i64) -> Codec {
    Codec::ALL[usize::try_from(number).unwrap()]
}

fn clipboard(fields: &Value) -> Clipboard {
    let content = bytes(fields, "content");
    match fields["mime"].as_str().unwrap() {
        Clipboard::TEXT => Clipboard::Text(String::from_utf8(content.to_vec()).unwrap()),
        _ => Clipboard::Png(content),
    }
}

fn down(kind: &str, fields: &Value) -> Down {
    let flag = |bit: u8| number::<u8>(fields, "flags") & bit != 0;
    let captured = || Micros(number(fields, "captured"));
    match kind {
        "0x01" => Down::Hello(Hello {
            viewer: number(fields, "viewer"),
            codec: codec(number(fields, "codec")),
            encoder: text(fields, "encoder"),
            config: text(fields, "config"),
            size: size(fields),
            flags: HelloFlags {
                audio: flag(1),
                clipboard: flag(2),
                controls: flag(4),
            },
        }),
        "0x02" => Down::Frame(Frame {
            sequence: number(fields, "sequence"),
            captured: captured(),
            flags: FrameFlags {
                key: flag(1),
                recovery: flag(2),
            },
            size: size(fields),
            picture: bytes(fields, "picture"),
        }),
        "0x03" => Down::Still(Still {
            sequence: number(fields, "sequence"),
            captured: captured(),
            size: size(fields),
            jpeg: bytes(fields, "jpeg"),
        }),
        "0x04" if fields["width"] == 0 => Down::Cursor(Cursor::Hidden),
        "0x04" => Down::Cursor(Cursor::Image(Image {
            hotspot_x: number(fields, "hotspot_x"),
            hotspot_y: number(fields, "hotspot_y"),
            size: size(fields),
            png: bytes(fields, "png"),
        })),
        "0x05" => Down::Pointer(point(fields)),
        "0x06" => Down::Clipboard(clipboard(fields)),
        "0x07" => Down::Presence(
            fields["viewers"]
                .as_array()
                .unwrap()
                .iter()
                .map(present)
                .collect(),
        ),
        "0x08" => Down::Stats(Stats {
            frames: number(fields, "frames"),
            dropped: number(fields, "dropped"),
            encode_us: number(fields, "encode_us"),
            capture_us: number(fields, "capture_us"),
            kbits: number(fields, "kbits"),
            target_kbits: number(fields, "target_kbits"),
            viewers: number(fields, "viewers"),
        }),
        "0x09" => Down::Pong {
            token: number(fields, "token"),
            now: Micros(number(fields, "now")),
        },
        "0x0a" => Down::Notice(Notice {
            code: match number(fields, "code") {
                0_u8 => NoticeCode::Well,
                5 => NoticeCode::Slow,
                7 => NoticeCode::NoSound,
                other => panic!("{other}"),
            },
            text: text(fields, "text"),
        }),
        "0x0b" => Down::Audio(Audio {
            sequence: number(fields, "sequence"),
            captured: captured(),
            opus: bytes(fields, "opus"),
        }),
        "0x0c" => Down::Patch(Patch {
            sequence: number(fields, "sequence"),
            captured: captured(),
            pieces: fields["pieces"]
                .as_array()
                .unwrap()
                .iter()
                .map(piece)
                .collect(),
            qoi: bytes(fields, "qoi"),
        }),
        other => panic!("{other}"),
    }
}

fn piece(fields: &Value) -> Piece {
    Piece {
        x: number(fields, "x"),
        y: number(fields, "y"),
        size: size(fields),
    }
}

fn present(fields: &Value) -> Presence {
    let flag = |bit: u8| number::<u8>(fields, "flags") & bit != 0;
    Presence {
        viewer: number(fields, "viewer"),
        flags: PresenceFlags {
            controls: flag(1),
            you: flag(2),
            looks_on: flag(4),
            pointer: flag(8),
        },
        pointer: point(fields),
        name: text(fields, "name"),
    }
}

fn up(kind: &str, fields: &Value) -> Up {
    let on = |field| number::<u8>(fields, field) == 1;
    let flag = |bit: u8| number::<u8>(fields, "flags") & bit != 0;
    match kind {
        "0x81" => {
            let codecs = fields["codecs"].as_array().unwrap();
            Up::Hello(Greeting {
                looks_on: flag(1),
                patches: flag(2),
                size: size(fields),
                codecs: codecs
                    .iter()
                    .map(|one| codec(one.as_i64().unwrap()))
                    .collect(),
                name: text(fields, "name"),
            })
        }
        "0x82" => Up::Painted {
            sequence: number(fields, "sequence"),
            queue: number(fields, "queue"),
        },
        "0x83" => Up::Key {
            key: Key::new(number(fields, "code"), number(fields, "keysym")).unwrap(),
            down: on("down"),
        },
        "0x84" => Up::Text(text(fields, "text")),
        "0x85" => Up::Move(point(fields)),
        "0x86" => Up::MoveBy {
            dx: number(fields, "dx"),
            dy: number(fields, "dy"),
        },
        "0x87" => Up::Button {
            button: Button::ALL[number::<usize>(fields, "button")],
            down: on("down"),
        },
        "0x88" => Up::Wheel {
            dx: number(fields, "dx"),
            dy: number(fields, "dy"),
        },
        "0x89" => Up::Touch {
            phase: TouchPhase::Cancelled,
            finger: number(fields, "finger"),
            at: point(fields),
        },
        "0x8a" => Up::Release,
        "0x8b" => Up::Resize(size(fields)),
        "0x8c" => Up::Bitrate(number(fields, "kbits")),
        "0x8d" => Up::Visible(on("visible")),
        "0x8e" => Up::KeyFrame,
        "0x8f" => Up::TakeOver,
        "0x90" => Up::Clipboard(clipboard(fields)),
        "0x91" => Up::Audio(on("on")),
        "0x92" => Up::Ping {
            token: number(fields, "token"),
        },
        other => panic!("{other}"),
    }
}

#[test]
fn the_vectors_are_read_and_written_as_they_say() {
    let mut kinds = std::collections::BTreeSet::new();
    for vector in vectors("messages") {
        let (name, kind) = (&vector["name"], vector["kind"].as_str().unwrap());
        let message = bytes(&vector, "hex");
        kinds.insert(kind.to_owned());
        if vector["direction"] == "down" {
            let expected = down(kind, &vector["fields"]);
            assert_eq!(
                Down::decode(message.clone()).as_ref(),
                Ok(&expected),
                "{name}"
            );
            assert_eq!(expected.encode(), Ok(message), "{name}");
        } else {
            let expected = up(kind, &vector["fields"]);
            assert_eq!(
                Up::decode(message.clone()).as_ref(),
                Ok(&expected),
                "{name}"
            );
            assert_eq!(expected.encode(), Ok(message), "{name}");
        }
    }
    assert_eq!(kinds.len(), 30, "every kind has a vector");
}

#[test]
fn what_the_vectors_refuse_is_refused_with_their_code() {
    for vector in vectors("refused") {
        let message = bytes(&vector, "hex");
        let refused = if vector["direction"] == "down" {
            Down::decode(message).map(drop)
        } else {
            Up::decode(message).map(drop)
        };
        let code = refused.map_err(|error| error.close_code());
        assert_eq!(code, Err(number(&vector, "close")), "{vector}");
    }
}

#[test]
fn an_error_says_what_is_wrong() {
    let said = |message: &'static [u8]| Up::decode(message.into()).unwrap_err().to_string();
    assert_eq!(said(&[0x8b, 0, 0, 3, 0]), "0 is no width of Resize");
    assert_eq!(said(&[0x85, 0]), "Move ends before or in its x");
    assert_eq!(said(&[0x8a, 0]), "Release has 1 bytes after its last field");
    assert_eq!(
        said(&[0x81, 0, 9]),
        "version 9 of the desktop's protocol, where 1 is spoken here"
    );
}

#[test]
fn what_is_beyond_its_bound_is_refused_on_both_sides() {
    let text = |bytes| Up::Text("x".repeat(bytes));
    let most = text(MAX_UP - 1);
    assert_eq!(Up::decode(most.encode().unwrap()), Ok(most));
    let refused = text(MAX_UP).encode().unwrap_err();
    assert_eq!(refused.close_code(), 1009);
    let message = Bytes::from([&[0x84][..], &vec![b'x'; MAX_UP]].concat());
    assert_eq!(Up::decode(message).unwrap_err().close_code(), 1009);

    let fields = 2 + Clipboard::PNG.len();
    let paste = |bytes| Up::Clipboard(Clipboard::Png(vec![1; bytes].into()));
    let most = paste(MAX_CLIPBOARD - fields);
    assert_eq!(Up::decode(most.encode().unwrap()), Ok(most));
    let refused = paste(100 << 20).encode().unwrap_err();
    assert!(matches!(refused, Error::TooLarge { .. }), "{refused}");
}

#[test]
fn a_patch_of_nothing_or_too_much_is_refused_on_both_sides() {
    let patch = |pieces: &[(u16, u16)]| {
        let piece = |&(width, height): &(u16, u16)| Piece {
            x: 0,
            y: 0,
            size: Size::new(width, height).unwrap(),
        };
        Down::Patch(Patch {
            sequence: 1,
            captured: Micros(0),
            pieces: pieces.iter().map(piece).collect(),
            qoi: Bytes::from_static(b"q"),
        })
    };
    let rows = u16::try_from(MAX_PATCH / 256).unwrap();
    assert!(patch(&[(256, rows)]).encode().is_ok());
    let refused = |patch: Down| patch.encode().unwrap_err().to_string();
    assert_eq!(refused(patch(&[])), "0 is no number of pixels of Patch");
    assert_eq!(
        refused(patch(&[(256, rows), (1, 1)])),
        "65537 is no number of pixels of Patch"
    );
    assert_eq!(
        refused(patch(&vec![(1, 1); 256])),
        "pieces of Patch has 256 bytes, where 255 are allowed"
    );
}

#[test]
fn names_beyond_a_byte_of_length_are_refused() {
    let greeting = |name: String| {
        Up::Hello(Greeting {
            looks_on: false,
            patches: false,
            size: Size::new(1, 1).unwrap(),
            codecs: Vec::new(),
            name,
        })
    };
    assert!(greeting("n".repeat(255)).encode().is_ok());
    assert_eq!(
        greeting("n".repeat(256)).encode().unwrap_err().to_string(),
        "name of Hello has 256 bytes, where 255 are allowed"
    );
}

fn any_size() -> impl Strategy<Value = Size> {
    (1..=MAX_SIDE, 1..=MAX_SIDE).prop_map(|(width, height)| Size::new(width, height).unwrap())
}

fn any_point() -> impl Strategy<Value = Point> {
    any::<(u16, u16)>().prop_map(|(x, y)| Point { x, y })
}

fn any_codec() -> impl Strategy<Value = Codec> {
    prop::sample::select(&Codec::ALL[..])
}

fn some_bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 1..64).prop_map(Bytes::from)
}

fn any_clipboard() -> impl Strategy<Value = Clipboard> {
    prop_oneof![
        any::<String>().prop_map(Clipboard::Text),
        vec(any::<u8>(), 0..64).prop_map(|png| Clipboard::Png(png.into())),
    ]
}

fn any_patch() -> impl Strategy<Value = Patch> {
    let side = || 1_u16..=60;
    let size = (side(), side()).prop_map(|(width, height)| Size::new(width, height).unwrap());
    let piece = (any::<(u16, u16)>(), size).prop_map(|((x, y), size)| Piece { x, y, size });
    (any::<(u32, u64)>(), vec(piece, 1..18), some_bytes()).prop_map(
        |((sequence, at), pieces, qoi)| Patch {
            sequence,
            captured: Micros(at),
            pieces,
            qoi,
        },
    )
}

fn any_presence() -> impl Strategy<Value = Presence> {
    let flags = any::<[bool; 4]>().prop_map(|[controls, you, looks_on, pointer]| PresenceFlags {
        controls,
        you,
        looks_on,
        pointer,
    });
    (any::<u32>(), flags, any_point(), ".{0,20}").prop_map(|(viewer, flags, pointer, name)| {
        Presence {
            viewer,
            flags,
            pointer,
            name,
        }
    })
}

fn any_down() -> impl Strategy<Value = Down> {
    let hello = (
        any::<(u32, [bool; 3])>(),
        any_codec(),
        ".{0,20}",
        ".{0,20}",
        any_size(),
    );
    let frame = (any::<(u32, u64, bool, bool)>(), any_size(), some_bytes());
    prop_oneof![
        hello.prop_map(
            |((viewer, [audio, clipboard, controls]), codec, encoder, config, size)| {
                let flags = HelloFlags {
                    audio,
                    clipboard,
                    controls,
                };
                Down::Hello(Hello {
                    viewer,
                    codec,
                    encoder,
                    config,
                    size,
                    flags,
                })
            }
        ),
        frame.prop_map(|((sequence, captured, key, recovery), size, picture)| {
            let (captured, flags) = (Micros(captured), FrameFlags { key, recovery });
            Down::Frame(Frame {
                sequence,
                captured,
                flags,
                size,
                picture,
            })
        }),
        (any::<(u32, u64)>(), any_size(), some_bytes()).prop_map(|((sequence, at), size, jpeg)| {
            Down::Still(Still {
                sequence,
                captured: Micros(at),
                size,
                jpeg,
            })
        }),
        option::of((any::<(u16, u16)>(), any_size(), some_bytes())).prop_map(|image| {
            Down::Cursor(
                image.map_or(Cursor::Hidden, |((hotspot_x, hotspot_y), size, png)| {
                    Cursor::Image(Image {
                        hotspot_x,
                        hotspot_y,
                        size,
                        png,
                    })
                }),
            )
        }),
        any_point().prop_map(Down::Pointer),
        any_clipboard().prop_map(Down::Clipboard),
        vec(any_presence(), 0..5).prop_map(Down::Presence),
        any::<([u32; 6], u16)>().prop_map(|(numbers, viewers)| {
            let [frames, dropped, encode_us, capture_us, kbits, target_kbits] = numbers;
            Down::Stats(Stats {
                frames,
                dropped,
                encode_us,
                capture_us,
                kbits,
                target_kbits,
                viewers,
            })
        }),
        any::<(u64, u64)>().prop_map(|(token, now)| Down::Pong {
            token,
            now: Micros(now)
        }),
        any::<String>().prop_map(|text| Down::Notice(Notice {
            code: NoticeCode::NoEncoder,
            text
        })),
        any_patch().prop_map(Down::Patch),
        (any::<(u32, u64)>(), some_bytes()).prop_map(|((sequence, at), opus)| {
            Down::Audio(Audio {
                sequence,
                captured: Micros(at),
                opus,
            })
        }),
    ]
}

fn any_up() -> impl Strategy<Value = Up> {
    prop_oneof![
        (
            any::<[bool; 2]>(),
            any_size(),
            vec(any_codec(), 0..6),
            ".{0,20}"
        )
            .prop_map(
                |([looks_on, patches], size, codecs, name)| Up::Hello(Greeting {
                    looks_on,
                    patches,
                    size,
                    codecs,
                    name
                })
            ),
        any::<(u32, u8)>().prop_map(|(sequence, queue)| Up::Painted { sequence, queue }),
        (any::<(u16, bool)>(), 1_u32..).prop_map(|((code, down), keysym)| Up::Key {
            key: Key::new(code, keysym).unwrap(),
            down,
        }),
        any::<String>().prop_map(Up::Text),
        any_point().prop_map(Up::Move),
        any::<(i16, i16)>().prop_map(|(dx, dy)| Up::MoveBy { dx, dy }),
        (prop::sample::select(&Button::ALL[..]), any::<bool>())
            .prop_map(|(button, down)| Up::Button { button, down }),
        any::<(i32, i32)>().prop_map(|(dx, dy)| Up::Wheel { dx, dy }),
        (any::<u8>(), any_point()).prop_map(|(finger, at)| Up::Touch {
            phase: TouchPhase::Move,
            finger,
            at
        }),
        prop::sample::select(vec![Up::Release, Up::KeyFrame, Up::TakeOver]),
        any_size().prop_map(Up::Resize),
        any::<u32>().prop_map(Up::Bitrate),
        any::<bool>().prop_map(Up::Visible),
        any_clipboard().prop_map(Up::Clipboard),
        any::<bool>().prop_map(Up::Audio),
        any::<u64>().prop_map(|token| Up::Ping { token }),
    ]
}

/// Any bytes, mostly with a kind that there is in front.
fn any_bytes(kinds: std::ops::RangeInclusive<u8>) -> impl Strategy<Value = Bytes> {
    (option::weighted(0.9, kinds), vec(any::<u8>(), 0..48))
        .prop_map(|(kind, rest)| kind.into_iter().chain(rest).collect())
}

proptest! {
    #[test]
    fn what_is_written_down_is_read_the_same(message in any_down()) {
        prop_assert_eq!(Down::decode(message.encode().unwrap()), Ok(message));
    }

    #[test]
    fn what_is_written_up_is_read_the_same(message in any_up()) {
        prop_assert_eq!(Up::decode(message.encode().unwrap()), Ok(message));
    }

    #[test]
    fn whatever_arrives_down_is_refused_or_written_the_same(message in any_bytes(0x01..=0x0c)) {
        if let Ok(read) = Down::decode(message.clone()) {
            // Where a hidden cursor points does not matter, and is not kept.
            if read != Down::Cursor(Cursor::Hidden) {
                prop_assert_eq!(read.encode(), Ok(message));
            }
        }
    }

    #[test]
    fn whatever_arrives_up_is_refused_or_written_the_same(message in any_bytes(0x81..=0x92)) {
        if let Ok(read) = Up::decode(message.clone()) {
            prop_assert_eq!(read.encode(), Ok(message));
        }
    }
}
