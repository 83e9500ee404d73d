//! Every route of the OpenAPI document, as every kind of caller.

use std::collections::BTreeMap;

use helix_proto::{
    auth::{ApiKey, Scope},
    fleet::CreatedRunner,
    page::Page,
    sandbox::{Sandbox, SandboxState, Snapshot, host::CreatedSandboxHost},
    session::{Session, Turn},
};
use http::Method;
use serde_json::{Value, json};

use crate::{
    host::Host,
    person::{Answer, Person, Proof},
    world::{Kind, World},
};

/// A documented route: who may call it, by scheme and what the scheme asks for.
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: String,
    allowed: BTreeMap<String, Vec<String>>,
}

pub(crate) fn documented() -> Vec<Route> {
    let document = serde_json::to_value(helix_server::api::document()).unwrap();
    let mut routes = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let Ok(method) = method.to_uppercase().parse::<Method>() else {
                continue;
            };
            if !operation.is_object() {
                continue;
            }
            let mut allowed = BTreeMap::<String, Vec<String>>::new();
            for (scheme, scopes) in operation["security"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_object)
                .flatten()
            {
                let scopes = scopes.as_array().unwrap().iter();
                let scopes = scopes.map(|scope| scope.as_str().unwrap().to_owned());
                allowed.entry(scheme.clone()).or_default().extend(scopes);
            }
            routes.push(Route {
                method,
                path: path.clone(),
                allowed,
            });
        }
    }
    routes
}

/// Who calls, and what the document must say for them to be let in.
struct Kindred {
    name: &'static str,
    person: Person,
    may: fn(&Route) -> bool,
}

fn has(route: &Route, scheme: &str, scope: &str) -> bool {
    route
        .allowed
        .get(scheme)
        .is_some_and(|scopes| scopes.iter().any(|has| has == scope))
}

fn public(route: &Route) -> bool {
    route.allowed.is_empty()
}

fn for_member(route: &Route) -> bool {
    has(route, "session", "member")
}

/// A key of scope `admin` is for everything but inference.
fn for_admin_key(route: &Route) -> bool {
    ["admin", "sessions", "sandboxes"]
        .iter()
        .any(|scope| has(route, "api_key", scope))
}

async fn callers(world: &World) -> Vec<Kindred> {
    let admin = world.admin().await;
    let member = world.member("member").await;
    let runner: CreatedRunner = admin
        .post("/api/v1/runners", json!({"name": "walker"}))
        .await
        .expect(201);
    let host: CreatedSandboxHost = admin
        .post("/api/v1/sandbox-hosts", json!({"name": "walker"}))
        .await
        .expect(201);
    let mut callers = Vec::new();
    let mut add = |name, person: &Person, may| {
        callers.push(Kindred {
            name,
            person: person.clone(),
            may,
        })
    };
    add("stranger", &world.stranger(), public);
    let nonsense = world
        .stranger()
        .with(Proof::Bearer("hx_nonsense".to_owned()));
    add("made-up key", &nonsense, public);
    let runner = world.stranger().with(Proof::Bearer(runner.credential));
    add("runner", &runner, |route| {
        public(route) || route.allowed.contains_key("runner")
    });
    let host = world.stranger().with(Proof::Bearer(host.credential));
    add("sandbox host", &host, |route| {
        public(route) || route.allowed.contains_key("sandbox_host")
    });
    let key = async |owner: &Person, scope| {
        world
            .stranger()
            .with(Proof::Bearer(owner.key(&[scope]).await.secret))
    };
    add(
        "member's inference key",
        &key(&member, Scope::Inference).await,
        |route| public(route) || has(route, "api_key", "inference"),
    );
    add(
        "member's sessions key",
        &key(&member, Scope::Sessions).await,
        |route| public(route) || has(route, "api_key", "sessions"),
    );
    add(
        "member's sandboxes key",
        &key(&member, Scope::Sandboxes).await,
        |route| public(route) || has(route, "api_key", "sandboxes"),
    );
    add(
        "member's admin key",
        &key(&member, Scope::Admin).await,
        |route| public(route) || (for_member(route) && for_admin_key(route)),
    );
    add(
        "admin's admin key",
        &key(&admin, Scope::Admin).await,
        |route| public(route) || for_admin_key(route),
    );
    let session = crate::session_keys::session(&member, "scripted/m").await;
    let agent = crate::session_keys::agent(world, &session).await;
    add("agent", &agent, |route| {
        public(route) || route.allowed.contains_key("session_key")
    });
    add("member", &member, |route| {
        public(route) || for_member(route)
    });
    add("admin", &admin, |route| {
        public(route) || for_member(route) || has(route, "session", "admin")
    });
    callers
}

async fn call(person: &Person, route: &Route, path: &str) -> Answer {
    let request = person.request(route.method.clone(), path);
    let request = match route.method {
        Method::GET | Method::DELETE => request,
        _ => request.json(&json!({})),
    };
    Person::send(request).await
}

/// A request for a WebSocket.
pub(crate) fn upgrading(request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
    request
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
}

