//! The program `helix-media`: the desktop of one sandbox, served on a Unix socket.
//!
//! The guest of a sandbox starts it as the sandbox's user and passes viewers on to it. It ends
//! when it is told to, or when it cannot serve. A desktop that cannot be started is no end: it is
//! tried again, more and more seldom, and whoever comes is told why.
//!
//! `helix-media mcp` gives the same desktop to an agent in the sandbox; `helix-media bar` is what
//! its bar shows.

mod bar;
mod mcp;
mod sound;

use std::{
    env,
    ffi::OsString,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use async_trait::async_trait;
use clap::{Args, Parser, Subcommand, ValueEnum};
use helix_base::{Clock, SystemClock, TaskGroup, daemon::Signals, telemetry};
use helix_proto::desktop::{MAX_SIDE, Size};
use helix_stream::{
    desktop::Desktop,
    encode::gstreamer::{self, GStreamer},
    hub,
    pattern::Pattern,
    serve::{Media, Options, Starter},
    sound::{
        Sound,
        gstreamer::{GStreamerSound, Source},
        pulse::Pulse,
    },
    wayland::sway::{self, SwayStarter},
    x11::xvfb::{self, XvfbStarter},
};
use tokio::net::UnixListener;

use self::sound::WithSound;

/// What the made-up desktop sounds like.
const TONE: f64 = 440.0;
/// Where the guest of a sandbox has it listen.
const SOCKET: &str = "/run/user/helix-desktop/socket";
/// How long viewers have to be told goodbye.
const GOODBYE: Duration = Duration::from_secs(5);

/// Serves one desktop to whoever connects to a Unix socket, as docs/desktop-protocol.md says.
///
/// It is started inside a sandbox, by what runs there; whoever can connect may do everything.
#[derive(Debug, Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Option<Serve>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Offers the desktop as tools to an agent: an MCP server on standard input and output.
    Mcp {
        /// Where what serves the desktop listens.
        #[arg(long, value_name = "PATH", default_value = SOCKET)]
        socket: PathBuf,
    },
    /// What the desktop's bar shows: Sway starts it, and speaks swaybar's protocol with it.
    #[command(hide = true)]
    Bar,
}

#[derive(Debug, Args)]
struct Serve {
    /// What draws the desktop.
    #[arg(long, value_enum, default_value_t = Kind::Sway)]
    desktop: Kind,
    /// The size that it begins with.
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "1280x720", value_parser = size)]
    size: Size,
    /// Where to listen; a socket that is there already is an error.
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
    /// Use only these encoders, by GStreamer's names, best first; whatever is there unless
    /// given, hardware first.
    #[arg(long, value_name = "ELEMENT", value_delimiter = ',')]
    encoders: Vec<String>,
    /// The keyboard's layout, one of XKB's.
    #[arg(long, default_value = "us")]
    layout: String,
    /// Keep what is copied in the desktop to itself, and take nothing to paste from outside.
    #[arg(long)]
    no_clipboard: bool,
    /// What to log, such as `info` or `helix_stream=debug`.
    #[arg(long, default_value = "info", env = "HELIX_MEDIA_LOG")]
    log: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// The compositor Sway.
    Sway,
    /// The X server Xvfb.
    X11,
    /// A picture that is made up, with a clock, for tests.
    Pattern,
}

fn size(text: &str) -> Result<Size, String> {
    let (width, height) = text.split_once('x').ok_or("write it as 1280x720")?;
    let number = |text: &str| {
        text.parse()
            .map_err(|_| format!("{text:?} is no number of pixels"))
    };
    Size::new(number(width)?, number(height)?)
        .ok_or_else(|| format!("each side has 1 to {MAX_SIDE} pixels"))
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // One desktop's pictures go by one after the other, and encoding has threads of its own: a second
    // thread here is woken up for each of them, and finds nothing to do.
    let ended = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
        .and_then(|runtime| runtime.block_on(run(cli)));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nobody left to tell if this fails.
            let _ = std::io::Write::write_fmt(
                &mut std::io::stderr(),
                format_args!("helix-media: {error:#}\n"),
            );
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    match (cli.command, cli.serve) {
        (Some(Command::Mcp { socket }), _) => mcp::run(socket).await,
        (Some(Command::Bar), _) => bar::run().await,
        (None, Some(options)) => serve(options).await,
        (None, None) => Err(anyhow!("give --socket, or a command: see --help")),
    }
}

