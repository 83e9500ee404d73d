//! Agents of a host, in a real guest, with a control plane that says what a test says.

mod control;
mod conversing;
mod editing;
mod editors;
mod world;

use std::time::Duration;

use helix_proto::agents::{
    AgentPhase, Command, EventBody, PermissionAnswer, StopReason, ToolContent, TurnEnd,
};

use self::world::World;

const DONE: TurnEnd = TurnEnd::Completed {
    stop: StopReason::EndTurn,
};

fn failed(end: TurnEnd) -> String {
    match end {
        TurnEnd::Failed { reason } => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_arrives_once_and_in_order_with_few_events() {
    let mut world = World::new().await;
    world.open();
    let turn = world.prompt("think hm\nplan it\nusage\ncount 500\nsay ä🦀");
    assert_eq!(world.ended(turn).await, DONE);
    let expected: String = (0..500).map(|number| format!("{number} ")).collect();
    assert_eq!(world.said(), format!("{expected}ä🦀"));
    let bodies = world.bodies();
    let phases: Vec<_> = bodies
        .iter()
        .filter_map(|body| match body {
            EventBody::Agent { phase, detail } => Some((*phase, detail.as_str())),
            _ => None,
        })
        .collect();
    let starting = AgentPhase::Starting;
    assert_eq!(
        phases,
        [
            (starting, ""),
            (starting, "starting scripted"),
            (AgentPhase::Ready, "")
        ]
    );
    assert!(bodies.iter().any(|body| matches!(body, EventBody::Modes { current, available } if current == "ask" && available.len() == 2)));
    assert!(
        bodies
            .iter()
            .any(|body| matches!(body, EventBody::Plan { entries } if entries.len() == 1))
    );
    assert!(bodies.iter().any(
        |body| matches!(body, EventBody::Usage { cost: Some(cost), .. } if cost.micros == 250_000)
    ));
    let messages = bodies
        .iter()
        .filter(|body| matches!(body, EventBody::Message { .. }));
    assert!(messages.count() < 100, "pieces are joined");
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_asked_by_way_of_the_host_and_nothing_else_is() {
    let mut world = World::new().await;
    world.open();
    let turn = world.prompt("get /models\nget /../api/v1/sessions");
    assert_eq!(world.ended(turn).await, DONE);
    let said = world.said();
    assert!(said.starts_with("Bearer key404 {"), "{said}");
    assert!(said.contains("only what is below /v1"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_asks_models_while_the_host_is_away_waits_for_it() {
    let mut world = World::new().await;
    world.open();
    let turn = world.prompt("say before\nsleep 1\nget /models\nget /models");
    world
        .eventually("it begins", || world.said() == "before")
        .await;
    world.kill_host().await;
    // By now it has asked.
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.start().await;
    assert_eq!(world.ended(turn).await, DONE);
    assert_eq!(world.said(), "beforeBearer keyBearer key");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_is_asked_and_the_file_is_written_in_the_sandbox() {
    let mut world = World::new().await;
    world.open();
    let path = format!("{}/hello.txt", world.work());
    for (option, allowed) in [("no", false), ("yes", true)] {
        let turn = world.prompt(&format!("write {path} hello"));
        let open = || {
            let known = world.known();
            known
                .events
                .iter()
                .rev()
                .find_map(|event| match &event.body {
                    EventBody::PermissionRequested { options, .. } => {
                        Some((event.seq, options.len()))
                    }
                    EventBody::PermissionResolved { .. } => Some((0, 0)),
                    _ => None,
                })
        };
        world
            .eventually("it asks", || open().is_some_and(|(seq, _)| seq > 0))
            .await;
        let (request, options) = open().unwrap();
        assert_eq!(options, 2);
        let option = option.to_owned();
        let answer = PermissionAnswer::Selected { option };
        world.command(Command::Answer { request, answer });
        assert_eq!(world.ended(turn).await, DONE);
        assert_eq!(
            std::fs::read_to_string(&path).ok().as_deref(),
            allowed.then_some("hello")
        );
    }
    let diffs = world.bodies().into_iter().filter(|body| match body {
        EventBody::ToolUpdate(update) => update
            .content
            .iter()
            .flatten()
            .any(|content| matches!(content, ToolContent::Diff(diff) if diff.after == "hello")),
        _ => false,
    });
    assert_eq!(diffs.count(), 1);
    let turn = world.prompt(&format!("read {path}"));
    assert_eq!(world.ended(turn).await, DONE);
    assert!(
        world.said().contains(r#"{"content": "hello"}"#),
        "{}",
        world.said()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_runs_in_the_sandbox_and_is_seen() {
    let mut world = World::new().await;
    world.open();
    let turn = world.prompt("run echo out; echo err >&2; exit 3");
    assert_eq!(world.ended(turn).await, DONE);
    assert!(
        world.said().contains(r#""exitCode": 3"#),
        "{}",
        world.said()
    );
    let ended = || {
        world
            .bodies()
            .into_iter()
            .any(|body| matches!(body, EventBody::TerminalEnded { code: Some(3), .. }))
    };
    world.eventually("the terminal's end is seen", ended).await;
    let output: String = world
        .bodies()
        .into_iter()
        .filter_map(|body| match body {
            EventBody::Terminal { output, .. } => Some(output),
            _ => None,
        })
        .collect();
    assert!(
        output.contains("out\n") && output.contains("err\n"),
        "{output:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_is_cancelled() {
    let mut world = World::new().await;
    world.open();
    let turn = world.prompt("say before\nwait\nsay after");
    world
        .eventually("it works", || world.said() == "before")
        .await;
    world.command(Command::Cancel { turn });
    assert_eq!(world.ended(turn).await, TurnEnd::Cancelled);
    let turn = world.prompt("say next");
    assert_eq!(world.ended(turn).await, DONE);
    assert_eq!(world.said(), "beforenext");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_exits_fails_its_turn_with_what_it_said_and_goes_on_with_the_next() {
    let mut world = World::new().await;
    world.open();
    let turn = world.prompt("say one\nexit");
    let reason = failed(world.ended(turn).await);
    assert!(
        reason.contains("code 3") && reason.contains("the model is on fire"),
        "{reason}"
    );
    let turn = world.prompt("say two");
    assert_eq!(world.ended(turn).await, DONE);
    let sessions: Vec<_> = world
        .bodies()
        .into_iter()
        .filter_map(|body| match body {
            EventBody::Session { session, resumed } => Some((session, resumed)),
            _ => None,
        })
        .collect();
    let [(first, false), (second, true)] = &sessions[..] else {
        panic!("{sessions:?}")
    };
    assert_eq!(first, second);
    assert_eq!(
        world.said(),
        "onetwo",
        "what is repeated while it is loaded is not said again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn how_an_agent_ended_is_the_reason_also_where_it_could_not_be_told_something_before() {
    let mut world = World::new().await;
    world.open();
    let turn = world.prompt("close 0.5\nexit");
    let reason = failed(world.ended(turn).await);
    assert_eq!(
        reason,
        "the agent ended: it ended with code 3: the model is on fire"
    );
    // And where it does not end, it is not waited for.
    let turn = world.prompt("close 1000");
    let reason = failed(world.ended(turn).await);
    assert!(reason.contains("does not read what it is told"), "{reason}");
    let turn = world.prompt("say on");
    assert_eq!(world.ended(turn).await, DONE);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_agent_is_the_reason_and_garbage_ends_nothing() {
    let mut world = World::new().await;
    world.open();
    let turn = world.prompt("fail the key has no credit");
    assert_eq!(
        failed(world.ended(turn).await),
        "Internal error: the key has no credit"
    );
    let turn = world.prompt("garbage\nsay on");
    assert_eq!(world.ended(turn).await, DONE);
    assert_eq!(world.said(), "on");
    let notices = world
        .bodies()
        .into_iter()
        .filter(|body| matches!(body, EventBody::Notice { text } if text.contains("no message")));
    assert_eq!(notices.count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_cannot_start_says_why() {
    let mut world = World::new().await;
    world.open_with(&["no-such-program"], &[]);
    let turn = world.prompt("say hello");
    let reason = failed(world.ended(turn).await);
    assert!(
        reason.starts_with("the agent cannot be started: its program was not found"),
        "{reason}"
    );
    for (line, said) in [
        ("echo no room >&2; exit 1", "no room"),
        ("no-such-npm install", "lacks what installs the agent"),
    ] {
        let mut world = World::new().await;
        world.open_with(&["no-such-program"], &["echo fine", line]);
        let turn = world.prompt("say hello");
        let reason = failed(world.ended(turn).await);
        assert!(reason.contains(said), "{reason}");
        assert!(
            world
                .starting()
                .any(|detail| detail == "installing… echo fine")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_there_is_not_installed() {
    let mut world = World::new().await;
    world.open_with(&["python3", "agent.py"], &["exit 1"]);
    let turn = world.prompt("say hello");
    assert_eq!(world.ended(turn).await, DONE);
    assert!(
        !world
            .starting()
            .any(|detail| detail.starts_with("installing"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn cuts_lose_and_double_nothing() {
    let mut world = World::new().await;
    world.open();
    let turn = world.prompt("slowly 300");
    for at in [10, 60, 150] {
        world
            .eventually("it says more", || world.said().contains(&format!(" {at} ")))
            .await;
        world.cut();
    }
    assert_eq!(world.ended(turn).await, DONE);
    let expected: String = (0..300).map(|number| format!("{number} ")).collect();
    assert_eq!(world.said(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_goes_on_with_the_turn_where_it_was() {
    let mut world = World::new().await;
    world.open();
    let turn = world.prompt("slowly 400\nrun sleep 1; echo from the terminal");
    for at in [20, 120, 250] {
        world
            .eventually("it says more", || world.said().contains(&format!(" {at} ")))
            .await;
        world.kill_host().await;
        world.start().await;
    }
    assert_eq!(world.ended(turn).await, DONE);
    let expected: String = (0..400).map(|number| format!("{number} ")).collect();
    let said = world.said();
    assert!(said.starts_with(&expected), "{said}");
    assert!(said.ends_with(r#""from the terminal\n"]"#), "{said}");
    assert_eq!(said.matches("exitCode").count(), 1);
    let turn = world.prompt("say after");
    assert_eq!(world.ended(turn).await, DONE);
    let sessions = world
        .bodies()
        .into_iter()
        .filter(|body| matches!(body, EventBody::Session { .. }));
    assert_eq!(sessions.count(), 1, "it is the same process");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_while_it_waits_for_a_terminal_or_a_permission_answers_it() {
    let mut world = World::new().await;
    world.open();
    let path = format!("{}/late.txt", world.work());
    let turn = world.prompt(&format!("run sleep 2; echo done\nwrite {path} late"));
    let runs = || {
        world
            .bodies()
            .iter()
            .any(|body| matches!(body, EventBody::ToolCall(_)))
    };
    world.eventually("it runs", runs).await;
    world.kill_host().await;
    world.start().await;
    let asked = || {
        let known = world.known();
        known.events.iter().find_map(|event| match &event.body {
            EventBody::PermissionRequested { .. } => Some(event.seq),
            _ => None,
        })
    };
    world.eventually("it asks", || asked().is_some()).await;
    let request = asked().unwrap();
    world.kill_host().await;
    world.start().await;
    let option = "yes".to_owned();
    let answer = PermissionAnswer::Selected { option };
    world.command(Command::Answer { request, answer });
    assert_eq!(world.ended(turn).await, DONE);
    assert_eq!(std::fs::read_to_string(path).unwrap(), "late");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_waits_for_its_acknowledgements_and_loses_nothing() {
    let mut world = World::new().await;
    world.open();
    world.acknowledges(false);
    // More than twice what is kept of a thread.
    let turn = world.prompt("flood 400\nsay end");
    let kept = || {
        let folder = std::fs::read_dir(world.folder.path().join("data/threads"));
        let sizes = folder
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len());
        sizes.sum::<u64>()
    };
    world
        .eventually("as much is kept as may be", || kept() > 16 << 20)
        .await;
    world.acknowledges(true);
    world.cut();
    assert_eq!(world.ended(turn).await, DONE);
    let said = world.said();
    assert!(said.ends_with("end"));
    assert_eq!(said.matches('x').count(), 400 * 100_000);
    assert!(kept() < 48 << 20, "{}", kept());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_the_process_and_a_restart_begins_another() {
    let mut world = World::new().await;
    world.open();
    let turn = world.prompt("say on\ndeaf");
    world.eventually("it works", || world.said() == "on").await;
    world.command(Command::Stop { restart: true });
    assert!(!failed(world.ended(turn).await).is_empty());
    let ready = || {
        world
            .bodies()
            .iter()
            .filter(|body| {
                matches!(
                    body,
                    EventBody::Agent {
                        phase: AgentPhase::Ready,
                        ..
                    }
                )
            })
            .count()
    };
    world.eventually("it is there again", || ready() == 2).await;
    world.command(Command::Close);
    world
        .eventually("it is over", || {
            world.bodies().last() == Some(&EventBody::Closed)
        })
        .await;
    world
        .eventually("nothing is kept", || {
            let folder = world.folder.path().join("data/threads");
            std::fs::read_dir(folder).unwrap().count() == 0
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_that_is_deleted_ends_its_turn_and_then_its_thread() {
    let mut world = World::new().await;
    world.open();
    let turn = world.prompt("say on\nwait");
    world.eventually("it works", || world.said() == "on").await;
    world.handle().delete(world.sandbox).await.unwrap();
    assert!(failed(world.ended(turn).await).contains("gone"));
    world
        .eventually("nothing is kept", || {
            let folder = world.folder.path().join("data/threads");
            std::fs::read_dir(folder).unwrap().count() == 0
        })
        .await;
    world.prompt("say anything");
    world
        .eventually("the thread is unknown", || world.known().unknown)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mode_is_set_and_a_picture_is_passed_on() {
    let mut world = World::new().await;
    world.open();
    let turn = world.prompt("say ready");
    assert_eq!(world.ended(turn).await, DONE);
    world.command(Command::SetMode {
        mode: "yolo".to_owned(),
    });
    let set = || {
        world
            .bodies()
            .iter()
            .any(|body| matches!(body, EventBody::Modes { current, .. } if current == "yolo"))
    };
    world.eventually("the mode is set", set).await;
    world.command(Command::SetModel {
        model: "x".to_owned(),
    });
    let told = || {
        world.bodies().iter().any(
            |body| matches!(body, EventBody::Notice { text } if text.contains("cannot be set")),
        )
    };
    world
        .eventually("it is said that there is no such thing", told)
        .await;
}
