//! Servers that the tests dial: plain or TLS, WebSocket or fixed answers, and a
//! forward proxy.

use std::{
    io::Write as _,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use helix_base::{TaskGroup, outbound::BoxedIo, tls};
use http::{Request, Response, header::PROXY_AUTHORIZATION};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self,
        server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    },
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{handshake::derive_accept_key, protocol::Role},
};

/// A certificate authority of the test's own.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let name = format!("authority {}", rand::random::<u64>());
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        Self {
            issuer: CertifiedIssuer::self_signed(params, key).unwrap(),
        }
    }

    pub(crate) fn bundle(&self) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(self.issuer.pem().as_bytes()).unwrap();
        file
    }

    /// A certificate for this name that is valid now.
    pub(crate) fn issue(&self, name: &str) -> Issued {
        self.issue_as(name, |_| {})
    }

    /// A certificate whose time is over.
    pub(crate) fn issue_expired(&self, name: &str) -> Issued {
        self.issue_as(name, |params| {
            params.not_after = rcgen::date_time_ymd(2020, 1, 1)
        })
    }

    fn issue_as(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Issued {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), tls::provider())
            .build()
            .unwrap()
    }
}

/// A certificate and its key, in PEM.
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Issued {
    fn acceptor(&self, clients: Option<&Authority>) -> TlsAcceptor {
        let builder = rustls::ServerConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => builder.with_client_cert_verifier(authority.verifier()),
        };
        let config = builder.with_single_cert(
            vec![CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap(),
        );
        TlsAcceptor::from(Arc::new(config.unwrap()))
    }
}

/// A bound port, before it is decided what answers there.
pub(crate) struct Server {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    http2: bool,
}

/// A server at work; it stops with the value.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    group: TaskGroup,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.group.cancel();
    }
}

impl Running {
    /// What it noted.
    pub(crate) fn noted(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// The values of `Authorization` that arrived, in order.
    pub(crate) fn seen_authorizations(&self) -> Vec<String> {
        self.noted()
    }
}

impl Server {
    pub(crate) async fn plain() -> Self {
        Self {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            tls: None,
            http2: false,
        }
    }

    pub(crate) async fn tls(authority: &Authority, name: &str) -> Self {
        Self::tls_with(&authority.issue(name), None).await
    }

    /// With this certificate, and perhaps asking clients for one of an authority's.
    pub(crate) async fn tls_with(identity: &Issued, clients: Option<&Authority>) -> Self {
        Self {
            tls: Some(identity.acceptor(clients)),
            ..Self::plain().await
        }
    }

    pub(crate) async fn on(address: SocketAddr) -> Self {
        Self {
            listener: TcpListener::bind(address).await.unwrap(),
            tls: None,
            http2: false,
        }
    }

    /// Agrees on HTTP/2 in its handshakes.
    pub(crate) fn with_http2(mut self) -> Self {
        let mut config = rustls::ServerConfig::clone(self.tls.unwrap().config());
        config.alpn_protocols = vec![b"h2".to_vec()];
        self.tls = Some(TlsAcceptor::from(Arc::new(config)));
        self.http2 = true;
        self
    }

