//! Sessions that others see or drive: who may do what, and what ends with that.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use helix_base::outbound::BoxedIo;
use helix_proto::{
    ErrorCode, SessionId,
    auth::Scope,
    desktop::{Codec, Greeting, Size, Up},
    live::{ClientMessage, ServerMessage},
    page::Page,
    sandbox::{Sandbox, SandboxState},
    session::Session,
    share::{CreatedShare, SessionShare, ShareRight},
};
use http::Method;
use serde_json::{Value, json};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

use crate::{
    agent_host::AgentHost,
    host::Host,
    live::{connect, connect_to, next, say},
    person::{Person, Proof},
    routes::{documented, filled, upgrading},
    sandboxes::made,
    world::{Kind, World, eventually},
};

on_both_databases!(
    what_is_shared_is_seen_then_driven_then_gone,
    a_link_is_taken_by_whoever_has_it,
    a_share_ends_by_itself,
    a_chat_is_shared_too,
);

/// The table of rights: `R` to read, `D` to drive, `O` to own. The last ones end what they are of.
const TABLE: &str = "
R GET /api/v1/sessions/{id}
O PATCH /api/v1/sessions/{id}
R GET /api/v1/sessions/{id}/agent
O PUT /api/v1/sessions/{id}/agent
D PUT /api/v1/sessions/{id}/agent-model
D POST /api/v1/sessions/{id}/agent/restart
D POST /api/v1/sessions/{id}/agent/stop
R GET /api/v1/sessions/{id}/events
D POST /api/v1/sessions/{id}/interrupt
D POST /api/v1/sessions/{id}/keep-waiting
R GET /api/v1/sessions/{id}/messages
D POST /api/v1/sessions/{id}/messages
D PUT /api/v1/sessions/{id}/mode
R GET /api/v1/sessions/{id}/model-usage
D POST /api/v1/sessions/{id}/permissions/{thread}/{request}
D POST /api/v1/sessions/{id}/prompts
D DELETE /api/v1/sessions/{id}/prompts/{turn}
D PUT /api/v1/sessions/{id}/prompts/{turn}
D POST /api/v1/sessions/{id}/prompts/{turn}/move
D POST /api/v1/sessions/{id}/release
O GET /api/v1/sessions/{id}/shares
O POST /api/v1/sessions/{id}/shares
O DELETE /api/v1/sessions/{id}/shares/{share}
O PATCH /api/v1/sessions/{id}/shares/{share}
D POST /api/v1/sessions/{id}/turns/{turn}/cancel
D POST /api/v1/sessions/{id}/turns/{turn}/edit
D POST /api/v1/sessions/{id}/turns/{turn}/regenerate
R GET /api/v1/sandboxes/{id}
O PATCH /api/v1/sandboxes/{id}
R GET /api/v1/sandboxes/{id}/desktop
R GET /api/v1/sandboxes/{id}/desktop/automation
D PUT /api/v1/sandboxes/{id}/desktop/automation
D GET /api/v1/sandboxes/{id}/desktop/clipboard
D PUT /api/v1/sandboxes/{id}/desktop/clipboard
D POST /api/v1/sandboxes/{id}/desktop/input
D DELETE /api/v1/sandboxes/{id}/desktop/recording
R GET /api/v1/sandboxes/{id}/desktop/recording
D POST /api/v1/sandboxes/{id}/desktop/recording
R GET /api/v1/sandboxes/{id}/desktop/screenshot
R GET /api/v1/sandboxes/{id}/desktop/status
R GET /api/v1/sandboxes/{id}/desktop/thumbnail
R GET /api/v1/sandboxes/{id}/desktop/windows
D POST /api/v1/sandboxes/{id}/desktop/windows/{window}/close
D POST /api/v1/sandboxes/{id}/desktop/windows/{window}/focus
D GET /api/v1/sandboxes/{id}/exec
D POST /api/v1/sandboxes/{id}/exec
D DELETE /api/v1/sandboxes/{id}/exec/{exec}
D GET /api/v1/sandboxes/{id}/exec/{exec}
D GET /api/v1/sandboxes/{id}/exec/{exec}/events
D POST /api/v1/sandboxes/{id}/exec/{exec}/signal
D POST /api/v1/sandboxes/{id}/exec/{exec}/stdin
D DELETE /api/v1/sandboxes/{id}/files
R GET /api/v1/sandboxes/{id}/files/archive
D PUT /api/v1/sandboxes/{id}/files/archive
R GET /api/v1/sandboxes/{id}/files/content
D PUT /api/v1/sandboxes/{id}/files/content
D POST /api/v1/sandboxes/{id}/files/directory
R GET /api/v1/sandboxes/{id}/files/list
D POST /api/v1/sandboxes/{id}/files/move
R GET /api/v1/sandboxes/{id}/files/stat
R GET /api/v1/sandboxes/{id}/files/watch
O POST /api/v1/sandboxes/{id}/fork
R GET /api/v1/sandboxes/{id}/git/branches
D POST /api/v1/sandboxes/{id}/git/checkout
O POST /api/v1/sandboxes/{id}/git/clone
D POST /api/v1/sandboxes/{id}/git/commit
R GET /api/v1/sandboxes/{id}/git/diff
O POST /api/v1/sandboxes/{id}/git/push
R GET /api/v1/sandboxes/{id}/git/status
D GET /api/v1/sandboxes/{id}/logs
D POST /api/v1/sandboxes/{id}/port-links
D GET /api/v1/sandboxes/{id}/ports
D GET /api/v1/sandboxes/{id}/ports/{port}
D DELETE /api/v1/sandboxes/{id}/ports/{port}/
D GET /api/v1/sandboxes/{id}/ports/{port}/
D HEAD /api/v1/sandboxes/{id}/ports/{port}/
D OPTIONS /api/v1/sandboxes/{id}/ports/{port}/
D PATCH /api/v1/sandboxes/{id}/ports/{port}/
D POST /api/v1/sandboxes/{id}/ports/{port}/
D PUT /api/v1/sandboxes/{id}/ports/{port}/
D DELETE /api/v1/sandboxes/{id}/ports/{port}/{path}
D GET /api/v1/sandboxes/{id}/ports/{port}/{path}
D HEAD /api/v1/sandboxes/{id}/ports/{port}/{path}
D OPTIONS /api/v1/sandboxes/{id}/ports/{port}/{path}
D PATCH /api/v1/sandboxes/{id}/ports/{port}/{path}
D POST /api/v1/sandboxes/{id}/ports/{port}/{path}
D PUT /api/v1/sandboxes/{id}/ports/{port}/{path}
O GET /api/v1/sandboxes/{id}/secrets
O PUT /api/v1/sandboxes/{id}/secrets
O POST /api/v1/sandboxes/{id}/snapshots
R GET /api/v1/sandboxes/{id}/stats
R GET /api/v1/sandboxes/{id}/stats/stream
D GET /api/v1/sandboxes/{id}/terminals
D POST /api/v1/sandboxes/{id}/terminals
D DELETE /api/v1/sandboxes/{id}/terminals/{terminal}
D GET /api/v1/sandboxes/{id}/terminals/{terminal}/attach
O POST /api/v1/sandboxes/{id}/pause
D POST /api/v1/sandboxes/{id}/resume
D POST /api/v1/sandboxes/{id}/start
R POST /api/v1/sessions/{id}/leave
O POST /api/v1/sandboxes/{id}/stop
O DELETE /api/v1/sandboxes/{id}
O DELETE /api/v1/sessions/{id}
";

