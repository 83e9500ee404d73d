//! A desktop in a browser, measured beside noVNC over wayvnc and Selkies: the same program
//! on all of their screens, the same Chromium looking, all in one run, in turns.

mod image;
mod ours;
mod peers;
mod table;

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use serde_json::Value;

use self::image::Image;
use super::{
    programs::{Programs, free_ports},
    report,
};
use crate::{
    process::{self, run_lines},
    setup::{self, packages},
    workspace::Workspace,
};

/// What is measured by name, of each product by name.
pub(super) type Samples = BTreeMap<String, BTreeMap<String, Vec<f64>>>;

/// What the peers need, and the program on the screens.
const PACKAGES: [&str; 5] = ["wayvnc", "novnc", "websockify", "xvfb", "chromium"];
/// The screen of the browser.
const DISPLAY: &str = ":88";
/// How many key presses a percentile is of.
const PRESSES: u32 = 60;
/// A line that is narrow: its delay each way.
const DELAY_MS: u32 = 20;
const MINUTE: Duration = Duration::from_secs(60);

/// What `cargo xtask bench stream` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How often each product is measured.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// How often scrolling text is measured besides, by itself, of ours and Selkies.
    #[arg(long, default_value_t = 6)]
    scrolls: u32,
    /// For how long what moves is looked at, in seconds.
    #[arg(long, default_value_t = 8)]
    seconds: u32,
    /// For how long what stands still is looked at, in seconds.
    #[arg(long, default_value_t = 60)]
    still: u32,
    /// Takes Sway from this release of Debian, such as `trixie`, by the image that the recipe in
    /// deploy/images/desktop-sway makes; from the machine's own system unless given.
    #[arg(long)]
    suite: Option<String>,
    /// Build nothing: measure what is there.
    #[arg(long)]
    no_build: bool,
}

/// A line to a product: what is carried is counted, and may be slowed down.
#[derive(Debug, Clone, Copy, Serialize)]
struct Line {
    port: u16,
    control: u16,
}

/// A product that runs, with the program on its screen.
#[derive(Debug, Serialize)]
struct Product {
    name: &'static str,
    /// Of its page.
    path: String,
    /// The processes that serve the screen, the one that draws it included.
    pids: Vec<u32>,
    /// Process groups that rest while another product is measured: some compute all the time.
    resting: Vec<u32>,
    cookie: Option<Value>,
    fast: Line,
    slow: Line,
}

/// Measures, and writes `target/bench/stream.json` and a section of `docs/benchmarks.md`.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    ensure!(
        arguments.rounds > 0 && arguments.seconds > 0 && arguments.still > 0,
        "--rounds, --seconds and --still must be at least 1"
    );
    ensure!(
        rustix::process::geteuid().is_root(),
        "sandboxes, and users for the peers, take root: run this as root"
    );
    let needed = [
        &PACKAGES[..],
        packages::FOR_SANDBOXES,
        packages::FOR_DESKTOPS,
    ]
    .concat();
    packages::install(workspace, &packages::missing(workspace, &needed))?;
    setup::web_packages(workspace)?;
    if !arguments.no_build {
        build(workspace)?;
    }
    let image = arguments.suite.as_deref();
    let image = image.map(|suite| Image::of(workspace, suite)).transpose()?;
    // One that was killed took nothing away, and its folder goes now.
    let before = workspace.target().join("bench/stream/data/sandbox");
    if before.exists() {
        ours::purge(workspace, &before);
    }
    let mut programs = Programs::new(workspace, "stream")?;
    let mut ours = ours::Ours::start(workspace, &mut programs, image.as_ref())?;
    let measured = measure(workspace, arguments, &mut programs, &ours, image.as_ref());
    ours.stop(workspace);
    programs.stop();
    let samples = measured?;
    let rows = table::rows(&samples)?;
    let introduction = table::introduction(arguments);
    report::write(workspace, "stream", "Desktops", &introduction, &rows)
}

