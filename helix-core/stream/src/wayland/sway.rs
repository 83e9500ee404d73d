//! A Sway of our own: headless, painted by the processor, with a bar, a wallpaper and a
//! terminal.

mod config;
mod ipc;
mod wallpaper;
mod windows;

use std::{
    ffi::OsString,
    fmt,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use helix_base::{Clock, TaskGroup};
use helix_proto::desktop::Size;
use tokio::{
    process::{Child, Command},
    sync::watch,
    time::{sleep, timeout},
};

pub use self::config::{Look, Wallpaper};
use self::{ipc::Ipc, windows::SwayWindows};
use super::{WaylandClipboard, WaylandInput};
use crate::{
    Error, ErrorKind,
    capture::{Capture, Want},
    cursor::Cursors,
    desktop::{Clipboard, Desktop, Windows},
    input::InputSink,
    serve::Starter,
    wayland,
};

/// How long Sway may take to listen.
const START_WITHIN: Duration = Duration::from_secs(15);
/// How long a change of the size may take.
const RESIZE_WITHIN: Duration = Duration::from_secs(5);
/// How often something is looked for that nobody tells of.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// The one output.
const OUTPUT: &str = "HEADLESS-1";

/// Which Sway is started, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The program; found by `PATH` where it is a bare name.
    pub program: PathBuf,
    /// A folder that belongs to the user who runs it, and to nobody else: for its sockets and
    /// its configuration.
    pub runtime_dir: PathBuf,
    /// The first size.
    pub size: Size,
    /// The keyboard's layout, one of XKB's.
    pub layout: String,
    /// What there is to see.
    pub look: Look,
    /// The whole environment of Sway and of all that is started in it, beside what tells it
    /// to be headless.
    pub env: Vec<(OsString, OsString)>,
}

/// Starts Sways, one after the other.
#[derive(Debug)]
pub struct SwayStarter {
    options: Options,
    clock: Arc<dyn Clock>,
    tasks: TaskGroup,
    /// The size that the last had, so that the next has it, too.
    size: Arc<Mutex<Size>>,
}

impl SwayStarter {
    /// What its Sways need runs in tasks of the group.
    pub fn new(options: Options, clock: Arc<dyn Clock>, tasks: &TaskGroup) -> Self {
        Self {
            size: Arc::new(Mutex::new(options.size)),
            options,
            clock,
            tasks: tasks.clone(),
        }
    }
}

#[async_trait]
impl Starter for SwayStarter {
    fn size(&self) -> Size {
        *self.size.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn start(&self) -> Result<Arc<dyn Desktop>, Error> {
        let options = Options {
            size: self.size(),
            ..self.options.clone()
        };
        let sway = Sway::start(&options, self.clock.clone(), &self.tasks, self.size.clone());
        match Box::pin(sway).await {
            Ok(sway) => Ok(Arc::new(sway)),
            Err(why) => {
                // It may be for the size that a viewer wanted.
                *self.size.lock().unwrap_or_else(PoisonError::into_inner) = self.options.size;
                Err(why)
            }
        }
    }
}

/// A Sway that runs.
pub struct Sway {
    socket: PathBuf,
    ipc: Arc<Ipc>,
    input: Arc<WaylandInput>,
    clipboard: Arc<WaylandClipboard>,
    clock: Arc<dyn Clock>,
    size: Arc<Mutex<Size>>,
    /// Why it has ended.
    ended: watch::Receiver<Option<String>>,
    /// Ends its tasks, and with them the process.
    tasks: TaskGroup,
}

impl fmt::Debug for Sway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sway")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

impl Drop for Sway {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

impl Sway {
    async fn start(
        options: &Options,
        clock: Arc<dyn Clock>,
        tasks: &TaskGroup,
        size: Arc<Mutex<Size>>,
    ) -> Result<Self, Error> {
        let tasks = tasks.child();
        let guard = tasks.token().clone().drop_guard();
        let place = Place::prepare(options)?;
        let mut child = place.spawn(options)?;
        let socket = tokio::select! {
            socket = timeout(START_WITHIN, place.listening()) => socket.map_err(|_| {
                Error::new(ErrorKind::Timeout, "sway does not listen after 15 s")
            })?,
            ended = child.wait() => return Err(ended_by(ended)),
        };
        let input = WaylandInput::connect(&socket, &options.layout, clock.clone(), &tasks).await?;
        let clipboard = WaylandClipboard::connect(&socket, &tasks).await?;
        let (say, ended) = watch::channel(None);
        tasks.spawn("sway", async move {
            let why = ended_by(child.wait().await).to_string();
            say.send_replace(Some(why));
        });
        // It lives as long as what is returned.
        guard.disarm();
        Ok(Self {
            socket,
            ipc: Arc::new(Ipc::new(place.ipc)),
            input: Arc::new(input),
            clipboard: Arc::new(clipboard),
            clock,
            size,
            ended,
            tasks,
        })
    }

    /// Where it listens for Wayland's clients.
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}

fn ended_by(status: std::io::Result<ExitStatus>) -> Error {
    let how = match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("with code {code}"),
            (_, Some(signal)) => format!("by signal {signal}"),
            _ => "somehow".to_owned(),
        },
        Err(why) => format!("and cannot be waited for: {why}"),
    };
    Error::new(ErrorKind::Ended, format!("sway has ended {how}"))
}

/// As it is computed: what is so smooth loses nothing when it is enlarged.
const WALLPAPER: Size = match Size::new(960, 540) {
    Some(size) => size,
    None => unreachable!(),
};

