//! The peer: rathole, from the Rust registry.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};

use crate::{
    bench::programs::{Programs, free_ports},
    process::{output, run},
    workspace::Workspace,
};

pub(super) const VERSION: &str = "0.5.0";

/// The service's token; both ends are ours.
const TOKEN: &str = "bench";

/// Both ends of a rathole that forwards one port.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rathole {
    /// Who connects here reaches the backend.
    pub(super) port: u16,
    pub(super) server: u32,
    pub(super) client: u32,
}

/// rathole in the version this bench knows, built once.
pub(super) fn install(workspace: &Workspace) -> Result<PathBuf> {
    let program = workspace.tools().join("bin/rathole");
    let mut command = workspace.command(&program);
    let told = output(workspace, command.arg("--version"), Duration::from_secs(30));
    if told.is_ok_and(|text| text.contains(VERSION)) {
        return Ok(program);
    }
    println!("building rathole {VERSION}, once");
    // Its own lock file holds a `time` that no compiler since Rust 1.80 takes: so without
    // `--locked`. Plain TCP is what is measured: so without the other transports.
    let mut install = workspace.cargo();
    install.args(["install", "--quiet", "--no-default-features"]);
    install.args(["--features", "client,server", "--version", VERSION]);
    install.arg("--root").arg(workspace.tools());
    install
        .arg("--target-dir")
        .arg(workspace.tools().join("build"));
    run(
        workspace,
        install.arg("rathole"),
        Duration::from_secs(1_200),
    )?;
    Ok(program)
}

/// Where a server is to listen, and where its client finds it: the same, or a line
/// between them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Carrier {
    pub(super) listen: u16,
    pub(super) dial: u16,
}

impl Rathole {
    /// Starts both ends and waits until a connection gets through.
    pub(super) fn start(
        workspace: &Workspace,
        programs: &mut Programs,
        name: &str,
        carrier: Carrier,
        backend: u16,
    ) -> Result<Self> {
        let program = install(workspace)?;
        let [port] = free_ports()?;
        let Carrier { listen, dial } = carrier;
        let server = format!(
            "[server]\nbind_addr = \"127.0.0.1:{listen}\"\ndefault_token = \"{TOKEN}\"\n\
             [server.services.bench]\nbind_addr = \"127.0.0.1:{port}\"\n"
        );
        let client = format!(
            "[client]\nremote_addr = \"127.0.0.1:{dial}\"\ndefault_token = \"{TOKEN}\"\n\
             [client.services.bench]\nlocal_addr = \"127.0.0.1:{backend}\"\n"
        );
        let mut start = |end: &str, text: &str, port| {
            let file = programs.folder().join(format!("{name}-{end}.toml"));
            fs::write(&file, text).context("writing rathole's configuration")?;
            let name = format!("{name}-{end}");
            programs.start(workspace, &name, &program, [&file], port)
        };
        let server = start("server", &server, listen)?;
        // The server opens the service's port when its client is there.
        let client = start("client", &client, port)?;
        Ok(Self {
            port,
            server,
            client,
        })
    }
}
