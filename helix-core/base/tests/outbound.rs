//! Dialling out against real servers and a real proxy on loopback.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "outbound/addresses.rs"]
mod addresses;
#[path = "outbound/certificates.rs"]
mod certificates;
#[path = "outbound/requests.rs"]
mod requests;
#[path = "outbound/support.rs"]
mod support;

use std::{io::Write as _, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use helix_base::{
    Outbound, OutboundOptions, Retry as _, Retryability,
    outbound::{BoxedIo, Error, why},
};
use http::{HeaderMap, StatusCode};
use support::{Authority, Proxy, Server, websocket_server};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};
use url::Url;

fn url(text: &str) -> Url {
    text.parse().unwrap()
}

fn outbound(options: &OutboundOptions) -> Outbound {
    Outbound::new(options).unwrap()
}

async fn echoes(mut socket: WebSocketStream<BoxedIo>) {
    socket.send(Message::binary("hello")).await.unwrap();
    assert_eq!(
        socket.next().await.unwrap().unwrap(),
        Message::binary("hello")
    );
}

async fn websocket_error(options: &OutboundOptions, to: &str) -> Error {
    outbound(options)
        .websocket(&url(to), HeaderMap::new())
        .await
        .unwrap_err()
}

#[tokio::test]
async fn a_websocket_is_dialled_directly_and_carries_the_headers() {
    let server = websocket_server(Server::plain().await);
    let mut headers = HeaderMap::new();
    headers.insert("authorization", "Bearer hxr_1".parse().unwrap());
    let address = format!("ws://{}/api", server.address);
    let socket = outbound(&OutboundOptions::default())
        .websocket(&url(&address), headers)
        .await;
    echoes(socket.unwrap()).await;
    assert_eq!(server.seen_authorizations(), ["Bearer hxr_1"]);
}

#[tokio::test]
async fn both_kinds_of_client_go_through_the_proxy_with_its_credentials() {
    let server = websocket_server(Server::plain().await);
    let proxy = Proxy::start(Some("Basic YWxpY2U6cEBzcw==")).await;
    let options = OutboundOptions {
        http_proxy: Some(format!("http://alice:p%40ss@{}", proxy.address)),
        ..OutboundOptions::default()
    };
    let address = format!("ws://{}/", server.address);
    let socket = outbound(&options)
        .websocket(&url(&address), HeaderMap::new())
        .await;
    echoes(socket.unwrap()).await;
    assert_eq!(proxy.requests(), [format!("CONNECT {}", server.address)]);

    let address = format!("http://{}/plain", server.address);
    let answer = outbound(&options).http().get(address).send().await.unwrap();
    assert_eq!(
        answer.status(),
        StatusCode::IM_A_TEAPOT,
        "the proxy answers itself"
    );
    assert_eq!(
        proxy.requests()[1],
        format!("GET http://{}/plain", server.address)
    );
}

#[tokio::test]
async fn a_proxy_that_wants_credentials_is_a_permanent_error_that_says_so() {
    let proxy = Proxy::start(Some("Basic YWxpY2U6cEBzcw==")).await;
    let options = OutboundOptions {
        https_proxy: Some(format!("bob:secret@{}", proxy.address)),
        ..OutboundOptions::default()
    };
    let error = websocket_error(&options, "wss://control.invalid/").await;
    assert!(
        matches!(&error, Error::ProxyRefused { status, .. } if *status == 407),
        "{error:?}"
    );
    assert_eq!(error.retryability(), Retryability::Permanent);
    let message = error.to_string();
    assert!(message.contains("user:password@") && message.contains("control.invalid:443"));
    assert!(
        !message.contains("secret") && !message.contains("bob"),
        "{message}"
    );
    let asked = outbound(&options).http().get("https://control.invalid/");
    let message = why(&asked.send().await.unwrap_err());
    assert!(message.contains("proxy"), "{message}");
}

#[tokio::test]
async fn no_proxy_exempts_a_host_for_both_kinds_of_client() {
    let server = websocket_server(Server::plain().await);
    let proxy = Proxy::start(None).await;
    let options = OutboundOptions {
        http_proxy: Some(format!("http://{}", proxy.address)),
        no_proxy: Some("10.0.0.0/8, 127.0.0.1".to_owned()),
        ..OutboundOptions::default()
    };
    let address = format!("ws://{}/", server.address);
    let socket = outbound(&options)
        .websocket(&url(&address), HeaderMap::new())
        .await;
    echoes(socket.unwrap()).await;
    let address = format!("http://{}/plain", server.address);
    let answer = outbound(&options).http().get(address).send().await.unwrap();
    assert_eq!(
        answer.status(),
        StatusCode::BAD_REQUEST,
        "the server wants an upgrade"
    );
    assert_eq!(proxy.requests(), Vec::<String>::new());
}

