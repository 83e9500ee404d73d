//! What an agent says of the secrets that its sandbox was given.

use super::*;

const VALUE: &str = "ghp_0123456789abcdefghij";

on_both_databases!(
    a_secret_that_is_said_in_pieces_is_in_no_log_through_cuts_and_a_crash,
    where_secrets_cannot_be_read_nothing_of_the_agent_is_stored_and_its_turn_fails,
);

/// A stage whose sandbox was given a secret.
async fn stage(world: World) -> Stage {
    let mut stage = Stage::new(world).await;
    let request = stage.person.request(Method::PUT, "/api/v1/secrets/token");
    let kind = json!({"type": "environment", "variable": "TOKEN"});
    let body = json!({"value": VALUE, "kind": kind});
    let stored: Value = Person::send(request.json(&body)).await.expect(200);
    assert_eq!(stored["name"], "token");
    stage.sandbox = made(&stage.person, json!({"secrets": ["token"]})).await;
    stage
}

async fn a_secret_that_is_said_in_pieces_is_in_no_log_through_cuts_and_a_crash(world: World) {
    let mut stage = stage(world).await;
    let (session, thread, turn) = stage.asked().await;
    stage.agents.all_acknowledged(thread).await;
    let (first, rest) = VALUE.split_at(9);
    let (second, third) = rest.split_at(9);
    stage
        .agents
        .tell(thread, vec![message(&format!("it is {first}"))])
        .await;
    stage.agents.reconnect(&stage.world).await;
    stage.agents.tell(thread, vec![message(second)]).await;
    let world = stage.world.crash_and_restart().await;
    stage.agents.take();
    assert_eq!(
        stage.agents.threads[&thread].events.len(),
        2,
        "what is not certain is not acknowledged"
    );
    stage.agents.reconnect(&world).await;
    stage
        .agents
        .tell(
            thread,
            vec![message(&format!("{third}, and no more")), ended(turn)],
        )
        .await;
    stage.agents.all_acknowledged(thread).await;
    let log = entries(&world, session).await;
    assert_eq!(texts(&log).concat(), "it is [redacted], and no more");
    assert!(matches!(&ends(&log)[..], [(_, TurnEnd::Completed { .. })]));
}

async fn where_secrets_cannot_be_read_nothing_of_the_agent_is_stored_and_its_turn_fails(
    world: World,
) {
    let mut stage = stage(world).await;
    let (session, thread, turn) = stage.asked().await;
    stage.agents.all_acknowledged(thread).await;
    sqlx::query("UPDATE user_secrets SET sealed = 'of another key'")
        .execute(stage.world.app.store().pool())
        .await
        .unwrap();
    let world = stage.world.crash_and_restart().await;
    stage.agents.keep(thread, vec![message(VALUE)]);
    stage.agents.reconnect(&world).await;
    let person = Person {
        url: world.url(),
        ..stage.person
    };
    let is_failed = |log: &[Entry], turn| {
        ends(log).iter().any(|(id, end)| {
            *id == turn
                && matches!(end, TurnEnd::Failed { reason } if reason.contains("cannot be read"))
        })
    };
    eventually("the failure", async || {
        is_failed(&entries(&world, session).await, turn).then_some(())
    })
    .await;
    let path = format!("/api/v1/sessions/{session}/release");
    assert_eq!(person.post(&path, json!({})).await.status, 204);
    let next = prompt(&person, session, "once more").await;
    eventually("the next failure", async || {
        is_failed(&entries(&world, session).await, next).then_some(())
    })
    .await;
    let log = entries(&world, session).await;
    assert!(texts(&log).is_empty(), "{log:?}");
}
