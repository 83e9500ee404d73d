//! Requests over kept connections: direct, through proxies, with TLS.

use std::time::Duration;

use bytes::Bytes;
use helix_base::{Outbound, OutboundOptions, Retry as _, Retryability, outbound::Error};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};

use super::{
    outbound,
    support::{Authority, Proxy, Server},
};

/// `alice` with `p@ss`.
const CREDENTIALS: &str = "Basic YWxpY2U6cEBzcw==";

async fn post(outbound: &Outbound, to: &str) -> Result<(StatusCode, String), Error> {
    let request = Request::post(to).body(Full::new(Bytes::from_static(b"ping")));
    let answer = outbound.request(request.unwrap()).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    Ok((status, String::from_utf8(body.to_vec()).unwrap()))
}

async fn answer(outbound: &Outbound, to: &str) -> String {
    post(outbound, to).await.unwrap().1
}

#[tokio::test]
async fn requests_to_one_server_share_a_connection() {
    let server = Server::plain().await.repeat();
    let outbound = outbound(&OutboundOptions::default());
    let address = format!("http://{}/v1?a=b", server.address);
    for _ in 0..3 {
        assert_eq!(answer(&outbound, &address).await, "HTTP/1.1 POST /v1 ping");
    }
    assert_eq!(server.noted(), ["connection"]);
}

#[tokio::test]
async fn a_server_with_tls_is_asked_over_what_it_speaks_also_through_a_proxy() {
    let authority = Authority::new();
    let bundle = authority.bundle();
    let proxy = Proxy::start(Some(CREDENTIALS)).await;
    let ways = [None, Some(format!("http://alice:p%40ss@{}", proxy.address))];
    for (way, http2) in ways.iter().flat_map(|way| [(way, false), (way, true)]) {
        let server = Server::tls(&authority, "127.0.0.1").await;
        let (server, version) = if http2 {
            (server.with_http2().repeat(), "HTTP/2.0")
        } else {
            (server.repeat(), "HTTP/1.1")
        };
        let options = OutboundOptions {
            https_proxy: way.clone(),
            ca_bundle: Some(bundle.path().to_owned()),
            ..OutboundOptions::default()
        };
        let outbound = outbound(&options);
        let address = format!("https://{}/v1", server.address);
        for _ in 0..2 {
            let text = answer(&outbound, &address).await;
            assert_eq!(text, format!("{version} POST /v1 ping"));
        }
        assert_eq!(server.noted(), ["connection"], "and no credentials");
        if way.is_some() {
            let asked = format!("CONNECT {}", server.address);
            assert_eq!(proxy.requests().last(), Some(&asked));
        }
    }
    assert_eq!(proxy.requests().len(), 2);
}

#[tokio::test]
async fn a_certificate_of_a_stranger_is_a_permanent_error_that_says_what_to_do() {
    let server = Server::tls(&Authority::new(), "127.0.0.1").await.repeat();
    let address = format!("https://{}/", server.address);
    let error = post(&outbound(&OutboundOptions::default()), &address).await;
    let error = error.unwrap_err();
    let message = error.to_string();
    assert_eq!(error.retryability(), Retryability::Permanent, "{message}");
    assert!(message.contains("set `ca_bundle`"), "{message}");
}

#[tokio::test]
async fn a_proxy_is_given_whole_urls_to_forward_with_its_credentials_and_may_want_tls() {
    let authority = Authority::new();
    let bundle = authority.bundle();
    let plain = Proxy::start(Some(CREDENTIALS)).await;
    let tls = Proxy::start_tls(&authority).await;
    let cases = [
        (&plain, format!("http://alice:p%40ss@{}", plain.address)),
        (&tls, format!("https://{}", tls.address)),
    ];
    for (proxy, address) in cases {
        let options = OutboundOptions {
            http_proxy: Some(address),
            ca_bundle: Some(bundle.path().to_owned()),
            ..OutboundOptions::default()
        };
        let (status, _) = post(&outbound(&options), "http://provider.invalid/v1")
            .await
            .unwrap();
        assert_eq!(status, StatusCode::IM_A_TEAPOT, "the proxy answers itself");
        assert_eq!(proxy.requests(), ["POST http://provider.invalid/v1"]);
    }
}

#[tokio::test]
async fn a_proxy_that_wants_credentials_says_so_for_both_schemes() {
    let proxy = Proxy::start(Some(CREDENTIALS)).await;
    let address = Some(format!("http://bob:secret@{}", proxy.address));
    let options = OutboundOptions {
        http_proxy: address.clone(),
        https_proxy: address,
        ..OutboundOptions::default()
    };
    let outbound = outbound(&options);
    for (to, asked) in [
        ("http://provider.invalid/v1", "POST provider.invalid;"),
        (
            "https://provider.invalid/v1",
            "CONNECT provider.invalid:443;",
        ),
    ] {
        let error = post(&outbound, to).await.unwrap_err();
        let message = error.to_string();
        assert!(message.contains(asked), "{message}");
        assert!(message.contains("put `user:password@`"), "{message}");
        assert!(!message.contains("secret"), "{message}");
        assert_eq!(error.retryability(), Retryability::Permanent);
    }
}

#[tokio::test]
async fn no_proxy_exempts_a_destination() {
    let server = Server::plain().await.repeat();
    let proxy = Proxy::start(None).await;
    let options = OutboundOptions {
        http_proxy: Some(format!("http://alice:p%40ss@{}", proxy.address)),
        no_proxy: Some("127.0.0.0/8".to_owned()),
        ..OutboundOptions::default()
    };
    let address = format!("http://{}/", server.address);
    assert_eq!(
        answer(&outbound(&options), &address).await,
        "HTTP/1.1 POST / ping"
    );
    assert_eq!(server.noted(), ["connection"], "and no credentials");
    assert_eq!(proxy.requests(), Vec::<String>::new());
}

#[tokio::test]
async fn redirects_are_returned_as_they_came() {
    let server = Server::plain().await.redirect("/elsewhere");
    let address = format!("http://{}/", server.address);
    let answered = post(&outbound(&OutboundOptions::default()), &address).await;
    assert_eq!(answered.unwrap().0, StatusCode::TEMPORARY_REDIRECT);
}

#[tokio::test]
async fn what_keeps_a_connection_from_being_made_is_named() {
    let options = OutboundOptions {
        connect_timeout: Duration::from_millis(100),
        ..OutboundOptions::default()
    };
    let outbound = outbound(&options);
    let nobody = Server::plain().await.address();
    let silent = Server::plain().await;
    let cases = [
        (
            format!("http://{nobody}/"),
            format!("cannot connect to {nobody}"),
        ),
        (
            "http://nowhere.invalid/".to_owned(),
            "cannot resolve `nowhere.invalid`".to_owned(),
        ),
        (
            format!("https://{}/", silent.address()),
            format!("no connection to {} within 0.1 s", silent.address()),
        ),
    ];
    for (to, expected) in cases {
        let error = post(&outbound, &to).await.unwrap_err();
        let message = error.to_string();
        assert!(message.contains(&expected), "{message}");
        assert_eq!(error.retryability(), Retryability::Transient);
    }
}

#[tokio::test]
async fn a_server_that_hangs_up_is_named() {
    let server = Server::plain().await.hang_up();
    let address = format!("http://{}/", server.address);
    let error = post(&outbound(&OutboundOptions::default()), &address).await;
    let message = error.unwrap_err().to_string();
    let expected = format!("no answer from {}: ", server.address);
    assert!(message.contains(&expected), "{message}");
}
