//! Ours: control plane, sandbox host and a sandbox with a desktop.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use helix_proto::sandbox::{Sandbox, SandboxState};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Line, Product, Programs, free_ports, image::Image, lines, screen};
use crate::{
    process::{now, output},
    up::{account, api::Api, daemon::Daemon, data::Data, sandboxes},
    workspace::Workspace,
};

/// How long anything may take until it is there.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long an image may take until it is there.
const IMPORTED_WITHIN: Duration = Duration::from_secs(10 * 60);
/// What it is called there.
const IMAGE: &str = "desktop";
/// The codes of the keys by which the program on the screen scrolls text, and slowly.
const TEXT: u32 = 3;
const SLOW_TEXT: u32 = 5;
/// For how long the simulated viewers look, in seconds.
const VIEWED: u32 = 8;

pub(super) struct Ours {
    api: Api,
    key: String,
    data: Data,
    daemon: Daemon,
    sandbox: Sandbox,
    port: u16,
    server: u32,
    cookie: String,
}

/// What `bench-viewers` prints.
#[derive(Debug, Deserialize)]
struct Viewed {
    late_ms: Vec<f64>,
    encoded_per_s: f64,
}

impl Ours {
    pub(super) fn start(
        workspace: &Workspace,
        programs: &mut Programs,
        image: Option<&Image>,
    ) -> Result<Self> {
        let data = Data::open(&programs.folder().join("data"))?;
        let [port] = free_ports()?;
        let listen = format!("127.0.0.1:{port}");
        let folder = data.folder().display().to_string();
        let program = workspace.target().join("release/helix-server");
        let arguments = ["--data-dir", &folder, "--listen", &listen];
        let server = programs.start(workspace, "control-plane", &program, arguments, port)?;
        let url = format!("http://{listen}");
        let account = account::of_admin(&Api::new(&url), &data)?;
        let cookie = account::sign_in(&Api::new(&url), &data, &account)?;
        let api = Api::new(&url).with_key(&account.api_key);
        let host = workspace.target().join("release/helix-sandbox");
        if let Some(image) = image {
            let mut import = workspace.command(&host);
            import
                .args(["image", "import", "--data-dir"])
                .arg(data.sandbox());
            import.arg(&image.tar).arg(IMAGE);
            output(workspace, &mut import, IMPORTED_WITHIN)?;
        }
        let Some((daemon, id)) = sandboxes::start(workspace, &host, &data, &api)? else {
            bail!("this machine cannot have sandboxes");
        };
        until("the sandbox host", || sandboxes::is_online(&api, id))?;
        let desktop = json!({ "kind": "sway", "width": 1280, "height": 720 });
        let rootfs = match image {
            Some(_) => json!({ "kind": "image", "image": IMAGE }),
            None => json!({ "kind": "host" }),
        };
        let asked = json!({ "name": "bench", "desktop": desktop, "rootfs": rootfs });
        let sandbox: Sandbox = api.post("/api/v1/sandboxes", &asked)?;
        Ok(Self {
            api,
            key: account.api_key,
            data,
            daemon,
            sandbox,
            port,
            server,
            cookie,
        })
    }

    fn path(&self) -> String {
        format!("/api/v1/sandboxes/{}", self.sandbox.id)
    }