/// Where the agent of every session here works.
const DIRECTORY: &str = "/home/user/app";

struct Stage {
    world: World,
    owner: Person,
    other: Person,
    /// Stays connected.
    _host: Host,
    _agents: AgentHost,
    sandbox: Sandbox,
    session: SessionId,
}

impl Stage {
    async fn new(world: World) -> Self {
        let admin = world.admin().await;
        let host = Host::connect(&world, &admin).await;
        let agents = AgentHost::connect(&world, &host.created.credential).await;
        let owner = world.member("owner").await;
        let other = world.member("other").await;
        let sandbox = made(&owner, json!({})).await;
        let agent = json!({"agent": "opencode", "sandbox_id": sandbox.id, "directory": DIRECTORY});
        let body = json!({"model": "scripted/m", "agent": agent});
        let session: Session = owner.post("/api/v1/sessions", body).await.expect(201);
        Self {
            world,
            owner,
            other,
            _host: host,
            _agents: agents,
            sandbox,
            session: session.id,
        }
    }

    fn path(&self, rest: &str) -> String {
        format!("/api/v1/sessions/{}{rest}", self.session)
    }

    fn within(&self, rest: &str) -> String {
        format!("/api/v1/sandboxes/{}{rest}", self.sandbox.id)
    }

    async fn share(&self, body: Value) -> CreatedShare {
        self.owner
            .post(&self.path("/shares"), body)
            .await
            .expect(201)
    }

