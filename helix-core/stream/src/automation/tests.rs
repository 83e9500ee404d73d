use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn size() -> Size {
    Size::new(640, 360).unwrap()
}

fn one(action: DesktopAction) -> Result<Vec<Step>, Error> {
    plan(&[action], size())
}

fn keysyms(keys: &str) -> Result<Vec<(u32, bool)>, Error> {
    let steps = one(DesktopAction::Key {
        keys: keys.to_owned(),
        count: 1,
    })?;
    let input = |step: Step| match step.input {
        Some(Input::Key { key, down }) => (key.keysym(), down),
        other => panic!("{other:?}"),
    };
    Ok(steps.into_iter().map(input).collect())
}

fn modifiers() -> impl Strategy<Value = Vec<Modifier>> {
    let all = vec![
        Modifier::Shift,
        Modifier::Ctrl,
        Modifier::Alt,
        Modifier::Super,
    ];
    proptest::sample::subsequence(all, 0..=4)
}

fn position() -> impl Strategy<Value = Position> {
    (0..640_u16, 0..360_u16).prop_map(|(x, y)| Position { x, y })
}

fn action() -> impl Strategy<Value = DesktopAction> {
    let keys = prop_oneof![
        Just("ctrl+shift+t"),
        Just("Return"),
        Just("alt+F4"),
        Just("é"),
        Just("ctrl++")
    ];
    prop_oneof![
        (position(), 1..4_u8, modifiers()).prop_map(|(at, count, modifiers)| {
            DesktopAction::Click {
                x: at.x,
                y: at.y,
                button: MouseButton::Right,
                count,
                modifiers,
            }
        }),
        position().prop_map(|at| DesktopAction::Move { x: at.x, y: at.y }),
        (
            prop::collection::vec(position(), 2..6),
            modifiers(),
            0..500_u32
        )
            .prop_map(|(path, modifiers, duration_ms)| DesktopAction::Drag {
                path,
                button: MouseButton::Left,
                modifiers,
                duration_ms,
            }),
        (
            prop::option::of(position()),
            -9..9_i16,
            -9..9_i16,
            modifiers()
        )
            .prop_map(|(at, dx, dy, modifiers)| DesktopAction::Scroll {
                at,
                dx,
                dy,
                modifiers,
            }),
        "[a-zA-Zäß日🦀\n\t ]{0,60}".prop_map(|text| DesktopAction::Type { text }),
        (keys, 1..3_u8).prop_map(|(keys, count)| DesktopAction::Key {
            keys: keys.to_owned(),
            count,
        }),
        (0..50_u32).prop_map(|ms| DesktopAction::Wait { ms }),
    ]
}

proptest! {
    #[test]
    fn what_is_pressed_is_let_go_of_within_its_action(
        actions in prop::collection::vec(action(), 1..20),
    ) {
        let steps = plan(&actions, size()).unwrap();
        let (mut down, mut at) = (BTreeSet::new(), 0);
        for step in &steps {
            prop_assert!(step.action >= at, "actions are done in their order");
            if step.action > at {
                prop_assert!(down.is_empty(), "{down:?} stays down after action {at}");
                at = step.action;
            }
            let (what, goes_down) = match &step.input {
                Some(Input::Key { key, down }) => (format!("{key:?}"), *down),
                Some(Input::Button { button, down }) => (format!("{button:?}"), *down),
                _ => continue,
            };
            let changed = if goes_down { down.insert(what) } else { down.remove(&what) };
            prop_assert!(changed, "pressed twice, or let go of without a press");
        }
        prop_assert!(down.is_empty());
    }

    #[test]
    fn all_that_is_typed_and_scrolled_and_every_place_is_what_was_asked_for(
        actions in prop::collection::vec(action(), 1..20),
    ) {
        let steps = plan(&actions, size()).unwrap();
        let total: Duration = steps.iter().map(|step| step.then).sum();
        prop_assert!(total <= Duration::from_millis(MAX_TOTAL_MS.into()));
        for (number, action) in actions.iter().enumerate() {
            let of = steps.iter().filter(|step| step.action == number);
            let inputs: Vec<_> = of.filter_map(|step| step.input.clone()).collect();
            let mut pixels = inputs.iter().filter_map(|input| match input {
                Input::Move(at) => Some(at.pixel(size())),
                _ => None,
            });
            match action {
                DesktopAction::Type { text } => {
                    let typed: String = inputs
                        .iter()
                        .map(|input| match input {
                            Input::Text(text) => text.as_str(),
                            other => panic!("{other:?}"),
                        })
                        .collect();
                    prop_assert_eq!(&typed, text);
                }
                DesktopAction::Scroll { dx, dy, .. } => {
                    let mut by = (0, 0);
                    for input in &inputs {
                        if let Input::Wheel { dx, dy } = input {
                            by = (by.0 + dx, by.1 + dy);
                        }
                    }
                    prop_assert_eq!(by, (i32::from(*dx) * NOTCH, i32::from(*dy) * NOTCH));
                }
                DesktopAction::Click { x, y, .. } | DesktopAction::Move { x, y } => {
                    prop_assert_eq!(pixels.next(), Some((*x, *y)));
                }
                DesktopAction::Drag { path, .. } => {
                    // All that were given, in their order.
                    for place in path {
                        prop_assert!(pixels.any(|pixel| pixel == (place.x, place.y)));
                    }
                }
                _ => {}
            }
        }
    }

    #[test]
    fn whatever_is_asked_for_is_planned_or_refused(keys in ".{0,40}", text: String, x: u16, ms: u32) {
        let _ = plan(
            &[
                DesktopAction::Key { keys, count: 3 },
                DesktopAction::Type { text },
                DesktopAction::Move { x, y: 3 },
                DesktopAction::Wait { ms },
            ],
            size(),
        );
    }
}

