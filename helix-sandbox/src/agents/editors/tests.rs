use helix_proto::TypedId as _;

use super::*;

fn thread(number: u128) -> ThreadId {
    ThreadId::from_parts(1, number)
}

fn page(reader: u64, through: u64) -> LogPage {
    LogPage {
        thread: thread(1),
        reader,
        through,
        more: false,
        entries: Vec::new(),
    }
}

fn with_editors(count: u64) -> (Editors, Vec<mpsc::Receiver<Told>>) {
    let mut editors = Editors::default();
    let told = (0..count).map(|number| {
        let (out, told) = mpsc::channel(4);
        editors.came(Editor(number), SandboxId::from_parts(1, 1), out);
        told
    });
    let told = told.collect();
    (editors, told)
}

#[test]
fn each_editor_reads_at_its_own_pace_and_asks_again_on_every_connection() {
    let (mut editors, mut told) = with_editors(2);
    let follow = |reader, after| Up::Follow {
        thread: thread(1),
        reader,
        after,
    };
    assert_eq!(editors.follow(Editor(0), thread(1), 0), Some(follow(1, 0)));
    assert_eq!(editors.follow(Editor(1), thread(1), 7), Some(follow(2, 7)));
    editors.log(page(1, 9));
    assert_eq!(told[0].try_recv(), Ok(Told::Log(page(1, 9))));
    assert!(told[1].try_recv().is_err());
    // It does not wait: nothing more is for it, nor asked for it.
    editors.log(page(1, 12));
    assert!(told[0].try_recv().is_err());
    assert_eq!(editors.waiting().collect::<Vec<_>>(), [follow(2, 7)]);
    assert_eq!(editors.follow(Editor(0), thread(1), 9), Some(follow(1, 9)));
    // What was asked for before is not taken for what is asked for now.
    editors.log(page(1, 3));
    assert!(told[0].try_recv().is_err());
    assert_eq!(editors.left(Editor(0)), [Up::Unfollow { reader: 1 }]);
    editors.log(page(1, 12));
    assert_eq!(editors.waiting().count(), 1);
}

#[test]
fn an_editor_hears_of_its_own_wishes_also_on_another_connection() {
    let (mut editors, mut told) = with_editors(2);
    let noted = || Told::Noted {
        key: "a".into(),
        seq: 3,
    };
    editors.wants(Editor(0), thread(1), "a");
    editors.answer(thread(2), "a", noted());
    assert!(told[0].try_recv().is_err());
    editors.answer(thread(1), "a", noted());
    assert_eq!(told[0].try_recv(), Ok(noted()));
    editors.wants(Editor(1), thread(1), "a");
    editors.answer(thread(1), "a", noted());
    assert!(told[0].try_recv().is_err());
    assert_eq!(told[1].try_recv(), Ok(noted()));
    for number in 0..2 * WISHES {
        editors.wants(Editor(1), thread(1), &number.to_string());
    }
    assert_eq!(editors.wishes.len(), WISHES);
}

#[test]
fn an_editor_that_takes_nothing_is_let_go_and_logs_have_a_bound() {
    let (mut editors, mut told) = with_editors(1);
    for number in 0..u128::try_from(MAX_READERS).unwrap() {
        assert!(editors.follow(Editor(0), thread(number), 0).is_some());
    }
    assert_eq!(editors.follow(Editor(0), thread(u128::MAX), 0), None);
    assert!(matches!(told[0].try_recv(), Ok(Told::Over { .. })));
    for _ in 0..5 {
        editors.tell(Editor(0), Told::Hello { version: 1 });
    }
    assert_eq!(editors.sandbox(Editor(0)), None);
    assert_eq!(editors.left(Editor(0)).len(), MAX_READERS);
}