    /// With the program on its screen.
    pub(super) fn product(
        &self,
        workspace: &Workspace,
        programs: &mut Programs,
    ) -> Result<Product> {
        until("the sandbox", || {
            let seen: Sandbox = self.api.get(&self.path())?;
            ensure!(seen.state != SandboxState::Failed, "it failed: {seen:?}");
            Ok(seen.state == SandboxState::Running && seen.reachable)
        })?;
        let program = fs::File::open(screen(workspace)).context("reading the screen's program")?;
        let content = format!("{}/files/content?path=bench-screen", self.path());
        self.api.put(&content, program)?;
        // Once the desktop is there, in the place of the terminal that it begins with.
        let start = "chmod +x bench-screen; program=$PWD/bench-screen
            cd /run/user && cd $(id -u)
            for i in $(seq 200); do [ -S wayland-1 ] && break; sleep 0.1; done
            export XDG_RUNTIME_DIR=$PWD WAYLAND_DISPLAY=wayland-1
            setsid $program >/tmp/screen.log 2>&1 &
            sleep 2; cat /tmp/screen.log";
        let run = json!({ "command": ["sh", "-c", start] });
        let ran: Value = self.api.post(&format!("{}/exec", self.path()), &run)?;
        println!("the screen's program: {ran}");
        let mut pids = vec![self.server, self.daemon.id()];
        // As they are called in the sandbox. The first are what is in there for the host, and the
        // bar is one of the second.
        for name in ["exe", "media", "sway", "swaybar", "swaybg"] {
            pids.extend(called(name)?);
        }
        let [fast, slow]: [Line; 2] = lines(workspace, programs, "ours", self.port)?;
        let (name, value) = self.cookie.split_once('=').context("a cookie")?;
        Ok(Product {
            name: "ours",
            path: format!("/sandboxes/{}/desktop", self.sandbox.id),
            pids,
            // What stands still costs nothing.
            resting: Vec::new(),
            cookie: Some(json!({ "name": name, "value": value })),
            fast,
            slow,
        })
    }

    /// Simulated viewers of what scrolls: how late pictures are for them. Those of the stalled
    /// one look at less, which this machine can send to a hundred: what a viewer costs where
    /// everybody waits for the processor says nothing.
    pub(super) fn viewers(&self, workspace: &Workspace) -> Result<BTreeMap<String, Vec<f64>>> {
        let mut samples = BTreeMap::<_, Vec<f64>>::new();
        for count in [1, 10, 100] {
            let viewed = self.viewed(workspace, count, 0, TEXT)?;
            samples.insert(format!("{count}_late_ms"), viewed.late_ms);
            samples.insert(format!("{count}_encoded"), vec![viewed.encoded_per_s]);
        }
        for _ in 0..2 {
            for stalled in [0, 1] {
                let viewed = self.viewed(workspace, 100, stalled, SLOW_TEXT)?;
                let name = format!("slow_{stalled}_late_ms");
                samples.entry(name).or_default().extend(viewed.late_ms);
            }
        }
        Ok(samples)
    }

    fn viewed(&self, workspace: &Workspace, count: u32, stalled: u32, key: u32) -> Result<Viewed> {
        let program = workspace.target().join("release/bench-viewers");
        let mut command = workspace.command(&program);
        let url = format!("ws://127.0.0.1:{}{}/desktop", self.port, self.path());
        command
            .arg(url)
            .args([count, stalled, VIEWED, key].map(|number| number.to_string()));
        command.env("HELIX_BENCH_KEY", &self.key);
        let text = output(workspace, &mut command, READY_WITHIN)?;
        serde_json::from_str(&text).context("what the viewers saw")
    }

    pub(super) fn stop(&mut self, workspace: &Workspace) {
        self.daemon.stop();
        purge(workspace, &self.data.sandbox());
    }
}

/// Takes away what a sandbox host with this folder has of the machine.
pub(super) fn purge(workspace: &Workspace, folder: &Path) {
    let host = workspace.target().join("release/helix-sandbox");
    let mut purge = workspace.command(&host);
    purge.args(["purge", "--yes", "--data-dir"]).arg(folder);
    if let Err(left) = output(workspace, &mut purge, READY_WITHIN) {
        println!("something is left of the sandbox: {left:#}");
    }
}

/// The processes of a name.
fn called(name: &str) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("listing processes")? {
        let entry = entry.context("listing processes")?;
        // One that ended meanwhile has none.
        let comm = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if let Some(id) = entry.file_name().to_str().and_then(|id| id.parse().ok())
            && comm.trim() == name
        {
            found.push(id);
        }
    }
    ensure!(!found.is_empty(), "no process is called {name}");
    Ok(found)
}

fn until(what: &str, mut is_there: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = now() + READY_WITHIN;
    while !is_there()? {
        ensure!(
            now() < deadline,
            "{what} is not there within {READY_WITHIN:?}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
