use std::time::Duration;

use helix_proto::{
    ErrorCode, SandboxId,
    auth::Scope,
    fleet::{CreatedJoinToken, JoinToken},
    page::Page,
    sandbox::{
        Egress, Sandbox, SandboxEndKind, SandboxLimits, SandboxLog, SandboxState, SandboxStats,
        Snapshot,
        host::{
            CreatedSandboxHost, HostEvent, LiveSetReport, Origin, SandboxHost, SandboxHostState,
        },
    },
};
use serde_json::{Value, json};

use crate::{
    host::{Host, Makes},
    person::{Person, Proof},
    world::{Kind, World, eventually},
};

on_both_databases!(
    a_sandbox_is_made_used_and_deleted,
    a_snapshot_and_a_fork_take_policy_and_limits_along,
    a_host_that_vanishes_in_the_middle_of_making_leaves_nothing_behind,
    a_host_that_is_back_is_told_what_to_keep_and_asked_for_what_is_missing,
    two_deletes_at_once_are_one,
    what_one_user_may_have_is_bounded,
    hosts_are_registered_renamed_drained_and_forgotten,
    a_join_token_is_for_one_role,
    pages_of_sandboxes_are_of_one_user_unless_an_administrator_asks,
    limits_and_times_change_later_and_count_at_once,
    a_member_sees_what_a_sandbox_can_be_made_of_and_no_more_of_hosts,
);

pub(crate) async fn made(person: &Person, body: Value) -> Sandbox {
    let sandbox: Sandbox = person.post("/api/v1/sandboxes", body).await.expect(201);
    assert_eq!(sandbox.state, SandboxState::Creating);
    is(person, sandbox.id, SandboxState::Running).await
}

fn path(id: SandboxId) -> String {
    format!("/api/v1/sandboxes/{id}")
}

/// Waits until a sandbox is in this state.
pub(crate) async fn is(person: &Person, id: SandboxId, state: SandboxState) -> Sandbox {
    eventually(&format!("{state:?}"), async || {
        let sandbox: Sandbox = person.get(&path(id)).await.expect(200);
        (sandbox.state == state).then_some(sandbox)
    })
    .await
}

async fn post(person: &Person, id: SandboxId, action: &str) -> Sandbox {
    let path = format!("{}/{action}", path(id));
    person.post(&path, json!({})).await.expect(200)
}

async fn a_sandbox_is_made_used_and_deleted(world: World) {
    let admin = world.admin().await;
    let member = world.member("member").await;
    let host = Host::connect(&world, &admin).await;
    let sandbox = made(
        &member,
        json!({"name": "mine", "env": {"A": "b"}, "ttl_ms": 60_000}),
    )
    .await;
    let spec = host.spec(sandbox.id);
    assert_eq!((&*spec.name, &*spec.env["A"]), ("mine", "b"));
    assert_eq!(spec.expires_at_ms, sandbox.expires_at_ms);
    assert!(sandbox.reachable && sandbox.host_id == Some(host.created.id));

    // Whoever looks next sees what was answered.
    for (action, state) in [
        ("pause", SandboxState::Paused),
        ("resume", SandboxState::Running),
        ("stop", SandboxState::Stopped),
    ] {
        assert_eq!(post(&member, sandbox.id, action).await.state, state);
        let seen: Sandbox = member.get(&path(sandbox.id)).await.expect(200);
        assert_eq!(seen.state, state);
    }
    let stopped: Sandbox = member.get(&path(sandbox.id)).await.expect(200);
    assert_eq!(stopped.end.unwrap().kind, SandboxEndKind::Requested);
    post(&member, sandbox.id, "start").await;
    is(&member, sandbox.id, SandboxState::Running).await;

    let changed = json!({"name": "ours", "egress": {"mode": "none"}});
    let changed: Sandbox = member.patch(&path(sandbox.id), changed).await.expect(200);
    assert_eq!((&*changed.name, &changed.egress), ("ours", &Egress::None));
    let stats: SandboxStats = member
        .get(&format!("{}/stats", path(sandbox.id)))
        .await
        .expect(200);
    assert_eq!(stats.memory_bytes, 7);
    let logs: SandboxLog = member
        .get(&format!("{}/logs?tail=3", path(sandbox.id)))
        .await
        .expect(200);
    assert_eq!(logs.lines[0].text, "tail=3");
    let metrics = String::from_utf8(member.get("/metrics").await.body.to_vec()).unwrap();
    assert!(
        metrics.contains("helix_sandboxes{state=\"running\"} 1"),
        "{metrics}"
    );
    assert!(
        metrics.contains("helix_sandbox_hosts{state=\"online\"} 1"),
        "{metrics}"
    );

    assert_eq!(member.delete(&path(sandbox.id)).await.status, 204);
    assert!(!host.has(sandbox.id));
    member
        .get(&path(sandbox.id))
        .await
        .error(ErrorCode::NotFound);
    member
        .delete(&path(sandbox.id))
        .await
        .error(ErrorCode::NotFound);
}

