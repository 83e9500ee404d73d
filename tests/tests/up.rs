//! `cargo xtask up`, as someone runs it who has built everything before.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command, time::Duration};

use helix_tests::{
    Client, Database, DatabaseKind,
    database::free_port,
    disk, eventually,
    process::{Process, with_argument},
    programs::{programs, tiny_model},
    python,
    sandbox_host::purge,
};
use rustix::process::Signal;
use serde_json::{Value, json};

fn up(data: &Path, port: u16) -> Process {
    up_with(data, port, &[])
}

fn up_with(data: &Path, port: u16, more: &[&str]) -> Process {
    let out = data.with_extension("out");
    // Of an earlier start.
    let _ = fs::remove_file(&out);
    Process::start(&mut command(data, port, more), &out)
}

fn command(data: &Path, port: u16, more: &[&str]) -> Command {
    let mut command = Command::new(&programs().xtask);
    command.args([
        "up",
        "--yes",
        "--dev",
        "--no-setup",
        "--port",
        &port.to_string(),
    ]);
    command.arg("--data").arg(data).args(more);
    command
}

async fn until_ready(process: &mut Process, port: u16) {
    eventually("the ready line", Duration::from_secs(90), async || {
        assert!(process.ended().is_none(), "it ended: {}", process.log());
        let ready = format!("ready http://127.0.0.1:{port}\n");
        if process.log().contains(&ready) {
            Ok(())
        } else {
            Err(process.log())
        }
    })
    .await;
}