async fn serve(cli: Serve) -> anyhow::Result<()> {
    telemetry::init(&telemetry::Options {
        filter: cli.log.clone(),
        ..telemetry::Options::default()
    })?;
    let mut signals = Signals::new().context("cannot listen for signals")?;
    let (tasks, clock): (_, Arc<dyn Clock>) = (TaskGroup::new(), Arc::new(SystemClock));
    let encoders = GStreamer::new(&gstreamer::Options {
        encoders: cli.encoders.clone(),
    })?;
    let starter = starter(&cli, &clock, &tasks)?;
    let listener = listen(&cli.socket)?;
    let media = Media::start(
        starter,
        Arc::new(encoders),
        &Options {
            hub: hub::Options {
                clipboard: !cli.no_clipboard,
                ..hub::Options::default()
            },
            recordings: env::var_os("HOME").map(PathBuf::from),
        },
        clock,
        &tasks,
    );
    let draining = tasks.draining_token().clone();
    let router = media.router();
    let served = tasks.spawn("server", async move {
        axum::serve(listener, router)
            .with_graceful_shutdown(draining.cancelled_owned())
            .await
    });
    tracing::info!(desktop = ?cli.desktop, size = ?cli.size, "serving");
    let ended = tokio::select! {
        () = signals.next() => Ok(()),
        served = served => match served {
            Ok(Some(Err(error))) => Err(anyhow!(error).context("serving")),
            Err(error) => Err(anyhow!(error).context("serving")),
            Ok(Some(Ok(())) | None) => Ok(()),
        },
    };
    tasks.shutdown(GOODBYE).await;
    ended
}

/// Only whoever runs this, and root, can connect.
fn listen(path: &Path) -> anyhow::Result<UnixListener> {
    let context = || format!("listening on {}", path.display());
    let listener = UnixListener::bind(path).with_context(context)?;
    let own = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, own).with_context(context)?;
    Ok(listener)
}

fn starter(
    cli: &Serve,
    clock: &Arc<dyn Clock>,
    tasks: &TaskGroup,
) -> anyhow::Result<Arc<dyn Starter>> {
    let (starter, sound): (Arc<dyn Starter>, Option<Arc<dyn Sound>>) = match cli.desktop {
        Kind::Pattern => {
            let starter = PatternStarter {
                size: cli.size,
                clock: Arc::clone(clock),
            };
            let sound = GStreamerSound::new(Source::Tone { hertz: TONE }, Arc::clone(clock))?;
            (Arc::new(starter), Some(Arc::new(sound)))
        }
        Kind::Sway => {
            let runtime_dir = runtime_dir()?;
            let pulse = sound::server(&runtime_dir, clock, tasks);
            let options = sway::Options {
                program: "sway".into(),
                runtime_dir,
                size: cli.size,
                layout: cli.layout.clone(),
                look: sway::Look {
                    bar: Some(format!("'{}' bar", env::current_exe()?.display())),
                    ..sway::Look::default()
                },
                env: environment(pulse.as_deref()),
            };
            let starter = SwayStarter::new(options, Arc::clone(clock), tasks);
            (Arc::new(starter), heard(pulse))
        }
        Kind::X11 => {
            let runtime_dir = runtime_dir()?;
            let pulse = sound::server(&runtime_dir, clock, tasks);
            let options = xvfb::Options {
                program: "Xvfb".into(),
                runtime_dir,
                size: cli.size,
                layout: cli.layout.clone(),
                window_manager: "openbox".to_owned(),
                programs: xvfb::usual_programs(),
                env: environment(pulse.as_deref()),
            };
            let starter = XvfbStarter::new(options, Arc::clone(clock), tasks);
            (Arc::new(starter), heard(pulse))
        }
    };
    Ok(Arc::new(WithSound { starter, sound }))
}

fn heard(pulse: Option<Arc<Pulse>>) -> Option<Arc<dyn Sound>> {
    pulse.map(|pulse| -> Arc<dyn Sound> { pulse })
}

fn runtime_dir() -> anyhow::Result<PathBuf> {
    let folder = env::var_os("XDG_RUNTIME_DIR");
    let folder = folder
        .context("XDG_RUNTIME_DIR is not set: it names a folder of the user's own for sockets")?;
    Ok(folder.into())
}

/// Of what draws the desktop, and of all that is started on it.
fn environment(pulse: Option<&Pulse>) -> Vec<(OsString, OsString)> {
    let server = pulse.map(|pulse| ("PULSE_SERVER".into(), pulse.server().into()));
    env::vars_os().chain(server).collect()
}

/// Starts made-up desktops.
#[derive(Debug)]
struct PatternStarter {
    size: Size,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl Starter for PatternStarter {
    fn size(&self) -> Size {
        self.size
    }

    async fn start(&self) -> Result<Arc<dyn Desktop>, helix_stream::Error> {
        let pattern = Pattern::new(self.size, Arc::clone(&self.clock));
        pattern.set_moving(true);
        Ok(Arc::new(pattern))
    }
}