async fn a_snapshot_and_a_fork_take_policy_and_limits_along(world: World) {
    let admin = world.admin().await;
    let host = Host::connect(&world, &admin).await;
    let egress =
        json!({"mode": "allow_list", "rules": [{"to": "*.example.com", "ports": ["443"]}]});
    let limits = json!({"cpu_millis": 100, "memory_bytes": 64 << 20, "pids": 64,
        "disk_bytes": 128 << 20, "open_files": 256});
    let first = made(
        &admin,
        json!({"egress": egress, "limits": limits, "idle_timeout_ms": 5_000}),
    )
    .await;
    let same = |other: &Sandbox| {
        assert_eq!(other.egress, first.egress);
        assert_eq!(other.limits, first.limits);
        assert_eq!(other.idle_timeout_ms, first.idle_timeout_ms);
        assert_eq!(other.host_id, first.host_id);
    };
    let fork: Sandbox = admin
        .post(&format!("{}/fork", path(first.id)), json!({"name": "fork"}))
        .await
        .expect(201);
    same(&is(&admin, fork.id, SandboxState::Running).await);
    assert_eq!(host.spec(fork.id).origin, Some(Origin::Sandbox(first.id)));

    let taking = format!("{}/snapshots", path(first.id));
    let snapshot: Snapshot = admin.post(&taking, json!({})).await.expect(201);
    assert_eq!(snapshot.size_bytes, 9);
    let listed: Page<Snapshot> = admin.get("/api/v1/snapshots").await.expect(200);
    assert_eq!(listed.items, std::slice::from_ref(&snapshot));
    let again = made(&admin, json!({"snapshot_id": snapshot.id})).await;
    same(&again);
    assert_eq!(
        host.spec(again.id).origin,
        Some(Origin::Snapshot(snapshot.id))
    );
    let member = world.member("member").await;
    let stolen = json!({"snapshot_id": snapshot.id});
    member
        .post("/api/v1/sandboxes", stolen)
        .await
        .error(ErrorCode::NotFound);

    let one = format!("/api/v1/snapshots/{}", snapshot.id);
    assert_eq!(admin.delete(&one).await.status, 204);
    assert!(host.lock().snapshots.is_empty());
    admin.get(&one).await.error(ErrorCode::NotFound);

    host.lock().makes = Makes::Refused;
    let refused = admin
        .post(&taking, json!({}))
        .await
        .error(ErrorCode::InsufficientStorage);
    assert!(
        refused.message.contains("nearly full"),
        "{}",
        refused.message
    );
    let listed: Page<Snapshot> = admin.get("/api/v1/snapshots").await.expect(200);
    assert_eq!(listed.items, []);
}

