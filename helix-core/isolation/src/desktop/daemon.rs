//! Starts what serves the desktop, and starts it again.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{DirBuilderExt as _, chown},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use helix_base::{Clock, TaskGroup};
use helix_proto::sandbox::{
    DesktopKind, DesktopSpec, SandboxLog,
    guest::{ServiceStatus, USER},
};
use tokio::net::UnixStream;

use super::PROGRAM;
use crate::{
    guest::{
        Reaper,
        launch::{Launch, Programs, Streams, User, kill_session, start},
    },
    service::{End, Service},
};

/// What its processes are known by.
const ID: &str = "desktop";
/// Until it answers for the first time.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How often it is asked whether it does.
const ASK_EVERY: Duration = Duration::from_millis(10);
/// Where the sandbox's user has what lives as long as the user's session.
const RUNTIME: &str = "/run/user";
/// Where X servers listen.
const X11_SOCKETS: &str = "/tmp/.X11-unix";
/// What is needed to draw with Sway.
const SWAY: &[&str] = &["sway"];
/// What is needed to draw with an X server.
const X11: &[&str] = &["Xvfb", "openbox", "xterm"];
const PATHS: [&str; 3] = ["/usr/local/bin", "/usr/bin", "/bin"];

/// What serves a sandbox's desktop. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Desktop {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    service: Service,
    spec: DesktopSpec,
    programs: Programs,
}

impl Desktop {
    /// Starts it in the background.
    pub(crate) fn start(
        spec: DesktopSpec,
        programs: Programs,
        clock: Arc<dyn Clock>,
        tasks: &TaskGroup,
    ) -> Self {
        let reaper: Reaper = programs.reaper().clone();
        let shared = Arc::new(Shared {
            service: Service::new("media", "desktop", reaper, clock, tasks),
            spec,
            programs,
        });
        let kept = shared.clone();
        tasks.spawn("desktop", async move {
            kept.service.keep(|| Arc::clone(&kept).run()).await;
        });
        Self { shared }
    }

    /// How it is now.
    pub fn status(&self) -> ServiceStatus {
        self.shared.service.status()
    }

    /// The newest lines that it wrote.
    pub fn log(&self, lines: usize) -> SandboxLog {
        self.shared.service.log(lines)
    }

    /// A connection to it.
    ///
    /// # Errors
    ///
    /// Where it does not take one.
    pub(crate) async fn connect(&self) -> io::Result<UnixStream> {
        UnixStream::connect(socket()).await
    }
}

impl Shared {
    /// One start, to its end.
    async fn run(self: Arc<Self>) -> io::Result<End> {
        let prepared = self.clone();
        let started = tokio::task::spawn_blocking(move || prepared.launch());
        let (process, lines) = started.await.map_err(io::Error::other)??;
        self.service.began(lines);
        let (leader, nothing) = (process.pid(), std::future::pending());
        let end = self
            .service
            .follow(process, answers(), READY_WITHIN, nothing)
            .await;
        // Killed, it left what draws and what plays sound; the next start brings its own.
        let clean = move || kill_session(leader, ID);
        tokio::task::spawn_blocking(clean)
            .await
            .map_err(io::Error::other)?;
        end
    }

    fn launch(&self) -> io::Result<(crate::guest::Process, std::os::fd::OwnedFd)> {
        if let Err(missing) = able(self.spec.kind) {
            return Err(io::Error::other(format!(
                "the sandbox's system cannot draw a desktop: {missing}"
            )));
        }
        let user = User::find(Some(USER)).map_err(|failed| io::Error::other(failed.0.message))?;
        let runtime = Path::new(RUNTIME).join(user.uid.to_string());
        make_runtime(&runtime, user.uid, user.gid)?;
        make_x11_sockets()?;
        remove(&socket())?;
        let (reader, writer) = io::pipe()?;
        let launch = Launch {
            id: ID.to_owned(),
            command: command(&self.spec),
            cwd: None,
            streams: Streams::Pipes {
                stdin: None,
                stdout: writer.try_clone()?.into(),
                stderr: writer.into(),
            },
        };
        let own = BTreeMap::from([("XDG_RUNTIME_DIR".to_owned(), runtime.display().to_string())]);
        let env = self.programs.environment(&user, own);
        let process = start(self.programs.reaper(), &user, env, launch);
        let process = process.map_err(|failed| io::Error::other(failed.0.message))?;
        Ok((process, reader.into()))
    }
}

