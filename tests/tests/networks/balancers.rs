//! Load balancers with a short patience: haproxy and nginx, each by the configuration in
//! `docs/networks.md`, with 3 s for its 30 s.

use std::{path::PathBuf, time::Duration};

use axum::http::{HeaderMap, HeaderValue};
use futures_util::StreamExt as _;
use helix_base::{Outbound, OutboundOptions};
use helix_tests::eventually::{SOON, eventually};
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tokio::time::{Instant, timeout};

use crate::{
    agent::{Halfway, Running, works},
    authority::{Authority, Issued},
    control::{Control, SILENT},
    document,
    program::{self, Listening},
};

/// The document's idle timeout, and that of the tests.
const PATIENCE: (&str, &str) = ("30s", "3s");

/// A load balancer with TLS before a control plane.
struct Balancer {
    program: &'static str,
    arguments: Vec<String>,
    reload: Signal,
    listening: Listening,
    trusting: OutboundOptions,
    folder: TempDir,
}

impl Balancer {
    async fn haproxy(control: &Control) -> Self {
        let configure = |files: &Files| {
            let text = document::blocks("haproxy").concat();
            document::with(
                text,
                &[
                    (":443", &files.address),
                    ("/etc/haproxy/helix.pem", &path(&files.identity.both)),
                    ("127.0.0.1:8080", &control.address.to_string()),
                    PATIENCE,
                ],
            )
        };
        let arguments = ["-W", "-db", "-f", "balancer.conf"];
        Self::start("haproxy", &arguments, Signal::USR2, configure).await
    }

    async fn nginx(control: &Control) -> Self {
        let configure = |files: &Files| {
            let text = nginx(&document::blocks("nginx"), &files.folder);
            document::with(
                text,
                &[
                    ("listen 443", &format!("listen {}", files.address)),
                    ("/etc/nginx/helix.crt", &path(&files.identity.certificate)),
                    ("/etc/nginx/helix.key", &path(&files.identity.key)),
                    ("127.0.0.1:8080", &control.address.to_string()),
                    PATIENCE,
                ],
            )
        };
        let arguments = ["-e", "error.log", "-c", "balancer.conf", "-p", "."];
        Self::start("nginx", &arguments, Signal::HUP, configure).await
    }

    async fn start(
        program: &'static str,
        arguments: &[&str],
        reload: Signal,
        configure: impl FnOnce(&Files) -> String,
    ) -> Self {
        let folder = program::folder();
        let address = program::address();
        let authority = Authority::new(folder.path());
        let files = Files {
            address: address.to_string(),
            identity: authority.issue(&address.ip().to_string()),
            folder: path(folder.path()),
        };
        std::fs::write(folder.path().join("balancer.conf"), configure(&files)).unwrap();
        let listening = Listening::start(program, arguments, address, folder.path()).await;
        Self {
            program,
            arguments: arguments.iter().map(ToString::to_string).collect(),
            reload,
            listening,
            trusting: OutboundOptions {
                ca_bundle: Some(authority.bundle()),
                ..OutboundOptions::default()
            },
            folder,
        }
    }

    fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.listening.address)
    }

    /// Ends it with all its processes, and starts it again.
    async fn dies_and_comes_back(&mut self) {
        let group = Pid::from_raw(self.listening.process.pid()).unwrap();
        kill_process_group(group, Signal::KILL).unwrap();
        self.listening.process.wait(SOON).await;
        let arguments: Vec<_> = self.arguments.iter().map(String::as_str).collect();
        let address = self.listening.address;
        let started = Listening::start(self.program, &arguments, address, self.folder.path());
        self.listening = started.await;
    }

    /// Opens a WebSocket on which nothing is said, and waits until it is cut.
    async fn cuts_who_is_silent(&self) {
        let outbound = Outbound::new(&self.trusting).unwrap();
        let mut headers = HeaderMap::new();
        let credential = HeaderValue::from_str(&format!("Bearer {SILENT}")).unwrap();
        headers.insert("authorization", credential);
        let url = format!("{}/api/v1/revdial", self.url("wss"))
            .parse()
            .unwrap();
        let mut socket = outbound.websocket(&url, headers).await.unwrap();
        let opened = Instant::now();
        let ended = timeout(Duration::from_secs(20), socket.next()).await;
        let ended = ended.expect("it has no idle timeout");
        assert!(!matches!(ended, Some(Ok(_))), "{ended:?}");
        let lasted = opened.elapsed();
        assert!(
            lasted > Duration::from_secs(2),
            "that was no idle timeout: {lasted:?}"
        );
    }
}

/// What a configuration is made with.
struct Files {
    address: String,
    identity: Issued,
    folder: String,
}

fn path(path: impl Into<PathBuf>) -> String {
    path.into().display().to_string()
}

/// The document's parts in their places, and the rest of what nginx needs.
fn nginx(parts: &[String], folder: &str) -> String {
    let [top, http] = parts else {
        panic!("two parts: {parts:?}")
    };
    let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = kinds.map(|kind| format!("{kind}_temp_path {folder}/{kind};\n"));
    format!(
        "daemon off;\nworker_processes 1;\npid {folder}/nginx.pid;\n{top}\n\
         events {{}}\nhttp {{\naccess_log off;\n{}{http}}}\n",
        temporary.concat()
    )
}

/// The tunnel outlives the patience of the balancer, its reload and its death, and so
/// does what is under way on it.
async fn carries_tunnels(mut balancer: Balancer, control: &Control) {
    let agent = Running::start(&balancer.url("https"), "agent", &balancer.trusting);
    let tunnel = control.tunnel("agent").await;
    works(&tunnel).await;
    balancer.cuts_who_is_silent().await;
    balancer.cuts_who_is_silent().await;
    assert_eq!(control.dialled(), 1, "a heartbeat in time keeps the tunnel");
    assert!(agent.is_connected());
    works(&tunnel).await;

    let halfway = Halfway::begin(&tunnel).await;
    balancer.listening.process.signal(balancer.reload);
    dialled_again(control, 2).await;
    halfway.finish(&tunnel).await;
    let halfway = Halfway::begin(&tunnel).await;
    balancer.dies_and_comes_back().await;
    dialled_again(control, 3).await;
    halfway.finish(&tunnel).await;
    works(&tunnel).await;
}

async fn dialled_again(control: &Control, times: usize) {
    eventually("the agent to dial again", SOON, async || {
        let dialled = control.dialled();
        if dialled >= times {
            Ok(())
        } else {
            Err(dialled)
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tunnels_outlive_the_idle_timeout_the_reload_and_the_death_of_haproxy() {
    let control = Control::start().await;
    carries_tunnels(Balancer::haproxy(&control).await, &control).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tunnels_outlive_the_idle_timeout_the_reload_and_the_death_of_nginx() {
    let control = Control::start().await;
    carries_tunnels(Balancer::nginx(&control).await, &control).await;
}
