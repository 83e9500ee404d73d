use helix_proto::{
    SandboxId, TurnId, TypedId as _,
    agents::{
        AgentSpec, Command, OptionKind, PermissionAnswer, PermissionOption, StopReason, ToolUpdate,
        TurnEnd,
    },
};

use super::*;

const SECOND: u64 = 1_000;

fn id() -> ThreadId {
    ThreadId::from_parts(1, 1)
}

fn turn(number: u128) -> TurnId {
    TurnId::from_parts(1, number)
}

fn opening() -> Open {
    Open {
        sandbox: SandboxId::from_parts(1, 1),
        agent: AgentSpec {
            name: "agent".into(),
            command: vec!["agent".into()],
            install: Vec::new(),
            environment: Vec::new(),
            directory: "/".into(),
        },
        resume: None,
    }
}

/// A thread, what it wanted last, and everything that it wanted of the agent.
struct Bench {
    thread: Thread,
    step: Step<Change, Effect>,
    number: u64,
    position: u64,
    now_ms: u64,
}

impl Bench {
    fn opened(limits: Limits) -> Self {
        let (thread, step) = Thread::open(id(), opening(), limits, 0);
        Self {
            thread,
            step,
            number: 1,
            position: 0,
            now_ms: 0,
        }
    }

    /// With an agent that takes prompts, and a connection.
    fn ready(limits: Limits) -> Self {
        let mut bench = Self::opened(limits);
        bench.input(Input::Connected { acknowledged: 0 });
        bench.says(Fact::Ready {
            session: "s".into(),
            resumed: false,
        });
        bench
    }

    fn input(&mut self, input: Input) {
        self.step = self.thread.on(input, self.now_ms).unwrap();
    }

    fn command(&mut self, command: Command) {
        self.number += 1;
        let number = self.number;
        self.input(Input::Command(Numbered { number, command }));
    }

    fn prompt(&mut self, number: u128) {
        self.command(Command::Prompt {
            turn: turn(number),
            content: vec![Content::text("do")],
            wanted: None,
        });
    }

    /// The agent takes everything that it was told in the last step.
    fn takes(&mut self) {
        for number in self
            .tells()
            .iter()
            .map(|(number, _)| *number)
            .collect::<Vec<_>>()
        {
            self.fact(Fact::Told(number));
        }
    }

    fn fact(&mut self, fact: Fact) {
        let run = self.record().run;
        self.input(Input::Agent {
            run,
            position: None,
            fact,
        });
    }

    fn says(&mut self, fact: Fact) {
        self.position += 1;
        let (run, position) = (self.record().run, Some(self.position));
        self.input(Input::Agent {
            run,
            position,
            fact,
        });
    }

    /// An editor wants something.
    fn wants(&mut self, key: &str) {
        self.input(Input::Wanted {
            key: key.into(),
            wanted: Wanted::Cancel { turn: turn(1) },
        });
    }

    fn asks(&mut self, key: &str) {
        self.says(Fact::Asked {
            key: key.into(),
            call: Box::new(ToolUpdate {
                id: "1".into(),
                title: None,
                kind: None,
                status: None,
                content: None,
                locations: None,
                input: None,
                output: None,
            }),
            options: vec![PermissionOption {
                id: "yes".into(),
                name: "Yes".into(),
                kind: OptionKind::AllowOnce,
            }],
        });
    }

    fn passes(&mut self, seconds: u64) {
        self.now_ms += seconds * SECOND;
        self.input(Input::Tick);
    }

    /// The host is killed, and started anew.
    fn restarts(&mut self) {
        let saved = self.thread.saved().unwrap().clone();
        let limits = self.thread.limits.clone();
        (self.thread, self.step) = Thread::restore(saved, limits, self.now_ms);
    }

    fn record(&self) -> &Record {
        self.thread.saved().unwrap().record()
    }

