//! Certificates that are shown, refused, out of date or renewed.

use std::path::PathBuf;

use futures_util::{SinkExt as _, StreamExt as _};
use helix_base::{
    Outbound, OutboundOptions, Retry as _, Retryability,
    outbound::{BoxedIo, Error, why},
};
use http::{HeaderMap, StatusCode};
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt as _, net::TcpListener};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

use super::{
    echoes, outbound,
    support::{Authority, Issued, Running, Server, websocket_server},
    url, websocket_error,
};

/// Where a client keeps its certificate, and what it trusts.
struct Files {
    folder: TempDir,
    bundle: tempfile::NamedTempFile,
}

impl Files {
    fn new(servers: &Authority) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            bundle: servers.bundle(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, identity: &Issued) {
        std::fs::write(self.path("tls.crt"), &identity.certificate).unwrap();
        std::fs::write(self.path("tls.key"), &identity.key).unwrap();
    }

    fn trusting(&self) -> OutboundOptions {
        OutboundOptions {
            ca_bundle: Some(self.bundle.path().to_owned()),
            ..OutboundOptions::default()
        }
    }

    fn with_certificate(&self) -> OutboundOptions {
        OutboundOptions {
            client_certificate: Some(self.path("tls.crt")),
            client_key: Some(self.path("tls.key")),
            ..self.trusting()
        }
    }
}

async fn dial(outbound: &Outbound, server: &Running) -> Result<WebSocketStream<BoxedIo>, Error> {
    let address = format!("wss://{}/", server.address);
    outbound.websocket(&url(&address), HeaderMap::new()).await
}

async fn refused(options: &OutboundOptions, server: &Running) -> String {
    let error = dial(&outbound(options), server).await.unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
    assert_eq!(error.retryability(), Retryability::Permanent);
    error.to_string()
}

async fn asking(servers: &Authority, clients: &Authority) -> Running {
    let identity = servers.issue("127.0.0.1");
    websocket_server(Server::tls_with(&identity, Some(clients)).await)
}

#[tokio::test]
async fn a_client_certificate_is_shown_by_both_kinds_of_client() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let server = asking(&servers, &clients).await;
    let files = Files::new(&servers);
    files.write(&clients.issue("runner"));
    let outbound = outbound(&files.with_certificate());
    echoes(dial(&outbound, &server).await.unwrap()).await;
    let https = format!("https://{}/", server.address);
    let answer = outbound.http().get(https).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_server_that_wants_another_certificate_is_an_error_that_says_what_to_do() {
    let (servers, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let server = asking(&servers, &clients).await;
    let files = Files::new(&servers);
    let message = refused(&files.trusting(), &server).await;
    assert!(message.contains("set `client_certificate`"), "{message}");

    files.write(&strangers.issue("runner"));
    let message = refused(&files.with_certificate(), &server).await;
    assert!(message.contains("the server's `client_ca`"), "{message}");

    files.write(&clients.issue_expired("runner"));
    let message = refused(&files.with_certificate(), &server).await;
    assert!(
        message.contains("`client_certificate` has expired: renew it"),
        "{message}"
    );
}

#[tokio::test]
async fn a_server_certificate_that_is_out_of_date_or_of_another_name_says_what_to_do() {
    let servers = Authority::new();
    let files = Files::new(&servers);
    for (identity, advice) in [
        (
            servers.issue_expired("127.0.0.1"),
            "the server's certificate must be renewed",
        ),
        (
            servers.issue("elsewhere"),
            "use a name that is in the certificate",
        ),
        (Authority::new().issue("127.0.0.1"), "set `ca_bundle`"),
    ] {
        let server = websocket_server(Server::tls_with(&identity, None).await);
        let message = refused(&files.trusting(), &server).await;
        assert!(message.contains(advice), "{message}");
        let address = format!("https://{}/secret", server.address);
        let asked = outbound(&files.trusting()).http().get(address).send().await;
        let message = why(&asked.unwrap_err());
        assert!(
            message.contains(advice) && !message.contains("secret"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn a_port_without_tls_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("wss://{}/", listener.local_addr().unwrap());
    let answering = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
        socket.write_all(answer).await.unwrap();
        socket
    };
    let options = OutboundOptions::default();
    let (message, _socket) = tokio::join!(websocket_error(&options, &address), answering);
    let message = message.to_string();
    assert!(message.contains("is it an http URL?"), "{message}");
}

#[tokio::test]
async fn a_renewed_client_certificate_is_used_for_the_next_connection_and_a_broken_one_is_not() {
    let (servers, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let files = Files::new(&servers);
    files.write(&clients.issue("runner"));
    let outbound = outbound(&files.with_certificate());
    let server = asking(&servers, &clients).await;
    let mut before = dial(&outbound, &server).await.unwrap();

    std::fs::write(files.path("tls.crt"), "-----BEGIN CERT").unwrap();
    let server = asking(&servers, &clients).await;
    echoes(dial(&outbound, &server).await.unwrap()).await;

    files.write(&strangers.issue("runner"));
    // Another server: with the last one the session may be resumed.
    let server = asking(&servers, &strangers).await;
    echoes(dial(&outbound, &server).await.unwrap()).await;
    before.send(Message::binary("still there")).await.unwrap();
    assert_eq!(
        before.next().await.unwrap().unwrap(),
        Message::binary("still there")
    );
}

#[test]
fn a_client_certificate_that_cannot_be_used_is_refused_at_once() {
    let authority = Authority::new();
    let files = Files::new(&authority);
    let error = |change: &dyn Fn(&mut OutboundOptions)| {
        let mut options = files.with_certificate();
        change(&mut options);
        Outbound::new(&options).unwrap_err().to_string()
    };
    let missing = error(&|_| {});
    assert!(missing.contains("tls.crt"), "{missing}");
    files.write(&authority.issue("runner"));
    let half = error(&|options| options.client_key = None);
    assert!(half.contains("`client_key` is missing"), "{half}");
    let half = error(&|options| options.client_certificate = None);
    assert!(half.contains("`client_certificate` is missing"), "{half}");
    std::fs::write(files.path("tls.key"), authority.issue("other").key).unwrap();
    let mixed = error(&|_| {});
    assert!(mixed.contains("is not the key of"), "{mixed}");
}