#[test]
fn keys_are_named_as_x11_names_them_and_as_people_do() {
    for (names, expected) in [
        ("Return", vec![0xff0d]),
        ("enter", vec![0xff0d]),
        ("Page_Down", vec![0xff56]),
        ("Next", vec![0xff56]),
        ("Prior", vec![0xff55]),
        ("F12", vec![0xffc9]),
        ("eacute", vec![0xe9]),
        ("é", vec![0xe9]),
        ("EuroSign", vec![0x20ac]),
        ("€", vec![0x0100_20ac]),
        ("plus", vec![0x2b]),
        ("+", vec![0x2b]),
        ("XF86AudioMute", vec![0x1008_ff12]),
        ("ctrl++", vec![0xffe3, 0x2b]),
        ("ctrl+c", vec![0xffe3, 0x63]),
        ("Ctrl+Shift+t", vec![0xffe3, 0xffe1, 0x54]),
        ("super+Left", vec![0xffeb, 0xff51]),
    ] {
        let down: Vec<_> = keysyms(names)
            .unwrap_or_else(|why| panic!("{names}: {why}"))
            .into_iter()
            .filter_map(|(keysym, down)| down.then_some(keysym))
            .collect();
        assert_eq!(down, expected, "{names}");
    }
    for wrong in [
        "",
        "ctrl+",
        "+a",
        "NoSymbol",
        "no_such_key",
        "a+b+c+d+e+f+g+h+i",
    ] {
        assert_eq!(
            keysyms(wrong).unwrap_err().kind(),
            ErrorKind::Invalid,
            "{wrong}"
        );
    }
}

#[test]
fn keys_of_a_chord_go_up_in_the_other_order() {
    assert_eq!(
        keysyms("ctrl+a").unwrap(),
        [(0xffe3, true), (0x61, true), (0x61, false), (0xffe3, false)]
    );
}

#[test]
fn what_is_out_of_bounds_is_refused_and_the_action_is_named() {
    let wait = |ms| DesktopAction::Wait { ms };
    let text = |length| DesktopAction::Type {
        text: "x".repeat(length),
    };
    let drag = |places| DesktopAction::Drag {
        path: vec![Position { x: 1, y: 1 }; places],
        button: MouseButton::Left,
        modifiers: Vec::new(),
        duration_ms: 100,
    };
    let scroll = |dy| DesktopAction::Scroll {
        at: None,
        dx: 0,
        dy,
        modifiers: Vec::new(),
    };
    let click = |count| DesktopAction::Click {
        x: 1,
        y: 1,
        button: MouseButton::Left,
        count,
        modifiers: Vec::new(),
    };
    let refused: [&[DesktopAction]; 12] = [
        &[],
        &vec![wait(0); MAX_ACTIONS + 1],
        &[wait(MAX_TOTAL_MS + 1)],
        &[wait(MAX_TOTAL_MS), wait(1)],
        &[text(MAX_TEXT), text(1)],
        &[DesktopAction::Type {
            text: "a\u{1b}[".to_owned(),
        }],
        &[DesktopAction::Move { x: 640, y: 0 }],
        &[drag(1)],
        &[drag(MAX_PATH + 1)],
        &[scroll(i16::MIN)],
        &[click(0)],
        &[click(MAX_COUNT + 1)],
    ];
    for actions in refused {
        let why = plan(actions, size()).unwrap_err();
        assert_eq!(why.kind(), ErrorKind::Invalid, "{why}");
    }
    let why = plan(&[wait(1), scroll(101)], size()).unwrap_err();
    assert_eq!(why.to_string(), "action 1: dy is 101; give -100 to 100");
    assert!(plan(&[text(MAX_TEXT)], size()).is_ok());
}
