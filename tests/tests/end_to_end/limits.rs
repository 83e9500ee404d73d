//! What the daemons ask of the operating system.

use std::{fs, path::Path, process::Command};

use helix_tests::{eventually, eventually::SOON, process::Process, programs::programs};

/// A daemon with room for few open files, and none to be had without asking.
fn start(program: &Path, folder: &Path, arguments: &[&str]) -> Process {
    let mut command = Command::new("sh");
    command.args(["-c", r#"ulimit -Sn 256 && exec "$0" "$@""#]);
    command
        .arg(program)
        .arg("--data-dir")
        .arg(folder)
        .args(arguments);
    Process::start(&mut command, &folder.join("log"))
}

/// The limit of open files that holds, and the highest that a process may set.
fn open_files(process: &Process) -> Option<(String, String)> {
    let limits = fs::read_to_string(format!("/proc/{}/limits", process.pid())).ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    let mut figures = line.split_whitespace().map(str::to_owned);
    figures.next().zip(figures.next())
}

async fn until_raised(process: &Process) {
    eventually("the limit to be raised", SOON, async || {
        match open_files(process) {
            Some((now, highest)) if now == highest && now != "256" => Ok(()),
            other => Err((other, process.log())),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_makes_room_for_as_many_connections_as_the_system_allows() {
    let folder = tempfile::tempdir().unwrap();
    let server = &programs().server;
    let process = start(server, folder.path(), &["--listen", "127.0.0.1:0"]);
    until_raised(&process).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_makes_room_for_as_many_connections_as_the_system_allows() {
    let folder = tempfile::tempdir().unwrap();
    let credential = folder.path().join("credential");
    fs::write(&credential, "hxr_none").unwrap();
    let credential = credential.display().to_string();
    let arguments = [
        "--server",
        "http://127.0.0.1:9",
        "--credential-file",
        &credential,
    ];
    let process = start(&programs().runner, folder.path(), &arguments);
    until_raised(&process).await;
}
