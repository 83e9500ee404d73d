use proptest::prelude::*;

use super::*;

/// What a test does to a log.
#[derive(Debug, Clone)]
enum Step {
    Write(Stream, usize),
    Read,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (prop_oneof![Just(Stream::Out), Just(Stream::Err)], 1_usize..40)
            .prop_map(|(stream, bytes)| Step::Write(stream, bytes)),
        1 => Just(Step::Read),
    ]
}

fn bytes_of(output: &Output) -> usize {
    match output {
        Output::Text(text) => text.len(),
        Output::Base64(_) => unreachable!("only text is written"),
    }
}

/// Bytes that a reader got, and that it was told it missed.
fn account(events: &[ExecEvent]) -> (usize, u64) {
    events
        .iter()
        .fold((0, 0), |(got, missed), event| match &event.what {
            ExecEventKind::Stdout(output) | ExecEventKind::Stderr(output) => {
                (got + bytes_of(output), missed)
            }
            ExecEventKind::Dropped(bytes) => (got, missed + bytes),
            _ => (got, missed),
        })
}

proptest! {
    #[test]
    fn whatever_is_written_is_read_or_counted_as_dropped_and_numbers_only_grow(
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let log = Log::new(100);
        let mut cursor = Cursor::after(0);
        let (mut written, mut got, mut missed, mut seq) = (0, 0, 0, 0);
        for step in steps {
            match step {
                Step::Write(stream, bytes) => {
                    log.output(stream, "x".repeat(bytes).as_bytes());
                    written += bytes;
                }
                Step::Read => {
                    let (events, _) = log.lock().read(&mut cursor, usize::MAX);
                    for event in &events {
                        prop_assert!(event.seq > seq);
                        seq = event.seq;
                    }
                    let (more, gone) = account(&events);
                    got += more;
                    missed += gone;
                }
            }
            let kept = log.lock().kept;
            prop_assert!(kept.iter().all(|kept| *kept <= 100 + 40), "{kept:?}");
        }
        let (events, _) = log.lock().read(&mut cursor, usize::MAX);
        let (more, gone) = account(&events);
        prop_assert_eq!((got + more) as u64 + missed + gone, written as u64);
        prop_assert_eq!(log.total(), written as u64);
    }

    #[test]
    fn text_is_cut_between_characters_only(text in "\\PC{0,20}", at in 0_usize..80) {
        let bytes = &text.as_bytes()[..at.min(text.len())];
        let whole = whole_characters(bytes);
        prop_assert!(bytes.len() - whole <= 3);
        prop_assert!(std::str::from_utf8(&bytes[..whole]).is_ok());
    }
}

#[test]
fn many_small_events_are_bounded_too() {
    let log = Log::new(1 << 20);
    let mut cursor = Cursor::after(0);
    for _ in 0..EVENTS + 1000 {
        log.output(Stream::Out, b"x");
        log.lock().read(&mut cursor, usize::MAX);
    }
    assert!(log.lock().events.len() <= EVENTS);
    let (_, dropped) = log.collect(Stream::Out);
    assert!(dropped >= 1000);
}