    fn tells(&self) -> Vec<(u64, Tell)> {
        let tell = |effect: &Effect| match effect {
            Effect::Tell { number, tell, .. } => Some((*number, tell.clone())),
            _ => None,
        };
        self.step.effects.iter().filter_map(tell).collect()
    }

    /// What happened in the last step.
    fn events(&self) -> Vec<EventBody> {
        let body = |change: &Change| match change {
            Change::Append(event) => Some(event.body.clone()),
            _ => None,
        };
        self.step.changes.iter().filter_map(body).collect()
    }

    fn end(&self) -> (TurnId, TurnEnd) {
        let end = |body: EventBody| match body {
            EventBody::TurnEnded { turn, end } => Some((turn, end)),
            _ => None,
        };
        self.events().into_iter().find_map(end).unwrap()
    }

    fn failure(&self) -> String {
        match self.end() {
            (_, TurnEnd::Failed { reason }) => reason,
            end => panic!("{end:?}"),
        }
    }
}

fn done() -> TurnEnd {
    TurnEnd::Completed {
        stop: StopReason::EndTurn,
    }
}

#[test]
fn a_prompt_waits_for_an_agent_that_is_being_started() {
    let mut bench = Bench::opened(Limits::default());
    bench.prompt(1);
    assert_eq!(bench.tells(), []);
    bench.says(Fact::Ready {
        session: "s".into(),
        resumed: false,
    });
    assert_eq!(bench.tells(), [(1, Tell::Prompt { turn: turn(1) })]);
    bench.takes();
    assert_eq!(bench.events(), [EventBody::TurnStarted { turn: turn(1) }]);
    bench.says(Fact::Done {
        turn: turn(1),
        end: done(),
    });
    assert_eq!(bench.end(), (turn(1), done()));
}

#[test]
fn a_command_that_was_seen_is_accepted_once_more_and_not_carried_out() {
    let mut bench = Bench::ready(Limits::default());
    bench.prompt(1);
    bench.number -= 1;
    bench.prompt(1);
    assert!(bench.step.changes.is_empty());
    let accepted = Up::Accepted {
        thread: id(),
        through: 2,
    };
    assert_eq!(bench.step.effects, [Effect::Send(accepted)]);
    let command = Numbered {
        number: 9,
        command: Command::Close,
    };
    let gap = bench.thread.on(Input::Command(command), 0);
    let expected = 3;
    assert_eq!(gap, Err(Gap { got: 9, expected }));
}

#[test]
fn two_prompts_at_once_are_refused_unless_the_first_is_being_cancelled() {
    let mut bench = Bench::ready(Limits::default());
    bench.prompt(1);
    bench.takes();
    bench.prompt(2);
    assert_eq!(bench.failure(), "another turn of this thread is in flight");
    bench.command(Command::Cancel { turn: turn(1) });
    bench.takes();
    bench.prompt(3);
    assert_eq!(bench.events(), []);
    let end = TurnEnd::Cancelled;
    bench.says(Fact::Done {
        turn: turn(1),
        end: end.clone(),
    });
    assert_eq!(bench.end(), (turn(1), end));
    assert!(matches!(bench.tells()[..], [(_, Tell::Prompt { turn: next })] if next == turn(3)));
}

#[test]
fn an_agent_that_does_not_heed_a_cancel_is_stopped_and_the_turn_is_cancelled() {
    let mut bench = Bench::ready(Limits::default());
    bench.prompt(1);
    bench.takes();
    bench.command(Command::Cancel { turn: turn(1) });
    assert!(matches!(bench.tells()[..], [(_, Tell::Cancel)]));
    bench.passes(20);
    assert!(bench.step.effects.contains(&Effect::Stop { run: 1 }));
    bench.fact(Fact::Exited("killed".into()));
    assert_eq!(bench.end(), (turn(1), TurnEnd::Cancelled));
}