/// Where a Sway is started.
struct Place {
    runtime_dir: PathBuf,
    config: PathBuf,
    ipc: PathBuf,
}

impl Place {
    /// Removes what a Sway before left, and writes the configuration.
    fn prepare(options: &Options) -> Result<Self, Error> {
        let runtime_dir = options.runtime_dir.clone();
        let failed = |why| Error::failed(format!("cannot write to {}", runtime_dir.display()), why);
        for socket in sockets(&runtime_dir).map_err(failed)? {
            std::fs::remove_file(socket).map_err(failed)?;
        }
        let (config, ipc) = (
            runtime_dir.join("sway.config"),
            runtime_dir.join("sway.sock"),
        );
        if ipc.exists() {
            std::fs::remove_file(&ipc).map_err(failed)?;
        }
        let picture = runtime_dir.join("wallpaper.png");
        if options.look.wallpaper == Wallpaper::Gradient {
            let png = wallpaper::png(WALLPAPER)?;
            std::fs::write(&picture, png).map_err(failed)?;
        }
        let text = config::text(OUTPUT, options, &picture);
        std::fs::write(&config, text).map_err(failed)?;
        Ok(Self {
            runtime_dir,
            config,
            ipc,
        })
    }

    fn spawn(&self, options: &Options) -> Result<Child, Error> {
        let mut command = Command::new(&options.program);
        command
            .arg("--config")
            .arg(&self.config)
            .env_clear()
            .envs(options.env.iter().map(|(name, value)| (name, value)))
            .env("XDG_RUNTIME_DIR", &self.runtime_dir)
            .env("SWAYSOCK", &self.ipc)
            .env("XDG_SESSION_TYPE", "wayland")
            .env("XDG_CURRENT_DESKTOP", "sway")
            .env("WLR_BACKENDS", "headless")
            .env("WLR_RENDERER", "pixman")
            .env("WLR_LIBINPUT_NO_DEVICES", "1")
            .env_remove("WAYLAND_DISPLAY")
            .env_remove("DISPLAY")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        command.spawn().map_err(|why| {
            let program = options.program.display();
            let hint = if why.kind() == std::io::ErrorKind::NotFound {
                ": install sway"
            } else {
                ""
            };
            Error::failed(format!("cannot start {program}"), format!("{why}{hint}"))
        })
    }

    /// Waits until it listens for clients and for commands; where for clients.
    async fn listening(&self) -> PathBuf {
        loop {
            let socket = sockets(&self.runtime_dir).unwrap_or_default().pop();
            if let Some(socket) = socket.filter(|_| self.ipc.exists()) {
                return socket;
            }
            sleep(LOOK_EVERY).await;
        }
    }
}

/// The sockets for Wayland's clients in a runtime folder.
fn sockets(runtime_dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut sockets = Vec::new();
    for entry in std::fs::read_dir(runtime_dir)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if name
            .strip_prefix("wayland-")
            .is_some_and(|rest| rest.parse::<u16>().is_ok())
        {
            sockets.push(runtime_dir.join(&*name));
        }
    }
    Ok(sockets)
}

#[async_trait]
impl Desktop for Sway {
    fn size(&self) -> Size {
        *self.size.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn capture(&self) -> Result<Box<dyn Capture>, Error> {
        wayland::capture(&self.socket, self.clock.clone()).await
    }

    fn input(&self) -> Arc<dyn InputSink> {
        self.input.clone()
    }

    fn clipboard(&self) -> Option<Arc<dyn Clipboard>> {
        Some(self.clipboard.clone())
    }

    async fn cursors(&self) -> Result<Option<Box<dyn Cursors>>, Error> {
        wayland::cursors(&self.socket).await
    }

    fn windows(&self) -> Option<Arc<dyn Windows>> {
        Some(Arc::new(SwayWindows::new(self.ipc.clone())))
    }

    async fn resize(&self, size: Size) -> Result<(), Error> {
        let before = self.size();
        if before == size {
            return Ok(());
        }
        if let Err(why) = self.become_large(size).await {
            // Where that fails as well, the next picture says what it is.
            let back = self.set_mode(before).await;
            if let Err(why) = back {
                tracing::warn!(%why, "sway does not become {before} again");
            }
            return Err(why);
        }
        *self.size.lock().unwrap_or_else(PoisonError::into_inner) = size;
        Ok(())
    }

    async fn ended(&self) -> Error {
        let mut ended = self.ended.clone();
        let why = match ended.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            Err(_) => "sway was stopped".to_owned(),
        };
        Error::new(ErrorKind::Ended, why)
    }
}

impl Sway {
    async fn set_mode(&self, size: Size) -> Result<(), Error> {
        let command = format!("output {OUTPUT} {}", config::mode(size));
        self.ipc.command(&command).await
    }

    /// Gives it that size, and returns when pictures have it.
    async fn become_large(&self, size: Size) -> Result<(), Error> {
        self.set_mode(size).await?;
        // What it says is that it has heard of it: the picture tells when it is so.
        let mut capture = self.capture().await?;
        let wait = async {
            while capture.next(Want::Now).await?.size != size {
                sleep(LOOK_EVERY).await;
            }
            Ok(())
        };
        timeout(RESIZE_WITHIN, wait).await.map_err(|_| {
            let why = format!("sway did not become {size} within 5 s");
            Error::new(ErrorKind::Timeout, why)
        })?
    }
}
