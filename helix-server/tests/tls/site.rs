//! A control plane with TLS, what it logs, and a client that looks at its certificate.

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use helix_base::{Outbound, OutboundOptions, TaskGroup, tls};
use helix_server::{Options, Server, options::TlsOptions};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::authority::Authority;

/// Anything here happens within this time.
const SOON: Duration = Duration::from_secs(30);

/// A control plane that listens on a port of its own.
pub(crate) struct Site {
    pub(crate) servers: Authority,
    pub(crate) folder: TempDir,
    pub(crate) address: SocketAddr,
    tasks: TaskGroup,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

impl Site {
    /// With a certificate for `127.0.0.1` in `tls.crt` and `tls.key` of its folder.
    pub(crate) async fn start(change: impl FnOnce(&mut TlsOptions, &TempDir)) -> Self {
        log();
        let folder = tempfile::tempdir().unwrap();
        let servers = Authority::new("servers");
        servers.issue("127.0.0.1").write(folder.path());
        let at = |name: &str| folder.path().join(name);
        let mut tls = TlsOptions::new(at("tls.crt"), at("tls.key"));
        tls.reload_interval = Duration::from_millis(10);
        change(&mut tls, &folder);
        let server = Server::build(options(&folder, tls)).await.unwrap();
        let address = server.app().foundation().listening;
        let tasks = TaskGroup::new();
        tasks.spawn("server", server.run(std::future::pending()));
        Self {
            servers,
            folder,
            address,
            tasks,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn bundle(&self) -> PathBuf {
        let path = self.path("servers.pem");
        std::fs::write(&path, self.servers.pem()).unwrap();
        path
    }

    /// What a client that trusts this site dials with.
    pub(crate) fn outbound(&self, change: impl FnOnce(&mut OutboundOptions)) -> Outbound {
        let mut options = OutboundOptions {
            ca_bundle: Some(self.bundle()),
            ..OutboundOptions::default()
        };
        change(&mut options);
        Outbound::new(&options).unwrap()
    }

    pub(crate) async fn connect(&self) -> TlsStream<TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        let authority = CertificateDer::from_pem_slice(self.servers.pem().as_bytes()).unwrap();
        roots.add(authority).unwrap();
        let config = rustls::ClientConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let socket = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::from(self.address.ip());
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect(name, socket).await.unwrap()
    }

    /// The certificate that a new connection gets.
    pub(crate) async fn served(&self) -> Vec<u8> {
        certificate(&self.connect().await)
    }

    /// Waits until new connections get another certificate than this one.
    pub(crate) async fn renewed(&self, before: &[u8]) -> Vec<u8> {
        let deadline = Instant::now() + SOON;
        loop {
            let now = self.served().await;
            if now != before {
                return now;
            }
            assert!(
                Instant::now() < deadline,
                "the certificate is still the old one"
            );
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until a line of the log names a file of this site's and has this in it.
    pub(crate) async fn logged(&self, file: &str, text: &str) -> String {
        let (file, deadline) = (self.path(file).display().to_string(), Instant::now() + SOON);
        loop {
            let lines = String::from_utf8(log().lock().unwrap().clone()).unwrap();
            let line = lines
                .lines()
                .rfind(|line| line.contains(&file) && line.contains(text));
            if let Some(line) = line {
                return line.to_owned();
            }
            assert!(
                Instant::now() < deadline,
                "no {text:?} on {file} in:\n{lines}"
            );
            sleep(Duration::from_millis(10)).await;
        }
    }
}

pub(crate) fn options(folder: &TempDir, tls: TlsOptions) -> Options {
    Options {
        data_dir: folder.path().join("data"),
        listen: "127.0.0.1:0".parse().unwrap(),
        tls: Some(tls),
        ..Options::default()
    }
}

pub(crate) fn certificate(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    let (_, connection) = stream.get_ref();
    connection.peer_certificates().unwrap()[0].to_vec()
}

/// Whether a request on this open connection is answered.
pub(crate) async fn answers(stream: &mut TlsStream<TcpStream>) -> bool {
    let request = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = [0; 4096];
    let read = stream.read(&mut answer).await.unwrap();
    answer[..read].starts_with(b"HTTP/1.1 200")
}

/// What this process has logged, from the first call on.
fn log() -> &'static Arc<Mutex<Vec<u8>>> {
    static LOG: OnceLock<Arc<Mutex<Vec<u8>>>> = OnceLock::new();
    LOG.get_or_init(|| {
        let log = Arc::new(Mutex::new(Vec::new()));
        let kept = Kept(Arc::clone(&log));
        tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing::Level::INFO)
            .with_writer(move || kept.clone())
            .init();
        log
    })
}

#[derive(Clone)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
