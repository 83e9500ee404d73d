//! An Xvfb of our own: a screen in memory, with a window manager and a terminal.

mod place;

use std::{
    ffi::OsString, fmt, io, os::unix::process::ExitStatusExt as _, path::PathBuf,
    process::ExitStatus, sync::Arc, time::Duration,
};

use async_trait::async_trait;
use helix_base::{Clock, TaskGroup};
use helix_proto::desktop::Size;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::{Child, ChildStdout},
    sync::{Mutex, watch},
    time::timeout,
};

use self::place::{Place, Secret};
use super::{
    X11Capture, X11Clipboard, X11Cursors, X11Input,
    line::{Connection, Display, Line, ask},
    manager::managed,
    resize::resize,
};
use crate::{
    Error, ErrorKind,
    capture::Capture,
    cursor::Cursors,
    desktop::{Clipboard, Desktop},
    input::InputSink,
    serve::Starter,
};

/// How long Xvfb may take to listen.
const START_WITHIN: Duration = Duration::from_secs(15);

/// Which Xvfb is started, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The program; found by `PATH` where it is a bare name.
    pub program: PathBuf,
    /// A folder that belongs to the user who runs it, and to nobody else: for its secret.
    pub runtime_dir: PathBuf,
    /// The first size.
    pub size: Size,
    /// The keyboard's layout, one of XKB's.
    pub layout: String,
    /// The window manager; it says by EWMH that it is there.
    pub window_manager: String,
    /// What else is started, each by a shell, once the window manager is there.
    pub programs: Vec<String>,
    /// The whole environment of all of them, beside what tells them where it is.
    pub env: Vec<(OsString, OsString)>,
}

/// What is started, unless told otherwise.
pub fn usual_programs() -> Vec<String> {
    [
        "xsetroot -solid '#1f2430'",
        "xterm -u8 -fa Monospace -fs 11",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Starts Xvfbs, one after the other.
#[derive(Debug)]
pub struct XvfbStarter {
    options: Options,
    clock: Arc<dyn Clock>,
    tasks: TaskGroup,
    /// The size that the last had, so that the next has it, too.
    size: watch::Sender<Size>,
}

impl XvfbStarter {
    /// What its Xvfbs need runs in tasks of the group.
    pub fn new(options: Options, clock: Arc<dyn Clock>, tasks: &TaskGroup) -> Self {
        Self {
            size: watch::Sender::new(options.size),
            options,
            clock,
            tasks: tasks.clone(),
        }
    }
}

#[async_trait]
impl Starter for XvfbStarter {
    fn size(&self) -> Size {
        *self.size.borrow()
    }

    async fn start(&self) -> Result<Arc<dyn Desktop>, Error> {
        let xvfb = Xvfb::start(&self.options, &self.clock, &self.tasks, &self.size);
        match Box::pin(xvfb).await {
            Ok(xvfb) => Ok(Arc::new(xvfb)),
            Err(why) => {
                // It may be for the size that a viewer wanted.
                self.size.send_replace(self.options.size);
                Err(why)
            }
        }
    }
}

/// An Xvfb that runs.
pub struct Xvfb {
    display: Display,
    /// For what is asked of it beside input and pictures.
    line: Mutex<Line>,
    input: Arc<X11Input>,
    clipboard: Arc<X11Clipboard>,
    clock: Arc<dyn Clock>,
    size: watch::Sender<Size>,
    /// Why it has ended.
    ended: watch::Receiver<Option<String>>,
    /// Ends its tasks, and with them the processes.
    tasks: TaskGroup,
}

impl fmt::Debug for Xvfb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Xvfb")
            .field("display", &self.display)
            .finish_non_exhaustive()
    }
}

