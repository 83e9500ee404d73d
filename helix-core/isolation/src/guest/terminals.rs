//! Terminals, which outlive whoever looks at them.

mod attach;
mod pty;
mod ring;
mod routes;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::pending,
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use helix_proto::{
    TerminalId,
    error::ErrorCode,
    sandbox::guest::{ExecExit, Terminal, TerminalList, TerminalRequest},
};
use rustix::process::Signal;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use self::{
    pty::{Master, Size},
    ring::{Gone, Ring},
};
use super::{
    Guest,
    failure::{Answer, Failed},
    programs::{self, Launch, Streams},
    reaper::Process,
    tree,
    users::User,
};

pub(crate) use routes::routes;

/// How many there are at most, with those that ended.
const MOST: usize = 64;
/// The scroll-back of one.
const RING: usize = 1 << 20;
/// How much is read at once.
const READ: usize = 64 * 1024;
/// How long one stays after its program ended.
const KEPT: Duration = Duration::from_secs(600);
/// How far the program may be ahead of the viewer that reads fastest, and how long it
/// waits for a viewer that reads nothing.
const AHEAD: u64 = (RING / 2) as u64;
const PATIENCE: Duration = Duration::from_secs(2);
/// How long what is left of the output is waited for when the program has ended while
/// something else still holds the terminal.
const QUIET: Duration = Duration::from_millis(100);
const LINGER: Duration = Duration::from_secs(2);
/// How long a program has to end when its terminal is hung up.
const HANG_UP: Duration = Duration::from_secs(2);
const LARGEST: u16 = 1000;

/// The terminals of a guest, by age.
#[derive(Debug, Default)]
pub(crate) struct Terminals {
    known: Mutex<BTreeMap<TerminalId, Arc<Open>>>,
}

/// A terminal.
#[derive(Debug)]
struct Open {
    terminal: Terminal,
    process: Process,
    master: Master,
    ring: Mutex<Ring>,
    /// The end of the ring.
    written: watch::Sender<u64>,
    /// How far the viewer that reads fastest has come.
    seen: watch::Sender<u64>,
    size: watch::Sender<Size>,
    exit: watch::Sender<Option<ExecExit>>,
    attached: AtomicU32,
    /// Set when it was deleted.
    hung_up: watch::Sender<bool>,
}

impl Open {
    fn shown(&self) -> Terminal {
        let Size { cols, rows } = *self.size.borrow();
        Terminal {
            cols,
            rows,
            attached: self.attached.load(Ordering::Relaxed),
            exit: *self.exit.borrow(),
            ..self.terminal.clone()
        }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, from: u64) -> Result<Vec<u8>, Gone> {
        self.ring().read(from, READ)
    }

    fn write(&self, bytes: &[u8]) {
        let mut ring = self.ring();
        ring.push(bytes);
        let end = ring.end();
        drop(ring);
        self.written.send_replace(end);
    }

    /// A viewer has come this far.
    fn saw(&self, offset: u64) {
        self.seen.send_if_modified(|seen| {
            let more = offset > *seen;
            *seen = (*seen).max(offset);
            more
        });
    }

    fn resize(&self, size: Size) -> Answer<()> {
        let size = checked(size)?;
        self.master
            .resize(size)
            .map_err(|error| Failed::io("cannot change the size of the terminal", &error))?;
        self.size
            .send_if_modified(|old| std::mem::replace(old, size) != size);
        Ok(())
    }

    /// Reads what the program writes. It waits for the fastest viewer, while there is one
    /// that reads at all; without viewers it never waits.
    async fn pump(&self) {
        loop {
            self.room().await;
            let bytes = self.master.read(READ).await;
            if bytes.is_empty() {
                return;
            }
            self.write(&bytes);
        }
    }

    async fn room(&self) {
        let mut seen = self.seen.subscribe();
        let end = self.ring().end();
        while self.attached.load(Ordering::Relaxed) > 0
            && end.saturating_sub(*seen.borrow_and_update()) >= AHEAD
        {
            if timeout(PATIENCE, seen.changed()).await.is_err() {
                // Nobody reads: from here on they are all behind.
                self.saw(end);
                return;
            }
        }
    }

    /// Looks after it until its program has ended.
    async fn run(&self) -> ExecExit {
        let mut process = self.process.clone();
        let mut hung_up = self.hung_up.subscribe();
        let pump = async {
            self.pump().await;
            pending::<Infallible>().await
        };
        let ended = tokio::select! {
            exit = process.exited() => Some(exit),
            never = pump => match never {},
            () = async { drop(hung_up.wait_for(|hung_up| *hung_up).await) } => None,
        };
        let exit = match ended {
            Some(exit) => exit,
            None => self.hang_up().await,
        };
        // What still writes then has been listened to for long enough.
        let _ = timeout(LINGER, self.drain()).await;
        exit
    }

    /// Reads what the program left behind.
    async fn drain(&self) {
        while let Ok(bytes) = timeout(QUIET, self.master.read(READ)).await {
            if bytes.is_empty() {
                return;
            }
            self.write(&bytes);
        }
    }

