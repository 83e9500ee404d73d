//! Conversations outlive the control plane's process.

use std::time::Duration;

use helix_proto::session::{
    CreateSessionRequest, SendMessageRequest, Session, SessionMessages, Turn, TurnState,
};
use helix_tests::{
    Client, DatabaseKind, World,
    client::{ENDLESS, PARIS},
    eventually,
    eventually::SOON,
    world::TINY,
};
use rustix::process::Signal;

crate::on_each_database!(
    a_turn_cut_by_a_stop_of_the_control_plane_has_ended_with_a_reason_after_the_restart,
    a_turn_cut_by_a_crash_of_the_control_plane_has_ended_with_a_reason_after_the_restart,
    a_turn_is_cancelled_and_what_was_answered_stays,
);

async fn a_turn_cut_by_a_stop_of_the_control_plane_has_ended_with_a_reason_after_the_restart(
    database: DatabaseKind,
) {
    a_cut_turn_has_ended(database, Signal::TERM).await;
}

async fn a_turn_cut_by_a_crash_of_the_control_plane_has_ended_with_a_reason_after_the_restart(
    database: DatabaseKind,
) {
    a_cut_turn_has_ended(database, Signal::KILL).await;
}

async fn a_cut_turn_has_ended(database: DatabaseKind, signal: Signal) {
    let (mut world, runner) = World::with_runner(database).await;
    world.admin.ask_for_paris(TINY).await;
    let session = session(&world.admin).await;
    send(&world.admin, &session, ENDLESS).await;
    let before = until_answering(&world.admin, &session).await;
    world.server.process().signal(signal);
    world.server.process().wait(Duration::from_secs(60)).await;
    world.server.start().await;

    let after = messages(&world.admin, &session).await;
    let [turn] = &after.turns[..] else {
        panic!("one turn, not doubled: {after:?}")
    };
    assert!(turn.state.is_terminal(), "{turn:?}");
    assert_ne!(turn.state, TurnState::Completed);
    assert!(
        turn.error.as_ref().is_some_and(|why| !why.is_empty()),
        "{turn:?}"
    );
    assert!(
        turn.assistant_content
            .starts_with(&before.assistant_content),
        "nothing is lost"
    );
    assert!(
        !turn.assistant_content.contains("ticktick"),
        "nothing is doubled"
    );
    let view: Session = world
        .admin
        .get(&format!("/api/v1/sessions/{}", session.id))
        .await;
    assert_eq!(view.active_turn, None);

    world.until_online(runner.id).await;
    // Elsewhere: a history of ticks would confuse so small a model.
    let other = self::session(&world.admin).await;
    send(&world.admin, &other, PARIS.0).await;
    let last = until_ended(&world.admin, &other).await;
    assert_eq!(
        (last.state, last.assistant_content.as_str()),
        (TurnState::Completed, PARIS.1)
    );
}

async fn a_turn_is_cancelled_and_what_was_answered_stays(database: DatabaseKind) {
    let (world, _runner) = World::with_runner(database).await;
    let session = session(&world.admin).await;
    let turn = send(&world.admin, &session, ENDLESS).await;
    let before = until_answering(&world.admin, &session).await;
    let cancel = format!("/api/v1/sessions/{}/turns/{}/cancel", session.id, turn.id);
    assert!(
        world
            .admin
            .try_post(&cancel, &())
            .await
            .status()
            .is_success()
    );
    let after = until_ended(&world.admin, &session).await;
    assert_eq!(after.state, TurnState::Cancelled);
    assert!(
        after
            .assistant_content
            .starts_with(&before.assistant_content)
    );
    eventually("the engine to be free again", SOON, async || {
        let queue: helix_proto::queue::Queue = world.admin.get("/api/v1/queue").await;
        if queue.running.is_empty() {
            Ok(())
        } else {
            Err(queue)
        }
    })
    .await;
}

async fn session(client: &Client) -> Session {
    let request = CreateSessionRequest {
        model: Some(TINY.to_owned()),
        ..CreateSessionRequest::default()
    };
    client.post("/api/v1/sessions", &request).await
}

async fn send(client: &Client, session: &Session, content: &str) -> Turn {
    let request = SendMessageRequest {
        content: content.to_owned(),
        model: None,
        idempotency_key: None,
    };
    client
        .post(
            &format!("/api/v1/sessions/{}/messages", session.id),
            &request,
        )
        .await
}

async fn messages(client: &Client, session: &Session) -> SessionMessages {
    client
        .get(&format!("/api/v1/sessions/{}/messages", session.id))
        .await
}

async fn until_answering(client: &Client, session: &Session) -> Turn {
    eventually("the answer to begin", SOON, async || {
        let turn = messages(client, session).await.turns.pop().unwrap();
        let begun = turn.state == TurnState::Running && turn.assistant_content.len() > 20;
        if begun { Ok(turn) } else { Err(turn) }
    })
    .await
}

async fn until_ended(client: &Client, session: &Session) -> Turn {
    eventually("the turn to end", SOON, async || {
        let mut found = messages(client, session).await.turns;
        let ended = found.len() == 1 && found.iter().all(|turn| turn.state.is_terminal());
        if ended {
            Ok(found.pop().unwrap())
        } else {
            Err(found)
        }
    })
    .await
}
