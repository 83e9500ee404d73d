//! The checks, in the order of the contract.

use std::{sync::Arc, time::Duration};

use helix_proto::{
    SandboxId, SnapshotId, TypedId as _,
    sandbox::{
        Egress, EgressRule, Rootfs, SandboxLimits,
        host::{Origin, SandboxSpec},
    },
};

use super::{Bench, Outcomes, Quiet, start};
use crate::{Environment, Error, ErrorKind, FoundState, GuestClient};

/// How long anything may take that is not a check of time.
const PATIENCE: Duration = Duration::from_secs(20);

fn ensure(holds: bool, otherwise: &str) -> Outcomes {
    if holds {
        Ok(())
    } else {
        Err(otherwise.to_owned())
    }
}

fn refused<T>(result: Result<T, Error>, kind: ErrorKind, what: &str) -> Outcomes {
    match result {
        Err(error) if error.kind() == kind => Ok(()),
        Err(error) => Err(format!(
            "{what}: {:?} instead of {kind:?}: {error}",
            error.kind()
        )),
        Ok(_) => Err(format!("{what} was not refused")),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn said(error: Error) -> String {
    error.to_string()
}

async fn sh(sandbox: &Arc<dyn Environment>, script: &str) -> Result<String, String> {
    let client = GuestClient::new(Arc::clone(sandbox)).with_patience(PATIENCE);
    let (code, output) = client
        .run("root", &["/bin/sh", "-c", script])
        .await
        .map_err(said)?;
    if code != Some(0) {
        return Err(format!("{script:?} ended with {code:?}: {output}"));
    }
    Ok(output)
}

async fn state(bench: &Bench<'_>, id: SandboxId) -> Result<Option<FoundState>, String> {
    let found = bench.isolation()?.found().await.map_err(said)?;
    let found = found.iter().find(|found| found.environment.spec().id == id);
    Ok(found.map(|found| found.state))
}

pub(super) async fn create_makes_files_only(bench: &Bench<'_>) -> Outcomes {
    let spec = bench.spec();
    let sandbox = bench.create(&spec).await?;
    let found = state(bench, spec.id).await?;
    ensure(
        found == Some(FoundState::Stopped),
        &format!("found as {found:?}"),
    )?;
    refused(
        sandbox.connect().await,
        ErrorKind::Conflict,
        "connecting to what does not run",
    )
}

pub(super) async fn create_is_idempotent(bench: &Bench<'_>) -> Outcomes {
    let spec = bench.spec();
    let sandbox = bench.create(&spec).await?;
    start(&sandbox).await?;
    sh(&sandbox, "echo kept > /root/kept").await?;
    let again = bench.create(&spec).await?;
    ensure(
        sh(&again, "cat /root/kept").await? == "kept\n",
        "the second create lost the files",
    )
}

pub(super) async fn a_failed_create_leaves_nothing(bench: &Bench<'_>) -> Outcomes {
    let mut spec = bench.spec();
    spec.rootfs = Rootfs::Image {
        image: "nobody/has:this".to_owned(),
    };
    refused(
        bench.isolation()?.create(&spec).await,
        ErrorKind::NotFound,
        "an unknown image",
    )?;
    let found = state(bench, spec.id).await?;
    ensure(found.is_none(), &format!("found as {found:?}"))
}

pub(super) async fn absurd_limits_are_refused(bench: &Bench<'_>) -> Outcomes {
    let limits = bench.spec().limits;
    let absurd = [
        SandboxLimits {
            memory_bytes: 0,
            ..limits
        },
        SandboxLimits { pids: 0, ..limits },
        SandboxLimits {
            cpu_millis: 0,
            ..limits
        },
        SandboxLimits {
            disk_bytes: u64::MAX,
            ..limits
        },
    ];
    for limits in absurd {
        let spec = SandboxSpec {
            limits,
            ..bench.spec()
        };
        let what = format!("{limits:?}");
        refused(
            bench.isolation()?.create(&spec).await,
            ErrorKind::Invalid,
            &what,
        )?;
        ensure(
            state(bench, spec.id).await?.is_none(),
            "something was left behind",
        )?;
    }
    Ok(())
}

pub(super) async fn start_means_ready(bench: &Bench<'_>) -> Outcomes {
    let sandbox = bench.started().await?;
    let before = sh(&sandbox, "echo $$ > /tmp/mark; echo ready").await?;
    ensure(before == "ready\n", &format!("it said {before:?}"))?;
    start(&sandbox).await?;
    sh(&sandbox, "test -e /tmp/mark").await.map(drop)
}

pub(super) async fn a_dropped_start_leaves_nothing_running(bench: &Bench<'_>) -> Outcomes {
    for micros in [0_u64, 300, 1_000, 3_000, 6_000, 12_000, 25_000] {
        let spec = bench.spec();
        let sandbox = bench.create(&spec).await?;
        let dropped =
            tokio::time::timeout(Duration::from_micros(micros), sandbox.start(&Quiet)).await;
        let found = eventually_not_half(bench, spec.id).await?;
        let whole = matches!(dropped, Ok(Ok(()))) && found == Some(FoundState::Running);
        ensure(
            whole || found == Some(FoundState::Stopped),
            &format!("dropped after {micros} us, it is found as {found:?}"),
        )?;
        start(&sandbox).await?;
        sh(&sandbox, "true").await?;
    }
    Ok(())
}

/// What a dropped start left is cleared away at once or shortly after.
async fn eventually_not_half(
    bench: &Bench<'_>,
    id: SandboxId,
) -> Result<Option<FoundState>, String> {
    let mut found = None;
    for _ in 0..100 {
        found = state(bench, id).await?;
        if found == Some(FoundState::Stopped) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(found)
}

pub(super) async fn stop_keeps_files(bench: &Bench<'_>) -> Outcomes {
    let sandbox = bench.started().await?;
    sh(
        &sandbox,
        "echo kept > /root/kept; (setsid sleep 1000 >/dev/null 2>&1 &)",
    )
    .await?;
    sandbox.stop().await.map_err(said)?;
    sandbox.stop().await.map_err(said)?;
    let found = state(bench, sandbox.spec().id).await?;
    ensure(
        found == Some(FoundState::Stopped),
        &format!("found as {found:?}"),
    )?;
    refused(
        sandbox.connect().await,
        ErrorKind::Conflict,
        "connecting to what is stopped",
    )?;
    start(&sandbox).await?;
    ensure(
        sh(&sandbox, "cat /root/kept").await? == "kept\n",
        "the file is gone",
    )
}

pub(super) async fn stop_ends_what_is_paused(bench: &Bench<'_>) -> Outcomes {
    let sandbox = bench.started().await?;
    sandbox.pause().await.map_err(said)?;
    sandbox.stop().await.map_err(said)?;
    let found = state(bench, sandbox.spec().id).await?;
    ensure(
        found == Some(FoundState::Stopped),
        &format!("found as {found:?}"),
    )?;
    start(&sandbox).await?;
    sh(&sandbox, "true").await.map(drop)
}

pub(super) async fn pause_stands_still(bench: &Bench<'_>) -> Outcomes {
    let sandbox = bench.started().await?;
    sh(&sandbox, "(while :; do :; done) >/dev/null 2>&1 &").await?;
    sandbox.pause().await.map_err(said)?;
    sandbox.pause().await.map_err(said)?;
    let found = state(bench, sandbox.spec().id).await?;
    ensure(
        found == Some(FoundState::Paused),
        &format!("found as {found:?}"),
    )?;
    refused(
        sandbox.connect().await,
        ErrorKind::Conflict,
        "connecting to what is paused",
    )?;
    let before = sandbox.stats().await.map_err(said)?.cpu_us;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let after = sandbox.stats().await.map_err(said)?.cpu_us;
    ensure(
        after == before,
        &format!("it used {} us while paused", after - before),
    )?;
    sandbox.resume().await.map_err(said)?;
    sandbox.resume().await.map_err(said)?;
    sh(&sandbox, "true").await.map(drop)
}

pub(super) async fn pause_needs_something_running(bench: &Bench<'_>) -> Outcomes {
    let sandbox = bench.create(&bench.spec()).await?;
    refused(
        sandbox.pause().await,
        ErrorKind::Conflict,
        "pausing what does not run",
    )?;
    refused(
        sandbox.resume().await,
        ErrorKind::Conflict,
        "resuming what does not run",
    )
}

pub(super) async fn egress_is_kept(bench: &Bench<'_>) -> Outcomes {
    let sandbox = bench.started().await?;
    let list = |to: &str| Egress::AllowList {
        rules: vec![EgressRule {
            to: to.to_owned(),
            ports: vec!["443".to_owned()],
            protocol: None,
        }],
    };
    refused(
        sandbox.set_egress(&list("not a name")).await,
        ErrorKind::Invalid,
        "an unreadable rule",
    )?;
    ensure(
        sandbox.spec().egress == Egress::None,
        "a refused policy was kept",
    )?;
    let Ok(()) = sandbox.set_egress(&list("192.0.2.0/24")).await else {
        // A backend that cannot filter says so, and then only for lists; one that has no
        // network refuses every policy but none.
        refused(
            sandbox.set_egress(&list("192.0.2.0/24")).await,
            ErrorKind::Unsupported,
            "a list",
        )?;
        let open = sandbox.set_egress(&Egress::Open).await;
        if bench.can("network")? {
            return open.map_err(said);
        }
        return refused(open, ErrorKind::Unsupported, "a network");
    };
    sandbox.stop().await.map_err(said)?;
    start(&sandbox).await?;
    let id = sandbox.spec().id;
    drop(sandbox);
    bench.restart().await;
    let found = bench.isolation()?.found().await.map_err(said)?;
    let kept = found.iter().any(|found| {
        let spec = found.environment.spec();
        spec.id == id && spec.egress == list("192.0.2.0/24")
    });
    ensure(kept, "the policy is not found again")
}

pub(super) async fn snapshots_hold_files(bench: &Bench<'_>) -> Outcomes {
    let sandbox = bench.started().await?;
    sh(&sandbox, "echo then > /root/when; chown 1000 /root/when").await?;
    let id = SnapshotId::from_parts(1, rand::random());
    let size = sandbox.snapshot(id).await.map_err(said)?;
    ensure(size > 0, "a snapshot of no size")?;
    sh(&sandbox, "echo now > /root/when").await?;
    sandbox.snapshot(id).await.map_err(said)?;
    let kept = bench.isolation()?.snapshots().await.map_err(said)?;
    ensure(
        kept.iter().any(|(kept, _)| *kept == id),
        "the snapshot is not listed",
    )?;
    let from = bench.create(&bench.spec_from(Origin::Snapshot(id))).await?;
    start(&from).await?;
    let seen = sh(&from, "cat /root/when; stat -c %u /root/when").await;
    for _ in 0..2 {
        bench.isolation()?.remove_snapshot(id).await.map_err(said)?;
    }
    let kept = bench.isolation()?.snapshots().await.map_err(said)?;
    ensure(
        !kept.iter().any(|(kept, _)| *kept == id),
        "the snapshot is still listed",
    )?;
    let seen = seen?;
    ensure(
        seen == "then\n1000\n",
        &format!("the file and its owner: {seen:?}"),
    )
}

pub(super) async fn forks_go_their_own_way(bench: &Bench<'_>) -> Outcomes {
    let sandbox = bench.started().await?;
    sh(&sandbox, "echo both > /root/both").await?;
    let fork = bench
        .create(&bench.spec_from(Origin::Sandbox(sandbox.spec().id)))
        .await?;
    start(&fork).await?;
    ensure(
        sh(&fork, "cat /root/both").await? == "both\n",
        "the fork lacks the file",
    )?;
    sh(&fork, "echo fork > /root/both").await?;
    ensure(
        sh(&sandbox, "cat /root/both").await? == "both\n",
        "the fork wrote to its origin",
    )
}

pub(super) async fn missing_origins_are_refused(bench: &Bench<'_>) -> Outcomes {
    for origin in [
        Origin::Snapshot(SnapshotId::from_parts(2, rand::random())),
        Origin::Sandbox(SandboxId::from_parts(2, rand::random())),
    ] {
        let spec = bench.spec_from(origin);
        let what = format!("{origin:?}");
        refused(
            bench.isolation()?.create(&spec).await,
            ErrorKind::NotFound,
            &what,
        )?;
        ensure(
            state(bench, spec.id).await?.is_none(),
            "something was left behind",
        )?;
    }
    Ok(())
}

pub(super) async fn what_runs_is_found_again(bench: &Bench<'_>) -> Outcomes {
    let running = bench.started().await?;
    sh(&running, "echo here > /tmp/here").await?;
    let paused = bench.started().await?;
    paused.pause().await.map_err(said)?;
    let stopped = bench.create(&bench.spec()).await?;
    let expected = [
        (running.spec(), FoundState::Running),
        (paused.spec(), FoundState::Paused),
        (stopped.spec(), FoundState::Stopped),
    ];
    drop((running, paused, stopped));
    bench.restart().await;
    let found = bench.isolation()?.found().await.map_err(said)?;
    for (spec, expected) in expected {
        let of = found
            .iter()
            .find(|found| found.environment.spec().id == spec.id);
        let of = of.ok_or(format!("{expected:?} is not found"))?;
        ensure(
            of.state == expected,
            &format!("{:?} instead of {expected:?}", of.state),
        )?;
        ensure(of.environment.spec() == spec, "another spec")?;
        if expected == FoundState::Paused {
            of.environment.resume().await.map_err(said)?;
        }
        if expected == FoundState::Running {
            sh(&of.environment, "cat /tmp/here").await?;
            of.environment.stop().await.map_err(said)?;
        }
    }
    Ok(())
}

/// Ends with an error where so many processes cannot be at once.
const MANY: &str = "i=0; while [ $i -lt 40 ]; do sleep 2 & i=$((i+1)); done; wait";

/// Where nothing limits all of a sandbox, what runs refuses a change, and a start takes it up.
async fn change_limits(
    bench: &Bench<'_>,
    sandbox: &Arc<dyn Environment>,
    limits: &SandboxLimits,
) -> Outcomes {
    if bench.can("limits")? {
        return sandbox.set_limits(limits).await.map_err(said);
    }
    refused(
        sandbox.set_limits(limits).await,
        ErrorKind::Conflict,
        "a change of limits that would not hold",
    )?;
    sandbox.stop().await.map_err(said)?;
    sandbox.set_limits(limits).await.map_err(said)?;
    start(sandbox).await
}

pub(super) async fn limits_change(bench: &Bench<'_>) -> Outcomes {
    let sandbox = bench.started().await?;
    let before = sandbox.spec().limits;
    let less = SandboxLimits {
        memory_bytes: before.memory_bytes * 2,
        cpu_millis: before.cpu_millis / 2,
        pids: 24,
        ..before
    };
    sh(&sandbox, MANY).await?;
    change_limits(bench, &sandbox, &less).await?;
    ensure(
        sh(&sandbox, MANY).await.is_err(),
        "more processes than the new limit allows",
    )?;
    let stats = sandbox.stats().await.map_err(said)?;
    ensure(
        stats.memory_limit_bytes == less.memory_bytes,
        &format!("its limit of memory is {}", stats.memory_limit_bytes),
    )?;
    let smaller = SandboxLimits {
        disk_bytes: before.disk_bytes / 2,
        pids: before.pids,
        ..less
    };
    ensure(
        sandbox.set_limits(&smaller).await.is_err(),
        "a disk was made smaller",
    )?;
    refused(
        sandbox.set_limits(&SandboxLimits { pids: 0, ..less }).await,
        ErrorKind::Invalid,
        "no processes at all",
    )?;
    ensure(
        sandbox.spec().limits == less,
        "what was refused changed something",
    )?;
    let id = sandbox.spec().id;
    drop(sandbox);
    bench.restart().await;
    let found = bench.isolation()?.found().await.map_err(said)?;
    let found = found.into_iter().find(|it| it.environment.spec().id == id);
    let sandbox = found.ok_or("it is not found again")?.environment;
    ensure(
        sandbox.spec().limits == less,
        "the limits are as before after a restart",
    )?;
    change_limits(bench, &sandbox, &before).await?;
    sandbox.stop().await.map_err(said)?;
    start(&sandbox).await?;
    sh(&sandbox, MANY).await.map(drop)
}

pub(super) async fn use_is_accounted_for(bench: &Bench<'_>) -> Outcomes {
    let sandbox = bench.started().await?;
    sh(&sandbox, "head -c 20000000 /dev/zero > /root/zeroes; sync").await?;
    let stats = sandbox.stats().await.map_err(said)?;
    ensure(stats.memory_bytes > 0, "no memory in use")?;
    ensure(stats.pids > 0, "no processes")?;
    ensure(stats.cpu_us > 0, "no processor time")?;
    ensure(
        stats.disk_bytes >= 20_000_000,
        &format!("{} bytes on disk", stats.disk_bytes),
    )?;
    sandbox.stop().await.map_err(said)?;
    let stats = sandbox.stats().await.map_err(said)?;
    ensure(
        stats.memory_bytes == 0 && stats.pids == 0,
        &format!("stopped, it uses {stats:?}"),
    )
}

pub(super) async fn the_end_is_heard_of(bench: &Bench<'_>) -> Outcomes {
    let sandbox = bench.started().await?;
    let waits = Arc::clone(&sandbox);
    let ended = async { tokio::time::timeout(PATIENCE, waits.ended()).await };
    let stop = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        sandbox.stop().await
    };
    let (ended, stopped) = tokio::join!(ended, stop);
    stopped.map_err(said)?;
    ensure(ended.is_ok(), "nobody was told")
}

pub(super) async fn remove_leaves_nothing(bench: &Bench<'_>) -> Outcomes {
    let running = bench.started().await?;
    let paused = bench.started().await?;
    paused.pause().await.map_err(said)?;
    let stopped = bench.create(&bench.spec()).await?;
    for sandbox in [running, paused, stopped] {
        let id = sandbox.spec().id;
        let isolation = bench.isolation()?;
        let twice = tokio::join!(isolation.remove(id), isolation.remove(id));
        twice.0.map_err(said)?;
        twice.1.map_err(said)?;
        bench.isolation()?.remove(id).await.map_err(said)?;
        let found = state(bench, id).await?;
        ensure(found.is_none(), &format!("found as {found:?}"))?;
    }
    Ok(())
}
