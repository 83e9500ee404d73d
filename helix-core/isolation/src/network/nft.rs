//! The `nft` program: one run for as many changes as are waiting.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use helix_base::TaskGroup;
use tokio::{
    io::AsyncWriteExt as _,
    process::Command,
    sync::{mpsc, oneshot},
};

use crate::{Error, ErrorKind};

/// One run takes milliseconds; a large table on a busy host takes longer.
const DEADLINE: Duration = Duration::from_secs(30);
/// Changes that wait; those who ask for more wait to ask.
const WAITING: usize = 1_024;
/// Changes in one run.
const BATCH: usize = 128;

/// Runs `nft`, one at a time.
#[derive(Debug, Clone)]
pub(super) struct Nft {
    program: Arc<PathBuf>,
    queue: mpsc::Sender<Change>,
}

#[derive(Debug)]
struct Change {
    text: String,
    done: oneshot::Sender<Result<(), Error>>,
}

impl Nft {
    pub(super) fn new(program: PathBuf, tasks: &TaskGroup) -> Self {
        let program = Arc::new(program);
        let (queue, changes) = mpsc::channel(WAITING);
        tasks.spawn("nft", apply(program.clone(), changes));
        Self { program, queue }
    }

    #[cfg(feature = "docker")]
    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    /// Makes a change: all of it or nothing.
    pub(super) async fn change(&self, text: String) -> Result<(), Error> {
        if text.is_empty() {
            return Ok(());
        }
        let (done, answer) = oneshot::channel();
        let closed = || Error::new(ErrorKind::Failed, "the network of the sandboxes is closing");
        self.queue
            .send(Change { text, done })
            .await
            .map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// What `nft --json …` prints; nothing where it fails, as for a table that is not there.
    pub(super) async fn list(
        &self,
        arguments: &[&str],
    ) -> Result<Option<serde_json::Value>, Error> {
        let mut command = Command::new(&*self.program);
        command
            .arg("--json")
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = tokio::time::timeout(DEADLINE, command.output()).await;
        let output = output
            .map_err(|_| late())?
            .map_err(|error| missing(&self.program, error))?;
        if !output.status.success() {
            return Ok(None);
        }
        let parsed = serde_json::from_slice(&output.stdout);
        let unread = |error| {
            Error::new(
                ErrorKind::Failed,
                format!("cannot read nft's list: {error}"),
            )
        };
        parsed.map(Some).map_err(unread)
    }
}

/// Takes what waits, and runs it at once; where that fails, one by one, so that each gets
/// its own answer.
async fn apply(program: Arc<PathBuf>, mut changes: mpsc::Receiver<Change>) {
    let mut batch = Vec::with_capacity(BATCH);
    while changes.recv_many(&mut batch, BATCH).await > 0 {
        if batch.len() > 1 {
            let text: String = batch.iter().map(|change| change.text.as_str()).collect();
            if run(&program, &text).await.is_ok() {
                for change in batch.drain(..) {
                    let _ = change.done.send(Ok(()));
                }
                continue;
            }
        }
        for change in batch.drain(..) {
            let _ = change.done.send(run(&program, &change.text).await);
        }
    }
}

async fn run(program: &PathBuf, text: &str) -> Result<(), Error> {
    let mut command = Command::new(program);
    command
        .args(["--file", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| missing(program, error))?;
    let input = child.stdin.take();
    let work = async {
        if let Some(mut input) = input {
            // It may end without reading; then its own words say why.
            let _ = input.write_all(text.as_bytes()).await;
        }
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(DEADLINE, work)
        .await
        .map_err(|_| late())?;
    let output = output.map_err(|error| Error::io("cannot run nft", error))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: String = said
        .lines()
        .next()
        .unwrap_or("it said nothing")
        .chars()
        .take(300)
        .collect();
    Err(Error::new(
        ErrorKind::Failed,
        format!("nft refused a change: {said}"),
    ))
}

fn missing(program: &Path, error: std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::NotFound {
        let message = format!(
            "there is no {}: install nftables, or give the path of its program nft",
            program.display()
        );
        return Error::new(ErrorKind::Unsupported, message);
    }
    Error::io(format!("cannot run {}", program.display()), error)
}

fn late() -> Error {
    let seconds = DEADLINE.as_secs();
    Error::new(
        ErrorKind::Timeout,
        format!("nft did not finish within {seconds} s"),
    )
}
