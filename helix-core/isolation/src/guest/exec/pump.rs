//! Looks after one program: its output, its input, its time, its end.

use std::{
    convert::Infallible,
    future::pending,
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use helix_proto::sandbox::guest::ExecExit;
use tokio::{io::AsyncWriteExt as _, net::unix::pipe, time::timeout};

use super::{
    Guest, Running,
    log::{Log, Stream, whole_characters},
};

/// How much is read at once.
const READ: usize = 64 * 1024;
/// How far a program may be ahead of a caller that must get everything.
const AHEAD: u64 = 1 << 20;
/// How long a program that ended is listened to while its pipes say nothing (something
/// it started may hold them open), and at most.
const QUIET: Duration = Duration::from_millis(100);
const LINGER: Duration = Duration::from_secs(2);
/// How long a program that was killed may take to end.
const KILLED: Duration = Duration::from_secs(10);

/// Starts the tasks that look after a program.
pub(super) fn start(
    guest: &Guest,
    running: &Arc<Running>,
    out: pipe::Receiver,
    err: pipe::Receiver,
    input: Option<Vec<u8>>,
    within: Option<Duration>,
) {
    if let Some(input) = input {
        let running = running.clone();
        guest.inner.tasks.spawn("exec input", async move {
            if let Some(mut stdin) = running.stdin.lock().await.take() {
                // A program need not read its input.
                let _ = stdin.write_all(&input).await;
            }
        });
    }
    let pump = Pump {
        guest: guest.clone(),
        running: running.clone(),
        out: Source {
            pipe: Some(out),
            stream: Stream::Out,
            carry: Vec::new(),
        },
        err: Source {
            pipe: Some(err),
            stream: Stream::Err,
            carry: Vec::new(),
        },
    };
    guest.inner.tasks.spawn("exec", pump.run(within));
}

struct Pump {
    guest: Guest,
    running: Arc<Running>,
    out: Source,
    err: Source,
}

impl Pump {
    async fn run(mut self, within: Option<Duration>) {
        let timed_out = self.until_exit(within).await;
        let mut process = self.running.process.clone();
        let exit = match timeout(KILLED, process.exited()).await {
            Ok(exit) => exit,
            Err(_) => ExecExit {
                code: None,
                signal: Some(9),
                timed_out,
            },
        };
        self.drain().await;
        let exit = ExecExit { timed_out, ..exit };
        let running = &self.running;
        running.log.exited(exit);
        running
            .ended_ms
            .store(self.guest.inner.clock.now_ms(), Ordering::Relaxed);
        running.exit.send_replace(Some(exit));
        self.discard().await;
    }

    /// Reads until the program has ended, or was killed for its time; whether it was.
    async fn until_exit(&mut self, within: Option<Duration>) -> bool {
        let mut process = self.running.process.clone();
        let out_of_time = async {
            match within {
                Some(within) => tokio::time::sleep(within).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = process.exited() => return false,
            () = out_of_time => {}
            never = self.read() => match never {},
        }
        if let Err(failed) = self.guest.kill(&self.running).await {
            tracing::warn!(id = %self.running.exec.id, error = %failed.0, "cannot kill a program");
        }
        true
    }

    /// Reads both streams, no faster than a caller that must get everything.
    async fn read(&mut self) -> Infallible {
        let running = self.running.clone();
        let mut reader = running.reader.subscribe();
        loop {
            let log = &running.log;
            let room = |read: &u64| *read == u64::MAX || log.total().saturating_sub(*read) < AHEAD;
            // The sender lives as long as `running`.
            let _ = reader.wait_for(room).await;
            self.chunk().await;
        }
    }

    /// Reads once from whichever has something; pending when both have ended.
    async fn chunk(&mut self) {
        let log = &self.running.log;
        tokio::select! {
            () = self.out.read(log) => {}
            () = self.err.read(log) => {}
        }
        self.guest.inner.execs.relieve(&self.running);
    }

    /// Reads what the program left behind.
    async fn drain(&mut self) {
        let quiet = async {
            while self.out.pipe.is_some() || self.err.pipe.is_some() {
                if timeout(QUIET, self.chunk()).await.is_err() {
                    return;
                }
            }
        };
        // What writes on and on has been listened to for long enough.
        let _ = timeout(LINGER, quiet).await;
        self.out.flush(&self.running.log);
        self.err.flush(&self.running.log);
    }

    /// Reads on, for nobody, while something that the program started holds its pipes:
    /// it would be killed by writing to a closed one.
    async fn discard(mut self) {
        let Ok(_slot) = self.guest.inner.execs.leftovers.clone().try_acquire_owned() else {
            return;
        };
        let nowhere = Log::new(0);
        drop(self.running);
        while self.out.pipe.is_some() || self.err.pipe.is_some() {
            tokio::select! {
                () = self.out.read(&nowhere) => {}
                () = self.err.read(&nowhere) => {}
            }
        }
    }
}

/// One stream of a program.
struct Source {
    pipe: Option<pipe::Receiver>,
    stream: Stream,
    /// The beginning of a character whose rest has not come yet.
    carry: Vec<u8>,
}

impl Source {
    /// Reads once, when there is something; pending when the stream has ended. Loses
    /// nothing when it is dropped.
    async fn read(&mut self, log: &Log) {
        let Some(pipe) = &self.pipe else {
            return pending().await;
        };
        let ready = pipe.readable().await;
        let mut bytes = std::mem::take(&mut self.carry);
        bytes.reserve(READ);
        match ready.and_then(|()| pipe.try_read_buf(&mut bytes)) {
            Ok(1..) => {
                let whole = whole_characters(&bytes);
                self.carry = bytes[whole..].to_vec();
                if whole > 0 {
                    log.output(self.stream, &bytes[..whole]);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                bytes.shrink_to_fit();
                self.carry = bytes;
            }
            Ok(0) | Err(_) => {
                self.pipe = None;
                self.carry = bytes;
                self.flush(log);
            }
        }
    }

    fn flush(&mut self, log: &Log) {
        let rest = std::mem::take(&mut self.carry);
        if !rest.is_empty() {
            log.output(self.stream, &rest);
        }
    }
}