#[test]
fn an_agent_that_dies_takes_its_turn_along_and_the_next_prompt_starts_another() {
    let mut bench = Bench::ready(Limits::default());
    bench.prompt(1);
    bench.takes();
    bench.asks("k");
    bench.says(Fact::Exited("exit code 1: out of memory".into()));
    assert_eq!(
        bench.failure(),
        "the agent ended: exit code 1: out of memory"
    );
    assert!(matches!(
        bench.events()[0],
        EventBody::PermissionResolved { .. }
    ));
    bench.prompt(2);
    let session = Some("s".to_owned());
    assert!(
        bench
            .step
            .effects
            .contains(&Effect::Start { run: 2, session })
    );
}

#[test]
fn an_agent_that_never_starts_is_given_up_with_the_reason() {
    let mut bench = Bench::opened(Limits::default());
    bench.prompt(1);
    bench.passes(600);
    assert_eq!(bench.failure(), "the agent did not start within 600 s");
    bench.passes(10);
    // It does not even stop.
    assert_eq!(bench.record().agent, Agent::Stopped);
    assert_eq!(bench.thread.next_tick(), None);
}

#[test]
fn a_turn_goes_on_when_its_agent_outlived_the_host() {
    let mut bench = Bench::ready(Limits::default());
    bench.prompt(1);
    bench.takes();
    bench.asks("k");
    let request = bench.thread.last_seq();
    let answer = PermissionAnswer::Selected {
        option: "yes".into(),
    };
    bench.command(Command::Answer {
        request,
        answer: answer.clone(),
    });
    // Killed before the agent was told.
    bench.restarts();
    assert!(bench.step.effects.contains(&Effect::Find {
        run: 1,
        position: 2
    }));
    bench.fact(Fact::Found);
    let key = "k".to_owned();
    let told = bench.tells();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].1, Tell::Answer { key, answer });
    // What was read before is not taken again.
    bench.position = 0;
    bench.asks("k");
    assert!(bench.step.is_empty());
    bench.position = 2;
    bench.says(Fact::Done {
        turn: turn(1),
        end: done(),
    });
    assert_eq!(bench.end(), (turn(1), done()));
}

#[test]
fn a_prompt_that_the_agent_may_or_may_not_have_is_not_told_again() {
    let mut bench = Bench::ready(Limits::default());
    bench.prompt(1);
    bench.restarts();
    bench.fact(Fact::Found);
    assert_eq!(bench.tells(), []);
    assert!(bench.failure().contains("restarted while it handed over"));
    assert!(bench.step.effects.contains(&Effect::Stop { run: 1 }));
}

#[test]
fn an_agent_that_died_with_its_host_ends_the_turn_and_one_not_found_does_so_later() {
    for found in [Some("it is gone"), None] {
        let mut bench = Bench::ready(Limits::default());
        bench.prompt(1);
        bench.takes();
        bench.restarts();
        match found {
            Some(reason) => bench.fact(Fact::Exited(reason.into())),
            None => bench.passes(10),
        }
        assert_eq!(bench.end().0, turn(1));
        assert!(matches!(bench.end().1, TurnEnd::Failed { .. }));
    }
}

#[test]
fn an_agent_is_not_read_faster_than_its_events_are_acknowledged() {
    let limits = Limits {
        window: 1_000,
        full: 10_000,
        ..Limits::default()
    };
    let mut bench = Bench::ready(limits);
    let mut sent = 0;
    let mut said = 0;
    loop {
        bench.says(Fact::Said(Box::new(EventBody::Message {
            content: Content::text("x".repeat(400)),
        })));
        said += 1;
        for effect in &bench.step.effects {
            if let Effect::Send(Up::Events { events, .. }) = effect {
                sent += events.len();
            }
        }
        if bench
            .step
            .effects
            .contains(&Effect::Read { run: 1, on: false })
        {
            break;
        }
        assert!(said < 100);
    }
    assert!(
        sent < 8,
        "{sent} were sent without a word of acknowledgement"
    );
    // Nor is an editor listened to.
    bench.wants("late");
    assert_eq!(bench.events(), []);
    assert!(matches!(&bench.step.effects[..], [Effect::Refused { key, .. }] if key == "late"));
    let through = bench.thread.last_seq() - 5;
    bench.input(Input::Acknowledged { through });
    assert!(
        bench
            .step
            .effects
            .contains(&Effect::Read { run: 1, on: true })
    );
    let expected = bench.thread.last_seq();
    let through = expected + 1;
    let gap = bench.thread.on(Input::Acknowledged { through }, 0);
    let got = through;
    assert_eq!(gap, Err(Gap { got, expected }));
}

