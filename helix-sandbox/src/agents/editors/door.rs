//! Where programs that stand for editors come in: each sandbox with a thread has a door, at which
//! the host waits for calls.

use std::{sync::Arc, time::Duration};

use helix_base::{Backoff, BackoffPolicy, TaskGroup};
use helix_isolation::Connection;
use helix_proto::SandboxId;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, ReadHalf},
    sync::{Semaphore, mpsc},
    time::timeout,
};

use super::{
    Editor, From,
    wire::{Asked, LONGEST, Told, VERSION},
};
use crate::agents::place::Place;

/// Editors of one sandbox at a time; more wait.
const EDITORS: usize = 16;
/// How long an editor may take to say hello, and to take what it is told.
const HELLO: Duration = Duration::from_secs(10);
const WRITE: Duration = Duration::from_secs(30);
/// What an editor is told and has not taken, at most: then it is let go.
const TOLD: usize = 256;

/// Between attempts, while the sandbox is paused, say, or began before there were editors.
const AGAIN: BackoffPolicy = BackoffPolicy {
    base: Duration::from_millis(500),
    cap: Duration::from_secs(30),
};

/// Takes the calls of a sandbox, until the group ends.
pub(super) async fn keep(place: Place, to: mpsc::Sender<From>, tasks: TaskGroup) {
    let places = Arc::new(Semaphore::new(EDITORS));
    let mut again = Backoff::new(AGAIN);
    loop {
        // Never closed.
        let Ok(seat) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match next(&place).await {
            Ok(Some(call)) => {
                again.succeeded();
                let (to, sandbox) = (to.clone(), place.id);
                tasks.spawn("editor", async move {
                    if let Err(why) = serve(call, sandbox, to).await {
                        tracing::debug!(%sandbox, why, "an editor left");
                    }
                    drop(seat);
                });
            }
            Ok(None) => again.succeeded(),
            Err(why) => {
                tracing::debug!(sandbox = %place.id, why, "no editor can call");
                let delay = again.next_delay(&mut rand::rng());
                tokio::time::sleep(delay).await;
            }
        }
    }
}

async fn next(place: &Place) -> Result<Option<Box<dyn Connection>>, String> {
    let guest = place.guest()?;
    guest.next_call().await.map_err(|error| error.to_string())
}

/// Hands on what an editor asks and is told, until it leaves.
async fn serve(
    call: Box<dyn Connection>,
    sandbox: SandboxId,
    to: mpsc::Sender<From>,
) -> Result<(), String> {
    let (read, mut write) = tokio::io::split(call);
    let mut lines = BufReader::new(read);
    let hello = timeout(HELLO, line(&mut lines)).await;
    match hello.map_err(|_| "it said nothing")?? {
        Some(Asked::Hello { .. }) => {}
        Some(_) => return Err("it did not say hello".to_owned()),
        None => return Ok(()),
    }
    let editor = Editor(rand::random());
    let (out, mut told) = mpsc::channel(TOLD);
    let _ = out.try_send(Told::Hello { version: VERSION });
    let came = From::Came {
        editor,
        sandbox,
        out,
    };
    to.send(came).await.map_err(|_| "the host ends")?;
    let reading = async {
        while let Some(asked) = line(&mut lines).await? {
            let asked = From::Asked { editor, asked };
            to.send(asked).await.map_err(|_| "the host ends")?;
        }
        Ok(())
    };
    let writing = async {
        while let Some(told) = told.recv().await {
            let mut line = serde_json::to_string(&told).map_err(|error| error.to_string())?;
            line.push('\n');
            match timeout(WRITE, write.write_all(line.as_bytes())).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(error.to_string()),
                Err(_) => return Err("it does not read".to_owned()),
            }
        }
        Err("it asked for more than it takes".to_owned())
    };
    let ended = tokio::select! {
        ended = reading => ended,
        ended = writing => ended,
    };
    // Where the host ends, nobody needs to hear it.
    let _ = to.send(From::Left { editor }).await;
    ended
}

/// The next message; none at the end.
async fn line(
    lines: &mut BufReader<ReadHalf<Box<dyn Connection>>>,
) -> Result<Option<Asked>, String> {
    let mut line = Vec::new();
    let most = u64::try_from(LONGEST).unwrap_or(u64::MAX);
    let read = lines.take(most).read_until(b'\n', &mut line).await;
    if read.map_err(|error| error.to_string())? == 0 {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') {
        return Err("a line without an end".to_owned());
    }
    let asked = serde_json::from_slice(&line).map_err(|error| error.to_string())?;
    Ok(Some(asked))
}