#[tokio::test]
async fn a_private_authority_is_trusted_only_with_its_bundle_also_through_a_proxy() {
    let authority = Authority::new();
    let server = websocket_server(Server::tls(&authority, "127.0.0.1").await);
    let address = format!("wss://{}/", server.address);
    let distrusting = OutboundOptions::default();
    let error = websocket_error(&distrusting, &address).await;
    assert!(matches!(&error, Error::Tls { .. }), "{error:?}");
    assert_eq!(error.retryability(), Retryability::Permanent);

    let proxy = Proxy::start(None).await;
    let bundle = authority.bundle();
    for proxy in [None, Some(format!("http://{}", proxy.address))] {
        let options = OutboundOptions {
            https_proxy: proxy,
            ca_bundle: Some(bundle.path().to_owned()),
            ..OutboundOptions::default()
        };
        let socket = outbound(&options)
            .websocket(&url(&address), HeaderMap::new())
            .await;
        echoes(socket.unwrap()).await;
        let https = format!("https://{}/", server.address);
        let answer = outbound(&options).http().get(https).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    }
    assert_eq!(proxy.requests().len(), 2);
}

#[tokio::test]
async fn a_proxy_may_itself_want_tls() {
    let authority = Authority::new();
    let server = websocket_server(Server::tls(&authority, "127.0.0.1").await);
    let proxy = Proxy::start_tls(&authority).await;
    let bundle = authority.bundle();
    let options = OutboundOptions {
        https_proxy: Some(format!("https://{}", proxy.address)),
        ca_bundle: Some(bundle.path().to_owned()),
        ..OutboundOptions::default()
    };
    let address = format!("wss://{}/", server.address);
    let socket = outbound(&options)
        .websocket(&url(&address), HeaderMap::new())
        .await;
    echoes(socket.unwrap()).await;
}

#[test]
fn a_bundle_that_cannot_be_used_is_named() {
    let mut empty = tempfile::NamedTempFile::new().unwrap();
    writeln!(empty, "not a certificate").unwrap();
    for path in [empty.path().to_owned(), "/nonexistent/ca.pem".into()] {
        let options = OutboundOptions {
            ca_bundle: Some(path.clone()),
            ..OutboundOptions::default()
        };
        let error = Outbound::new(&options).unwrap_err();
        assert!(matches!(error, Error::CaBundle(_)));
        assert!(
            error.to_string().contains(&path.display().to_string()),
            "{error}"
        );
    }
}

#[test]
fn a_proxy_that_cannot_be_used_is_an_error_and_never_ignored() {
    for proxy in ["socks5://proxy:1080", "http://", "http://a b"] {
        let options = OutboundOptions {
            https_proxy: Some(proxy.to_owned()),
            ..OutboundOptions::default()
        };
        let error = Outbound::new(&options).unwrap_err();
        assert!(
            matches!(
                error,
                Error::ProxyUrl {
                    option: "https_proxy",
                    ..
                }
            ),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_name_that_does_not_resolve_and_a_port_that_refuses_are_transient_and_named() {
    let options = OutboundOptions::default();
    let error = websocket_error(&options, "ws://nowhere.invalid/").await;
    assert!(matches!(&error, Error::Resolve { host, .. } if host == "nowhere.invalid"));
    assert_eq!(error.retryability(), Retryability::Transient);

    let free = Server::plain().await.address();
    let error = websocket_error(&options, &format!("ws://{free}/")).await;
    assert!(matches!(&error, Error::Connect { host, .. } if *host == free.to_string()));
    assert_eq!(error.retryability(), Retryability::Transient);
}

#[tokio::test]
async fn a_server_that_never_answers_runs_into_the_connect_timeout() {
    let silent = Server::plain().await;
    let options = OutboundOptions {
        connect_timeout: Duration::from_millis(100),
        ..OutboundOptions::default()
    };
    let address = silent.address();
    for scheme in ["ws", "wss"] {
        let error = websocket_error(&options, &format!("{scheme}://{address}/")).await;
        assert!(matches!(&error, Error::Timeout { host, .. } if *host == address.to_string()));
        assert_eq!(error.retryability(), Retryability::Transient);
    }
}

#[tokio::test]
async fn a_refused_upgrade_carries_the_status_and_says_whether_to_retry() {
    let cases = [
        (401, Retryability::Permanent),
        (403, Retryability::Permanent),
        (429, Retryability::Transient),
        (503, Retryability::After(Duration::from_secs(7))),
    ];
    for (status, retry) in cases {
        let server = Server::plain().await.answer(status);
        let error = websocket_error(
            &OutboundOptions::default(),
            &format!("ws://{}/", server.address),
        )
        .await;
        assert_eq!(
            error.refused_with().map(|status| status.as_u16()),
            Some(status)
        );
        assert_eq!(error.retryability(), retry);
    }
}

#[tokio::test]
async fn a_url_with_credentials_or_another_scheme_is_refused_without_repeating_them() {
    for address in ["ws://user:secret@127.0.0.1/", "ftp://127.0.0.1/"] {
        let error = websocket_error(&OutboundOptions::default(), address).await;
        assert!(matches!(error, Error::Url { .. }));
        assert!(!error.to_string().contains("secret"));
    }
}

#[tokio::test]
async fn redirects_leave_the_origin_only_for_downloads() {
    let elsewhere = Server::plain().await.answer(204);
    let server = Server::plain()
        .await
        .redirect(&format!("http://{}/", elsewhere.address));
    let outbound = outbound(&OutboundOptions::default());
    let address = format!("http://{}/", server.address);
    let answer = outbound.http().get(&address).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::TEMPORARY_REDIRECT);
    let answer = outbound
        .downloads()
        .get(&address)
        .bearer_auth("secret")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    assert_eq!(server.seen_authorizations(), ["Bearer secret"]);
    assert_eq!(elsewhere.seen_authorizations(), Vec::<String>::new());
}
