//! Programs that run to an end, with what they write.

mod log;
mod pump;
mod routes;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use helix_proto::{
    ExecId,
    error::ErrorCode,
    sandbox::guest::{Exec, ExecExit, ExecList, ExecRequest, ExecResult},
};
use rustix::process::Signal;
use tokio::{
    net::unix::pipe,
    sync::{Semaphore, watch},
};

use self::log::{Log, Stream};
use super::{
    Guest,
    failure::{Answer, Failed},
    programs::{self, Launch, Streams},
    reaper::Process,
    tree,
    users::User,
};

pub(crate) use routes::routes;

/// How many are kept, and how many run at once.
const MOST: usize = 1024;
/// What is kept of each stream of one.
const RING: usize = 4 << 20;
/// What is kept of all of them, and what each may keep when that is full.
const ALL: usize = 32 << 20;
const SMALL: usize = 128 * 1024;
/// How many wait for whoever follows them: each may have a whole ring for each stream.
const WAITING: usize = 16;
/// How many ended programs whose pipes something still holds are read on for nobody.
const LEFTOVERS: usize = 256;
/// How long one runs unless its request says otherwise or it is in the background.
const TIMEOUT: Duration = Duration::from_secs(600);
/// The longest that a request may say.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// The programs of a guest.
#[derive(Debug)]
pub(crate) struct Execs {
    known: Mutex<HashMap<ExecId, Arc<Running>>>,
    /// Pipes that are read on after their program ended.
    leftovers: Arc<Semaphore>,
}

impl Default for Execs {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            leftovers: Arc::new(Semaphore::new(LEFTOVERS)),
        }
    }
}

/// A program that runs, or ran.
#[derive(Debug)]
struct Running {
    exec: Exec,
    started: Instant,
    process: Process,
    log: Log,
    exit: watch::Sender<Option<ExecExit>>,
    ended_ms: AtomicU64,
    stdin: tokio::sync::Mutex<Option<pipe::Sender>>,
    /// What was read of it, where nothing may be lost; `u64::MAX` where it may, and when its
    /// caller left.
    reader: watch::Sender<u64>,
}

impl Running {
    fn exec(&self) -> Exec {
        Exec {
            exit: *self.exit.borrow(),
            ..self.exec.clone()
        }
    }

    /// Whether nothing that it wrote may be dropped before it was read.
    fn waits(&self) -> bool {
        *self.reader.borrow() != u64::MAX
    }

    fn ended(&self) -> bool {
        self.exit.borrow().is_some()
    }