async fn a_host_that_vanishes_in_the_middle_of_making_leaves_nothing_behind(mut world: World) {
    world.stop().await;
    let world = world
        .restart_with(|options| {
            options.sandboxes.create_timeout = Duration::from_millis(1_500);
            options.tunnel.grace = Duration::from_millis(100);
        })
        .await;
    let admin = world.admin().await;
    let host = Host::connect(&world, &admin).await;
    host.lock().makes = Makes::Never;
    let sandbox: Sandbox = admin.post("/api/v1/sandboxes", json!({})).await.expect(201);
    eventually("the host to begin", async || {
        host.has(sandbox.id).then_some(())
    })
    .await;
    host.vanish();
    host.is_seen_as(&admin, "offline").await;
    let away: Sandbox = admin.get(&path(sandbox.id)).await.expect(200);
    assert!(!away.reachable);
    let failed = is(&admin, sandbox.id, SandboxState::Failed).await;
    assert_eq!(failed.end.unwrap().kind, SandboxEndKind::Timeout);
    let started = admin
        .post(&format!("{}/start", path(sandbox.id)), json!({}))
        .await;
    started.error(ErrorCode::Conflict);

    // It made it after all; nobody waits for it any more.
    host.lock().sandboxes.get_mut(&sandbox.id).unwrap().1.state = SandboxState::Running;
    host.dial();
    eventually("the live set", async || {
        (!host.has(sandbox.id)).then_some(())
    })
    .await;
    is(&admin, sandbox.id, SandboxState::Failed).await;
    assert_eq!(admin.delete(&path(sandbox.id)).await.status, 204);
    let list: Page<Sandbox> = admin.get("/api/v1/sandboxes").await.expect(200);
    assert_eq!(list.items, []);
}

async fn a_host_that_is_back_is_told_what_to_keep_and_asked_for_what_is_missing(mut world: World) {
    world.stop().await;
    let world = world
        .restart_with(|options| options.tunnel.grace = Duration::from_millis(100))
        .await;
    let admin = world.admin().await;
    let host = Host::connect(&world, &admin).await;
    let (kept, deleted, lost) = (
        made(&admin, json!({"name": "kept"})).await,
        made(&admin, json!({"name": "deleted"})).await,
        made(&admin, json!({"name": "lost"})).await,
    );
    host.lock().makes = Makes::Never;
    let late: Sandbox = admin
        .post("/api/v1/sandboxes", json!({"name": "late"}))
        .await
        .expect(201);
    eventually("the host to begin", async || {
        host.has(late.id).then_some(())
    })
    .await;
    host.vanish();
    host.is_seen_as(&admin, "offline").await;
    let refused = admin
        .post(&format!("{}/pause", path(kept.id)), json!({}))
        .await;
    let refused = refused.error(ErrorCode::Unavailable);
    assert!(
        refused.message.contains("not connected"),
        "{}",
        refused.message
    );
    assert_eq!(admin.delete(&path(deleted.id)).await.status, 204);
    admin
        .get(&path(deleted.id))
        .await
        .error(ErrorCode::NotFound);
    {
        let mut inner = host.lock();
        inner.makes = Makes::Running;
        inner.live_sets.clear();
        for gone in [lost.id, late.id] {
            inner.sandboxes.remove(&gone);
        }
        inner.sandboxes.get_mut(&kept.id).unwrap().1.state = SandboxState::Stopped;
    }
    host.dial();
    is(&admin, late.id, SandboxState::Running).await;
    is(&admin, kept.id, SandboxState::Stopped).await;
    let lost = is(&admin, lost.id, SandboxState::Failed).await;
    assert_eq!(lost.end.unwrap().kind, SandboxEndKind::HostRestarted);
    eventually("the removal", async || {
        (!host.has(deleted.id)).then_some(())
    })
    .await;
    let set = eventually("the live set", async || {
        host.lock().live_sets.first().cloned()
    })
    .await;
    assert!(set.sandboxes.contains(&kept.id) && !set.sandboxes.contains(&deleted.id));
    let report: LiveSetReport = admin
        .get(&format!("{}/live-set", host.path()))
        .await
        .expect(200);
    assert!(
        report.decisions.iter().all(|decision| !decision.remove),
        "{report:?}"
    );
    assert!(host.lock().live_sets.last().unwrap().dry_run);
    eventually("the row to go", async || {
        let host: SandboxHost = admin.get(&host.path()).await.expect(200);
        (host.sandboxes == 3).then_some(())
    })
    .await;
}

