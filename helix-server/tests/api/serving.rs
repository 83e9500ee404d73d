use std::time::Duration;

use bytes::Bytes;
use helix_base::{Outbound, OutboundOptions, TaskGroup};
use helix_proto::status::Version;
use helix_server::{Options, Server, options::TlsOptions};
use http::{Method, Request, header};
use http_body_util::Empty;
use hyper::ext::Protocol;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    person::{Person, Proof},
    world::{Kind, World, options},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_is_served_for_every_path_of_the_app_with_a_strict_policy() {
    let world = World::start(Kind::Sqlite).await;
    for path in ["/", "/sessions/ses_x", "/setup?token=abc"] {
        let answer = world.stranger().get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(
            answer.headers[header::CONTENT_TYPE],
            "text/html; charset=utf-8"
        );
        let policy = answer.headers[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap();
        assert!(policy.contains("script-src 'self';"), "{policy}");
        assert_eq!(answer.headers[header::X_FRAME_OPTIONS], "DENY");
        assert_eq!(answer.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    }
    assert_eq!(world.stranger().get("/assets/gone.js").await.status, 404);
}

/// A browser that is offered them by HTTP/2 opens them so, and no other way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn web_sockets_are_not_offered_by_http_2() {
    let world = World::start(Kind::Sqlite).await;
    let address = world.url().replace("http://", "");
    let socket = tokio::net::TcpStream::connect(&address).await.unwrap();
    let (mut sender, line) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .handshake(TokioIo::new(socket))
        .await
        .unwrap();
    let tasks = TaskGroup::new();
    tasks.spawn("line", line);
    let request = |method: Method| {
        Request::builder()
            .method(method)
            .uri(format!("{}/healthz", world.url()))
    };
    let plain = request(Method::GET).body(Empty::<Bytes>::new()).unwrap();
    assert_eq!(sender.send_request(plain).await.unwrap().status(), 200);
    let extended = request(Method::CONNECT)
        .extension(Protocol::from_static("websocket"))
        .body(Empty::new())
        .unwrap();
    let error = sender.send_request(extended).await.unwrap_err();
    assert!(!error.is_closed(), "of this stream alone: {error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_readiness_version_and_metrics_are_public() {
    let world = World::start(Kind::Sqlite).await;
    let stranger = world.stranger();
    assert_eq!(stranger.get("/healthz").await.status, 200);
    assert_eq!(stranger.get("/readyz").await.status, 200);
    let version: Version = stranger.get("/api/v1/version").await.expect(200);
    assert_eq!(version.version, env!("CARGO_PKG_VERSION"));
    stranger
        .get("/api/v1/sessions/ses_this-must-be-no-label")
        .await;
    let metrics = stranger.get("/metrics").await;
    let text = String::from_utf8(metrics.body.to_vec()).unwrap();
    assert!(text.contains("helix_http_requests_total{"), "{text}");
    assert!(text.contains("route=\"/api/v1/sessions/{id}\""), "{text}");
    assert!(!text.contains("this-must-be-no-label"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_ends_when_the_database_is_gone() {
    let world = World::start(Kind::Sqlite).await;
    world.app.store().close().await;
    let answer = world.stranger().get("/readyz").await;
    answer.error(helix_proto::ErrorCode::Unavailable);
    assert!(answer.headers.contains_key(header::RETRY_AFTER));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_sends_no_headers_is_sent_away() {
    let world = World::start_with(Kind::Sqlite, |options| {
        options.limits.header_timeout = Duration::from_millis(200);
    })
    .await;
    let mut socket = tokio::net::TcpStream::connect(world.app.foundation().listening)
        .await
        .unwrap();
    socket
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n")
        .await
        .unwrap();
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(10), socket.read_to_end(&mut rest)).await;
    assert!(closed.is_ok(), "the connection is still open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_web_app_is_proxied_from_a_development_server_and_the_api_is_not() {
    let frontend = World::start(Kind::Sqlite).await;
    let url = frontend.url().parse().unwrap();
    let world = World::start_with(Kind::Sqlite, |options| options.frontend_url = Some(url)).await;
    let answer = world.stranger().get("/some/page").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.headers[header::CONTENT_TYPE],
        "text/html; charset=utf-8"
    );
    assert_eq!(world.stranger().get("/api/v1/nothing").await.status, 404);
    let mut gone = frontend;
    gone.stop().await;
    world
        .stranger()
        .get("/some/page")
        .await
        .error(helix_proto::ErrorCode::Upstream);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn https_is_served_with_a_certificate_and_cookies_are_then_secure() {
    let files = tempfile::tempdir().unwrap();
    let (certificate, key) = (files.path().join("cert.pem"), files.path().join("key.pem"));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let tls = TlsOptions::new(certificate.clone(), key);
    let world = World::start_with(Kind::Sqlite, |options| options.tls = Some(tls)).await;
    let outbound = Outbound::new(&OutboundOptions {
        ca_bundle: Some(certificate),
        ..OutboundOptions::default()
    })
    .unwrap();
    let port = world.app.foundation().listening.port();
    let person = Person {
        http: outbound.http().clone(),
        url: format!("https://localhost:{port}"),
        proof: Proof::None,
    };
    let answer = person.get("/api/v1/version").await;
    assert_eq!(answer.status, 200);
    assert!(
        answer
            .headers
            .contains_key(header::STRICT_TRANSPORT_SECURITY)
    );
    let (_, token) = world
        .app
        .setup_link()
        .unwrap()
        .split_once("token=")
        .unwrap();
    let register = person.request(Method::POST, "/api/v1/auth/register").json(&serde_json::json!({
        "email": "a@example.org", "name": "A", "password": crate::world::PASSWORD, "setup_token": token,
    }));
    let answer = Person::send(register).await;
    assert!(
        answer.headers[header::SET_COOKIE]
            .to_str()
            .unwrap()
            .contains("; Secure")
    );
}

#[tokio::test]
async fn what_is_kept_is_for_the_control_planes_own_eyes() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("new/data");
    let options = Options {
        data_dir: data_dir.clone(),
        ..options(&folder)
    };
    let server = Server::build(options).await.unwrap();
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(data_dir.clone()), 0o700);
    assert_eq!(mode(data_dir.join("setup-link")), 0o600);
    drop(server);
}

#[tokio::test]
async fn what_cannot_work_is_refused_at_the_start_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let refused = async |change: fn(&mut Options)| {
        let mut options = options(&folder);
        change(&mut options);
        Server::build(options).await.unwrap_err().to_string()
    };
    let tls = refused(|options| {
        let missing = || "/nonexistent.pem".into();
        options.tls = Some(TlsOptions::new(missing(), missing()));
    });
    assert!(tls.await.contains("/nonexistent.pem"));
    let database = refused(|options| options.database_url = Some("mysql://db".into()));
    assert!(database.await.contains("mysql"));
    let data_dir = refused(|options| options.data_dir = "/proc/nowhere".into());
    assert!(data_dir.await.contains("/proc/nowhere"));
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut options = options(&folder);
    options.listen = taken.local_addr().unwrap();
    let error = Server::build(options).await.unwrap_err().to_string();
    assert!(error.contains("cannot listen on"), "{error}");
}