    async fn share_with(&self, name: &str, right: &str) -> SessionShare {
        let email = format!("{name}@example.org");
        self.share(json!({"right": right, "email": email}))
            .await
            .share
    }

    async fn desktop(&self) -> WebSocketStream<BoxedIo> {
        connect_to(&self.world, &self.other, &self.within("/desktop")).await
    }
}

fn rights() -> Vec<(char, Method, String)> {
    let line = |line: &str| {
        let mut words = line.split(' ');
        let right = words.next().unwrap().chars().next().unwrap();
        let method = words.next().unwrap().parse().unwrap();
        (right, method, words.next().unwrap().to_owned())
    };
    TABLE
        .lines()
        .filter(|it| !it.is_empty())
        .map(line)
        .collect()
}

#[test]
fn every_route_of_a_session_and_of_a_sandbox_is_in_the_table_of_rights() {
    let of_one = |path: &str| {
        path.starts_with("/api/v1/sessions/{id}") || path.starts_with("/api/v1/sandboxes/{id}")
    };
    let mut want: Vec<_> = documented()
        .into_iter()
        .filter(|route| of_one(&route.path))
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    let mut have: Vec<_> = rights()
        .into_iter()
        .map(|(_, method, path)| format!("{method} {path}"))
        .collect();
    want.sort();
    have.sort();
    assert_eq!(have, want);
}

