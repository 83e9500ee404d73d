//! The first process of a sandbox: serves, collects, ends.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::{fs::PermissionsExt as _, net::UnixListener as StdListener},
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use helix_base::{SystemClock, TaskGroup};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use rustix::process::{Pid, Signal, getpid, kill_process_group, test_kill_process_group};
use tokio::{
    net::{UnixListener, UnixStream},
    signal::unix::{SignalKind, signal},
    sync::Semaphore,
};

use super::{Guest, GuestConfig, Role, router};

const MACHINE: &str = "/etc/machine-id";
/// How many connections are served at once; more wait to be accepted.
const CONNECTIONS: usize = 512;
/// How long the head of a request may take.
const HEAD_WITHIN: Duration = Duration::from_secs(30);
/// How long programs have to end when the sandbox does.
const END_WITHIN: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// How long to wait after the listener failed, such as for want of descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Is the guest of a sandbox: serves until `SIGTERM`, then asks every process to end
/// and returns. As process 1 of its namespace it also collects orphans; its end kills
/// what is left.
pub fn run(config: GuestConfig, listener: StdListener) -> ExitCode {
    if getpid() == Pid::INIT
        && let Err(error) = name_machine(Path::new(MACHINE))
    {
        tracing::warn!(%error, "the sandbox has no machine id");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let ended = runtime.and_then(|runtime| runtime.block_on(serve(config, listener)));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the guest cannot run");
            ExitCode::FAILURE
        }
    }
}

/// Gives the sandbox a machine id (machine-id(5)) where it has none: D-Bus does not start without.
/// A fork keeps that of its origin.
fn name_machine(path: &Path) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|file| file.len() > 0) {
        return Ok(());
    }
    let id = fs::read_to_string("/proc/sys/kernel/random/uuid")?;
    fs::write(path, id.replace('-', ""))?;
    fs::set_permissions(path, Permissions::from_mode(0o444))
}

async fn serve(config: GuestConfig, listener: StdListener) -> io::Result<()> {
    rustix::io::fcntl_setfd(&listener, rustix::io::FdFlags::CLOEXEC)?;
    listener.set_nonblocking(true)?;
    let listener = UnixListener::from_std(listener)?;
    let role = if getpid() == Pid::INIT {
        Role::Init
    } else {
        Role::Ordinary
    };
    let tasks = TaskGroup::new();
    let mut end = signal(SignalKind::terminate())?;
    let guest = Guest::new(config, role, Arc::new(SystemClock), tasks.clone())?;
    tokio::select! {
        () = accept(&listener, router(guest), &tasks) => {}
        _ = end.recv() => {}
    }
    if role == Role::Init {
        end_all().await;
    }
    tasks.cancel();
    Ok(())
}

/// Serves connections, for ever.
pub(crate) async fn accept(listener: &UnixListener, routes: axum::Router, tasks: &TaskGroup) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let routes = routes.clone();
                tasks.spawn("connection", async move {
                    connection(stream, routes).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

async fn connection(stream: UnixStream, routes: axum::Router) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes))
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection broke");
    }
}

/// Asks every process of the namespace to end, and waits for that; what will not is
/// killed by the kernel when this one ends.
async fn end_all() {
    // To "the group of process 1" is to every process but the sender.
    if kill_process_group(Pid::INIT, Signal::TERM).is_err() {
        return;
    }
    let gone = async {
        while test_kill_process_group(Pid::INIT).is_ok() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    if tokio::time::timeout(END_WITHIN, gone).await.is_err() {
        tracing::info!("some processes did not end when they were asked to");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_named_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("machine-id");
        fs::write(&path, "").unwrap();
        name_machine(&path).unwrap();
        let id = fs::read_to_string(&path).unwrap();
        let is_plain = |one: u8| one.is_ascii_digit() || (b'a'..=b'f').contains(&one);
        assert!(
            id.len() == 33 && id.trim_end().bytes().all(is_plain),
            "{id:?}"
        );
        name_machine(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), id);
        let missing = folder.path().join("other");
        name_machine(&missing).unwrap();
        assert_ne!(fs::read_to_string(&missing).unwrap(), id);
    }
}
