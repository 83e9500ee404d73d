//! Others that show a desktop in a browser, each as its own documentation starts it.

use std::{
    ffi::OsString,
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use super::{Line, Product, Programs, free_ports, image::Image, lines, screen};
use crate::{process::now, setup::python, workspace::Workspace};

/// Who a peer runs as: Sway refuses root.
const NOBODY: u32 = 65_534;
/// The screen of what needs an X server.
const DISPLAY: &str = ":87";
const READY_WITHIN: Duration = Duration::from_secs(30);

/// noVNC over wayvnc: Debian's packages. Sway and wayvnc are those of the image where there is
/// one.
pub(super) fn novnc(
    workspace: &Workspace,
    programs: &mut Programs,
    image: Option<&Image>,
) -> Result<Product> {
    let place = place(programs, "novnc")?;
    let config = place.join("config");
    let text = "output HEADLESS-1 mode 1280x720@60Hz\nxwayland disable\ndefault_border none\n";
    fs::write(&config, text).context("writing Sway's configuration")?;
    let [vnc, web] = free_ports()?;
    let runtime = format!("XDG_RUNTIME_DIR={}", place.display());
    let home = format!("HOME={}", place.display());
    let display = "WAYLAND_DISPLAY=wayland-1";
    let (program, user) = match image {
        Some(image) => ("unshare", image.inside(&place)),
        None => {
            let user = ["--reuid=65534", "--regid=65534", "--clear-groups"];
            ("setpriv", user.map(OsString::from).into())
        }
    };
    let mut start = |name: &str, environment: &[&str], command: &[&str]| {
        let command = [&["env"], environment, command].concat();
        let arguments = user.iter().cloned();
        let arguments = arguments.chain(command.into_iter().map(OsString::from));
        programs.launch(workspace, name, Path::new(program), arguments)
    };
    let backend = [
        "WLR_BACKENDS=headless",
        "WLR_RENDERER=pixman",
        "WLR_LIBINPUT_NO_DEVICES=1",
    ];
    let config = config.display().to_string();
    let sway = start(
        "novnc-sway",
        &[&backend[..], &[&runtime, &home]].concat(),
        &["sway", "--config", &config],
    )?;
    there(&place.join("wayland-1"))?;
    let port = vnc.to_string();
    let rate = ["wayvnc", "--max-fps=60", "127.0.0.1", &port];
    let wayvnc = start("novnc-wayvnc", &[&runtime, &home, display], &rate)?;
    // Where nobody may read it.
    let program = place.join("bench-screen");
    fs::copy(screen(workspace), &program).context("copying the screen's program")?;
    let program = program.display().to_string();
    let drawing = start("novnc-screen", &[&runtime, &home, display], &[&program])?;
    let (listen, target) = (format!("127.0.0.1:{web}"), format!("127.0.0.1:{vnc}"));
    let arguments = ["--web", "/usr/share/novnc", &listen, &target];
    let socket = programs.start(
        workspace,
        "novnc-websockify",
        Path::new("websockify"),
        arguments,
        web,
    )?;
    let [fast, slow]: [Line; 2] = lines(workspace, programs, "novnc", web)?;
    Ok(Product {
        name: "noVNC over wayvnc",
        path: "/vnc_lite.html".to_owned(),
        pids: vec![sway, wayvnc, socket],
        resting: vec![sway, wayvnc, socket, drawing],
        cookie: None,
        fast,
        slow,
    })
}

/// Selkies: from the Python package index.
pub(super) fn selkies(workspace: &Workspace, programs: &mut Programs) -> Result<Product> {
    let requirements = workspace
        .root()
        .join("xtask/src/bench/stream/requirements-selkies.txt");
    let environment = python::environment(workspace, "selkies", &requirements)?;
    let screen_size = ["-screen", "0", "1280x720x24", "-nolisten", "tcp"];
    let arguments = [&[DISPLAY], &screen_size[..]].concat();
    let server = programs.launch(workspace, "selkies-xvfb", Path::new("Xvfb"), arguments)?;
    there(Path::new("/tmp/.X11-unix/X87"))?;
    let display = format!("DISPLAY={DISPLAY}");
    let program = screen(workspace).display().to_string();
    let arguments = ["--unset=WAYLAND_DISPLAY", &display, &program];
    let drawing = programs.launch(workspace, "selkies-screen", Path::new("env"), arguments)?;
    let [port] = free_ports()?;
    let listen = port.to_string();
    let selkies = environment.join("bin/selkies").display().to_string();
    let arguments = [
        &display,
        &selkies,
        "--mode",
        "websockets",
        "--use-cpu",
        "true",
        "--addr",
        "127.0.0.1",
        "--port",
        &listen,
        "--audio-enabled",
        "false",
        "--enable-basic-auth=false",
        "--manual-resolution",
        "true",
        "--manual-width",
        "1280",
        "--manual-height",
        "720",
        "--framerate",
        "60",
    ];
    let id = programs.start(workspace, "selkies", Path::new("env"), arguments, port)?;
    let [fast, slow]: [Line; 2] = lines(workspace, programs, "selkies", port)?;
    Ok(Product {
        name: "Selkies",
        path: "/".to_owned(),
        pids: vec![server, id],
        resting: vec![server, id, drawing],
        cookie: None,
        fast,
        slow,
    })
}

/// A folder of nobody's, as `XDG_RUNTIME_DIR` is to be.
fn place(programs: &mut Programs, name: &str) -> Result<PathBuf> {
    // Where everybody may pass through: the bench's own folder may be below a home.
    let place = std::env::temp_dir().join(format!("helix-bench-{name}-{}", std::process::id()));
    let made = fs::create_dir(&place)
        .and_then(|()| fs::set_permissions(&place, Permissions::from_mode(0o700)))
        .and_then(|()| chown(&place, Some(NOBODY), Some(NOBODY)));
    made.with_context(|| format!("making {}", place.display()))?;
    programs.keep(&place);
    Ok(place)
}

pub(super) fn there(path: &Path) -> Result<()> {
    let deadline = now() + READY_WITHIN;
    while !path.exists() {
        ensure!(
            now() < deadline,
            "{} is not there within {READY_WITHIN:?}",
            path.display()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
