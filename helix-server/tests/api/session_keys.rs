//! Keys that are bound to a session: for asking models, until the session ends.

use helix_base::ExposeSecret as _;
use helix_proto::ErrorCode;
use helix_proto::session::{ModelUsage, Session};
use serde_json::{Value, json};

use crate::{
    person::{Person, Proof},
    world::World,
};

on_both_databases!(
    a_key_asks_models_until_it_is_revoked,
    a_key_is_replaced_by_the_next_and_ends_with_its_session,
);

/// A session of a person, with this model.
pub(crate) async fn session(owner: &Person, model: &str) -> Session {
    owner
        .post("/api/v1/sessions", json!({"model": model}))
        .await
        .expect(201)
}

/// Whoever has the key of a session.
pub(crate) async fn agent(world: &World, session: &Session) -> Person {
    let key = world.app.session_keys().make(session.id).await.unwrap();
    let key = key.expose_secret().to_owned();
    world.stranger().with(Proof::Bearer(key))
}

fn question(model: &str, text: &str) -> Value {
    json!({"model": model, "stream": true, "messages": [{"role": "user", "content": text}]})
}

async fn a_key_asks_models_until_it_is_revoked(mut world: World) {
    let owner = world.admin().await;
    let session = session(&owner, "scripted/m").await;
    let agent = agent(&world, &session).await;

    let answer = agent
        .post("/v1/chat/completions", question("scripted/other", "hi"))
        .await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    // Names that nobody here knows, and the default, are the session's model.
    for name in ["gpt-5", "claude-sonnet-4", "default"] {
        let answer = agent
            .post("/v1/chat/completions", question(name, "hi"))
            .await;
        assert_eq!(answer.status, 200, "{name}: {:?}", answer.body);
    }
    let models: Vec<_> = world
        .model
        .requests()
        .iter()
        .map(|it| it["model"].clone())
        .collect();
    assert_eq!(models, ["other", "m", "m", "m"]);

    // Another model of the session is there at once.
    let path = format!("/api/v1/sessions/{}", session.id);
    let _: Session = owner
        .patch(&path, json!({"model": "scripted/n"}))
        .await
        .expect(200);
    let answer = agent
        .post("/v1/chat/completions", question("gpt-5", "hi"))
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(world.model.requests().last().unwrap()["model"], "n");

    let usage: ModelUsage = owner.get(&format!("{path}/model-usage")).await.expect(200);
    assert_eq!(usage.requests, 5);

    world.app.session_keys().revoke(session.id).await.unwrap();
    let answer = agent
        .post("/v1/chat/completions", question("gpt-5", "hi"))
        .await;
    assert_eq!(answer.status, 401);

    // What was counted is there after the control plane's end.
    world.stop().await;
    let world = world.restart().await;
    let usage = world.app.session_keys().usage(session.id).await.unwrap();
    assert_eq!(usage.requests, 5);
}

async fn a_key_is_replaced_by_the_next_and_ends_with_its_session(world: World) {
    let owner = world.admin().await;
    let session = session(&owner, "scripted/m").await;
    let first = agent(&world, &session).await;
    assert_eq!(first.get("/v1/models").await.status, 200);
    let second = agent(&world, &session).await;
    assert_eq!(first.get("/v1/models").await.status, 401);
    assert_eq!(second.get("/v1/models").await.status, 200);

    let path = format!("/api/v1/sessions/{}", session.id);
    second.get(&path).await.error(ErrorCode::Forbidden);
    assert_eq!(owner.delete(&path).await.status, 204);
    assert_eq!(second.get("/v1/models").await.status, 401);
    assert!(world.app.session_keys().make(session.id).await.is_err());
}