async fn two_deletes_at_once_are_one(world: World) {
    let admin = world.admin().await;
    let host = Host::connect(&world, &admin).await;
    let sandbox = made(&admin, json!({})).await;
    let path = path(sandbox.id);
    let (first, second) = tokio::join!(admin.delete(&path), admin.delete(&path));
    // The second may come after everything is over.
    let mut statuses = [first.status.as_u16(), second.status.as_u16()];
    statuses.sort_unstable();
    assert!(matches!(statuses, [204, 204 | 404]), "{statuses:?}");
    assert!(!host.has(sandbox.id));
}

async fn what_one_user_may_have_is_bounded(mut world: World) {
    world.stop().await;
    let world = world
        .restart_with(|options| {
            options.sandboxes.max_per_user = 2;
            options.sandboxes.max_running_per_user = 1;
            options.sandboxes.max_snapshots_per_user = 0;
        })
        .await;
    let admin = world.admin().await;
    let refused = admin.post("/api/v1/sandboxes", json!({})).await;
    assert_eq!(
        refused.error(ErrorCode::Unavailable).message,
        "there is no sandbox host"
    );
    let _host = Host::connect(&world, &admin).await;
    let refused = admin
        .post("/api/v1/sandboxes", json!({"docker": true}))
        .await;
    let refused = refused.error(ErrorCode::Unavailable).message;
    assert!(refused.contains("there is no dockerd"), "{refused}");
    let first = made(&admin, json!({})).await;
    let create = async || admin.post("/api/v1/sandboxes", json!({})).await;
    let refused = create().await.error(ErrorCode::Conflict).message;
    assert!(refused.contains("2 of at most 1 running"), "{refused}");
    let refused = admin
        .post(&format!("{}/fork", path(first.id)), json!({}))
        .await;
    refused.error(ErrorCode::Conflict);
    let refused = admin
        .post(&format!("{}/snapshots", path(first.id)), json!({}))
        .await;
    refused.error(ErrorCode::Conflict);
    post(&admin, first.id, "stop").await;
    let second: Sandbox = create().await.expect(201);
    is(&admin, second.id, SandboxState::Running).await;
    let started = admin
        .post(&format!("{}/start", path(first.id)), json!({}))
        .await;
    started.error(ErrorCode::Conflict);
    is(&admin, first.id, SandboxState::Stopped).await;
    post(&admin, second.id, "stop").await;
    let refused = create().await.error(ErrorCode::Conflict).message;
    assert!(refused.contains("3 of at most 2 sandboxes"), "{refused}");
    // What another has is not counted.
    let other = world.member("other").await;
    let theirs: Sandbox = other.post("/api/v1/sandboxes", json!({})).await.expect(201);
    is(&other, theirs.id, SandboxState::Running).await;
}

async fn hosts_are_registered_renamed_drained_and_forgotten(world: World) {
    let admin = world.admin().await;
    let host = Host::connect(&world, &admin).await;
    let patched: SandboxHost = admin
        .patch(&host.path(), json!({"name": "second"}))
        .await
        .expect(200);
    assert_eq!(patched.name, "second");
    let sandbox = made(&admin, json!({})).await;
    let drained = admin
        .post(&format!("{}/drain", host.path()), json!({}))
        .await;
    assert_eq!(
        drained.expect::<SandboxHost>(200).state,
        SandboxHostState::Draining
    );
    let refused = admin.post("/api/v1/sandboxes", json!({})).await;
    let refused = refused.error(ErrorCode::Unavailable).message;
    assert!(refused.contains("draining"), "{refused}");
    let resumed = admin
        .post(&format!("{}/resume", host.path()), json!({}))
        .await;
    assert_eq!(resumed.expect::<SandboxHost>(200).sandboxes, 1);

    let rotated = admin
        .post(&format!("{}/credential", host.path()), json!({}))
        .await;
    let rotated: CreatedSandboxHost = rotated.expect(200);
    assert!(rotated.credential.starts_with("hxs_"));
    host.is_seen_as(&admin, "offline").await;
    let again = Host::with(&world, rotated);
    again.lock().sandboxes = std::mem::take(&mut host.lock().sandboxes);
    again.dial();
    again.is_seen_as(&admin, "online").await;
    is(&admin, sandbox.id, SandboxState::Running).await;

    admin.delete(&host.path()).await.error(ErrorCode::Conflict);
    assert_eq!(
        admin
            .delete(&format!("{}?force=true", host.path()))
            .await
            .status,
        204
    );
    admin
        .get(&path(sandbox.id))
        .await
        .error(ErrorCode::NotFound);
    admin.get(&host.path()).await.error(ErrorCode::NotFound);
    let hosts: Vec<SandboxHost> = admin.get("/api/v1/sandbox-hosts").await.expect(200);
    assert!(hosts.is_empty());
}

