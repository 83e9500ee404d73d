use helix_proto::{
    TurnId, TypedId as _,
    agents::{Entry, LogPage, QueuedPrompt, StopReason, TurnEnd, WantedBy},
};
use serde_json::json;

use super::*;
use crate::agents::editors::wire::Listed;

const SECOND: Duration = Duration::from_secs(1);

fn thread() -> ThreadId {
    ThreadId::from_parts(1, 1)
}

/// A desk, and what it wanted last.
struct Bench {
    desk: Desk,
    now: Duration,
    out: Vec<Output>,
    through: u64,
}

impl Bench {
    fn new() -> Self {
        Self {
            desk: Desk::new("me".into()),
            now: Duration::ZERO,
            out: Vec::new(),
            through: 0,
        }
    }

    /// In a session that is read to its end.
    fn live() -> Self {
        let mut bench = Self::new();
        bench.on(Input::Connected);
        let session = thread().to_string();
        bench.call(1, Ask::Resume { session });
        bench.log([Entry::ThreadOpened {
            thread: thread(),
            resumes: false,
        }]);
        assert_eq!(bench.replies().len(), 1);
        bench
    }

    fn on(&mut self, input: Input) {
        self.out = self.desk.on(input, self.now);
    }

    fn call(&mut self, call: u64, ask: Ask) {
        self.on(Input::Called { call, ask });
    }

    fn prompt(&mut self, call: u64) {
        let session = thread().to_string();
        let content = vec![Content::text("do")];
        self.call(call, Ask::Prompt { session, content });
    }

    fn log(&mut self, entries: impl IntoIterator<Item = Entry>) {
        let entries: Vec<_> = entries.into_iter().collect();
        self.through += entries.len() as u64;
        self.on(Input::Told(Told::Log(LogPage {
            thread: thread(),
            reader: 1,
            through: self.through,
            more: false,
            entries,
        })));
    }

    fn replies(&self) -> Vec<(u64, Result<Value, String>)> {
        let replies = self.out.iter().filter_map(|output| match output {
            Output::Reply { call, result } => Some((*call, result.clone())),
            _ => None,
        });
        replies.collect()
    }

    fn told(&self) -> Vec<Asked> {
        let told = self.out.iter().filter_map(|output| match output {
            Output::Tell(asked) => Some(asked.clone()),
            _ => None,
        });
        told.collect()
    }

    /// The wishes that the host was told of last, by their keys.
    fn keys(&self) -> Vec<String> {
        let keys = self.told().into_iter().filter_map(|asked| match asked {
            Asked::Want { key, .. } => Some(key),
            _ => None,
        });
        keys.collect()
    }
}

fn turn() -> TurnId {
    TurnId::from_parts(1, 7)
}

/// The prompt of an editor's event joins the queue.
fn queued(seq: u64) -> Entry {
    let thread = thread();
    Entry::PromptQueued {
        prompt: QueuedPrompt {
            turn: turn(),
            content: vec![Content::text("do")],
            wanted: Some(WantedBy { thread, seq }),
        },
        position: 0,
    }
}

fn ended() -> Entry {
    Entry::TurnEnded {
        turn: turn(),
        end: TurnEnd::Completed {
            stop: StopReason::MaxTokens,
        },
    }
}

#[test]
fn a_prompt_is_said_again_after_a_cut_with_its_key_and_answered_by_the_end_of_its_turn() {
    let mut bench = Bench::live();
    bench.prompt(2);
    let keys = bench.keys();
    bench.on(Input::Disconnected);
    assert!(bench.desk.is_waiting());
    bench.on(Input::Connected);
    assert_eq!(bench.keys(), keys);
    let follow = Asked::Follow {
        thread: thread(),
        after: 1,
    };
    assert_eq!(bench.told().last(), Some(&follow));
    let noted = |key: &String| {
        let key = key.clone();
        Input::Told(Told::Noted { key, seq: 9 })
    };
    bench.on(noted(&keys[0]));
    bench.log([queued(9), Entry::TurnDispatched { turn: turn() }]);
    assert!(bench.replies().is_empty());
    // It is in the log: nothing is to be said again.
    bench.on(Input::Connected);
    assert_eq!(bench.keys(), Vec::<String>::new());
    bench.log([ended()]);
    let stopped = Ok(json!({"stopReason": "max_tokens"}));
    assert_eq!(bench.replies(), [(2, stopped)]);
}