    /// What a closed window does; a program that does not end by it is killed.
    async fn hang_up(&self) -> ExecExit {
        for signal in [Signal::HUP, Signal::CONT] {
            // It may have ended by itself.
            let _ = self.process.signal(signal, true);
        }
        let mut process = self.process.clone();
        match timeout(HANG_UP, process.exited()).await {
            Ok(exit) => exit,
            Err(_) => ExecExit {
                code: None,
                signal: Some(9),
                timed_out: false,
            },
        }
    }
}

impl Terminals {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<TerminalId, Arc<Open>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, id: TerminalId) -> Answer<Arc<Open>> {
        self.lock().get(&id).cloned().ok_or_else(|| {
            Failed::not_found(format!(
                "the sandbox has no terminal {id}, or has forgotten it"
            ))
        })
    }

    fn list(&self) -> TerminalList {
        TerminalList {
            terminals: self.lock().values().map(|open| open.shown()).collect(),
        }
    }

    /// Refuses a terminal too many, and forgets the oldest whose program has ended.
    fn make_room(&self) -> Answer<()> {
        let mut known = self.lock();
        if known.len() < MOST {
            return Ok(());
        }
        let ended = known.iter().find(|(_, open)| open.exit.borrow().is_some());
        match ended.map(|(id, _)| *id) {
            Some(id) => known.remove(&id),
            None => {
                return Err(Failed::new(
                    ErrorCode::TooManyRequests,
                    format!("{MOST} terminals are open in this sandbox: close one first"),
                ));
            }
        };
        Ok(())
    }
}

impl Guest {
    /// Opens a terminal, and starts what looks after it.
    async fn open_terminal(&self, request: TerminalRequest) -> Answer<Terminal> {
        let size = checked(Size {
            cols: request.cols.unwrap_or(80),
            rows: request.rows.unwrap_or(24),
        })?;
        if !request.command.is_empty() {
            programs::check_command(&request.command)?;
        }
        programs::check_place(&request.env, request.cwd.as_deref())?;
        let terminals = &self.inner.terminals;
        terminals.make_room()?;
        let id: TerminalId = self.inner.ids.next();
        let (terminal, process, master) = self.start_terminal(id, size, request).await?;
        let master =
            Master::new(master).map_err(|error| Failed::io("cannot watch the terminal", &error))?;
        let open = Arc::new(Open {
            terminal,
            process,
            master,
            ring: Mutex::new(Ring::new(RING)),
            written: watch::channel(0).0,
            seen: watch::channel(0).0,
            size: watch::channel(size).0,
            exit: watch::channel(None).0,
            attached: AtomicU32::new(0),
            hung_up: watch::channel(false).0,
        });
        terminals.lock().insert(id, open.clone());
        let shown = open.shown();
        self.inner
            .tasks
            .spawn("terminal", self.clone().look_after(open));
        Ok(shown)
    }

    /// Starts the program of a terminal.
    async fn start_terminal(
        &self,
        id: TerminalId,
        size: Size,
        request: TerminalRequest,
    ) -> Answer<(Terminal, Process, OwnedFd)> {
        let guest = self.clone();
        let job = move || {
            let user = User::find(request.user.as_deref())?;
            let command = if request.command.is_empty() {
                vec![user.shell.to_string_lossy().into_owned()]
            } else {
                request.command
            };
            let (master, slave) = pty::open(&user, size)
                .map_err(|error| Failed::io("cannot open a terminal", &error))?;
            let programs = &guest.inner.programs;
            let term = ("TERM".to_owned(), "xterm-256color".to_owned());
            let env = [term].into_iter().chain(request.env).collect();
            let launch = Launch {
                id: id.to_string(),
                command: command.clone(),
                cwd: request.cwd,
                streams: Streams::Terminal(slave),
            };
            let env = programs.environment(&user, env);
            let process = programs::start(programs.reaper(), &user, env, launch)?;
            let terminal = Terminal {
                id,
                command,
                user: user.name,
                cols: size.cols,
                rows: size.rows,
                started_at_ms: guest.inner.clock.now_ms(),
                attached: 0,
                exit: None,
            };
            Ok((terminal, process, master))
        };
        self.inner.control.run(job).await
    }

    /// Follows a terminal to its end, and forgets it a while later.
    async fn look_after(self, open: Arc<Open>) {
        let exit = open.run().await;
        if open.process.is_running() {
            let (pid, id) = (open.process.pid(), open.terminal.id.to_string());
            let killed = self.inner.control.run(move || {
                tree::kill(Some(pid), &id);
                Ok(())
            });
            if let Err(failed) = killed.await {
                tracing::warn!(id = %open.terminal.id, error = %failed.0, "cannot kill a terminal");
            }
        }
        open.exit.send_replace(Some(exit));
        sleep(KEPT).await;
        self.inner.terminals.lock().remove(&open.terminal.id);
    }
}

fn checked(size: Size) -> Answer<Size> {
    for (field, value) in [("cols", size.cols), ("rows", size.rows)] {
        if value == 0 || value > LARGEST {
            return Err(Failed::invalid(
                field,
                format!("a terminal has 1 to {LARGEST} {field}, not {value}"),
            ));
        }
    }
    Ok(size)
}