async fn a_join_token_is_for_one_role(world: World) {
    let admin = world.admin().await;
    let token = async |role: Option<&str>| {
        let body = match role {
            Some(role) => json!({"name": "racks", "role": role, "max_uses": 9}),
            None => json!({"name": "racks", "max_uses": 9}),
        };
        let created: CreatedJoinToken = admin.post("/api/v1/join-tokens", body).await.expect(201);
        created.secret
    };
    let (runners, hosts) = (token(None).await, token(Some("sandbox_host")).await);
    let listed: Vec<JoinToken> = admin.get("/api/v1/join-tokens").await.expect(200);
    assert_eq!(listed.len(), 2);
    assert_ne!(listed[0].role, listed[1].role);
    let stranger = world.stranger();
    let join = async |kind: &str, token: &str| {
        let body = json!({"token": token, "name": "rack-1"});
        stranger.post(&format!("/api/v1/{kind}/join"), body).await
    };
    join("runners", &hosts)
        .await
        .error(ErrorCode::Unauthenticated);
    join("sandbox-hosts", &runners)
        .await
        .error(ErrorCode::Unauthenticated);
    assert_eq!(join("runners", &runners).await.status, 201);
    let created: CreatedSandboxHost = join("sandbox-hosts", &hosts).await.expect(201);
    let host = Host::with(&world, created);
    host.dial();
    host.is_seen_as(&admin, "online").await;
}

