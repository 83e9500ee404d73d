//! Users' secrets: in, never out, and nobody else's business.

use helix_proto::{ErrorCode, page::Page, secret::Secret};
use http::Method;
use serde_json::{Value, json};

use crate::{
    person::{Answer, Person},
    world::{Kind, World},
};

const VALUE: &str = "ghp_0123456789abcdefghij";

async fn put(person: &Person, name: &str, body: Value) -> Answer {
    let request = person.request(Method::PUT, &format!("/api/v1/secrets/{name}"));
    Person::send(request.json(&body)).await
}

fn git(value: &str) -> Value {
    let kind = json!({"type": "git", "host": "GitHub.com", "username": "x-access-token"});
    json!({"value": value, "kind": kind})
}

on_both_databases!(a_secret_goes_in_and_never_comes_out);

async fn a_secret_goes_in_and_never_comes_out(world: World) {
    world.admin().await;
    let (owner, other) = (world.member("owner").await, world.member("other").await);
    let answer = put(&owner, "github", git(VALUE)).await;
    let made: Secret = answer.expect(200);
    assert_eq!((made.name.as_str(), made.hint.as_str()), ("github", "ghij"));
    let listed = owner.get("/api/v1/secrets").await;
    for answer in [&answer, &listed] {
        assert!(!String::from_utf8_lossy(&answer.body).contains(VALUE));
    }
    let page: Page<Secret> = listed.expect(200);
    assert_eq!(page.items, std::slice::from_ref(&made));
    let theirs: Page<Secret> = other.get("/api/v1/secrets").await.expect(200);
    assert!(theirs.items.is_empty());
    other
        .delete("/api/v1/secrets/github")
        .await
        .error(ErrorCode::NotFound);

    // Changed, it is as old as it was, and says little of a short one.
    let changed: Secret = put(&owner, "github", git("12345678")).await.expect(200);
    assert_eq!(changed.created_at_ms, made.created_at_ms);
    assert_eq!(changed.hint, "");
    assert_eq!(owner.delete("/api/v1/secrets/github").await.status, 204);
    owner
        .delete("/api/v1/secrets/github")
        .await
        .error(ErrorCode::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_a_secret_is_refused_by_its_field() {
    let world = World::start(Kind::Sqlite).await;
    world.admin().await;
    let owner = world.member("owner").await;
    let with = |kind: Value| json!({"value": VALUE, "kind": kind});
    let variable = |name: &str| with(json!({"type": "environment", "variable": name}));
    let host = |host: &str| with(json!({"type": "git", "host": host, "username": "me"}));
    for (name, body, field) in [
        ("a%20b", git(VALUE), "name"),
        ("-a", git(VALUE), "name"),
        ("a", git("short"), "value"),
        ("a", git(&"x".repeat(65_537)), "value"),
        ("a", git("two\nlines of it"), "value"),
        ("a", variable("A=B"), "kind.variable"),
        ("a", host("https://me@x"), "kind.host"),
        ("a", host("x/y"), "kind.host"),
    ] {
        let error = put(&owner, name, body).await.error(ErrorCode::Invalid);
        assert_eq!(error.field.as_deref(), Some(field), "{name}");
        assert!(!error.message.contains("lines of it"));
    }
    let unknown = json!({"secrets": ["nothing"]});
    let error = owner.post("/api/v1/sandboxes", unknown).await;
    let error = error.error(ErrorCode::Invalid);
    assert_eq!(error.field.as_deref(), Some("secrets"));
}
