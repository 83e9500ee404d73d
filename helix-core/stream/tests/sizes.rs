//! A real Sway that does not become the size that it is told to: it, or the next, has the one before.
#![cfg(feature = "wayland")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::{os::unix::fs::PermissionsExt as _, sync::Arc, time::Duration};

use helix_base::{SystemClock, TaskGroup};
use helix_proto::desktop::Size;
use helix_stream::{
    ErrorKind,
    capture::{Capture, Want},
    serve::Starter as _,
    wayland::sway::SwayStarter,
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::timeout;

use support::{place, program, size};

const SOON: Duration = Duration::from_secs(60);

async fn sway(place: &tempfile::TempDir) -> Pid {
    let socket = place.path().join("sway.sock");
    let socket = tokio::net::UnixStream::connect(socket).await.unwrap();
    Pid::from_raw(socket.peer_cred().unwrap().pid().unwrap()).unwrap()
}

async fn until(capture: &mut dyn Capture, size: Size) {
    let wait = async { while capture.next(Want::Now).await.unwrap().size != size {} };
    timeout(SOON, wait).await.unwrap();
}

#[tokio::test]
async fn one_that_does_not_answer_keeps_its_size() {
    let Some(program) = program() else {
        println!("skipped: there is no sway");
        return;
    };
    let (place, options) = place(&program, &[]);
    let tasks = TaskGroup::new();
    let starter = SwayStarter::new(options, Arc::new(SystemClock), &tasks);
    let desktop = starter.start().await.unwrap();
    let mut capture = desktop.capture().await.unwrap();
    until(&mut *capture, size()).await;
    let pid = sway(&place).await;
    kill_process(pid, Signal::STOP).unwrap();
    let other = Size::new(800, 600).unwrap();
    let why = timeout(SOON, desktop.resize(other)).await.unwrap();
    assert_eq!(why.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(desktop.size(), size());
    // It hears of both then, and of what it had before last.
    kill_process(pid, Signal::CONT).unwrap();
    let third = Size::new(1_024, 600).unwrap();
    timeout(SOON, desktop.resize(third)).await.unwrap().unwrap();
    until(&mut *capture, third).await;
    timeout(SOON, desktop.resize(size()))
        .await
        .unwrap()
        .unwrap();
    until(&mut *capture, size()).await;
    drop((capture, desktop));
    tasks.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn where_none_starts_with_the_size_of_the_last_the_next_has_the_first() {
    let Some(program) = program() else {
        println!("skipped: there is no sway");
        return;
    };
    let (place, mut options) = place(&program, &[]);
    // One that cannot begin with any size but one; becoming another is no matter.
    let picky = place.path().join("picky");
    let script = format!(
        "#!/bin/sh\ngrep -q 'mode {}@' \"$2\" || exit 3\nexec {} \"$@\"\n",
        size(),
        options.program.display()
    );
    std::fs::write(&picky, script).unwrap();
    std::fs::set_permissions(&picky, std::fs::Permissions::from_mode(0o755)).unwrap();
    options.program = picky;
    let tasks = TaskGroup::new();
    let starter = SwayStarter::new(options, Arc::new(SystemClock), &tasks);
    let desktop = starter.start().await.unwrap();
    let other = Size::new(800, 600).unwrap();
    desktop.resize(other).await.unwrap();
    kill_process(sway(&place).await, Signal::KILL).unwrap();
    timeout(SOON, desktop.ended()).await.unwrap();
    drop(desktop);
    assert_eq!(starter.size(), other);
    let why = starter.start().await.unwrap_err();
    assert_eq!(why.to_string(), "sway has ended with code 3");
    assert_eq!(starter.size(), size());
    let desktop = starter.start().await.unwrap();
    let mut capture = desktop.capture().await.unwrap();
    until(&mut *capture, size()).await;
    drop((capture, desktop));
    tasks.shutdown(Duration::from_secs(5)).await;
}

/// The largest and the smallest that a desktop may have.
#[tokio::test]
async fn it_becomes_as_large_and_as_small_as_a_desktop_may_be() {
    let Some(program) = program() else {
        println!("skipped: there is no sway");
        return;
    };
    let (_place, options) = place(&program, &[]);
    let tasks = TaskGroup::new();
    let starter = SwayStarter::new(options, Arc::new(SystemClock), &tasks);
    let desktop = starter.start().await.unwrap();
    let mut capture = desktop.capture().await.unwrap();
    for (width, height) in [(7_680, 4_320), (320, 240)] {
        let size = Size::new(width, height).unwrap();
        timeout(SOON, desktop.resize(size)).await.unwrap().unwrap();
        until(&mut *capture, size).await;
    }
    drop((capture, desktop));
    tasks.shutdown(Duration::from_secs(5)).await;
}