fn measure(
    workspace: &Workspace,
    arguments: &Arguments,
    programs: &mut Programs,
    ours: &ours::Ours,
    image: Option<&Image>,
) -> Result<Samples> {
    let products = [
        ours.product(workspace, programs)?,
        peers::novnc(workspace, programs, image)?,
        peers::selkies(workspace, programs)?,
    ];
    let mut samples = look(workspace, programs, &products, arguments)?;
    samples.insert("viewers".to_owned(), ours.viewers(workspace)?);
    Ok(samples)
}

fn build(workspace: &Workspace) -> Result<()> {
    setup::build_web(workspace)?;
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--locked", "--release"]);
    for (package, program) in [
        ("helix-server", "helix-server"),
        ("helix-sandbox", "helix-sandbox"),
        ("helix-media", "helix-media"),
        ("helix-tests", "bench-tunnel"),
        ("helix-tests", "bench-viewers"),
        ("helix-tests", "bench-eye"),
        ("helix-tests", "bench-screen"),
    ] {
        cargo.args(["--package", package, "--bin", program]);
    }
    process::run(workspace, &mut cargo, 60 * MINUTE)
}

/// Two lines to a port.
fn lines(workspace: &Workspace, programs: &mut Programs, name: &str, to: u16) -> Result<[Line; 2]> {
    let relay = workspace.target().join("release/bench-tunnel");
    let mut lines = Vec::new();
    for (speed, delay_ms, mbit) in [("fast", 0, 0), ("slow", DELAY_MS, 10)] {
        let [port, control] = free_ports()?;
        let arguments = [u32::from(control), port.into(), to.into(), delay_ms, mbit];
        let arguments = arguments.map(|number| number.to_string());
        let arguments = std::iter::once("relay".to_owned()).chain(arguments);
        programs.start(
            workspace,
            &format!("{name}-{speed}"),
            &relay,
            arguments,
            control,
        )?;
        lines.push(Line { port, control });
    }
    lines.try_into().ok().context("two lines")
}

/// The program on a screen, as it is started there.
fn screen(workspace: &Workspace) -> std::path::PathBuf {
    workspace.target().join("release/bench-screen")
}

fn look(
    workspace: &Workspace,
    programs: &mut Programs,
    products: &[Product],
    arguments: &Arguments,
) -> Result<Samples> {
    let screen = ["-screen", "0", "1800x1200x24", "-nolisten", "tcp"];
    let server = [&[DISPLAY], &screen[..]].concat();
    programs.launch(workspace, "browser-xvfb", Path::new("Xvfb"), server)?;
    peers::there(Path::new("/tmp/.X11-unix/X88"))?;
    let plan = serde_json::json!({
        "chromium": "/usr/bin/chromium",
        "display": DISPLAY,
        "eye": workspace.target().join("release/bench-eye"),
        "rounds": arguments.rounds,
        "scrolls": arguments.scrolls,
        "seconds": arguments.seconds,
        "still_seconds": arguments.still,
        "presses": PRESSES,
        "products": products,
    });
    let file = workspace.target().join("bench/stream/plan.json");
    std::fs::write(&file, plan.to_string()).context("writing what is to be measured")?;
    let mut node = Command::new("node");
    node.arg(workspace.root().join("xtask/src/bench/stream/drive.mjs"));
    node.arg(workspace.web()).arg(&file).stdout(Stdio::piped());
    let each = 2 * MINUTE + Duration::from_secs((3 * arguments.seconds + arguments.still).into());
    let scroll = MINUTE + Duration::from_secs(arguments.seconds.into());
    let limit = (each * arguments.rounds + scroll * arguments.scrolls) * 3 + 2 * MINUTE;
    let mut last = String::new();
    run_lines(workspace, &mut node, limit, |line| last = line.to_owned())?;
    serde_json::from_str(&last).with_context(|| format!("the browser's driver said: {last}"))
}