fn account(data: &Path) -> Value {
    let file = data.join("dev.json");
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

/// A data folder that has the engine already, as after an earlier `up`.
fn data_folder(inside: &Path) -> std::path::PathBuf {
    let data = inside.join("data");
    fs::create_dir_all(data.join("runner")).unwrap();
    std::os::unix::fs::symlink(&programs().engines, data.join("runner/engines")).unwrap();
    data
}

#[tokio::test(flavor = "multi_thread")]
async fn up_starts_everything_survives_a_restart_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = data_folder(folder.path());
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");

    let mut first = up(&data, port);
    until_ready(&mut first, port).await;
    let made = account(&data);
    let key = made["api_key"].as_str().unwrap();
    assert_eq!(made["url"], url);
    python::run("known_answer.py", &url, key, &["default"]).await;

    // The password opens the account, and the link signs in once.
    let stranger = Client::stranger(&url);
    let password = json!({ "email": made["admin_email"], "password": made["admin_password"] });
    let sign_in = |path: &'static str, body: Value| {
        let stranger = stranger.clone();
        async move { stranger.try_post(path, &body).await.status().as_u16() }
    };
    assert_eq!(sign_in("/api/v1/auth/login", password).await, 200);
    let log = first.log();
    let link = log
        .lines()
        .find_map(|line| line.rsplit_once("/link?token="))
        .unwrap()
        .1
        .to_owned();
    assert_eq!(
        sign_in("/api/v1/auth/link", json!({ "token": link })).await,
        200
    );
    assert_ne!(
        sign_in("/api/v1/auth/link", json!({ "token": link })).await,
        200
    );

    // A second one on the same port or the same data says so and changes nothing.
    let mut second = up(&folder.path().join("other"), port);
    assert!(!second.wait(Duration::from_secs(30)).await.success());
    assert!(
        second.log().contains(&format!("port {port} is in use")),
        "{}",
        second.log()
    );

    first.signal(Signal::INT);
    assert!(
        first.wait(Duration::from_secs(60)).await.success(),
        "{}",
        first.log()
    );
    assert_eq!(
        with_argument(&data.display().to_string()),
        Vec::<i32>::new()
    );

    let mut again = up(&data, port);
    until_ready(&mut again, port).await;
    assert_eq!(account(&data), made, "account and key are the same");
    let client = stranger.with_key(key);
    let models: Value = client.get("/api/v1/models").await;
    let runners: Value = client.get("/api/v1/runners").await;
    assert_eq!(
        (
            models.as_array().unwrap().len(),
            runners.as_array().unwrap().len()
        ),
        (1, 1)
    );
    python::run("known_answer.py", &url, key, &["default"]).await;
    assert!(again.stop().await.success());
    assert_eq!(
        with_argument(&data.display().to_string()),
        Vec::<i32>::new()
    );
    purge(&data.join("sandbox"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_dies_stops_the_rest_and_its_last_words_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let data = data_folder(folder.path());
    let port = free_port();
    let mut process = up(&data, port);
    until_ready(&mut process, port).await;
    let runner = data.join("runner").display().to_string();
    let daemon = with_argument(&runner);
    helix_tests::process::signal_to(daemon[0], Signal::KILL);
    assert!(!process.wait(Duration::from_secs(60)).await.success());
    assert!(
        process.log().contains("the runner ended"),
        "{}",
        process.log()
    );
    assert!(process.log().contains("runner.log"), "{}", process.log());
    assert_eq!(
        with_argument(&data.display().to_string()),
        Vec::<i32>::new()
    );
    purge(&data.join("sandbox"));
}

#[tokio::test(flavor = "multi_thread")]
async fn up_answers_with_the_model_and_keeps_its_state_in_the_database_that_it_was_given() {
    let folder = tempfile::tempdir().unwrap();
    let data = data_folder(folder.path());
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    let model = folder.path().join("my own.gguf");
    fs::copy(tiny_model(), &model).unwrap();
    let model = model.display().to_string();
    let database = Database::start(DatabaseKind::Postgres);
    let more = ["--model", &model, "--database", database.url().unwrap()];

    let mut process = up_with(&data, port, &more);
    until_ready(&mut process, port).await;
    let made = account(&data);
    let key = made["api_key"].as_str().unwrap();
    python::run("known_answer.py", &url, key, &["default"]).await;
    let client = Client::stranger(&url).with_key(key);
    let models = async || {
        let models: Vec<Value> = client.get("/api/v1/models").await;
        let named = |model: &Value| (model["name"].to_string(), model["default"] == true);
        let mut named: Vec<_> = models.iter().map(named).collect();
        named.sort();
        named
    };
    let both = [
        ("\"my-own\"".to_owned(), true),
        ("\"tiny\"".to_owned(), false),
    ];
    assert_eq!(models().await, both);
    assert!(!data.join("helix.db").exists(), "it is in PostgreSQL");
    assert!(process.stop().await.success());

    let mut again = up_with(&data, port, &more);
    until_ready(&mut again, port).await;
    assert_eq!(account(&data), made, "account and key are the same");
    assert_eq!(models().await, both);
    assert!(again.stop().await.success());
    purge(&data.join("sandbox"));
}

#[tokio::test(flavor = "multi_thread")]
async fn up_says_at_once_what_it_cannot_begin_with() {
    let folder = tempfile::tempdir().unwrap();
    let refused = async |more: &[&str]| {
        let mut process = up_with(&folder.path().join("data"), free_port(), more);
        assert!(!process.wait(Duration::from_secs(30)).await.success());
        process.log()
    };
    let log = refused(&["--model", "nowhere.gguf"]).await;
    assert!(log.contains("looking at nowhere.gguf"), "{log}");
    let log = refused(&["--model", "Cargo.toml"]).await;
    assert!(log.contains("is no GGUF file"), "{log}");
    let log = refused(&["--database", "mysql://127.0.0.1/x"]).await;
    assert!(log.contains("postgres"), "{log}");
    // Nobody listens there.
    let nobody = format!("postgres://helix@127.0.0.1:{}/helix", free_port());
    let log = refused(&["--database", &nobody]).await;
    assert!(log.contains("the control plane ended"), "{log}");
    assert!(log.contains("database"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn up_refuses_a_disk_that_is_nearly_full() {
    if !disk::may_mount() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    let mut command = disk::mounted(&data, 2 << 20, &command(&data, free_port(), &[]));
    let mut process = Process::start(&mut command, &folder.path().join("out"));
    assert!(!process.wait(Duration::from_secs(30)).await.success());
    let log = process.log();
    assert!(log.contains("MB are needed: make room"), "{log}");
}
