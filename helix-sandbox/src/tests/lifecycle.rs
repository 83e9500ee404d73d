use std::sync::atomic::Ordering;

use axum::http::StatusCode;
use futures_util::StreamExt as _;
use helix_isolation::{Environment as _, ErrorKind, FoundState};
use helix_proto::{
    TypedId,
    sandbox::{
        Egress, Rootfs, SandboxEndKind, SandboxLog, SandboxPhase, SandboxState,
        host::{
            HostEvent, HostImage, HostInfo, LiveSet, SandboxSpec, SandboxStatus, SnapshotStatus,
        },
    },
};

use super::{Site, bytes};
use crate::mock::spec;

#[tokio::test(start_paused = true)]
async fn a_sandbox_is_made_once_paused_stopped_started_and_removed() {
    let site = Site::new().await;
    let id = site.running(&spec(1)).await;
    let again = site.put(&spec(1)).await;
    assert_eq!(again.state, SandboxState::Running, "idempotent by id");
    let phases: Vec<_> = again.phases.iter().map(|time| time.phase).collect();
    let all = [
        SandboxPhase::Filesystem,
        SandboxPhase::Isolation,
        SandboxPhase::Guest,
    ];
    assert_eq!(phases, all);
    for (what, state) in [
        ("pause", SandboxState::Paused),
        ("pause", SandboxState::Paused),
        ("resume", SandboxState::Running),
        ("stop", SandboxState::Stopped),
        ("stop", SandboxState::Stopped),
    ] {
        let status: SandboxStatus = site.ok("POST", &format!("sandboxes/{id}/{what}")).await;
        assert_eq!(status.state, state);
    }
    let (status, why) = site.fails("POST", &format!("sandboxes/{id}/resume")).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(why.contains("start it"), "{why}");
    let _: SandboxStatus = site.ok("POST", &format!("sandboxes/{id}/start")).await;
    site.until(id, SandboxState::Running).await;
    for _ in 0..2 {
        let answer = site.call("DELETE", &format!("sandboxes/{id}"), &()).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    }
    assert!(site.mock.get(id).is_none());
    let (status, _) = site.fails("GET", &format!("sandboxes/{id}")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn two_deletes_at_once_both_hear_that_nothing_is_left() {
    let site = Site::new().await;
    let id = site.running(&spec(1)).await;
    let (one, other) = tokio::join!(site.handle.delete(id), site.handle.delete(id));
    assert_eq!((one, other), (Ok(()), Ok(())));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_made_has_failed_with_the_reason() {
    let site = Site::new().await;
    let unknown = SandboxSpec {
        rootfs: Rootfs::Image {
            image: "nope".to_owned(),
        },
        ..spec(1)
    };
    site.put(&unknown).await;
    let failed = site.until(unknown.id, SandboxState::Failed).await;
    let end = failed.end.unwrap();
    assert_eq!(end.kind, SandboxEndKind::ImageMissing);
    assert_eq!(end.message, "there is no image nope");

    *site.mock.fails.lock().unwrap() = Some(ErrorKind::Unsupported);
    site.put(&spec(2)).await;
    let failed = site.until(spec(2).id, SandboxState::Failed).await;
    assert_eq!(failed.end.unwrap().kind, SandboxEndKind::Unsupported);

    let mut absurd = spec(3);
    absurd.limits.memory_bytes = 0;
    let path = format!("sandboxes/{}", absurd.id);
    let answer = site.call("PUT", &path, &absurd).await;
    assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test(start_paused = true)]
async fn a_start_that_hangs_fails_at_its_phases_deadline_and_can_be_deleted() {
    let site = Site::new().await;
    site.mock.stuck.store(true, Ordering::Relaxed);
    site.put(&spec(1)).await;
    let failed = site.until(spec(1).id, SandboxState::Failed).await;
    let end = failed.end.unwrap();
    assert_eq!(end.kind, SandboxEndKind::Timeout);
    assert!(
        end.message.contains("did not answer within 30 s"),
        "{end:?}"
    );
    let waits = site.put(&spec(2)).await;
    assert_eq!(waits.state, SandboxState::Creating);
    site.handle.delete(waits.id).await.unwrap();
    assert!(site.mock.get(waits.id).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_host_that_starts_again_goes_on_with_what_it_finds() {
    let site = Site::new().await;
    let runs = site.running(&spec(1)).await;
    let paused = site.running(&spec(2)).await;
    site.handle.pause(paused).await.unwrap();
    let stopped = site.running(&spec(3)).await;
    site.handle.stop(stopped).await.unwrap();
    let lost = site.running(&spec(4)).await;
    let narrow = site.handle.set_egress(runs, Egress::None).await.unwrap();
    assert_eq!(narrow.egress, Egress::None);
    let made = site.mock.get(lost).unwrap();

    let site = site.restarted().await;
    let state = |id| site.handle.status(id).unwrap().state;
    assert_eq!(state(runs), SandboxState::Running);
    assert_eq!(state(paused), SandboxState::Paused);
    assert_eq!(state(stopped), SandboxState::Stopped);
    assert_eq!(site.handle.status(runs).unwrap().egress, Egress::None);

    // The machine itself was started again: what should run is started, what was paused
    // is not.
    for id in [runs, paused] {
        let sandbox = site.mock.get(id).unwrap();
        assert_ne!(*sandbox.state.borrow(), FoundState::Stopped, "they went on");
    }
    let mock = site.mock.clone();
    let site = Site {
        mock: mock.clone(),
        ..site
    };
    let site = {
        let report = site.host.run(std::future::ready(())).await.unwrap();
        assert!(report.aborted.is_empty());
        for sandbox in mock.made.lock().unwrap().values() {
            sandbox.state.send_replace(FoundState::Stopped);
        }
        mock.made.lock().unwrap().remove(&lost);
        Site::over(mock, site.folder, |_| {}).await
    };
    site.until(runs, SandboxState::Running).await;
    let was_paused = site.handle.status(paused).unwrap();
    assert_eq!(was_paused.state, SandboxState::Stopped);
    assert_eq!(was_paused.end.unwrap().kind, SandboxEndKind::HostRestarted);
    assert_eq!(
        site.handle.status(stopped).unwrap().state,
        SandboxState::Stopped
    );
    let gone = site.handle.status(lost).unwrap();
    assert_eq!(gone.state, SandboxState::Failed);
    assert!(gone.end.unwrap().message.contains("no longer on the host"));
    drop(made);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_told_so_stops_its_sandboxes_and_the_next_one_starts_them() {
    let site = Site::with(|options| options.stop_sandboxes = true).await;
    let id = site.running(&spec(1)).await;
    let sandbox = site.mock.get(id).unwrap();
    let site = site.restarted().await;
    site.until(id, SandboxState::Running).await;
    assert_eq!(*sandbox.state.borrow(), FoundState::Running);
    // And while there was none, nothing ran.
    let log = site.handle.log(id, 10).await.unwrap();
    assert_eq!(log.lines.last().unwrap().text, "running");
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_nobody_uses_is_stopped_and_one_that_dies_has_failed() {
    let site = Site::new().await;
    let idle = SandboxSpec {
        idle_timeout_ms: Some(50),
        ..spec(1)
    };
    site.put(&idle).await;
    let stopped = site.until(idle.id, SandboxState::Stopped).await;
    assert_eq!(stopped.end.unwrap().kind, SandboxEndKind::Idle);

    let id = site.running(&spec(2)).await;
    let inside = site.mock.get(id).unwrap();
    inside.state.send_replace(FoundState::Stopped);
    let failed = site.until(id, SandboxState::Failed).await;
    assert_eq!(failed.end.unwrap().kind, SandboxEndKind::Exited);
}

#[tokio::test(start_paused = true)]
async fn followers_get_everything_first_then_changes_and_a_sign_of_life() {
    let site = Site::new().await;
    let id = site.running(&spec(1)).await;
    let answer = site.call("GET", "events", &()).await;
    let mut lines = answer.into_body().into_data_stream();
    let mut next = async || {
        let line = lines.next().await.unwrap().unwrap();
        serde_json::from_slice::<HostEvent>(&line).unwrap()
    };
    let HostEvent::Snapshot { info, sandboxes } = next().await else {
        panic!("no snapshot first");
    };
    assert_eq!((info.backend.as_str(), sandboxes.len()), ("mock", 1));
    assert!(info.capacity.memory_promised_bytes > 0);
    let begin = tokio::time::Instant::now();
    let stats = loop {
        if let HostEvent::Stats(stats) = next().await {
            break stats;
        }
    };
    assert!(begin.elapsed().as_secs() <= 10);
    assert_eq!((stats[0].id, stats[0].stats.pids), (id, 3));
    // What is imported beside it is heard of, too.
    site.mock.images.lock().unwrap().push(HostImage {
        name: "debian:12".to_owned(),
        digest: "sha256:1".to_owned(),
        size_bytes: 1,
        created_at_ms: 1,
    });
    let info = loop {
        if let HostEvent::Snapshot { info, .. } = next().await {
            break info;
        }
    };
    assert_eq!(info.images[0].name, "debian:12");
    site.handle.delete(id).await.unwrap();
    while next().await != HostEvent::Gone(id) {}
}

#[tokio::test(start_paused = true)]
async fn what_the_control_plane_does_not_know_is_removed_after_the_grace() {
    let site = Site::with(|options| options.unknown_grace = std::time::Duration::ZERO).await;
    let known = site.running(&spec(1)).await;
    let unknown = site.running(&spec(2)).await;
    let snapshot = helix_proto::SnapshotId::from_parts(1, 9);
    let path = format!("sandboxes/{known}/snapshots/{snapshot}");
    let taken: SnapshotStatus = site.ok("PUT", &path).await;
    assert_eq!(taken.size_bytes, 7);
    let mut set = LiveSet {
        sandboxes: vec![known],
        snapshots: vec![],
        dry_run: true,
    };
    let report = site.handle.live_set(&set).await.unwrap();
    let removed: Vec<_> = report.decisions.iter().map(|one| one.remove).collect();
    assert_eq!(removed, [false, true, true]);
    assert!(site.handle.status(unknown).is_some(), "it was a dry run");
    set.dry_run = false;
    let answer = site.call("POST", "live-set", &set).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let body = String::from_utf8(bytes(answer).await.to_vec()).unwrap();
    assert!(
        body.contains("the control plane has not known it for"),
        "{body}"
    );
    let mut events = site.handle.subscribe();
    while site.handle.status(unknown).is_some() {
        events.recv().await.unwrap();
    }
    assert!(site.handle.status(known).is_some());
    assert!(site.mock.snapshots.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_has_the_hosts_proxy_unless_it_is_given_another() {
    let site = Site::new().await;
    let one = site.running(&spec(1)).await;
    let mut own = spec(2);
    own.env.insert("http_proxy".to_owned(), String::new());
    let other = site.running(&own).await;
    let proxy = |id| site.mock.get(id).unwrap().spec().env["http_proxy"].clone();
    assert_eq!(proxy(one), "http://proxy:3128");
    assert_eq!(proxy(other), "");
}

#[tokio::test(start_paused = true)]
async fn the_host_says_who_it_is_and_what_it_cannot() {
    let site = Site::new().await;
    let info: HostInfo = site.ok("GET", "info").await;
    assert_eq!(info.capabilities[0].detail, "it is in memory");
    assert!(info.capacity.cpu_millis > 0 && !info.boot_id.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_docker_daemon_writes_into_the_log_of_a_sandbox_that_runs_and_only_as_itself() {
    let site = Site::new().await;
    let own = SandboxSpec {
        docker: true,
        desktop: None,
        ..spec(1)
    };
    let id = site.running(&own).await;
    let path = format!("sandboxes/{id}/logs?tail=600");
    let log: SandboxLog = site.ok("GET", &path).await;
    let of = |source: &str| {
        let all = log.lines.iter().filter(|line| line.source == source);
        all.cloned().collect::<Vec<_>>()
    };
    let (ours, docker) = (of("host"), of("docker"));
    assert_eq!(ours.last().unwrap().text, "running");
    assert_eq!((docker.len(), docker[498].text.as_str()), (500, "first"));
    assert_eq!(docker[499].text.len(), 4_096);
    assert!(log.lines.is_sorted_by_key(|line| line.at_ms));
    let short: SandboxLog = site.ok("GET", &format!("sandboxes/{id}/logs?tail=2")).await;
    assert_eq!(short.lines, log.lines[log.lines.len() - 2..]);

    site.handle.stop(id).await.unwrap();
    let log = site.handle.log(id, 600).await.unwrap();
    assert!(log.lines.iter().all(|line| line.source == "host"));
}

#[tokio::test(start_paused = true)]
async fn the_authorities_of_the_host_are_there_before_the_first_request() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("ca.pem");
    let authority = rcgen::generate_simple_self_signed(["authority".to_owned()]).unwrap();
    std::fs::write(&bundle, authority.cert.pem()).unwrap();
    let site = Site::with(|options| options.outbound.ca_bundle = Some(bundle)).await;
    let id = site.running(&spec(1)).await;
    let inside = site.mock.get(id).unwrap().spec();
    let named = inside.env["SSL_CERT_FILE"].clone();
    let path = format!("sandboxes/{id}/guest/exec");
    assert_eq!(site.call("POST", &path, &()).await.status(), StatusCode::OK);
    let files = site.mock.files.lock().unwrap();
    let theirs = std::str::from_utf8(&files[&named]).unwrap();
    let certificate = authority.cert.pem().replace('\r', "");
    assert_eq!(theirs, format!("content\n{certificate}"));
}