    /// Answers each request with its version, method and target, and its body; keeps
    /// connections. Notes each connection, and each `Proxy-Authorization`.
    pub(crate) fn repeat(self) -> Running {
        let http2 = self.http2;
        self.run(move |io, seen| async move {
            seen.lock().unwrap().push("connection".to_owned());
            let io = TokioIo::new(io);
            let service = service_fn(move |request| repeated(request, Arc::clone(&seen)));
            let _ = if http2 {
                let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                server.serve_connection(io, service).await
            } else {
                let server = hyper::server::conn::http1::Builder::new();
                server.serve_connection(io, service).await
            };
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Answers every request with this status; 503 asks for a wait of 7 s.
    pub(crate) fn answer(self, status: u16) -> Running {
        let wait = if status == 503 {
            "retry-after: 7\r\n"
        } else {
            ""
        };
        self.fixed(format!(
            "HTTP/1.1 {status} X\r\n{wait}content-length: 0\r\n\r\n"
        ))
    }

    /// Takes requests and says nothing.
    pub(crate) fn hang_up(self) -> Running {
        self.fixed(String::new())
    }

    /// Sends every request elsewhere.
    pub(crate) fn redirect(self, to: &str) -> Running {
        self.fixed(format!(
            "HTTP/1.1 307 X\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n"
        ))
    }

    fn fixed(self, answer: String) -> Running {
        self.run(move |mut io, seen| {
            let answer = answer.clone();
            async move {
                let Some(head) = read_head(&mut io).await else {
                    return;
                };
                note_authorization(&head, &seen);
                let _ = io.write_all(answer.as_bytes()).await;
                let _ = io.shutdown().await;
            }
        })
    }

    fn run<F, R>(self, serve: F) -> Running
    where
        F: Fn(BoxedIo, Arc<Mutex<Vec<String>>>) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let running = Running {
            address: self.address(),
            seen: Arc::default(),
            group: TaskGroup::new(),
        };
        let (group, seen) = (running.group.clone(), Arc::clone(&running.seen));
        let serve = Arc::new(serve);
        running.group.spawn("server", async move {
            while let Ok((socket, _)) = self.listener.accept().await {
                let (tls, serve, seen) = (self.tls.clone(), Arc::clone(&serve), Arc::clone(&seen));
                group.spawn("connection", async move {
                    let io: BoxedIo = match tls {
                        None => Box::new(socket),
                        Some(tls) => match tls.accept(socket).into_fallible().await {
                            Ok(stream) => Box::new(stream),
                            // Closing with something unread would throw the alert away.
                            Err((_, mut socket)) => {
                                let _ = socket.shutdown().await;
                                let _ = tokio::io::copy(&mut socket, &mut tokio::io::sink()).await;
                                return;
                            }
                        },
                    };
                    serve(io, seen).await;
                });
            }
        });
        running
    }
}

async fn repeated(
    request: Request<Incoming>,
    seen: Arc<Mutex<Vec<String>>>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    if let Some(value) = request.headers().get(PROXY_AUTHORIZATION) {
        seen.lock()
            .unwrap()
            .push(value.to_str().unwrap().to_owned());
    }
    let (version, method) = (request.version(), request.method().clone());
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await?.to_bytes();
    let body = String::from_utf8_lossy(&body);
    let text = format!("{version:?} {method} {path} {body}");
    Ok(Response::new(Full::from(text)))
}

/// Echoes binary messages; a request that is no upgrade gets 400.
pub(crate) fn websocket_server(server: Server) -> Running {
    server.run(|mut io, seen| async move {
        let Some(head) = read_head(&mut io).await else {
            return;
        };
        let Some(key) = header(&head, "sec-websocket-key") else {
            let _ = io
                .write_all(b"HTTP/1.1 400 X\r\ncontent-length: 0\r\n\r\n")
                .await;
            return;
        };
        note_authorization(&head, &seen);
        let accept = derive_accept_key(key.as_bytes());
        let answer = format!(
            "HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-accept: {accept}\r\n\r\n"
        );
        io.write_all(answer.as_bytes()).await.unwrap();
        let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
        while let Some(Ok(message)) = socket.next().await {
            if message.is_binary() && socket.send(message).await.is_err() {
                return;
            }
        }
    })
}

/// A forward proxy that knows `CONNECT`, and answers anything else itself.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    running: Running,
}

impl Proxy {
    pub(crate) async fn start(credentials: Option<&'static str>) -> Self {
        Self::serve(Server::plain().await, credentials)
    }

    pub(crate) async fn start_tls(authority: &Authority) -> Self {
        Self::serve(Server::tls(authority, "127.0.0.1").await, None)
    }

    fn serve(server: Server, credentials: Option<&'static str>) -> Self {
        let running = server.run(move |mut io, seen| async move {
            let Some(head) = read_head(&mut io).await else {
                return;
            };
            let given = header(&head, "proxy-authorization");
            if credentials.is_some() && given.as_deref() != credentials {
                let _ = io
                    .write_all(b"HTTP/1.1 407 X\r\ncontent-length: 0\r\n\r\n")
                    .await;
                return;
            }
            let mut words = head.split(' ');
            let (method, target) = (words.next().unwrap(), words.next().unwrap());
            seen.lock().unwrap().push(format!("{method} {target}"));
            if method != "CONNECT" {
                let _ = io
                    .write_all(b"HTTP/1.1 418 X\r\ncontent-length: 0\r\n\r\n")
                    .await;
                return;
            }
            let Ok(mut upstream) = TcpStream::connect(target).await else {
                return;
            };
            io.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                .await
                .unwrap();
            let _ = copy_bidirectional(&mut io, &mut upstream).await;
        });
        Self {
            address: running.address,
            running,
        }
    }

    /// Method and target of each request that was let through, in order.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.running.seen.lock().unwrap().clone()
    }
}

async fn read_head(io: &mut BoxedIo) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(io.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

fn header(head: &str, name: &str) -> Option<String> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name)
            .then(|| value.trim().to_owned())
    })
}

fn note_authorization(head: &str, seen: &Arc<Mutex<Vec<String>>>) {
    if let Some(value) = header(head, "authorization") {
        seen.lock().unwrap().push(value);
    }
}