/// Whether somebody was let in; `None` where there is nothing for them.
async fn let_in(stage: &Stage, person: &Person, method: &Method, path: &str) -> Option<bool> {
    let ids = [
        ("{share}", "shr_01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        ("{turn}", "trn_01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        ("{thread}", "thr_01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        ("{terminal}", "trm_01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        ("{exec}", "exe_01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        ("{request}", "1"),
        ("{window}", "1"),
        ("{port}", "80"),
    ];
    let id = match path.starts_with("/api/v1/sessions") {
        true => stage.session.to_string(),
        false => stage.sandbox.id.to_string(),
    };
    let path = ids
        .iter()
        .fold(path.replace("{id}", &id), |path, (name, id)| {
            path.replace(name, id)
        });
    let mut path = filled(&path, "x");
    if path.contains("/files") {
        path.push_str("?path=app/x");
    } else if path.contains("/git/") {
        path.push_str("?directory=app");
    }
    let request = person.request(method.clone(), &path);
    let request = match *method {
        _ if path.ends_with("/attach") || path.ends_with("/desktop") => upgrading(request),
        Method::GET | Method::DELETE | Method::HEAD => request,
        _ => request.json(&json!({})),
    };
    // What streams is not read.
    let response = request.send().await.unwrap();
    match response.status().as_u16() {
        403 => Some(false),
        // Says nothing; what is in the sandbox answers 200.
        404 if *method == Method::HEAD => None,
        404 => {
            let said = response.text().await.unwrap();
            let nothing = ["no such session", "no such sandbox"];
            (!nothing.iter().any(|words| said.contains(words))).then_some(true)
        }
        _ => Some(true),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_may_do_what_they_may_and_no_more() {
    let world = World::start_with(Kind::Sqlite, |options| {
        options.limits.streams_per_user = 100;
        options.sandboxes.max_requests_per_user = 1_000;
    });
    let stage = Stage::new(world.await).await;
    let reader = stage.world.member("reader").await;
    let driver = stage.world.member("driver").await;
    stage.share_with("reader", "read").await;
    stage.share_with("driver", "drive").await;
    let key = driver
        .key(&[Scope::Sessions, Scope::Sandboxes, Scope::Admin])
        .await;
    let key = stage.world.stranger().with(Proof::Bearer(key.secret));
    let mut faults = Vec::new();
    let mut check =
        |who: &str, method: &Method, path: &str, is: Option<bool>, want: Option<bool>| {
            if is != want {
                faults.push(format!(
                    "{who}: {method} {path}: {is:?} instead of {want:?}"
                ));
            }
        };
    for (right, method, path) in rights() {
        // That of whoever leaves ends.
        if path.ends_with("/leave") {
            continue;
        }
        for (who, person, may) in [
            ("stranger", &stage.other, None),
            ("reader", &reader, Some(right == 'R')),
            ("driver", &driver, Some(right != 'O')),
            ("driver's key", &key, Some(right != 'O')),
            ("owner", &stage.owner, Some(true)),
        ] {
            let is = let_in(&stage, person, &method, &path).await;
            check(who, &method, &path, is, may);
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_reads_files_of_the_session_and_no_others() {
    let stage = Stage::new(World::start(Kind::Sqlite).await).await;
    stage.share_with("other", "read").await;
    for fine in [
        "path=app",
        "path=/home/user/app/a%2520b",
        "path=app&user=user",
    ] {
        let path = stage.within(&format!("/files/list?{fine}"));
        assert_eq!(stage.other.get(&path).await.status, 200, "{fine}");
    }
    for not in [
        "",
        "path=/",
        "path=app/..",
        "path=app/%252e%252e/x",
        "path=/proc/self/environ",
        "path=app&user=root",
        "path=app&path=/etc",
    ] {
        let path = stage.within(&format!("/files/content?{not}"));
        let said = stage.other.get(&path).await.error(ErrorCode::Forbidden);
        assert!(said.message.contains(DIRECTORY), "{not}: {}", said.message);
    }
    let outside = stage.within("/git/status?directory=/etc");
    stage.other.get(&outside).await.error(ErrorCode::Forbidden);
    let home = stage.within("/git/status");
    stage.other.get(&home).await.error(ErrorCode::Forbidden);
}

/// The close code of a socket, within 20 s.
async fn closes(socket: &mut WebSocketStream<BoxedIo>) -> u16 {
    let closing = async {
        loop {
            match socket.next().await.expect("a goodbye").unwrap() {
                Message::Close(frame) => return frame.unwrap().code.into(),
                _ => continue,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), closing)
        .await
        .expect("an end in time")
}

async fn back(socket: &mut WebSocketStream<BoxedIo>) -> Up {
    loop {
        if let Message::Binary(bytes) = socket.next().await.unwrap().unwrap() {
            return Up::decode(bytes).unwrap();
        }
    }
}

async fn up(socket: &mut WebSocketStream<BoxedIo>, up: &Up) {
    let message = Message::Binary(up.encode().unwrap());
    socket.send(message).await.unwrap();
}

fn hello(looks_on: bool) -> Up {
    Up::Hello(Greeting {
        looks_on,
        patches: false,
        size: Size::new(640, 480).unwrap(),
        codecs: vec![Codec::H264],
        name: "Other".to_owned(),
    })
}

async fn follow(stage: &Stage) -> WebSocketStream<BoxedIo> {
    let mut live = connect(&stage.world, &stage.other).await;
    let follow = ClientMessage::Follow {
        session_id: stage.session,
        after: 0,
    };
    say(&mut live, &follow).await;
    live
}

async fn what_is_shared_is_seen_then_driven_then_gone(world: World) {
    let stage = Stage::new(world).await;
    let prompt = json!({"content": [{"type": "text", "text": "do it"}]});
    let mut list = connect(&stage.world, &stage.other).await;
    let share = stage.share_with("other", "read").await;
    assert_eq!(share.people[0].email, "other@example.org");
    next(&mut list, |message| {
        (message == ServerMessage::SharesChanged).then_some(())
    })
    .await;
    let again = json!({"right": "drive", "email": "other@example.org"});
    let again = stage.owner.post(&stage.path("/shares"), again).await;
    again.error(ErrorCode::Conflict);

    // Seen: in the list, in the log as it goes, and the desktop without hands.
    let seen: Page<Session> = stage
        .other
        .get("/api/v1/sessions?shared=true")
        .await
        .expect(200);
    let shared = seen.items[0].shared.clone().unwrap();
    assert_eq!((shared.right, &*shared.owner), (ShareRight::Read, "owner"));
    let own: Page<Session> = stage.other.get("/api/v1/sessions").await.expect(200);
    assert!(own.items.is_empty());
    let one: Session = stage.other.get(&stage.path("")).await.expect(200);
    assert_eq!(one.shared, Some(shared));
    let mut live = follow(&stage).await;
    let refused = stage
        .other
        .post(&stage.path("/prompts"), prompt.clone())
        .await;
    refused.error(ErrorCode::Forbidden);
    let asked = stage
        .owner
        .post(&stage.path("/prompts"), prompt.clone())
        .await;
    assert_eq!(asked.status, 202);
    next(&mut live, |message| match message {
        ServerMessage::SessionEvent { event, .. } => Some(event),
        _ => None,
    })
    .await;
    let renamed = stage
        .owner
        .patch(&stage.within(""), json!({"name": "seen by both"}))
        .await;
    assert_eq!(renamed.status, 200);
    next(&mut live, |message| match message {
        ServerMessage::SandboxChanged { sandbox } => (sandbox.name == "seen by both").then_some(()),
        _ => None,
    })
    .await;
    let mut desktop = stage.desktop().await;
    up(&mut desktop, &hello(false)).await;
    assert_eq!(back(&mut desktop).await, hello(true));
    up(&mut desktop, &Up::TakeOver).await;
    up(&mut desktop, &Up::Text("rm".to_owned())).await;
    desktop
        .send(Message::Text("anything".into()))
        .await
        .unwrap();
    up(&mut desktop, &Up::Ping { token: 7 }).await;
    assert_eq!(back(&mut desktop).await, Up::Ping { token: 7 });

    // Driven: what was open begins anew, and has hands now. The log goes on.
    let path = stage.path(&format!("/shares/{}", share.id));
    let changed: SessionShare = stage
        .owner
        .patch(&path, json!({"right": "drive"}))
        .await
        .expect(200);
    assert_eq!(changed.right, ShareRight::Drive);
    assert_eq!(closes(&mut desktop).await, 1013);
    let mut desktop = stage.desktop().await;
    up(&mut desktop, &Up::TakeOver).await;
    assert_eq!(back(&mut desktop).await, Up::TakeOver);
    let terminal = stage.within("/terminals/trm_01ARZ3NDEKTSV4RRFFQ69G5FAV/attach");
    let mut terminal = connect_to(&stage.world, &stage.other, &terminal).await;
    let asked = stage
        .other
        .post(&stage.path("/prompts"), prompt.clone())
        .await;
    assert_eq!(asked.status, 202);
    next(&mut live, |message| match message {
        ServerMessage::SessionEvent { event, .. } => (event.seq >= 2).then_some(()),
        _ => None,
    })
    .await;
    // Not shared on.
    let on = json!({"right": "read"});
    stage
        .other
        .post(&stage.path("/shares"), on)
        .await
        .error(ErrorCode::Forbidden);

    // Gone: with what is open.
    let path = stage.path("/events");
    let mut log = stage
        .other
        .request(Method::GET, &path)
        .send()
        .await
        .unwrap()
        .bytes_stream();
    let path = stage.path(&format!("/shares/{}", share.id));
    assert_eq!(stage.owner.delete(&path).await.status, 204);
    assert_eq!(closes(&mut desktop).await, 1013);
    assert_eq!(closes(&mut terminal).await, 1013);
    next(&mut live, |message| match message {
        ServerMessage::Error { session_id, .. } => {
            (session_id == Some(stage.session)).then_some(())
        }
        _ => None,
    })
    .await;
    let ending = async { while log.next().await.is_some_and(|part| part.is_ok()) {} };
    tokio::time::timeout(Duration::from_secs(10), ending)
        .await
        .expect("an end of the log");
    stage
        .other
        .get(&stage.path(""))
        .await
        .error(ErrorCode::NotFound);
    stage
        .other
        .get(&stage.within(""))
        .await
        .error(ErrorCode::NotFound);
    let seen: Page<Session> = stage
        .other
        .get("/api/v1/sessions?shared=true")
        .await
        .expect(200);
    assert!(seen.items.is_empty());
    let left: Sandbox = stage.owner.get(&stage.within("")).await.expect(200);
    assert_eq!(left.state, SandboxState::Running);
}

async fn a_link_is_taken_by_whoever_has_it(world: World) {
    let stage = Stage::new(world).await;
    let third = stage.world.member("third").await;
    let created = stage.share(json!({"right": "drive"})).await;
    let token = created.url.unwrap().rsplit('/').next().unwrap().to_owned();
    let body = json!({"token": token});
    stage
        .other
        .get(&stage.path(""))
        .await
        .error(ErrorCode::NotFound);
    let stranger = stage.world.stranger();
    stranger
        .post("/api/v1/shares/take", body.clone())
        .await
        .error(ErrorCode::Unauthenticated);
    for person in [&stage.other, &third, &stage.other] {
        let taken: Session = person
            .post("/api/v1/shares/take", body.clone())
            .await
            .expect(200);
        assert_eq!(taken.shared.unwrap().right, ShareRight::Drive);
    }
    let own: Session = stage
        .owner
        .post("/api/v1/shares/take", body.clone())
        .await
        .expect(200);
    assert_eq!(own.shared, None);
    let shares: Vec<SessionShare> = stage.owner.get(&stage.path("/shares")).await.expect(200);
    let names: Vec<_> = shares[0]
        .people
        .iter()
        .map(|person| &*person.name)
        .collect();
    assert_eq!(names, ["other", "third"]);
    assert!(shares[0].is_link);
    // The token is not stored.
    let stored: Vec<(String,)> = sqlx::query_as("SELECT token_hash FROM session_shares")
        .fetch_all(stage.world.app.store().pool())
        .await
        .unwrap();
    assert!(stored.iter().all(|(hash,)| !hash.contains(&token)));

    // Who leaves has it no more, and may come again.
    assert_eq!(
        third.post(&stage.path("/leave"), json!({})).await.status,
        204
    );
    third.get(&stage.path("")).await.error(ErrorCode::NotFound);
    stage
        .owner
        .post(&stage.path("/leave"), json!({}))
        .await
        .error(ErrorCode::Conflict);
    third
        .post("/api/v1/shares/take", body.clone())
        .await
        .expect::<Session>(200);

    // A named share that is worth less takes nothing away.
    stage.share_with("other", "read").await;
    let seen: Session = stage.other.get(&stage.path("")).await.expect(200);
    assert_eq!(seen.shared.unwrap().right, ShareRight::Drive);

    let path = stage.path(&format!("/shares/{}", shares[0].id));
    assert_eq!(stage.owner.delete(&path).await.status, 204);
    stage.owner.delete(&path).await.error(ErrorCode::NotFound);
    third.get(&stage.path("")).await.error(ErrorCode::NotFound);
    third
        .post("/api/v1/shares/take", body)
        .await
        .error(ErrorCode::NotFound);
    let seen: Session = stage.other.get(&stage.path("")).await.expect(200);
    assert_eq!(seen.shared.unwrap().right, ShareRight::Read);
    for (body, field) in [
        (
            json!({"right": "read", "email": "nobody@example.org"}),
            "email",
        ),
        (
            json!({"right": "read", "email": "owner@example.org"}),
            "email",
        ),
        (json!({"right": "read", "ttl_ms": 1}), "ttl_ms"),
    ] {
        let answer = stage.owner.post(&stage.path("/shares"), body).await;
        let said = answer.error(ErrorCode::Invalid);
        assert_eq!(said.field.as_deref(), Some(field));
    }
}

async fn a_share_ends_by_itself(world: World) {
    let stage = Stage::new(world).await;
    let share = stage.share_with("other", "read").await;
    assert_eq!(stage.other.get(&stage.path("")).await.status, 200);
    let mut live = follow(&stage).await;
    sqlx::query("UPDATE session_shares SET expires_at_ms = $1 WHERE id = $2")
        .bind(1_i64)
        .bind(share.id.to_string())
        .execute(stage.world.app.store().pool())
        .await
        .unwrap();
    stage
        .other
        .get(&stage.path(""))
        .await
        .error(ErrorCode::NotFound);
    stage
        .other
        .get(&stage.within("/stats"))
        .await
        .error(ErrorCode::NotFound);
    next(&mut live, |message| match message {
        ServerMessage::Error { session_id, .. } => {
            (session_id == Some(stage.session)).then_some(())
        }
        _ => None,
    })
    .await;
    // And goes on where somebody says so.
    let path = stage.path(&format!("/shares/{}", share.id));
    let longer = stage.owner.patch(&path, json!({"ttl_ms": 3_600_000})).await;
    assert!(longer.expect::<SessionShare>(200).expires_at_ms.is_some());
    assert_eq!(stage.other.get(&stage.path("")).await.status, 200);
    let forever = stage.owner.patch(&path, json!({"ttl_ms": null})).await;
    assert_eq!(forever.expect::<SessionShare>(200).expires_at_ms, None);
}

async fn a_chat_is_shared_too(world: World) {
    world.admin().await;
    let (owner, other) = (world.member("owner").await, world.member("other").await);
    let chat: Session = owner
        .post("/api/v1/sessions", json!({"model": "scripted/m"}))
        .await
        .expect(201);
    let path = format!("/api/v1/sessions/{}", chat.id);
    let body = json!({"right": "drive", "email": "other@example.org"});
    owner
        .post(&format!("{path}/shares"), body)
        .await
        .expect::<CreatedShare>(201);
    let messages = format!("{path}/messages");
    let asked = other.post(&messages, json!({"content": "hello"})).await;
    assert_eq!(asked.status, 202);
    eventually("an answer", async || {
        let messages: Value = other.get(&format!("{path}/messages")).await.expect(200);
        (messages["turns"][0]["state"] == "completed").then_some(())
    })
    .await;
    let mut live = connect(&world, &other).await;
    assert_eq!(owner.delete(&path).await.status, 204);
    next(&mut live, |message| {
        (message == ServerMessage::SharesChanged).then_some(())
    })
    .await;
    other.get(&path).await.error(ErrorCode::NotFound);
}
