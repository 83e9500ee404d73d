//! The daemon as a process: its command line, its connection, and what it
//! leaves behind.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(
    dead_code,
    reason = "each test binary uses its part of the support code"
)]

mod support;

use std::{os::unix::fs::PermissionsExt as _, path::Path, process::Stdio};

use helix_proto::{
    InstanceId,
    model::{EngineKind, ModelSource},
    runner::{InstanceState, InstanceStatus, RunnerInfo},
};
use serde_json::json;
use support::{
    DAEMON, answer_text, chat_body, eventually, managed_llamacpp, new_id, processes_with,
    site::{CREDENTIAL, JOIN_TOKEN, Site},
    soon, tiny_model,
};
use tokio::process::{Child, Command};

/// The daemon with a configuration file in `data`, and nothing from this
/// process's own variables.
async fn daemon(data: &Path) -> Command {
    let engine = managed_llamacpp().await;
    let config = data.join("config.toml");
    let text = format!(
        "[engines.llamacpp]\nprogram = \"no-llama-server-in-tests\"\n[engines.llamacpp.managed]\nfolder = {:?}\n",
        engine.folder.unwrap()
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(DAEMON);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HELIX_") {
            command.env_remove(name);
        }
    }
    command
        .arg("--config")
        .arg(config)
        .arg("--data-dir")
        .arg(data)
        .kill_on_drop(true);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

async fn started(site: &Site, data: &Path) -> Child {
    let mut command = daemon(data).await;
    let child = command
        .args(["--server", &site.url()])
        .env("HELIX_RUNNER_CREDENTIAL", CREDENTIAL);
    let child = child.spawn().unwrap();
    site.connected().await;
    child
}

/// Has the daemon run the demo model; the name is found on its command line.
async fn demo(site: &Site, name: &str) -> InstanceId {
    let info: RunnerInfo = site.get("/info").await;
    let id = new_id();
    let source = ModelSource::File {
        path: tiny_model().display().to_string(),
    };
    let request = json!({
        "model_id": "mdl_00000000000000000000000001",
        "model_name": name,
        "engine": EngineKind::LlamaCpp,
        "source": source,
        "settings": helix_proto::model::ModelSettings { context_tokens: Some(512), ..Default::default() },
        "devices": [{ "device": info.devices[0].id, "bytes": 1 << 28 }],
    });
    let (status, body) = site
        .send("PUT", &format!("/instances/{id}"), &request)
        .await;
    assert_eq!(status, 200, "{body}");
    eventually("readiness", || async {
        let info: RunnerInfo = site.get("/info").await;
        let instance: &InstanceStatus = info
            .instances
            .iter()
            .find(|instance| instance.id == id)
            .unwrap();
        assert!(!instance.state.is_terminal(), "{instance:?}");
        instance.state == InstanceState::Ready
    })
    .await;
    id
}

#[tokio::test]
async fn a_killed_daemon_leaves_no_engine_and_comes_back() {
    let (site, data) = (Site::start().await, tempfile::tempdir().unwrap());
    let mut daemon = started(&site, data.path()).await;
    let name = format!("demo-{}", new_id());
    let id = demo(&site, &name).await;
    let path = format!("/instances/{id}/engine/v1/chat/completions");
    let (status, answer) = site
        .send(
            "POST",
            &path,
            &chat_body("What is the capital of France?", &json!({})),
        )
        .await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer_text(&answer), "The capital of France is Paris.");
    // The engine and its supervisor.
    assert_eq!(processes_with(&name).len(), 2);
    daemon.kill().await.unwrap();
    eventually("no process of the engine", || async {
        processes_with(&name).is_empty()
    })
    .await;
    eventually("the end of the connection", || async {
        site.hub.keys().is_empty()
    })
    .await;
    let _daemon = started(&site, data.path()).await;
    let info: RunnerInfo = site.get("/info").await;
    assert!(info.instances.is_empty());
}

