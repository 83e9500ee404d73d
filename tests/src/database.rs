//! Databases: a SQLite file, or a real PostgreSQL of the test's own.

use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt as _},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{eventually, process::Process};

/// Which database the control plane keeps its state in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseKind {
    /// A file in its data folder.
    Sqlite,
    /// A server.
    Postgres,
}

/// A database.
#[derive(Debug)]
pub enum Database {
    /// A file in the control plane's data folder.
    Sqlite,
    /// A server that ends with the test.
    Postgres(Box<Postgres>),
}

impl Database {
    /// Makes an empty one.
    pub async fn start(kind: DatabaseKind) -> Self {
        match kind {
            DatabaseKind::Sqlite => Self::Sqlite,
            DatabaseKind::Postgres => Self::Postgres(Box::new(Postgres::start().await)),
        }
    }

    /// Its URL; none for the file in the data folder.
    pub fn url(&self) -> Option<String> {
        match self {
            Self::Sqlite => None,
            Self::Postgres(postgres) => Some(postgres.url()),
        }
    }
}

/// A PostgreSQL server.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    port: u16,
    _folder: TempDir,
}

impl Postgres {
    /// Makes a cluster and starts it.
    ///
    /// # Panics
    /// When PostgreSQL is not installed, or does not start.
    pub async fn start() -> Self {
        let programs = installed();
        let folder = tempfile::Builder::new()
            .prefix("helix-postgres-")
            .tempdir()
            .unwrap();
        let data = folder.path().join("data");
        let owner = unprivileged();
        if let Some((uid, gid)) = owner {
            chown(folder.path(), Some(uid), Some(gid)).unwrap();
        }
        let command = |program: &str| {
            let mut command = Command::new(programs.join(program));
            if let Some((uid, gid)) = owner {
                command.uid(uid).gid(gid);
            }
            command.current_dir(folder.path()).env("LC_ALL", "C.UTF-8");
            command
        };
        let mut initdb = command("initdb");
        initdb
            .args(["--no-sync", "--auth=trust", "--username=helix", "--pgdata"])
            .arg(&data);
        let made = initdb.output().unwrap();
        assert!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        let port = free_port();
        let mut postgres = command("postgres");
        postgres.arg("-D").arg(&data).arg("-k").arg(folder.path());
        postgres.args([
            "-h",
            "127.0.0.1",
            "-p",
            &port.to_string(),
            "-c",
            "fsync=off",
        ]);
        let process = Process::start(&mut postgres, &folder.path().join("log"));
        eventually(
            "PostgreSQL to be ready",
            Duration::from_secs(60),
            async || {
                let log = process.log();
                if log.contains("ready to accept connections") {
                    Ok(())
                } else {
                    Err(log)
                }
            },
        )
        .await;
        Self {
            process,
            port,
            _folder: folder,
        }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("postgres://helix@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Clients may still be connected: SIGTERM alone would wait for them.
        self.process.signal(Signal::INT);
    }
}

/// The folder with the newest installed PostgreSQL's programs.
fn installed() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let newest = versions
        .filter(|entry| entry.path().join("bin/postgres").exists())
        .max_by_key(|entry| {
            entry
                .file_name()
                .to_string_lossy()
                .parse::<u32>()
                .unwrap_or_default()
        });
    newest
        .expect("PostgreSQL is installed (Debian: apt-get install postgresql)")
        .path()
        .join("bin")
}

/// PostgreSQL refuses to run as root: the user and group it runs as then.
fn unprivileged() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let fields = users
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>());
    let user = fields
        .into_iter()
        .find(|fields| fields[0] == "postgres")
        .expect("a postgres user");
    Some((user[2].parse().unwrap(), user[3].parse().unwrap()))
}

/// A port that was free a moment ago.
///
/// # Panics
/// When there is none.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}