#[test]
fn a_log_that_is_faster_than_the_word_of_the_host_is_understood() {
    let mut bench = Bench::live();
    bench.prompt(2);
    let key = bench.keys().remove(0);
    bench.log([queued(9), ended()]);
    assert!(bench.replies().is_empty());
    bench.on(Input::Told(Told::Noted { key, seq: 9 }));
    assert_eq!(bench.replies().len(), 1);
}

#[test]
fn a_refusal_reaches_the_call_and_a_cancel_waits_for_the_turn() {
    let mut bench = Bench::live();
    bench.prompt(2);
    let key = bench.keys().remove(0);
    let reason = "full".to_owned();
    bench.on(Input::Told(Told::Refused { key, reason }));
    assert_eq!(bench.replies(), [(2, Err("full".to_owned()))]);
    bench.prompt(3);
    let key = bench.keys().remove(0);
    let session = thread().to_string();
    bench.on(Input::Cancelled { session });
    assert!(bench.told().is_empty(), "no turn is known");
    bench.on(Input::Told(Told::Noted { key, seq: 9 }));
    bench.log([queued(9)]);
    let cancel = Wanted::Cancel { turn: turn() };
    let is_it = |asked: &Asked| matches!(asked, Asked::Want { wanted, .. } if *wanted == cancel);
    assert!(bench.told().iter().any(is_it));
}

#[test]
fn without_a_host_or_a_conversation_calls_are_answered_in_time_and_say_why() {
    // A socket takes the connection, and nobody is behind it.
    let mut bench = Bench::new();
    bench.on(Input::Connected);
    bench.call(1, Ask::New);
    bench.now = 10 * SECOND;
    bench.on(Input::Tick);
    assert_eq!(bench.replies(), [(1, Err(calls::NOBODY.to_owned()))]);
    let mut bench = Bench::new();
    bench.call(1, Ask::New);
    bench.now = 9 * SECOND;
    bench.on(Input::Tick);
    assert!(bench.replies().is_empty());
    bench.now = 10 * SECOND;
    bench.on(Input::Tick);
    assert_eq!(bench.replies(), [(1, Err(calls::NOBODY.to_owned()))]);
    bench.on(Input::Connected);
    bench.call(2, Ask::New);
    let threads = Vec::new();
    bench.on(Input::Told(Told::Threads { threads }));
    assert_eq!(bench.replies(), [(2, Err(calls::NOBODY.to_owned()))]);
    assert!(!bench.desk.is_waiting());
    let session = "ses_other".to_owned();
    bench.call(3, Ask::Load { session });
    assert!(bench.replies()[0].1.is_err());
}

#[test]
fn a_prompt_ends_when_its_host_is_away_for_good_and_when_its_thread_is_over() {
    let mut bench = Bench::live();
    bench.prompt(2);
    bench.on(Input::Disconnected);
    bench.now = AWAY;
    bench.on(Input::Tick);
    assert!(matches!(&bench.replies()[..], [(2, Err(_))]));
    bench.on(Input::Connected);
    bench.prompt(3);
    let reason = "it is over".to_owned();
    let thread = thread();
    bench.on(Input::Told(Told::Over { thread, reason }));
    assert_eq!(bench.replies(), [(3, Err("it is over".to_owned()))]);
    bench.prompt(4);
    assert!(matches!(&bench.replies()[..], [(4, Err(_))]));
}

#[test]
fn a_new_session_is_answered_before_it_is_shown() {
    let mut bench = Bench::new();
    bench.on(Input::Connected);
    bench.call(1, Ask::New);
    let listed = |number| Listed {
        thread: ThreadId::from_parts(1, number),
        agent: "agent".into(),
        directory: String::new(),
    };
    bench.on(Input::Told(Told::Threads {
        threads: vec![listed(0), listed(1)],
    }));
    let entries = || [queued(9), Entry::TurnDispatched { turn: turn() }];
    bench.log(entries());
    let session = thread().to_string();
    assert_eq!(bench.replies(), [(1, Ok(json!({"sessionId": session})))]);
    let updates = |output: &&Output| matches!(output, Output::Update { .. });
    assert_eq!(bench.out.iter().filter(updates).count(), 0);
    bench.through = 0;
    bench.log(entries());
    assert_eq!(bench.out.iter().filter(updates).count(), 1);
    assert!(bench.replies().is_empty());
}
