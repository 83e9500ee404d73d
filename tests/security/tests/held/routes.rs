//! Attempts by whoever may use a sandbox: by its file and program routes, and not by a
//! program inside. `route NAME ARGUMENT` as a probe.
//!
//! Without the confinement they are made to a guest that is in no sandbox: the same
//! routes, served by a process of the host.

use std::{path::Path, process::Command, sync::Arc};

use anyhow::{Result, bail, ensure};
use async_trait::async_trait;
use bytes::Bytes;
use helix_base::{SystemClock, TaskGroup};
use helix_isolation::{
    Connection, Environment, Error, ErrorKind, GuestClient, Watch,
    guest::{Guest, GuestConfig, Role, router},
};
use helix_proto::{
    SnapshotId,
    sandbox::{
        Egress, SandboxEnd, SandboxLimits, SandboxStats,
        guest::{ExecRequest, Output},
        host::SandboxSpec,
    },
};
use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};

use crate::world::Came;

/// More than is kept of a program's output, and little enough for any machine.
const FLOOD: usize = 12 << 20;

/// A guest that is in no sandbox, as an environment to be asked.
#[derive(Debug)]
pub(crate) struct Unconfined {
    folder: TempDir,
    spec: SandboxSpec,
}

impl Unconfined {
    pub(crate) fn start(spec: SandboxSpec, tasks: &TaskGroup) -> Result<Arc<dyn Environment>> {
        let folder = tempfile::tempdir()?;
        let listener = UnixListener::bind(folder.path().join("socket"))?;
        let clock = Arc::new(SystemClock);
        let guest = Guest::new(GuestConfig::default(), Role::Ordinary, clock, tasks.clone())?;
        let draining = tasks.draining_token().clone();
        tasks.spawn("a guest in no sandbox", async move {
            let serving = axum::serve(listener, router(guest)).into_future();
            draining.run_until_cancelled(serving).await.transpose()
        });
        Ok(Arc::new(Self { folder, spec }))
    }
}

fn unsupported<T>() -> Result<T, Error> {
    let why = "there is no sandbox around this guest";
    Err(Error::new(ErrorKind::Unsupported, why))
}

#[async_trait]
impl Environment for Unconfined {
    fn spec(&self) -> SandboxSpec {
        self.spec.clone()
    }

    async fn start(&self, _: &dyn Watch) -> Result<(), Error> {
        unsupported()
    }

    async fn pause(&self) -> Result<(), Error> {
        unsupported()
    }

    async fn resume(&self) -> Result<(), Error> {
        unsupported()
    }

    async fn stop(&self) -> Result<(), Error> {
        unsupported()
    }

    async fn set_egress(&self, _: &Egress) -> Result<(), Error> {
        unsupported()
    }

    async fn set_limits(&self, _: &SandboxLimits) -> Result<(), Error> {
        unsupported()
    }

    async fn snapshot(&self, _: SnapshotId) -> Result<u64, Error> {
        unsupported()
    }

    async fn stats(&self) -> Result<SandboxStats, Error> {
        unsupported()
    }

    async fn connect(&self) -> Result<Box<dyn Connection>, Error> {
        let stream = UnixStream::connect(self.folder.path().join("socket")).await;
        let stream = stream.map_err(|error| Error::io("the guest's socket", error))?;
        Ok(Box::new(stream))
    }

    async fn ended(&self) -> SandboxEnd {
        std::future::pending().await
    }
}

/// Whether a probe is of this kind.
pub(crate) fn is_route(probe: &str) -> bool {
    probe.starts_with("route ")
}

/// Tries it by the routes of a guest, with the strongest user there.
pub(crate) async fn attempt(sandbox: &Arc<dyn Environment>, probe: &[String]) -> Result<Came> {
    let guest = GuestClient::new(Arc::clone(sandbox));
    let words: Vec<&str> = probe.iter().map(String::as_str).collect();
    let reached = match words.as_slice() {
        ["route", "read", path] => guest.read("root", path).await.map(drop),
        ["route", "read-by-link", path] => read_by_link(&guest, path).await?,
        // Opened to write at its end, and nothing is written.
        ["route", "append", path] => append(&guest, path).await,
        ["route", "unpack", which, to] => return unpack(&guest, which, Path::new(to)).await,
        ["route", "flood"] => return flood(&guest).await,
        ["route", "escape"] => return Ok(escaped(&said_of(&guest).await?)),
        other => bail!("no such attempt: {other:?}"),
    };
    Ok(came(reached.map(|()| "the route answered".to_owned())))
}

fn came(outcome: Result<String, impl std::fmt::Display>) -> Came {
    match outcome {
        Ok(said) => Came {
            code: Some(0),
            said,
        },
        Err(error) => Came {
            code: Some(1),
            said: error.to_string(),
        },
    }
}

async fn read_by_link(guest: &GuestClient, path: &str) -> Result<Result<(), Error>> {
    let link = format!("/tmp/helix-link-{}", std::process::id());
    let (code, said) = guest.run("root", &["ln", "-sfn", path, &link]).await?;
    ensure!(code == Some(0), "ln: {said}");
    let read = guest.read("root", &link).await.map(drop);
    guest.run("root", &["rm", &link]).await?;
    Ok(read)
}