async fn pages_of_sandboxes_are_of_one_user_unless_an_administrator_asks(world: World) {
    let admin = world.admin().await;
    let member = world.member("member").await;
    let _host = Host::connect(&world, &admin).await;
    let mut own = Vec::new();
    for _ in 0..3 {
        own.push(made(&member, json!({})).await.id);
    }
    own.reverse();
    made(&admin, json!({})).await;
    let list = async |person: &Person, query: &str| -> Page<Sandbox> {
        person
            .get(&format!("/api/v1/sandboxes{query}"))
            .await
            .expect(200)
    };
    let first = list(&member, "?limit=2").await;
    let next = first.next_cursor.unwrap();
    let second = list(&member, &format!("?limit=2&cursor={next}")).await;
    assert_eq!(second.next_cursor, None);
    let paged = first.items.iter().chain(&second.items).map(|it| it.id);
    assert!(paged.eq(own));
    assert_eq!(list(&admin, "").await.items.len(), 1);
    assert_eq!(list(&admin, "?user=all").await.items.len(), 4);
    assert_eq!(list(&admin, "?user=all&state=stopped").await.items.len(), 0);
    let theirs = format!("?user={}", first.items[0].user_id);
    assert_eq!(list(&admin, &theirs).await.items.len(), 3);
    let refused = member.get("/api/v1/sandboxes?user=all").await;
    refused.error(ErrorCode::Forbidden);
    let refused = admin.get("/api/v1/sandboxes?cursor=nonsense").await;
    refused.error(ErrorCode::Invalid);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_host_refuses_is_told_with_its_reason() {
    let world = World::start(Kind::Sqlite).await;
    let admin = world.admin().await;
    let host = Host::connect(&world, &admin).await;
    host.lock().makes = Makes::Refused;
    let sandbox: Sandbox = admin.post("/api/v1/sandboxes", json!({})).await.expect(201);
    let failed = is(&admin, sandbox.id, SandboxState::Failed)
        .await
        .end
        .unwrap();
    assert_eq!(failed.kind, SandboxEndKind::DiskFull);
    assert_eq!(failed.message, "the disk is nearly full");
    host.lock().makes = Makes::Running;
    let sandbox = made(&admin, json!({})).await;
    post(&admin, sandbox.id, "stop").await;
    host.lock().makes = Makes::Refused;
    let refused = admin
        .post(&format!("{}/start", path(sandbox.id)), json!({}))
        .await;
    refused.error(ErrorCode::Conflict);
    is(&admin, sandbox.id, SandboxState::Stopped).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_speaks_for_its_own_sandboxes_only() {
    let world = World::start(Kind::Sqlite).await;
    let admin = world.admin().await;
    let host = Host::connect(&world, &admin).await;
    let sandbox = made(&admin, json!({})).await;
    let evil = Host::connect(&world, &admin).await;
    {
        let mut status = host.lock().sandboxes[&sandbox.id].1.clone();
        status.state = SandboxState::Failed;
        let mut inner = evil.lock();
        inner.tell(HostEvent::Sandbox(status));
        inner.tell(HostEvent::Gone(sandbox.id));
    }
    // What it says of its own comes after what it said of the other's.
    let body = json!({"host_id": evil.created.id});
    let own = made(&admin, body).await;
    evil.becomes(own.id, SandboxState::Stopped, None);
    is(&admin, own.id, SandboxState::Stopped).await;
    is(&admin, sandbox.id, SandboxState::Running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_for_sandboxes_is_for_nothing_else() {
    let world = World::start(Kind::Sqlite).await;
    let admin = world.admin().await;
    let key = admin.key(&[Scope::Sandboxes]).await.secret;
    let key = world.stranger().with(Proof::Bearer(key));
    let _: Page<Sandbox> = key.get("/api/v1/sandboxes").await.expect(200);
    key.get("/api/v1/sessions")
        .await
        .error(ErrorCode::Forbidden);
    key.get("/api/v1/sandbox-hosts")
        .await
        .error(ErrorCode::Forbidden);
    let invalid = json!({"egress": {"mode": "allow_list", "rules": [{"to": ""}]}});
    let invalid = key.post("/api/v1/sandboxes", invalid).await;
    assert_eq!(
        invalid.error(ErrorCode::Invalid).field.as_deref(),
        Some("egress.rules[0].to")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sandbox_that_takes_too_long_is_removed_from_its_host_and_shown_with_the_reason() {
    let world = World::start_with(Kind::Sqlite, |options| {
        options.sandboxes.create_timeout = Duration::from_millis(200);
    })
    .await;
    let admin = world.admin().await;
    let host = Host::connect(&world, &admin).await;
    host.lock().makes = Makes::Never;
    let sandbox: Sandbox = admin.post("/api/v1/sandboxes", json!({})).await.expect(201);
    let failed = is(&admin, sandbox.id, SandboxState::Failed).await;
    assert_eq!(failed.end.unwrap().kind, SandboxEndKind::Timeout);
    eventually("the removal", async || {
        host.lock().deletes.contains(&sandbox.id).then_some(())
    })
    .await;
    is(&admin, sandbox.id, SandboxState::Failed).await;
    assert_eq!(admin.delete(&path(sandbox.id)).await.status, 204);
    admin
        .get(&path(sandbox.id))
        .await
        .error(ErrorCode::NotFound);
}

async fn limits_and_times_change_later_and_count_at_once(world: World) {
    let admin = world.admin().await;
    let member = world.member("member").await;
    let host = Host::connect(&world, &admin).await;
    let sandbox = made(&member, json!({"idle_timeout_ms": 60_000})).await;
    let here = path(sandbox.id);
    let body = json!({"limits": {"memory_bytes": 8_u64 << 30, "pids": 64}, "ttl_ms": 3_600_000});
    let changed: Sandbox = member.patch(&here, body).await.expect(200);
    assert_eq!(changed.limits.memory_bytes, 8 << 30);
    assert_eq!(changed.limits.pids, 64);
    assert_eq!(changed.limits.cpu_millis, sandbox.limits.cpu_millis);
    assert_eq!(changed.idle_timeout_ms, Some(60_000));
    assert!(changed.expires_at_ms.is_some());
    // What the host said before a change may be heard after it.
    let mut before = host.lock().sandboxes[&sandbox.id].1.clone();
    (before.limits, before.times) = (sandbox.limits, Default::default());
    before.used_at_ms += 5;
    let used_at_ms = before.used_at_ms;
    host.lock().tell(HostEvent::Sandbox(before));
    let seen = eventually("what the host said", async || {
        let seen: Sandbox = member.get(&here).await.expect(200);
        (seen.used_at_ms == used_at_ms).then_some(seen)
    })
    .await;
    assert_eq!(
        (seen.limits, seen.idle_timeout_ms, seen.expires_at_ms),
        (changed.limits, Some(60_000), changed.expires_at_ms)
    );
    let never = json!({"idle_timeout_ms": null, "ttl_ms": null});
    let changed: Sandbox = member.patch(&here, never).await.expect(200);
    assert_eq!(
        (changed.idle_timeout_ms, changed.expires_at_ms),
        (None, None)
    );
    // The host has them, and says so when it is back.
    let status = host.lock().sandboxes[&sandbox.id].1.clone();
    assert_eq!(status.limits, changed.limits);
    host.vanish();
    host.is_seen_as(&admin, "offline").await;
    let refused = member.patch(&here, json!({"limits": {"pids": 99}})).await;
    refused.error(ErrorCode::Unavailable);
    let pids = SandboxLimits {
        pids: 77,
        ..changed.limits
    };
    host.lock().sandboxes.get_mut(&sandbox.id).unwrap().1.limits = pids;
    host.dial();
    eventually("what the host says", async || {
        let now: Sandbox = member.get(&here).await.expect(200);
        (now.limits.pids == 77).then_some(())
    })
    .await;
    // What the host refuses is as it was; so is what would be too much.
    let refused = member
        .patch(&here, json!({"limits": {"open_files": 100}}))
        .await;
    let error = refused.error(ErrorCode::Conflict);
    assert!(error.message.contains("stop it first"), "{}", error.message);
    let too_much = json!({"limits": {"memory_bytes": 200_u64 << 30}});
    member
        .patch(&here, too_much)
        .await
        .error(ErrorCode::Unavailable);
    let quota = json!({"limits": {"disk_bytes": 2_u64 << 40}});
    let refused = member.patch(&here, quota).await;
    assert!(
        refused
            .error(ErrorCode::Conflict)
            .message
            .contains("MiB of disk")
    );
    let absurd = json!({"limits": {"pids": 1}});
    member.patch(&here, absurd).await.error(ErrorCode::Invalid);
    member
        .patch(&here, json!({"ttl_ms": 1}))
        .await
        .error(ErrorCode::Invalid);
    let now: Sandbox = member.get(&here).await.expect(200);
    assert_eq!(now.limits, pids);
}

async fn a_member_sees_what_a_sandbox_can_be_made_of_and_no_more_of_hosts(world: World) {
    let admin = world.admin().await;
    let member = world.member("member").await;
    let host = Host::connect(&world, &admin).await;
    let choices: Value = member.get("/api/v1/sandbox-choices").await.expect(200);
    let expected = json!({"hosts": [{
        "id": host.created.id, "name": "scripted", "available": true,
        "host_rootfs": true, "docker": false, "desktop": true,
        "cpu_millis": 8_000, "memory_bytes": 64_u64 << 30,
        "images": [{"name": "debian:12", "size_bytes": 5}],
    }]});
    assert_eq!(choices, expected);
    let drain = format!("{}/drain", host.path());
    let _: Value = admin.post(&drain, json!({})).await.expect(200);
    let choices: Value = member.get("/api/v1/sandbox-choices").await.expect(200);
    assert_eq!(choices["hosts"][0]["available"], false);
    member
        .get("/api/v1/sandbox-hosts")
        .await
        .error(ErrorCode::Forbidden);
}