    async fn wait(&self) -> Option<ExecExit> {
        let mut exit = self.exit.subscribe();
        exit.wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|exit| *exit)
    }

    /// What it wrote, when it has ended.
    fn result(&self, exit: ExecExit, now: Instant) -> ExecResult {
        let (stdout, dropped_bytes) = self.log.collect(Stream::Out);
        let (stderr, _) = self.log.collect(Stream::Err);
        let took = now.saturating_duration_since(self.started);
        ExecResult {
            id: self.exec.id,
            exit,
            stdout,
            stderr,
            dropped_bytes,
            duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl Execs {
    fn lock(&self) -> MutexGuard<'_, HashMap<ExecId, Arc<Running>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, id: ExecId) -> Answer<Arc<Running>> {
        self.lock().get(&id).cloned().ok_or_else(|| {
            Failed::not_found(format!(
                "the sandbox has no program {id}, or has forgotten it"
            ))
        })
    }

    /// Refuses a program too many, and forgets the one that ended first.
    fn make_room(&self, waits: bool) -> Answer<()> {
        let mut known = self.lock();
        let waiting = known
            .values()
            .filter(|running| running.waits() && !running.ended());
        if waits && waiting.count() >= WAITING {
            return Err(Failed::new(
                ErrorCode::TooManyRequests,
                format!("{WAITING} programs of this sandbox wait for who follows them: end one"),
            ));
        }
        if known.len() < MOST {
            return Ok(());
        }
        let oldest = known
            .values()
            .filter(|running| running.ended())
            .min_by_key(|running| running.ended_ms.load(Ordering::Relaxed))
            .map(|running| running.exec.id);
        match oldest {
            Some(id) => {
                known.remove(&id);
                Ok(())
            }
            None => Err(Failed::new(
                ErrorCode::TooManyRequests,
                format!("{MOST} programs run in this sandbox: end one first"),
            )),
        }
    }

    fn list(&self) -> ExecList {
        let mut execs: Vec<Exec> = self.lock().values().map(|running| running.exec()).collect();
        execs.sort_by_key(|exec| (exec.exit.is_some(), std::cmp::Reverse(exec.id)));
        ExecList { execs }
    }

    /// Keeps all output within its bound: what ended first is forgotten first, then what
    /// runs keeps less.
    fn relieve(&self, writer: &Running) {
        let known = self.lock();
        let mut kept: usize = known.values().map(|running| running.log.kept()).sum();
        if kept <= ALL {
            return;
        }
        let mut ended: Vec<&Arc<Running>> = known
            .values()
            .filter(|running| running.ended() && running.log.kept() > SMALL)
            .collect();
        ended.sort_by_key(|running| running.ended_ms.load(Ordering::Relaxed));
        for running in ended {
            kept -= running.log.kept();
            running.log.shrink(SMALL);
            kept += running.log.kept();
            if kept <= ALL {
                return;
            }
        }
        if !writer.waits() {
            writer.log.shrink(SMALL);
        }
    }
}

impl Guest {
    /// Starts a program, and what looks after it.
    async fn exec(&self, request: ExecRequest) -> Answer<Arc<Running>> {
        programs::check_command(&request.command)?;
        programs::check_place(&request.env, request.cwd.as_deref())?;
        let timeout = timeout(&request)?;
        if request.waits && !request.background {
            let why = "only a program in the background waits for whoever follows it";
            return Err(Failed::invalid("waits", why.to_owned()));
        }
        self.inner.execs.make_room(request.waits)?;
        let id: ExecId = self.inner.ids.next();
        let (stdin, input) = stdin(&request)?;
        let (stdout, out) = output()?;
        let (stderr, err) = output()?;
        let streams = Streams::Pipes {
            stdin,
            stdout,
            stderr,
        };
        let launch = Launch {
            id: id.to_string(),
            command: request.command.clone(),
            cwd: request.cwd,
            streams,
        };
        let (user, process) = self.launch(request.user, request.env, launch).await?;
        let exec = Exec {
            id,
            pid: process.pid(),
            command: request.command,
            user,
            started_at_ms: self.inner.clock.now_ms(),
            exit: None,
        };
        let everything = (request.stream && !request.background) || request.waits;
        let running = self.keep(exec, process, input, everything);
        pump::start(
            self,
            &running,
            out,
            err,
            request.stdin.map(String::into_bytes),
            timeout,
        );
        Ok(running)
    }

    /// Starts a process as a user; its name, and the process.
    async fn launch(
        &self,
        user: Option<String>,
        env: BTreeMap<String, String>,
        launch: Launch,
    ) -> Answer<(String, Process)> {
        let guest = self.clone();
        let job = move || {
            let user = User::find(user.as_deref())?;
            let programs = &guest.inner.programs;
            let env = programs.environment(&user, env);
            let process = programs::start(programs.reaper(), &user, env, launch)?;
            Ok((user.name, process))
        };
        self.inner.control.run(job).await
    }

    fn keep(
        &self,
        exec: Exec,
        process: Process,
        input: Option<pipe::Sender>,
        everything: bool,
    ) -> Arc<Running> {
        let log = Log::new(RING);
        log.started(exec.clone());
        let running = Arc::new(Running {
            exec,
            started: self.inner.clock.now(),
            process,
            log,
            exit: watch::channel(None).0,
            ended_ms: AtomicU64::new(0),
            stdin: tokio::sync::Mutex::new(input),
            reader: watch::channel(if everything { 0 } else { u64::MAX }).0,
        });
        self.inner
            .execs
            .lock()
            .insert(running.exec.id, running.clone());
        running
    }

    /// Kills a program with its descendants.
    async fn kill(&self, running: &Arc<Running>) -> Answer<()> {
        let running = running.clone();
        let job = move || {
            running.kill();
            Ok(())
        };
        self.inner.control.run(job).await
    }
}

impl Running {
    /// Blocks: not for the thread that serves.
    fn kill(&self) {
        let leader = self.process.is_running().then(|| self.process.pid());
        tree::kill(leader, &self.exec.id.to_string());
    }

    fn signal(&self, signal: Signal) -> Answer<()> {
        let sent = self
            .process
            .signal(signal, true)
            .map_err(|error| Failed::io("cannot send the signal", &error))?;
        if sent {
            return Ok(());
        }
        Err(Failed::new(
            ErrorCode::Conflict,
            format!("the program {} has ended", self.exec.id),
        ))
    }
}

fn timeout(request: &ExecRequest) -> Answer<Option<Duration>> {
    let Some(ms) = request.timeout_ms else {
        return Ok((!request.background).then_some(TIMEOUT));
    };
    let timeout = Duration::from_millis(ms);
    if timeout.is_zero() || timeout > LONGEST {
        return Err(Failed::invalid(
            "timeout_ms",
            format!("the timeout is 1 to {} ms", LONGEST.as_millis()),
        ));
    }
    Ok(Some(timeout))
}

type Ends<T> = (std::os::fd::OwnedFd, T);

/// A pipe for what the program reads, where it reads anything.
fn stdin(request: &ExecRequest) -> Answer<(Option<std::os::fd::OwnedFd>, Option<pipe::Sender>)> {
    let posted = request.stream || request.background;
    if request.stdin.is_none() && !posted {
        return Ok((None, None));
    }
    let (read, write) = std::io::pipe().map_err(no_pipe)?;
    let write = pipe::Sender::from_owned_fd(write.into()).map_err(no_pipe)?;
    Ok((Some(read.into()), Some(write)))
}

/// A pipe for what the program writes.
fn output() -> Answer<Ends<pipe::Receiver>> {
    let (read, write) = std::io::pipe().map_err(no_pipe)?;
    let read = pipe::Receiver::from_owned_fd(read.into()).map_err(no_pipe)?;
    Ok((write.into(), read))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn no_pipe(error: std::io::Error) -> Failed {
    Failed::io("cannot make a pipe for the program", &error)
}
