//! The kit, run on every desktop, and on one that breaks a bullet.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use helix_base::{SystemClock, TaskGroup};
use helix_proto::desktop::Size;
use helix_stream::{
    conformance::{Subject, broken, run},
    desktop::Desktop,
    pattern::Pattern,
    serve::Starter as _,
    wayland::sway::SwayStarter,
};
use support::{place, program, size};

#[derive(Debug, Default)]
struct Patterns {
    last: Mutex<Option<Pattern>>,
    /// Breaks a bullet: it never stands still.
    moving: bool,
}

#[async_trait]
impl Subject for Patterns {
    async fn desktop(&self) -> Arc<dyn Desktop> {
        let size = Size::new(640, 360).unwrap();
        let pattern = Pattern::new(size, Arc::new(SystemClock));
        pattern.set_moving(self.moving);
        *self.last.lock().unwrap() = Some(pattern.clone());
        Arc::new(pattern)
    }

    async fn kill(&self) {
        self.last.lock().unwrap().clone().unwrap().end();
    }
}

#[derive(Debug)]
struct Sways {
    place: tempfile::TempDir,
    starter: SwayStarter,
}

#[async_trait]
impl Subject for Sways {
    async fn desktop(&self) -> Arc<dyn Desktop> {
        let desktop = self.starter.start().await.unwrap();
        desktop.resize(size()).await.unwrap();
        // Until its terminal is there.
        tokio::time::sleep(Duration::from_secs(1)).await;
        desktop
    }

    async fn kill(&self) {
        let socket = self.place.path().join("sway.sock");
        let socket = tokio::net::UnixStream::connect(socket).await.unwrap();
        let sway = socket.peer_cred().unwrap().pid().unwrap();
        let sway = rustix::process::Pid::from_raw(sway).unwrap();
        rustix::process::kill_process(sway, rustix::process::Signal::KILL).unwrap();
    }
}

#[tokio::test]
async fn the_pattern_holds_what_is_promised() {
    assert_eq!(
        broken(&run(&Patterns::default()).await),
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn one_that_never_stands_still_is_found_out() {
    let patterns = Patterns {
        moving: true,
        ..Patterns::default()
    };
    let broken = broken(&run(&patterns).await);
    assert!(
        broken
            .iter()
            .any(|bullet| bullet.starts_with("where nothing changes")),
        "{broken:?}"
    );
}

#[tokio::test]
async fn sway_holds_what_is_promised() {
    let Some(program) = program() else {
        println!("skipped: there is no sway");
        return;
    };
    let tasks = TaskGroup::new();
    let (place, options) = place(&program, &["foot -o cursor.blink=no cat"]);
    let starter = SwayStarter::new(options, Arc::new(SystemClock), &tasks);
    let sways = Sways { place, starter };
    assert_eq!(broken(&run(&sways).await), Vec::<String>::new());
    tasks.shutdown(Duration::from_secs(5)).await;
}