impl Drop for Xvfb {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

impl Xvfb {
    async fn start(
        options: &Options,
        clock: &Arc<dyn Clock>,
        tasks: &TaskGroup,
        size: &watch::Sender<Size>,
    ) -> Result<Self, Error> {
        let tasks = tasks.child();
        let guard = tasks.token().clone().drop_guard();
        let secret = Secret::write(&options.runtime_dir)?;
        let first = *size.borrow();
        let mut server = secret.server(options, first)?;
        let said = server.stdout.take();
        let number = tokio::select! {
            number = timeout(START_WITHIN, number(said)) => number.map_err(|_| {
                Error::new(ErrorKind::Timeout, "Xvfb does not listen after 15 s")
            })??,
            ended = server.wait() => return Err(ended_by(ended)),
        };
        let display = Display {
            socket: socket(number),
            cookie: secret.cookie,
        };
        let line = Line::connect(&display).await?;
        let root = line.root;
        // It has all of its memory, and begins as large as that.
        let shrink = move |connection: &Connection| resize(connection, root, first);
        ask(&line.connection, shrink).await?;
        let place = Place {
            options,
            secret: &secret,
            number,
        };
        place.lay_out().await?;
        let input = X11Input::connect(&display, size.subscribe(), &tasks).await?;
        let clipboard = X11Clipboard::connect(&display, &tasks).await?;
        let managed = Box::pin(managed(&display));
        let mut manager = place.program(&options.window_manager)?;
        tokio::select! {
            managed = timeout(START_WITHIN, managed) => managed.map_err(|_| {
                let why = format!("{} is not there after 15 s", options.window_manager);
                Error::new(ErrorKind::Timeout, why)
            })??,
            ended = manager.wait() => {
                let why = format!("{} has ended ({ended:?})", options.window_manager);
                return Err(Error::new(ErrorKind::Failed, why));
            }
        }
        tasks.spawn("window manager", async move { manager.wait().await });
        for program in &options.programs {
            let mut child = place.program(program)?;
            tasks.spawn("desktop program", async move { child.wait().await });
        }
        let (say, ended) = watch::channel(None);
        let mut server = Server {
            child: server,
            number,
        };
        tasks.spawn("xvfb", async move {
            let why = ended_by(server.child.wait().await).to_string();
            say.send_replace(Some(why));
        });
        // It lives as long as what is returned.
        guard.disarm();
        Ok(Self {
            display,
            line: Mutex::new(line),
            input: Arc::new(input),
            clipboard: Arc::new(clipboard),
            clock: clock.clone(),
            size: size.clone(),
            ended,
            tasks,
        })
    }

    /// Where it listens.
    pub const fn display(&self) -> &Display {
        &self.display
    }
}

/// The process of a server. What it leaves when it is killed goes with it.
struct Server {
    child: Child,
    number: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended, and removed them, by itself.
        let _ = self.child.start_kill();
        let _ = std::fs::remove_file(format!("/tmp/.X{}-lock", self.number));
        let _ = std::fs::remove_file(socket(self.number));
    }
}

fn socket(number: u16) -> PathBuf {
    PathBuf::from(format!("/tmp/.X11-unix/X{number}"))
}

fn ended_by(status: io::Result<ExitStatus>) -> Error {
    let how = match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("with code {code}"),
            (_, Some(signal)) => format!("by signal {signal}"),
            _ => "somehow".to_owned(),
        },
        Err(why) => format!("and cannot be waited for: {why}"),
    };
    Error::new(ErrorKind::Ended, format!("Xvfb has ended {how}"))
}

/// The number of the display, which it says when it listens.
async fn number(said: Option<ChildStdout>) -> Result<u16, Error> {
    let failed = |why: &dyn fmt::Display| Error::failed("Xvfb does not say where it listens", why);
    let said = said.ok_or_else(|| failed(&"it has no output"))?;
    let mut line = String::new();
    let mut reader = BufReader::new(said.take(16));
    let read = reader.read_line(&mut line).await;
    read.map_err(|why| failed(&why))?;
    line.trim().parse().map_err(|why| failed(&why))
}

#[async_trait]
impl Desktop for Xvfb {
    fn size(&self) -> Size {
        *self.size.borrow()
    }

    async fn capture(&self) -> Result<Box<dyn Capture>, Error> {
        let capture = X11Capture::connect(&self.display, self.clock.clone()).await?;
        Ok(Box::new(capture))
    }

    fn input(&self) -> Arc<dyn InputSink> {
        self.input.clone()
    }

    fn clipboard(&self) -> Option<Arc<dyn Clipboard>> {
        Some(self.clipboard.clone())
    }

    async fn cursors(&self) -> Result<Option<Box<dyn Cursors>>, Error> {
        let cursors = X11Cursors::connect(&self.display).await?;
        Ok(Some(Box::new(cursors)))
    }

    async fn resize(&self, size: Size) -> Result<(), Error> {
        let line = self.line.lock().await;
        if self.size() == size {
            return Ok(());
        }
        let root = line.root;
        ask(&line.connection, move |connection| {
            resize(connection, root, size)
        })
        .await?;
        self.size.send_replace(size);
        Ok(())
    }

    async fn ended(&self) -> Error {
        let mut ended = self.ended.clone();
        let why = match ended.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            Err(_) => "Xvfb was stopped".to_owned(),
        };
        Error::new(ErrorKind::Ended, why)
    }
}
