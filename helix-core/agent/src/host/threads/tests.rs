use helix_proto::{
    SandboxId, TypedId as _,
    agents::{AgentSpec, Held, Known, Open},
};

use super::*;

fn id(number: u128) -> ThreadId {
    ThreadId::from_parts(1, number)
}

fn command(thread: ThreadId, number: u64, command: Command) -> Down {
    let command = Numbered { number, command };
    Down::Command { thread, command }
}

fn open(thread: ThreadId) -> Down {
    let open = Open {
        sandbox: SandboxId::from_parts(1, 1),
        agent: AgentSpec {
            name: "agent".into(),
            command: vec!["agent".into()],
            install: Vec::new(),
            environment: Vec::new(),
            directory: "/".into(),
        },
        resume: None,
    };
    command(thread, 1, Command::Open(Box::new(open)))
}

fn sent(steps: &Steps) -> Vec<Up> {
    let effects = steps.iter().flat_map(|(_, step)| &step.effects);
    let sent = effects.filter_map(|effect| match effect {
        Effect::Send(up) => Some(up.clone()),
        _ => None,
    });
    sent.collect()
}

#[test]
fn a_thread_begins_with_its_first_command_and_no_other() {
    let mut threads = Threads::default();
    let (steps, fits) = threads.hears(command(id(1), 2, Command::Close), 0);
    assert_eq!(
        (sent(&steps), fits),
        (vec![Up::Unknown { thread: id(1) }], Ok(()))
    );
    let (steps, _) = threads.hears(open(id(1)), 0);
    let through = 1;
    let accepted = Up::Accepted {
        thread: id(1),
        through,
    };
    assert_eq!(sent(&steps)[0], accepted);
    // Sent again, it begins no second one.
    let (steps, _) = threads.hears(open(id(1)), 0);
    assert_eq!(sent(&steps), [accepted]);
    assert_eq!(threads.ids().count(), 1);
}

#[test]
fn a_host_that_is_started_anew_says_what_it_has_and_goes_on_where_it_was() {
    let mut threads = Threads::default();
    for number in [1, 2] {
        threads.hears(open(id(number)), 0).1.unwrap();
    }
    let saved = [1, 2].map(|number| threads.get(id(number)).unwrap().saved().unwrap().clone());
    let (mut threads, steps) = Threads::restore(saved, Limits::default(), 0);
    assert_eq!(steps.len(), 2);
    let held = |number| Held {
        thread: id(number),
        accepted: 1,
        first_seq: 1,
        last_seq: 1,
    };
    let hello = Up::Hello {
        version: VERSION,
        threads: vec![held(1), held(2)],
    };
    assert_eq!(threads.hello(), hello);
    let welcome = Down::Welcome {
        version: VERSION,
        threads: vec![Known {
            thread: id(1),
            acknowledged: 0,
        }],
        forget: vec![id(2)],
    };
    let (steps, fits) = threads.hears(welcome, 0);
    assert_eq!(fits, Ok(()));
    assert!(matches!(
        &sent(&steps)[..],
        [Up::Accepted { .. }, Up::Events { events, .. }] if events[0].seq == 1
    ));
    let stops = Effect::Stop { run: 1 };
    assert!(
        steps
            .iter()
            .any(|(thread, step)| *thread == id(2) && step.effects.contains(&stops))
    );
}

#[test]
fn a_gap_of_one_thread_loses_nothing_of_another() {
    let mut threads = Threads::default();
    for number in [1, 2] {
        threads.hears(open(id(number)), 0).1.unwrap();
    }
    let known = |number, acknowledged| Known {
        thread: id(number),
        acknowledged,
    };
    let welcome = Down::Welcome {
        version: VERSION,
        threads: vec![known(1, 9), known(2, 1)],
        forget: Vec::new(),
    };
    let (steps, fits) = threads.hears(welcome, 0);
    let gap = Gap {
        got: 9,
        expected: 1,
    };
    assert_eq!(fits, Err(gap));
    assert!(
        steps
            .iter()
            .any(|(thread, step)| *thread == id(2) && !step.changes.is_empty())
    );
}