/// A path with something in each place that names nothing.
pub(crate) fn filled(path: &str, id: &str) -> String {
    let parts = path
        .split('/')
        .map(|part| if part.starts_with('{') { id } else { part });
    parts.collect::<Vec<_>>().join("/")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_lets_in_whom_the_document_names_and_nobody_else() {
    let world = World::start(Kind::Sqlite).await;
    let callers = callers(&world).await;
    let mut faults = Vec::new();
    for route in documented() {
        // Would end the walk of whoever is let in; tried in another test.
        let signs_out = route.path == "/api/v1/auth/logout";
        let path = filled(&route.path, "x");
        for Kindred { name, person, may } in &callers {
            if signs_out && may(&route) {
                continue;
            }
            let status = call(person, &route, &path).await.status.as_u16();
            let refused = matches!(status, 401 | 403);
            if refused == may(&route) {
                faults.push(format!(
                    "{name}: {} {} answered {status}",
                    route.method, route.path
                ));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_documented_route_is_served_and_every_other_path_is_not() {
    let world = World::start(Kind::Sqlite).await;
    for route in documented() {
        let answer = call(&world.stranger(), &route, &filled(&route.path, "x")).await;
        let body = String::from_utf8_lossy(&answer.body);
        assert!(
            !body.contains("no such route") && answer.status != 405,
            "{} {}",
            route.method,
            route.path
        );
    }
    let answer = world.stranger().get("/api/v1/nothing").await;
    answer.error(helix_proto::ErrorCode::NotFound);
    let answer = world.stranger().delete("/api/v1/version").await;
    assert_eq!(answer.status, 405);
}

#[test]
fn routes_are_added_only_together_with_their_documentation() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api");
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for call in [".route(", ".route_service(", ".nest_service("] {
                assert!(
                    !text.contains(call),
                    "{} uses `{call}`: use `.routes(routes!(…))`",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn the_routes_and_who_may_call_them() {
    let mut lines: Vec<String> = documented()
        .iter()
        .map(|route| {
            let who = route
                .allowed
                .iter()
                .map(|(scheme, scopes)| format!("{scheme}:{}", scopes.join("+")));
            let who = who.collect::<Vec<_>>().join(" ");
            let who = if who.is_empty() {
                "public".to_owned()
            } else {
                who
            };
            format!("{:58} {:6} {who}", route.path, route.method.as_str())
        })
        .collect();
    lines.sort();
    insta::assert_snapshot!(lines.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_anothers_is_not_found() {
    let world = World::start(Kind::Sqlite).await;
    let admin = world.admin().await;
    let host = Host::connect(&world, &admin).await;
    let (owner, other) = (world.member("owner").await, world.member("other").await);
    let session: Session = owner
        .post("/api/v1/sessions", json!({"model": "scripted/m"}))
        .await
        .expect(201);
    let messages = format!("/api/v1/sessions/{}/messages", session.id);
    let turn: Turn = owner
        .post(&messages, json!({"content": "hold"}))
        .await
        .expect(202);
    let key = owner.key(&[Scope::Inference]).await.api_key;
    let sandbox = crate::sandboxes::made(&owner, json!({})).await;
    let snapshots = format!("/api/v1/sandboxes/{}/snapshots", sandbox.id);
    let snapshot: Snapshot = owner.post(&snapshots, json!({})).await.expect(201);
    let mut walked = 0;
    for route in documented() {
        let path = if route.path.starts_with("/api/v1/sessions/{id}") {
            route
                .path
                .replace("{id}", &session.id.to_string())
                .replace("{turn}", &turn.id.to_string())
        } else if route.path.starts_with("/api/v1/api-keys/{id}") {
            route.path.replace("{id}", &key.id.to_string())
        } else if route.path.starts_with("/api/v1/sandboxes/{id}") {
            let path = route.path.replace("{id}", &sandbox.id.to_string());
            filled(&path.replace("{port}", "80"), "x")
        } else if route.path.starts_with("/api/v1/snapshots/{id}") {
            route.path.replace("{id}", &snapshot.id.to_string())
        } else {
            continue;
        };
        walked += 1;
        let request = other.request(route.method.clone(), &path);
        let request = match route.method {
            Method::GET | Method::DELETE => request,
            _ => request.json(&json!({"content": "mine", "title": "mine"})),
        };
        // Whether a thing is there is said before what is wrong with the request.
        let request = match &*route.path {
            "/api/v1/sandboxes/{id}/terminals/{terminal}/attach"
            | "/api/v1/sandboxes/{id}/desktop" => upgrading(request),
            _ => request,
        };
        let status = Person::send(request).await.status;
        assert_eq!(status, 404, "{} {path}", route.method);
    }
    assert!(walked >= 60, "{walked}");
    let left: Sandbox = owner
        .get(&format!("/api/v1/sandboxes/{}", sandbox.id))
        .await
        .expect(200);
    assert_eq!(left.state, SandboxState::Running);
    assert!(host.lock().snapshots.contains(&snapshot.id));
    let mine: Page<Session> = other.get("/api/v1/sessions").await.expect(200);
    assert!(mine.items.is_empty());
    let keys: Page<ApiKey> = owner.get("/api/v1/api-keys").await.expect(200);
    assert_eq!(keys.items.len(), 1);
    let session: Session = owner
        .get(&format!("/api/v1/sessions/{}", session.id))
        .await
        .expect(200);
    assert_eq!(session.active_turn, Some(turn.id));
}