#[tokio::test]
async fn a_daemon_that_is_asked_to_end_stops_its_engines_first() {
    let (site, data) = (Site::start().await, tempfile::tempdir().unwrap());
    let mut daemon = started(&site, data.path()).await;
    let name = format!("demo-{}", new_id());
    demo(&site, &name).await;
    let pid = rustix::process::Pid::from_raw(i32::try_from(daemon.id().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let status = soon("the end", daemon.wait()).await.unwrap();
    assert!(status.success(), "{status}");
    assert!(processes_with(&name).is_empty());
}

#[tokio::test]
async fn a_join_token_is_needed_once() {
    let (site, data) = (Site::start().await, tempfile::tempdir().unwrap());
    let mut command = daemon(data.path()).await;
    let wrong = command
        .args(["join", "--server", &site.url(), "--token", "hxj_wrong"])
        .output();
    let wrong = String::from_utf8(wrong.await.unwrap().stderr).unwrap();
    assert!(wrong.contains("the join token is not valid"), "{wrong}");

    let mut command = daemon(data.path()).await;
    let mut first = command
        .args(["--server", &site.url(), "--name", "machine"])
        .env("HELIX_RUNNER_JOIN_TOKEN", JOIN_TOKEN)
        .spawn()
        .unwrap();
    site.connected().await;
    let kept = data.path().join("credential");
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), CREDENTIAL);
    assert_eq!(kept.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    first.kill().await.unwrap();
    eventually("the end of the connection", || async {
        site.hub.keys().is_empty()
    })
    .await;

    let mut command = daemon(data.path()).await;
    let _second = command.args(["--server", &site.url()]).spawn().unwrap();
    site.connected().await;
}

async fn output(args: &[&str]) -> (String, String) {
    let mut command = Command::new(DAEMON);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HELIX_") {
            command.env_remove(name);
        }
    }
    let output = command
        .args(args)
        .env("COLUMNS", "100")
        .output()
        .await
        .unwrap();
    (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[tokio::test]
async fn the_help_is_as_reviewed() {
    insta::assert_snapshot!("help", output(&["--help"]).await.0);
    insta::assert_snapshot!("help_join", output(&["join", "-h"]).await.0);
    insta::assert_snapshot!(
        "help_engine_install",
        output(&["engine", "install", "-h"]).await.0
    );
}

#[tokio::test]
async fn a_configuration_with_a_mistake_says_which() {
    let data = tempfile::tempdir().unwrap();
    let config = data.path().join("c.toml");
    std::fs::write(&config, "[life]\nmax_restart = 3\n").unwrap();
    let (_, stderr) = output(&["--config", &config.display().to_string(), "--print-config"]).await;
    assert!(
        stderr.contains("max_restart") && stderr.contains("max_restarts"),
        "{stderr}"
    );
    let (_, stderr) = output(&["--data-dir", &data.path().display().to_string()]).await;
    assert!(stderr.contains("--server"), "{stderr}");
    let server = [
        "--server",
        "http://127.0.0.1:1",
        "--data-dir",
        &data.path().display().to_string(),
    ];
    let (_, stderr) = output(&server).await;
    assert!(stderr.contains("join token"), "{stderr}");
}

#[tokio::test]
async fn flags_about_certificates_go_before_the_file() {
    let data = tempfile::tempdir().unwrap();
    let config = data.path().join("c.toml");
    std::fs::write(&config, "[outbound]\nca_bundle = \"/file.pem\"\n").unwrap();
    let config = config.display().to_string();
    let (printed, stderr) = output(&["--config", &config, "--print-config"]).await;
    assert!(
        printed.contains("ca_bundle = \"/file.pem\""),
        "{printed}{stderr}"
    );
    let flags = [
        ["--ca-bundle", "/flag.pem"],
        ["--client-certificate", "/tls.crt"],
        ["--client-key", "/tls.key"],
        ["--config", &config],
    ];
    let all = [flags.as_flattened(), &["--print-config"]].concat();
    let (printed, stderr) = output(&all).await;
    for line in [
        "ca_bundle = \"/flag.pem\"",
        "client_certificate = \"/tls.crt\"",
        "client_key = \"/tls.key\"",
    ] {
        assert!(printed.contains(line), "{line} is not in {printed}{stderr}");
    }
}

#[tokio::test]
async fn the_printed_configuration_hides_secrets_and_can_be_read_back() {
    let data = tempfile::tempdir().unwrap();
    let config = data.path().join("c.toml");
    let text = "credential = \"hxr_secret\"\n[hub]\ntoken = \"hf_secret\"\n[engines.external.keys]\n\"api.example.com\" = \"sk_secret\"\n";
    std::fs::write(&config, text).unwrap();
    let (printed, stderr) =
        output(&["--config", &config.display().to_string(), "--print-config"]).await;
    assert!(
        printed.contains("[redacted]") && !printed.contains("_secret"),
        "{printed}{stderr}"
    );
    std::fs::write(&config, &printed).unwrap();
    let (again, stderr) =
        output(&["--config", &config.display().to_string(), "--print-config"]).await;
    assert_eq!(printed, again, "{stderr}");
}
