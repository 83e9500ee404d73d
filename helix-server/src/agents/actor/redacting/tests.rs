use helix_base::SecretString;
use helix_proto::{TurnId, TypedId as _, agents::TurnEnd};
use proptest::prelude::*;

use super::*;

const VALUE: &str = "ghp_0123456789abcdef";

fn redactor(values: &[&str]) -> Redactor {
    let secret = |value: &&str| (None, SecretString::from((*value).to_owned()));
    Redactor::new(&values.iter().map(secret).collect::<Vec<_>>())
}

fn message(text: &str) -> EventBody {
    let content = Content::text(text);
    EventBody::Message { content }
}

fn terminal(name: &str, output: &str) -> EventBody {
    EventBody::Terminal {
        terminal: name.to_owned(),
        output: output.to_owned(),
        omitted_bytes: 0,
    }
}

fn ended() -> EventBody {
    EventBody::TurnEnded {
        turn: TurnId::from_parts(1, 1),
        end: TurnEnd::Cancelled,
    }
}

/// A control plane that stores what it is given.
struct Bench {
    redacting: Redacting,
    stored: Vec<Event>,
    /// What the host said so far.
    said: Vec<Event>,
}

impl Bench {
    fn new(values: &[&str]) -> Self {
        let mut redacting = Redacting::default();
        redacting.knows(redactor(values));
        Self {
            redacting,
            stored: Vec::new(),
            said: Vec::new(),
        }
    }

    fn known(&self) -> Known {
        Known {
            thread: ThreadId::from_parts(1, 1),
            acknowledged: self.stored.len() as u64,
        }
    }

    fn take(&mut self, events: Vec<Event>) {
        let known = self.known();
        let taken = self.redacting.take(&known, events, 0).unwrap();
        self.store(taken);
    }

    fn store(&mut self, events: Vec<Event>) {
        for event in events {
            let next = self.stored.len() as u64 + 1;
            assert!(event.seq <= next, "{} after {next}", event.seq);
            if event.seq == next {
                self.stored.push(event);
            }
        }
    }

    fn say(&mut self, body: EventBody) {
        self.say_all(vec![body]);
    }

    /// In one message.
    fn say_all(&mut self, bodies: Vec<EventBody>) {
        let from = self.said.len();
        for body in bodies {
            let (seq, at_ms) = (self.said.len() as u64 + 1, 1);
            self.said.push(Event { seq, at_ms, body });
        }
        self.take(self.said[from..].to_vec());
    }

    /// The host says again what is not stored, and what it did not hear of that it is.
    fn cut(&mut self, unheard: usize) {
        self.redacting.forget();
        let from = self.stored.len().saturating_sub(unheard);
        self.take(self.said[from..].to_vec());
    }

    fn text(&mut self, of: &Text) -> String {
        let body = |event: &mut Event| {
            let is_it = match (&event.body, of) {
                (EventBody::Message { .. }, Text::Message)
                | (EventBody::Thought { .. }, Text::Thought) => true,
                (EventBody::Terminal { terminal, .. }, Text::Terminal(own)) => terminal == own,
                _ => false,
            };
            is_it.then(|| part(&mut event.body).unwrap().clone())
        };
        self.stored.iter_mut().filter_map(body).collect()
    }
}

#[test]
fn values_are_replaced_and_all_else_stays() {
    let mut bench = Bench::new(&["to\"ken\\1"]);
    bench.say(message("it is to\"ken\\1, é"));
    bench.say(EventBody::Notice {
        text: "it is to\"ken\\1, é".to_owned(),
    });
    let text = "it is [redacted], é".to_owned();
    assert_eq!(bench.stored[0].body, message(&text));
    assert_eq!(bench.stored[1].body, EventBody::Notice { text });
}

#[test]
fn what_is_no_event_without_a_value_is_said_to_be_left_out() {
    // A value that is a part of every event of that kind.
    let mut bench = Bench::new(&["\"title\""]);
    bench.say(EventBody::Title {
        title: "hello".to_owned(),
    });
    let text = WITHHELD.to_owned();
    assert_eq!(bench.stored[0].body, EventBody::Notice { text });
    assert_eq!(bench.stored[0].seq, 1);
}

#[test]
fn an_event_that_may_begin_a_value_is_not_stored_before_it_is_known_whether_it_does() {
    let mut bench = Bench::new(&[VALUE]);
    bench.say(message("take gh"));
    assert!(bench.stored.is_empty());
    assert_eq!(bench.redacting.until_ms(), Some(HELD_MS));
    bench.say(message("p_0123456789ab"));
    bench.say(message("cdef!"));
    assert_eq!(bench.text(&Text::Message), "take [redacted]!");
    assert_eq!(bench.stored.len(), 3);
    assert_eq!(bench.redacting.until_ms(), None);
    // One that does not.
    bench.say(message("or gh"));
    bench.say(message("ost"));
    assert_eq!(bench.text(&Text::Message), "take [redacted]!or ghost");
}

