//! An agent that does what its prompts say, and the built-in one.

use helix_proto::agents::{Command, Content, EventBody, StopReason, ToolContent, TurnEnd};
use libtest_mimic::Trial;

use crate::world::{World, trial};

const DONE: TurnEnd = TurnEnd::Completed {
    stop: StopReason::EndTurn,
};

pub(crate) fn trials(trials: &mut Vec<Trial>) {
    trials.push(trial(
        "an_agent_works_as_the_sandboxes_user_and_outlives_its_host",
        outlives,
    ));
    trials.push(trial(
        "an_agent_that_is_killed_fails_its_turn_and_is_started_again",
        killed,
    ));
    trials.push(trial(
        "an_agent_is_installed_for_the_sandboxes_user_and_only_once",
        installed,
    ));
    trials.push(trial(
        "the_built_in_agent_writes_runs_is_cancelled_and_goes_on",
        built_in,
    ));
    trials.push(trial(
        "the_built_in_agent_sees_the_desktop_and_acts_on_it",
        looks,
    ));
}

async fn outlives() {
    let mut world = World::new().await;
    world.open(&["python3", "/home/user/agent.py"], &[]);
    let turn = world.prompt("write /home/user/work/hello.txt hello\nrun id -un; pwd");
    assert_eq!(world.ended(turn).await, DONE);
    assert_eq!(world.file("/home/user/work/hello.txt").await, "hello");
    let said = world.said();
    assert!(said.contains(r"user\n/home/user/work\n"), "{said}");
    let turn = world.prompt("slowly 300");
    world
        .eventually("it says more", || world.said().contains(" 50 "))
        .await;
    world.kill_host().await;
    world.start().await;
    assert_eq!(world.ended(turn).await, DONE);
    let expected: String = (0..300).map(|number| format!("{number} ")).collect();
    assert_eq!(world.said(), said + &expected);
}

async fn killed() {
    let mut world = World::new().await;
    world.open(&["python3", "/home/user/agent.py"], &[]);
    let turn = world.prompt("say one\nwait");
    world.eventually("it works", || world.said() == "one").await;
    world.exec("pkill -KILL -f agent.py", false).await;
    let TurnEnd::Failed { reason } = world.ended(turn).await else {
        panic!("it did not fail");
    };
    assert!(reason.contains("signal 9"), "{reason}");
    let turn = world.prompt("say two");
    assert_eq!(world.ended(turn).await, DONE);
}

async fn installed() {
    let mut world = World::new().await;
    // As npm does with a prefix.
    let line = "mkdir -p ~/.local/bin && cd ~/.local/bin \
        && printf '#!/bin/sh\\nexec python3 /home/user/agent.py' > mine && chmod +x mine";
    world.open_with(&["mine"], &[line], &[]);
    let turn = world.prompt("say one");
    assert_eq!(world.ended(turn).await, DONE, "{:#?}", world.bodies());
    world.command(Command::Stop { restart: true });
    let turn = world.prompt("say two");
    assert_eq!(world.ended(turn).await, DONE, "{:#?}", world.bodies());
    let installing = |body: &EventBody| matches!(body, EventBody::Agent { detail, .. } if detail.starts_with("installing"));
    let installed = world.bodies().into_iter().filter(installing);
    assert_eq!(installed.count(), 1, "{:#?}", world.bodies());
}

async fn looks() {
    let Some(mut world) = World::with_desktop().await else {
        println!("skipped: helix-media was not built");
        return;
    };
    world.open(&["helix-sandbox", "agent"], &model());
    let turn = world.prompt("please look");
    assert_eq!(world.ended(turn).await, DONE, "{:#?}", world.bodies());
    let saw = "I saw ['data:image/jpeg;base64'], clicked: done ";
    assert_eq!(world.said(), saw, "{:#?}", world.bodies());
    // To look was not asked for; what acts was, and people saw the picture.
    let bodies = world.bodies();
    let asked = bodies.iter().filter_map(|body| match body {
        EventBody::PermissionRequested { call, .. } => call.title.clone(),
        _ => None,
    });
    assert_eq!(asked.collect::<Vec<_>>(), ["desktop: click x: 20, y: 30"]);
    let shown = |content: &ToolContent| {
        let ToolContent::Content { content } = content else {
            return false;
        };
        matches!(content, Content::Image { mime, .. } if mime == "image/jpeg")
    };
    let shown = |body: &EventBody| match body {
        EventBody::ToolUpdate(update) => update.content.iter().flatten().any(shown),
        _ => false,
    };
    assert!(bodies.iter().any(shown), "{bodies:#?}");

    // A model that takes no pictures is told, and the turn goes on.
    let turn = world.prompt("please look blind");
    assert_eq!(world.ended(turn).await, DONE, "{:#?}", world.bodies());
    let said = world.said();
    let said = said.strip_prefix(saw).unwrap_or_default();
    assert!(
        said.starts_with("I saw [], clicked: done (a picture that you"),
        "{said}"
    );
    assert!(said.ends_with("this model takes no pictures)"), "{said}");
}

fn model() -> [(&'static str, String); 3] {
    [
        ("HELIX_API", World::model()),
        ("HELIX_API_KEY", "key".to_owned()),
        ("HELIX_MODEL", "scripted".to_owned()),
    ]
}

async fn built_in() {
    let mut world = World::new().await;
    world.open(&["helix-sandbox", "agent"], &model());
    let turn = world.prompt("please write /home/user/work/a/hello.txt");
    assert_eq!(world.ended(turn).await, DONE, "{:#?}", world.bodies());
    assert_eq!(
        world.file("/home/user/work/a/hello.txt").await,
        "hello from the model\n"
    );
    assert!(world.said().ends_with("It is written."), "{}", world.said());
    let turn = world.prompt("answer slowly");
    world
        .eventually("it answers", || world.said().contains("word5"))
        .await;
    world.command(Command::Cancel { turn });
    assert_eq!(world.ended(turn).await, TurnEnd::Cancelled);
    world.command(Command::Stop { restart: true });
    let turn = world.prompt("say that you are back");
    assert_eq!(world.ended(turn).await, DONE);
    let resumed = |body: &EventBody| matches!(body, EventBody::Session { resumed: true, .. });
    assert!(
        world.bodies().iter().any(resumed),
        "it goes on with its session"
    );
}
