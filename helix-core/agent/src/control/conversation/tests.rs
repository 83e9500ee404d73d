use helix_proto::{
    SandboxId, TypedId as _,
    agents::{
        AgentSpec, Event, EventBody, HeldBecause, OptionKind, PermissionOption, StopReason,
        ToolUpdate, TurnEnd, Waiting, Wanted,
    },
};

use super::*;

const MINUTE: u64 = 60_000;

fn thread() -> ThreadId {
    ThreadId::from_parts(1, 1 << 40)
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

struct Bench {
    conversation: Conversation,
    step: Step<Change, Effect>,
    seq: u64,
    now_ms: u64,
}

impl Bench {
    /// With a host that is connected, and a turn in flight.
    fn running() -> Self {
        let mut bench = Self {
            conversation: Conversation::new(Limits::default()),
            step: Step::default(),
            seq: 0,
            now_ms: 0,
        };
        bench.step = bench.conversation.connected(None, 0);
        bench.prompt(1);
        assert_eq!(bench.step.effects, [Effect::NeedsThread]);
        bench.step = bench.conversation.open(thread(), opening(), 0);
        assert!(matches!(
            bench.commands()[..],
            [Command::Open(_), Command::Prompt { .. }]
        ));
        bench.step = bench.conversation.accepted(thread(), 2, 0).unwrap();
        bench.event(EventBody::TurnStarted { turn: turn(1) });
        bench
    }

    fn act(&mut self, act: Act) {
        self.step = self.conversation.act(act, self.now_ms).unwrap();
    }

    fn refused(&mut self, act: Act) -> Refusal {
        self.conversation.act(act, self.now_ms).unwrap_err()
    }

    fn prompt(&mut self, number: u128) {
        self.act(Act::Prompt {
            turn: turn(number),
            content: vec![Content::text("do")],
        });
    }

    fn event(&mut self, body: EventBody) {
        self.seq += 1;
        let event = Event {
            seq: self.seq,
            at_ms: 0,
            body,
        };
        let events = self.conversation.events(thread(), vec![event], self.now_ms);
        self.step = events.unwrap();
    }

    fn asks(&mut self) -> u64 {
        self.event(EventBody::PermissionRequested {
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
        self.seq
    }

    fn ends(&mut self, number: u128, end: TurnEnd) {
        self.event(EventBody::TurnEnded {
            turn: turn(number),
            end,
        });
    }

    fn passes(&mut self, ms: u64) {
        self.now_ms += ms;
        self.step = self.conversation.tick(self.now_ms);
    }

    fn commands(&self) -> Vec<Command> {
        let command = |effect: &Effect| match effect {
            Effect::Send(Down::Command { command, .. }) => Some(command.command.clone()),
            _ => None,
        };
        self.step.effects.iter().filter_map(command).collect()
    }

    fn log(&self) -> Vec<Entry> {
        let entry = |change: &Change| match change {
            Change::Log { entry } => Some((**entry).clone()),
            _ => None,
        };
        self.step.changes.iter().filter_map(entry).collect()
    }

    fn in_flight(&self) -> Option<TurnId> {
        self.conversation.saved().turn().map(|turn| turn.id())
    }
}

fn completed() -> TurnEnd {
    TurnEnd::Completed {
        stop: StopReason::EndTurn,
    }
}

fn failed(reason: &str) -> TurnEnd {
    TurnEnd::Failed {
        reason: reason.to_owned(),
    }
}

fn answering(request: u64, answer: PermissionAnswer) -> Act {
    Act::Answer {
        thread: thread(),
        request,
        answer,
    }
}

fn yes() -> PermissionAnswer {
    PermissionAnswer::Selected {
        option: "yes".into(),
    }
}

#[test]
fn prompts_queue_and_go_one_after_the_other_as_they_were_put() {
    let mut bench = Bench::running();
    for number in [2, 3, 4] {
        bench.prompt(number);
        assert_eq!(bench.commands(), []);
    }
    // The same prompt once more is no other.
    bench.prompt(3);
    assert!(bench.step.is_empty());
    bench.act(Act::Move {
        turn: turn(4),
        position: 0,
    });
    bench.act(Act::Cancel { turn: turn(2) });
    let end = TurnEnd::Cancelled;
    let ended = Entry::TurnEnded { turn: turn(2), end };
    assert_eq!(bench.log(), [ended]);
    let content = vec![Content::text("do it well")];
    bench.act(Act::Edit {
        turn: turn(3),
        content: content.clone(),
    });
    bench.ends(1, completed());
    assert_eq!(bench.in_flight(), Some(turn(4)));
    bench.ends(4, completed());
    let sent = Command::Prompt {
        turn: turn(3),
        content: content.clone(),
        wanted: None,
    };
    assert_eq!(bench.commands(), [sent]);
    let again = Act::Edit {
        turn: turn(3),
        content,
    };
    assert_eq!(bench.refused(again), Refusal::AlreadySent);
}

#[test]
fn what_was_taken_is_acknowledged_after_it_is_stored_and_not_taken_again() {
    let mut bench = Bench::running();
    let body = EventBody::Notice { text: "hm".into() };
    let event = |seq| Event {
        seq,
        at_ms: 0,
        body: body.clone(),
    };
    let events = vec![event(1), event(2), event(3)];
    let step = bench.conversation.events(thread(), events, 0).unwrap();
    let acknowledged = Change::Acknowledged { through: 3 };
    assert_eq!(step.changes[0], acknowledged);
    assert_eq!(step.changes.len(), 3);
    let acknowledge = Down::Acknowledge {
        thread: thread(),
        through: 3,
    };
    assert_eq!(step.effects, [Effect::Send(acknowledge)]);
    let gap = bench.conversation.events(thread(), vec![event(5)], 0);
    let expected = 4;
    assert_eq!(gap, Err(Gap { got: 5, expected }));
}

#[test]
fn a_failure_holds_the_queue_until_somebody_releases_it() {
    let mut bench = Bench::running();
    bench.prompt(2);
    bench.ends(1, failed("the agent ended"));
    assert_eq!(bench.in_flight(), None);
    let because = HeldBecause::Failed;
    assert!(bench.log().contains(&Entry::QueueHeld { because }));
    bench.act(Act::Release);
    assert_eq!(bench.in_flight(), Some(turn(2)));
    // With nothing to hold, nothing is held.
    bench.ends(2, failed("the agent ended"));
    bench.prompt(3);
    assert_eq!(bench.in_flight(), Some(turn(3)));
}

#[test]
fn an_interruption_holds_the_queue_and_steering_goes_first() {
    let mut bench = Bench::running();
    bench.prompt(2);
    bench.act(Act::Interrupt);
    assert_eq!(bench.commands(), [Command::Cancel { turn: turn(1) }]);
    bench.ends(1, TurnEnd::Cancelled);
    assert_eq!(bench.in_flight(), None);
    bench.act(Act::Steer {
        turn: turn(3),
        content: vec![Content::text("rather that")],
    });
    assert_eq!(bench.in_flight(), Some(turn(3)));
    bench.ends(3, completed());
    assert_eq!(bench.in_flight(), Some(turn(2)));
    assert_eq!(
        bench.refused(Act::Cancel { turn: turn(9) }),
        Refusal::NoSuchTurn
    );
}

#[test]
fn a_permission_is_answered_once_whoever_is_first() {
    let mut bench = Bench::running();
    let request = bench.asks();
    let other = PermissionAnswer::Selected {
        option: "maybe".into(),
    };
    let answer = other;
    assert_eq!(
        bench.refused(answering(request, answer)),
        Refusal::NoSuchOption
    );
    let elsewhere = Act::Answer {
        thread: ThreadId::from_parts(7, 7),
        request,
        answer: yes(),
    };
    assert_eq!(bench.refused(elsewhere), Refusal::AlreadyAnswered);
    let answer = yes();
    bench.act(answering(request, answer));
    assert!(matches!(bench.commands()[..], [Command::Answer { .. }]));
    let answer = PermissionAnswer::Cancelled;
    assert_eq!(
        bench.refused(answering(request, answer)),
        Refusal::AlreadyAnswered
    );
    // What the host says of it is nothing new.
    bench.event(EventBody::PermissionResolved {
        request,
        answer: yes(),
    });
    assert_eq!(bench.log(), []);
}

#[test]
fn a_permission_that_nobody_answers_is_refused_in_the_end() {
    let mut bench = Bench::running();
    let request = bench.asks();
    bench.passes(11 * 60 * MINUTE);
    assert!(bench.step.is_empty());
    bench.passes(60 * MINUTE);
    let answer = PermissionAnswer::Cancelled;
    assert_eq!(bench.commands(), [Command::Answer { request, answer }]);
    assert_eq!(bench.in_flight(), Some(turn(1)));
}

#[test]
fn a_turn_that_is_given_up_is_cancelled_at_its_host_and_ends_once() {
    let mut bench = Bench::running();
    bench.passes(5 * MINUTE);
    let waiting = Waiting::Agent;
    let ends_at_ms = 15 * MINUTE;
    let counting = Entry::TurnWaiting {
        turn: turn(1),
        waiting,
        ends_at_ms,
    };
    assert_eq!(bench.log(), [counting]);
    bench.act(Act::KeepWaiting);
    assert_eq!(bench.log(), [Entry::TurnGoesOn { turn: turn(1) }]);
    bench.passes(15 * MINUTE);
    let end = failed("the agent said nothing for 15 min");
    assert_eq!(bench.log(), [Entry::TurnEnded { turn: turn(1), end }]);
    assert_eq!(bench.commands(), [Command::Cancel { turn: turn(1) }]);
    bench.ends(1, TurnEnd::Cancelled);
    assert_eq!(bench.log(), []);
}

#[test]
fn a_turn_survives_a_restart_of_the_control_plane() {
    let mut bench = Bench::running();
    let saved = bench.conversation.saved().clone();
    let (conversation, step) = Conversation::restore(saved, Limits::default(), MINUTE);
    bench.conversation = conversation;
    bench.step = step;
    assert!(matches!(
        bench.log()[..],
        [Entry::TurnWaiting {
            waiting: Waiting::Host,
            ..
        }]
    ));
    let held = Held {
        thread: thread(),
        accepted: 2,
        first_seq: 2,
        last_seq: 7,
    };
    bench.step = bench.conversation.connected(Some(held), 2 * MINUTE);
    assert_eq!(bench.log(), [Entry::TurnGoesOn { turn: turn(1) }]);
    bench.ends(1, completed());
    assert_eq!(bench.in_flight(), None);
}

#[test]
fn a_thread_that_is_proven_lost_fails_its_turn_and_the_next_prompt_resumes_its_session() {
    let held = |accepted, first_seq, last_seq| {
        Some(Held {
            thread: thread(),
            accepted,
            first_seq,
            last_seq,
        })
    };
    for (held, reason) in [
        (None, "the sandbox's host does not have the thread any more"),
        (
            held(1, 2, 2),
            "the sandbox's host was set back to an earlier state",
        ),
        (
            held(2, 1, 0),
            "the sandbox's host was set back to an earlier state",
        ),
        (
            held(3, 2, 2),
            "the control plane was set back to an earlier state",
        ),
        (
            held(2, 9, 9),
            "the control plane was set back to an earlier state",
        ),
    ] {
        let mut bench = Bench::running();
        bench.event(EventBody::Session {
            session: "s".into(),
            resumed: false,
        });
        bench.step = bench.conversation.disconnected(0);
        bench.step = bench.conversation.connected(held, 0);
        let end = failed(reason);
        assert!(
            bench
                .log()
                .contains(&Entry::TurnEnded { turn: turn(1), end }),
            "{held:?}"
        );
        assert_eq!(bench.conversation.known(), None);
        bench.prompt(2);
        assert_eq!(bench.step.effects, [Effect::NeedsThread]);
        let next = ThreadId::from_parts(1, 2);
        bench.step = bench.conversation.open(next, opening(), 0);
        let commands = bench.commands();
        let Command::Open(open) = &commands[0] else {
            panic!("{commands:?}");
        };
        assert_eq!(open.resume.as_deref(), Some("s"));
    }
}

#[test]
fn another_agent_begins_anew_and_another_model_goes_on_and_neither_in_a_turn() {
    for (resumes, session) in [(true, Some("s")), (false, None)] {
        let renew = || Act::Renew {
            resumes,
            reason: "another was chosen".to_owned(),
        };
        let mut bench = Bench::running();
        assert_eq!(bench.refused(renew()), Refusal::InFlight);
        bench.event(EventBody::Session {
            session: "s".into(),
            resumed: false,
        });
        let stop = StopReason::EndTurn;
        bench.ends(1, TurnEnd::Completed { stop });
        bench.act(renew());
        let over = Entry::ThreadOver {
            thread: thread(),
            reason: "another was chosen".to_owned(),
            wanted: true,
        };
        assert_eq!(bench.log(), [over]);
        let forget = Effect::Send(Down::Forget { thread: thread() });
        assert_eq!(bench.step.effects, [forget]);
        bench.prompt(2);
        assert_eq!(bench.step.effects, [Effect::NeedsThread]);
        let next = ThreadId::from_parts(1, 2);
        bench.step = bench.conversation.open(next, opening(), 0);
        let commands = bench.commands();
        let Command::Open(open) = &commands[0] else {
            panic!("{commands:?}");
        };
        assert_eq!(open.resume.as_deref(), session);
    }
}

#[test]
fn an_editor_s_prompt_queues_as_every_other_and_it_hears_what_becomes_of_it() {
    let mut bench = Bench::running();
    for _ in 0..2 {
        let content = vec![Content::text("from the editor")];
        bench.event(EventBody::Wanted(Wanted::Prompt { content }));
    }
    let last = bench.seq;
    let queued: Vec<_> = bench
        .conversation
        .saved()
        .queue()
        .map(|queued| queued.turn)
        .collect();
    assert_eq!(queued.len(), 2);
    bench.act(Act::Cancel { turn: queued[1] });
    let reason = "it was taken out of the queue".to_owned();
    assert_eq!(
        bench.commands(),
        [Command::Unwanted {
            wanted: last,
            reason
        }]
    );
    bench.ends(1, completed());
    assert!(matches!(
        bench.commands()[..],
        [Command::Prompt { wanted: Some(wanted), .. }] if wanted == last - 1
    ));
}

#[test]
fn a_conversation_that_is_closed_ends_everything_and_takes_nothing_more() {
    let mut bench = Bench::running();
    bench.prompt(2);
    bench.act(Act::Close);
    let ended = |entry: &&Entry| {
        matches!(
            entry,
            Entry::TurnEnded {
                end: TurnEnd::Cancelled,
                ..
            }
        )
    };
    assert_eq!(bench.log().iter().filter(ended).count(), 2);
    assert_eq!(bench.commands(), [Command::Close]);
    let prompt = Act::Prompt {
        turn: turn(3),
        content: vec![Content::text("do")],
    };
    assert_eq!(bench.refused(prompt), Refusal::Closed);
    bench.event(EventBody::Closed);
    assert!(bench.step.effects.contains(&Effect::Over));
    assert_eq!(bench.conversation.next_tick(), None);
}

#[test]
fn prompts_have_a_bound_in_size_and_in_number() {
    let mut bench = Bench::running();
    let large = Act::Prompt {
        turn: turn(2),
        content: vec![Content::text("x".repeat(10 << 20))],
    };
    assert_eq!(bench.refused(large), Refusal::TooLarge);
    for number in 0..64 {
        bench.prompt(10 + number);
    }
    let more = Act::Prompt {
        turn: turn(2),
        content: vec![Content::text("do")],
    };
    assert_eq!(bench.refused(more), Refusal::QueueFull);
}

#[test]
fn a_host_that_takes_no_commands_is_given_up_before_they_pile_up() {
    let mut bench = Bench::running();
    let mode = || Act::SetMode {
        mode: "plan".into(),
    };
    for _ in 0..128 {
        bench.act(mode());
    }
    assert_eq!(bench.refused(mode()), Refusal::HostBehind);
    // An editor that wants too much, and a host that takes no answer to it.
    for _ in 0..64 + 128 {
        let content = vec![Content::text("more")];
        bench.event(EventBody::Wanted(Wanted::Prompt { content }));
    }
    assert!(bench.conversation.known().is_some());
    let content = vec![Content::text("more")];
    bench.event(EventBody::Wanted(Wanted::Prompt { content }));
    assert!(bench.conversation.known().is_none());
    assert_eq!(bench.in_flight(), None);
}

#[test]
fn requests_for_permissions_have_a_bound() {
    let mut bench = Bench::running();
    for _ in 0..64 {
        bench.asks();
    }
    let request = bench.asks();
    let answer = PermissionAnswer::Cancelled;
    assert_eq!(bench.commands(), [Command::Answer { request, answer }]);
    assert_eq!(bench.conversation.saved().permissions().len(), 64);
}