async fn append(guest: &GuestClient, path: &str) -> Result<(), Error> {
    let path = format!("/files/content?path={path}&append=true&user=root");
    let answer = guest.ask(http::Method::PUT, &path, Bytes::new()).await?;
    if answer.status().is_success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(answer.body()).into_owned();
    Err(Error::new(ErrorKind::Failed, said))
}

/// A file of the test's own that is planted outside where the archive is unpacked.
async fn unpack(guest: &GuestClient, which: &str, to: &Path) -> Result<Came> {
    let archive = Bytes::from(archive(which, to)?);
    let path = "/files/archive?path=/tmp&user=root";
    let answer = guest.ask(http::Method::PUT, path, archive).await?;
    let said = format!("{}: {:?}", answer.status(), answer.body());
    Ok(came(
        planted(to)?.then_some("planted".to_owned()).ok_or(said),
    ))
}

/// As a program unpacks that trusts an archive.
pub(crate) fn unpack_trusting(probe: &[String]) -> Result<Came> {
    let [_, _, which, to] = probe else {
        bail!("no such attempt: {probe:?}");
    };
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("archive.tar");
    std::fs::write(&file, archive(which, Path::new(to))?)?;
    let mut tar = Command::new("tar");
    tar.arg("-C")
        .arg(folder.path())
        .args(["-P", "-xf"])
        .arg(&file);
    let output = tar.output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(came(
        planted(Path::new(to))?
            .then_some("planted".to_owned())
            .ok_or(said),
    ))
}

/// Whether the file is there; it is removed.
fn planted(path: &Path) -> Result<bool> {
    let there = path.exists();
    if there {
        std::fs::remove_file(path)?;
    }
    Ok(there)
}

/// An archive that plants a file at `to`, by the name of an entry or by a link before it.
fn archive(which: &str, to: &Path) -> Result<Vec<u8>> {
    let mut archive = Vec::new();
    match which {
        "absolute" => entry(&mut archive, b'0', &to.display().to_string(), "")?,
        "up" => entry(
            &mut archive,
            b'0',
            &format!("../../../../../../..{}", to.display()),
            "",
        )?,
        "link" => {
            let folder = to.parent().unwrap_or(Path::new("/")).display().to_string();
            let name = format!("way-{}", std::process::id());
            let file = to.file_name().unwrap_or_default().to_string_lossy();
            entry(&mut archive, b'2', &name, &folder)?;
            entry(&mut archive, b'0', &format!("{name}/{file}"), "")?;
        }
        other => bail!("no such archive: {other}"),
    }
    archive.resize(archive.len() + 1_024, 0);
    Ok(archive)
}

/// An empty entry of a tar (POSIX.1-1988, ustar).
fn entry(archive: &mut Vec<u8>, kind: u8, name: &str, link: &str) -> Result<()> {
    ensure!(
        name.len() < 100 && link.len() < 100,
        "too long for a tar: {name}"
    );
    let mut block = [0; 512];
    let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    put(
        100,
        b"0000644\x000000000\x000000000\x0000000000000\x0000000000000\x00        ",
    );
    put(156, &[kind]);
    put(157, link.as_bytes());
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    archive.extend(block);
    Ok(())
}

fn flooding() -> Vec<String> {
    let script = format!("yes | head -c {FLOOD}");
    ["/bin/sh", "-c", &script].map(str::to_owned).to_vec()
}

/// All of what a program says without end is kept for whoever asks.
async fn flood(guest: &GuestClient) -> Result<Came> {
    let request = ExecRequest {
        command: flooding(),
        env: Default::default(),
        cwd: None,
        user: Some("root".to_owned()),
        stdin: None,
        timeout_ms: None,
        stream: false,
        background: false,
        waits: false,
    };
    let result = guest.exec(&request).await?;
    let kept = match result.stdout {
        Output::Text(text) => text.len(),
        Output::Base64(text) => text.len() / 4 * 3,
    };
    let all = format!("{kept} bytes are kept of {FLOOD}");
    Ok(came(if kept >= FLOOD { Ok(all) } else { Err(all) }))
}

/// By a program that keeps what another says.
pub(crate) fn flood_trusting() -> Result<Came> {
    let command = flooding();
    let kept = Command::new(&command[0]).args(&command[1..]).output()?;
    let all = format!("{} bytes are kept of {FLOOD}", kept.stdout.len());
    Ok(came(if kept.stdout.len() >= FLOOD {
        Ok(all)
    } else {
        Err(all)
    }))
}

/// Nothing has this name, which would change a terminal's title.
const NAME: &str = "/no\x1b]0;evil\x07such";

/// What is said of it by whoever reads files for others.
async fn said_of(guest: &GuestClient) -> Result<String> {
    let name = NAME.replace('\x1b', "%1b").replace('\x07', "%07");
    match guest.read("root", &name).await {
        Ok(_) => bail!("{NAME:?} is there"),
        Err(error) => Ok(error.to_string()),
    }
}

/// Whether a terminal that shows this obeys it.
fn escaped(said: &str) -> Came {
    let obeyed = said.contains('\x1b');
    came(if obeyed {
        Ok(said.to_owned())
    } else {
        Err(said.to_owned())
    })
}

/// By a shell, which says the name as it is.
pub(crate) fn escape_trusting() -> Result<Came> {
    let mut shell = Command::new("/bin/sh");
    let output = shell.args(["-c", r#"exec < "$1""#, "sh", NAME]).output()?;
    Ok(escaped(&String::from_utf8_lossy(&output.stderr)))
}