/// How the media program is called.
fn command(spec: &DesktopSpec) -> Vec<String> {
    let DesktopSpec {
        kind,
        width,
        height,
        clipboard,
    } = *spec;
    let size = format!("{width}x{height}");
    let socket = socket().display().to_string();
    let always = [
        PROGRAM,
        "--desktop",
        kind.name(),
        "--size",
        &size,
        "--socket",
        &socket,
    ];
    let no_clipboard = (!clipboard).then_some("--no-clipboard");
    let all = always.into_iter().chain(no_clipboard);
    all.map(str::to_owned).collect()
}

/// Where it listens. A user of the sandbox can take the place: it is that user's desktop.
fn socket() -> PathBuf {
    Path::new(RUNTIME).join("helix-desktop").join("socket")
}

/// What programs of the sandbox find its desktop's sound by.
pub(crate) fn variables() -> BTreeMap<String, String> {
    let Ok(user) = User::find(Some(USER)) else {
        return BTreeMap::new();
    };
    let server = format!("unix:{RUNTIME}/{}/pulse/native", user.uid);
    BTreeMap::from([("PULSE_SERVER".to_owned(), server)])
}

/// Makes the directory that `XDG_RUNTIME_DIR` names, and that of the socket.
fn make_runtime(runtime: &Path, uid: u32, gid: u32) -> io::Result<()> {
    let own = socket().parent().map(Path::to_owned);
    for directory in [Some(runtime.to_owned()), own].into_iter().flatten() {
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory);
        made.and_then(|()| chown(&directory, Some(uid), Some(gid)))?;
    }
    // Its parent is for everybody to go through.
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(RUNTIME, everybody)
}

/// Only root may make the folder that every user's X server has its socket in.
fn make_x11_sockets() -> io::Result<()> {
    match fs::create_dir(X11_SOCKETS) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.and_then(|()| {
            let sticky = std::os::unix::fs::PermissionsExt::from_mode(0o1777);
            fs::set_permissions(X11_SOCKETS, sticky)
        }),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Returns when it takes connections.
async fn answers() {
    while UnixStream::connect(socket()).await.is_err() {
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// What is missing for a desktop, with what to do about it.
fn able(kind: DesktopKind) -> Result<(), &'static str> {
    if !Path::new(PROGRAM).exists() {
        return Err("the host has no media program (helix-media beside helix-sandbox)");
    }
    match kind {
        DesktopKind::Sway if !has(SWAY) => Err(
            "there is no sway: install it in the image, or on the host where the sandbox has the \
             host's system (Debian: sway foot)",
        ),
        DesktopKind::X11 if !has(X11) => Err(
            "there is no Xvfb, openbox or xterm: install them in the image, or on the host where \
             the sandbox has the host's system (Debian: xvfb openbox xterm)",
        ),
        _ => Ok(()),
    }
}

fn has(programs: &[&str]) -> bool {
    let is_there = |program| {
        PATHS
            .iter()
            .any(|path| Path::new(path).join(program).exists())
    };
    programs.iter().all(is_there)
}

/// Whether sandboxes with this machine's system can have a desktop: how, or why not.
///
/// # Errors
///
/// What is missing, and what to do.
pub fn on_this_system(media: Option<&Path>) -> Result<String, String> {
    let Some(media) = media else {
        return Err("there is no helix-media beside helix-sandbox".to_owned());
    };
    let kinds = match (has(SWAY), has(X11)) {
        (true, true) => "sway and x11",
        (true, false) => "sway (x11 needs xvfb, openbox and xterm)",
        (false, true) => "x11 (sway needs sway and foot)",
        (false, false) => {
            return Err("install sway and foot (Debian: sway foot); images need theirs".to_owned());
        }
    };
    Ok(format!(
        "this machine's own {kinds}, by {}; images need theirs",
        media.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_media_program_is_told_of_a_clipboard_that_is_switched_off() {
        let spec = |clipboard| DesktopSpec {
            kind: DesktopKind::X11,
            width: 640,
            height: 360,
            clipboard,
        };
        let command = |clipboard| command(&spec(clipboard)).join(" ");
        let usual = "/run/helix/media --desktop x11 --size 640x360 \
                     --socket /run/user/helix-desktop/socket";
        assert_eq!(command(true), usual);
        assert_eq!(command(false), format!("{usual} --no-clipboard"));
    }
}
