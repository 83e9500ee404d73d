//! A PulseAudio of our own, which is there when it is needed.
//!
//! Its socket is there from the beginning, so that programs find it. The server itself is
//! started by the first that connects, be it a program that plays something or somebody who
//! listens, and ends by itself when none of them is left. Until then a desktop's sound costs
//! nothing.

use std::{
    ffi::OsString,
    fs, io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::{fs::DirBuilderExt as _, net::UnixListener},
    },
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use helix_base::{Backoff, BackoffPolicy, Clock, TaskGroup};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::{
    io::{Interest, unix::AsyncFd},
    process::Command,
};

use super::{
    Listening, Sound,
    gstreamer::{GStreamerSound, Source},
};
use crate::{Error, ErrorKind};

/// How long it stays without anybody, in seconds.
const IDLE_SECONDS: u32 = 10;
/// One that lasted so long was well.
const WELL_AFTER: Duration = Duration::from_secs(5);

/// Which PulseAudio is started, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The program; found by `PATH` where it is a bare name.
    pub program: PathBuf,
    /// A folder that belongs to the user who runs it, and to nobody else: for its socket.
    pub runtime_dir: PathBuf,
    /// Its environment, beside what tells it where it is.
    pub env: Vec<(OsString, OsString)>,
}

/// A PulseAudio that is started when it is needed.
#[derive(Debug)]
pub struct Pulse {
    socket: PathBuf,
    sound: GStreamerSound,
}

impl Pulse {
    /// Listens, and starts nothing yet. What it needs runs in a task of the group, and ends
    /// with it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] where the program or GStreamer's part for it is not there.
    pub fn prepare(
        options: Options,
        clock: Arc<dyn Clock>,
        tasks: &TaskGroup,
    ) -> Result<Self, Error> {
        if !is_there(&options) {
            let why = "there is no PulseAudio: install pulseaudio";
            return Err(Error::new(ErrorKind::Unsupported, why));
        }
        let place = options.runtime_dir.join("pulse");
        let socket = place.join("native");
        let sound = GStreamerSound::new(Source::Pulse(server(&socket)), clock.clone())?;
        let what = || format!("cannot listen at {}", socket.display());
        let listener = listen(&place, &socket).map_err(|why| Error::failed(what(), why))?;
        let waiting = listener
            .try_clone()
            .map_err(|why| Error::failed(what(), why))?;
        // SAFETY: an owned descriptor is the same and open for as long as it lives, which is as
        // long as what it is registered with.
        let waiting =
            unsafe { AsyncFd::register_with_interest(OwnedFd::from(waiting), Interest::READABLE) };
        let waiting = waiting.map_err(|why| Error::failed(what(), why))?;
        let kept = Kept {
            options,
            place,
            socket: socket.clone(),
            listener,
            waiting,
            clock,
        };
        let draining = tasks.draining_token().clone();
        tasks.spawn("sound server", async move {
            draining.run_until_cancelled(Box::pin(kept.keep())).await;
        });
        Ok(Self { socket, sound })
    }

    /// Where it listens, as `PULSE_SERVER` has it.
    pub fn server(&self) -> String {
        server(&self.socket)
    }
}

#[async_trait]
impl Sound for Pulse {
    async fn listen(&self) -> Result<Box<dyn Listening>, Error> {
        self.sound.listen().await
    }
}

fn server(socket: &Path) -> String {
    format!("unix:{}", socket.display())
}

fn is_there(options: &Options) -> bool {
    let path = options.env.iter().find(|(name, _)| name == "PATH");
    path.is_some_and(|(_, path)| {
        std::env::split_paths(path).any(|folder| folder.join(&options.program).is_file())
    })
}

/// The socket of one before is replaced.
fn listen(place: &Path, socket: &Path) -> io::Result<UnixListener> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(place)?;
    match fs::remove_file(socket) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
        _ => {}
    }
    let listener = UnixListener::bind(socket)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// What keeps the server.
struct Kept {
    options: Options,
    place: PathBuf,
    socket: PathBuf,
    listener: UnixListener,
    waiting: AsyncFd<OwnedFd>,
    clock: Arc<dyn Clock>,
}

impl Kept {
    /// Starts it for whoever connects, again and again.
    async fn keep(self) {
        let mut backoff = Backoff::new(BackoffPolicy::default());
        loop {
            if let Err(why) = self.wanted().await {
                tracing::error!(%why, "there is no sound any more");
                return;
            }
            let began = self.clock.now();
            let ended = self.serve().await;
            let lasted = self.clock.now().saturating_duration_since(began);
            match ended {
                Ok(status) if status.success() || lasted > WELL_AFTER => backoff.succeeded(),
                ended => {
                    tracing::warn!(?ended, "PulseAudio has ended");
                    let delay = backoff.next_delay(&mut rand::rng());
                    tokio::time::sleep(delay).await;
                }
            }
        }
    }

    /// Waits until somebody connects, and takes nothing away from the server.
    async fn wanted(&self) -> io::Result<()> {
        loop {
            let mut readable = self.waiting.readable().await?;
            // It may be of a connection that a server before has taken.
            let mut fds = [PollFd::new(&self.listener, PollFlags::IN)];
            if poll(&mut fds, Some(&Timespec::default()))? > 0 {
                readable.retain_ready();
                return Ok(());
            }
            readable.clear_ready();
        }
    }

    /// Runs it until it has nobody any more.
    async fn serve(&self) -> io::Result<ExitStatus> {
        let socket = self.socket.display();
        // It takes the socket as systemd would give it: as descriptor 3, with a variable that
        // names its own process.
        let script = "export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$0\" \"$@\" 3<&0 0</dev/null";
        let listener = self.listener.as_fd().try_clone_to_owned()?;
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", script])
            .arg(&self.options.program)
            .args(["-n", "--daemonize=no", "--use-pid-file=no"])
            .args(["--realtime=no", "--high-priority=no", "--disable-shm=yes"])
            .args(["--log-target=stderr", "--log-level=error"])
            .arg(format!("--exit-idle-time={IDLE_SECONDS}"))
            .args([
                "-L",
                "module-null-sink sink_name=desktop rate=48000 channels=2",
            ])
            .args(["-L", "module-suspend-on-idle timeout=2"])
            .arg("-L")
            .arg(format!(
                "module-native-protocol-unix auth-anonymous=1 auth-cookie-enabled=0 socket={socket}"
            ))
            .env_clear()
            .envs(self.options.env.iter().map(|(name, value)| (name, value)))
            .env("HOME", &self.place)
            .env("XDG_RUNTIME_DIR", &self.options.runtime_dir)
            // It starts no other server, and no message bus.
            .env_remove("PULSE_SERVER")
            .env_remove("DISPLAY")
            .stdin(Stdio::from(listener))
            .stdout(Stdio::null())
            .kill_on_drop(true);
        command.spawn()?.wait().await
    }
}