#[test]
fn a_text_ends_with_what_is_said_after_it_and_with_its_turn() {
    let mut bench = Bench::new(&[VALUE]);
    bench.say(message("a gh"));
    bench.say(EventBody::Plan {
        entries: Vec::new(),
    });
    assert_eq!(bench.stored[0].body, message("a gh"));
    bench.say(terminal("t1", "b gh"));
    bench.say(message("c gh"));
    assert_eq!(bench.stored.len(), 2, "what follows waits, too");
    bench.say(ended());
    assert_eq!(bench.stored.len(), 5);
    assert_eq!(bench.stored[2].body, terminal("t1", "b gh"));
    assert_eq!(bench.stored[3].body, message("c gh"));
}

#[test]
fn terminals_that_write_at_once_are_texts_of_their_own() {
    let mut bench = Bench::new(&[VALUE]);
    bench.say(terminal("t1", "one ghp_0123"));
    bench.say(terminal("t2", "two ghp_"));
    bench.say(message("meanwhile"));
    bench.say(terminal("t1", "456789abcdef."));
    bench.say(terminal("t2", "0123456789abcdef."));
    for (name, expected) in [("t1", "one [redacted]."), ("t2", "two [redacted].")] {
        assert_eq!(bench.text(&Text::Terminal(name.to_owned())), expected);
    }
    assert_eq!(bench.stored.len(), 5);
}

#[test]
fn what_waited_for_long_is_shown_with_no_more_of_a_value_than_tells_nothing() {
    let mut bench = Bench::new(&[VALUE]);
    bench.say(message("take gh"));
    assert_eq!(bench.redacting.show(HELD_MS - 1), None);
    let (_, shown) = bench.redacting.show(HELD_MS).unwrap();
    bench.store(shown);
    assert_eq!(bench.stored[0].body, message("take gh"));
    bench.say(message("p_0123456789abcde"));
    let (_, shown) = bench.redacting.show(HELD_MS).unwrap();
    bench.store(shown);
    // It is still known after a cut.
    bench.cut(1);
    bench.say(message("f, and go on"));
    bench.cut(0);
    bench.say(ended());
    assert_eq!(bench.text(&Text::Message), "take gh[redacted], and go on");
}

#[test]
fn a_flood_that_is_never_certain_is_not_held_beyond_its_bounds() {
    let mut bench = Bench::new(&[VALUE]);
    bench.say(terminal("t1", "gh"));
    for number in 0..3 * HELD {
        bench.say(terminal(&format!("t{number}"), "gh"));
        assert!(bench.redacting.held.len() <= HELD);
        assert!(bench.redacting.texts.len() <= TEXTS + 1);
    }
    bench.say(ended());
    assert_eq!(bench.stored.len(), bench.said.len());
}

#[test]
fn a_gap_is_seen_behind_what_is_held() {
    let mut bench = Bench::new(&[VALUE]);
    bench.say(message("gh"));
    let event = Event {
        seq: 3,
        at_ms: 1,
        body: ended(),
    };
    let known = bench.known();
    let gap = bench.redacting.take(&known, vec![event], 0).unwrap_err();
    assert_eq!((gap.got, gap.expected), (3, 2));
}

proptest! {
    #[test]
    fn however_a_text_is_cut_and_the_connection_too_the_log_says_the_same(
        pieces in prop::collection::vec("(ghp_0123456789abcdef|ghp_01|gh|g| a|ä🦀|xyxyxz|xy|\")", 0..12),
        cuts in prop::collection::vec(0_usize..120, 0..16),
        breaks in prop::collection::vec((0_usize..16, 0_usize..3), 0..4),
        together in 1_usize..5,
        of in 0..3,
    ) {
        let values = [VALUE, "xyxyxz"];
        let text = pieces.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|at| text.floor_char_boundary(*at)).collect();
        cuts.push(text.len());
        cuts.sort_unstable();
        let (of, body): (_, fn(&str) -> EventBody) = match of {
            0 => (Text::Message, message),
            1 => (Text::Thought, |text| EventBody::Thought { content: Content::text(text) }),
            _ => (Text::Terminal("t".to_owned()), |text| terminal("t", text)),
        };
        let mut bench = Bench::new(&values);
        let mut from = 0;
        for (number, cuts) in cuts.chunks(together).enumerate() {
            let piece = |at: &usize| body(&text[std::mem::replace(&mut from, *at)..*at]);
            bench.say_all(cuts.iter().map(piece).collect());
            for (_, unheard) in breaks.iter().filter(|(at, _)| *at == number) {
                bench.cut(*unheard);
            }
        }
        bench.say(ended());
        prop_assert_eq!(bench.stored.len(), bench.said.len());
        let seqs: Vec<u64> = bench.stored.iter().map(|event| event.seq).collect();
        prop_assert!(seqs.iter().copied().eq(1..=seqs.len() as u64));
        prop_assert_eq!(bench.text(&of), redactor(&values).whole(&text));
    }
}