#[test]
fn an_editor_that_says_it_again_is_heard_once_and_hears_the_same_also_after_a_restart() {
    let mut bench = Bench::ready(Limits::default());
    bench.wants("a");
    let seq = bench.thread.last_seq();
    let noted = || Effect::Noted {
        key: "a".into(),
        seq,
    };
    assert_eq!(bench.step.effects.first(), Some(&noted()));
    assert!(matches!(&bench.events()[..], [EventBody::Wanted(_)]));
    bench.restarts();
    bench.wants("a");
    assert_eq!(bench.step.effects, [noted()]);
    assert_eq!(bench.thread.last_seq(), seq);
    bench.command(Command::Unwanted {
        wanted: seq,
        reason: "no".into(),
    });
    let refused = Effect::Refused {
        key: "a".into(),
        reason: "no".into(),
    };
    assert!(bench.step.effects.contains(&refused));
    bench.restarts();
    bench.wants("a");
    assert_eq!(bench.step.effects, [refused]);
    for number in 0..64 {
        bench.wants(&number.to_string());
    }
    assert_eq!(bench.thread.saved().unwrap().record().wishes.len(), 64);
}

#[test]
fn an_agent_cannot_speak_for_an_editor_and_one_that_stopped_does_not_silence_it() {
    let mut bench = Bench::ready(Limits::default());
    let turn = turn(1);
    bench.fact(Fact::Said(Box::new(EventBody::Wanted(Wanted::Cancel {
        turn,
    }))));
    assert_eq!(bench.events(), []);
    bench.fact(Fact::Exited("gone".into()));
    bench.wants("a");
    assert!(matches!(&bench.events()[..], [EventBody::Wanted(_)]));
    bench.command(Command::Close);
    bench.wants("b");
    assert!(matches!(&bench.step.effects[..], [Effect::Refused { key, .. }] if key == "b"));
}

#[test]
fn what_is_beyond_its_bound_is_replaced_by_a_word_of_it() {
    let mut bench = Bench::ready(Limits::default());
    bench.says(Fact::Said(Box::new(EventBody::Title {
        title: "x".repeat(1 << 20),
    })));
    let events = bench.events();
    let [EventBody::Notice { text }] = &events[..] else {
        panic!("no notice");
    };
    assert!(text.contains("262144 are allowed"), "{text}");
}

#[test]
fn a_thread_that_is_closed_goes_once_its_last_event_is_acknowledged() {
    let mut bench = Bench::ready(Limits::default());
    bench.prompt(1);
    bench.takes();
    bench.command(Command::Close);
    bench.fact(Fact::Exited("stopped".into()));
    assert_eq!(bench.end(), (turn(1), TurnEnd::Cancelled));
    assert_eq!(bench.events().last(), Some(&EventBody::Closed));
    let through = bench.thread.last_seq();
    bench.input(Input::Acknowledged { through });
    assert_eq!(bench.step.effects, [Effect::Removed]);
    assert!(bench.thread.saved().is_none());
}

#[test]
fn a_thread_that_nobody_knows_any_more_goes_with_its_agent() {
    let mut bench = Bench::ready(Limits::default());
    bench.input(Input::Forget);
    assert!(bench.step.effects.contains(&Effect::Stop { run: 1 }));
    bench.restarts();
    bench.fact(Fact::Exited("it is gone".into()));
    assert_eq!(bench.step.effects, [Effect::Removed]);
}
