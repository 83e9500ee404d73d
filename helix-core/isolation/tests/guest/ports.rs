//! Ports.

use axum::{
    Router,
    body::Body,
    extract::{
        Request,
        ws::{Message as ServerMessage, WebSocketUpgrade},
    },
    response::Response,
    routing::{any, get},
};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use helix_proto::{ErrorCode, sandbox::guest::PortList};
use http::{Method, StatusCode};
use http_body_util::{BodyExt as _, Full};
use tokio::net::TcpListener;
use tokio_tungstenite::{client_async, tungstenite::Message};

use crate::support::{Running, WITHIN};

/// Answers with what it was asked.
async fn echo(request: Request) -> Response {
    let mut text = format!("{} {}\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        text += &format!("{name}: {}\n", value.to_str().unwrap());
    }
    let (_, body) = request.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    text += &String::from_utf8_lossy(&bytes);
    Response::builder()
        .status(StatusCode::IM_A_TEAPOT)
        .header("x-own", "kept")
        .header("connection", "x-hop")
        .header("x-hop", "not kept")
        .body(Body::from(text))
        .unwrap()
}

async fn shout(upgrade: WebSocketUpgrade) -> Response {
    upgrade.protocols(["chat"]).on_upgrade(async |mut socket| {
        while let Some(Ok(ServerMessage::Text(text))) = socket.recv().await {
            let text = text.to_uppercase();
            if socket.send(ServerMessage::Text(text.into())).await.is_err() {
                return;
            }
        }
    })
}

/// A server in "the sandbox"; its port.
async fn serve(guest: &Running) -> u16 {
    let routes = Router::new().route("/ws", get(shout)).fallback(any(echo));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    guest
        .tasks
        .spawn("port", async move { axum::serve(listener, routes).await });
    port
}

#[tokio::test]
async fn a_request_reaches_a_port_as_it_is_and_comes_back_as_it_is() {
    let guest = Running::start();
    let port = serve(&guest).await;
    let request = http::Request::post(format!("/ports/{port}/a%2Fb//c?q=%20&r"))
        .header("host", "outside.example")
        .header("x-mine", "1")
        .header("connection", "keep-alive, x-hop")
        .header("x-hop", "not passed on")
        .header("proxy-authorization", "secret");
    let body = Full::new(Bytes::from_static(b"the body"));
    let answer = guest.send(request.body(body).unwrap()).await;
    assert_eq!(answer.status(), StatusCode::IM_A_TEAPOT);
    assert_eq!(answer.headers()["x-own"], "kept");
    assert!(!answer.headers().contains_key("x-hop"));
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(text.starts_with("POST /a%2Fb//c?q=%20&r\n"), "{text}");
    assert!(
        text.contains(&format!("host: localhost:{port}\n")),
        "{text}"
    );
    assert!(
        text.contains("x-forwarded-host: outside.example\n"),
        "{text}"
    );
    assert!(
        text.contains("x-mine: 1\n") && text.ends_with("the body"),
        "{text}"
    );
    assert!(
        !text.contains("x-hop") && !text.contains("proxy-authorization"),
        "{text}"
    );
    for path in ["", "/"] {
        let (_, body) = guest
            .call(Method::GET, &format!("/ports/{port}{path}"), "")
            .await;
        assert!(body.starts_with(b"GET /\n"));
    }
}

#[tokio::test]
async fn a_websocket_reaches_a_port() {
    let guest = Running::start();
    let port = serve(&guest).await;
    let url = format!("ws://guest/ports/{port}/ws");
    let (mut socket, _) = client_async(url, guest.connect().await).await.unwrap();
    for text in ["one", "two"] {
        socket.send(Message::text(text)).await.unwrap();
        let answer = tokio::time::timeout(WITHIN, socket.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert_eq!(answer.into_text().unwrap().as_str(), text.to_uppercase());
    }
    socket.close(None).await.unwrap();
}

#[tokio::test]
async fn an_answer_streams_while_it_is_made() {
    let guest = Running::start();
    let (send, receive) = tokio::sync::mpsc::unbounded_channel::<&'static str>();
    let receive = std::sync::Arc::new(std::sync::Mutex::new(Some(receive)));
    let routes = Router::new().fallback(any(move || {
        let receive = receive.lock().unwrap().take().unwrap();
        let stream = futures_util::stream::unfold(receive, |mut receive| async {
            let text = receive.recv().await?;
            Some((
                Ok::<_, std::io::Error>(Bytes::from_static(text.as_bytes())),
                receive,
            ))
        });
        std::future::ready(Body::from_stream(stream))
    }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    guest
        .tasks
        .spawn("port", async move { axum::serve(listener, routes).await });
    let mut body = guest
        .open(Method::GET, &format!("/ports/{port}/"), "")
        .await
        .into_body();
    for text in ["first", "second"] {
        send.send(text).unwrap();
        let frame = tokio::time::timeout(WITHIN, body.frame())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert_eq!(frame.into_data().unwrap(), text);
    }
}

#[tokio::test]
async fn a_port_where_nothing_listens_is_said_to_be_one() {
    let guest = Running::start();
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let error = guest
        .refused(Method::GET, &format!("/ports/{free}/x"), "")
        .await;
    assert_eq!(error.code, ErrorCode::Upstream);
    assert_eq!(
        error.message,
        format!("nothing listens on port {free} in this sandbox")
    );
    for port in ["0", "65536", "http", "-1"] {
        let error = guest
            .refused(Method::GET, &format!("/ports/{port}/x"), "")
            .await;
        assert_eq!(error.code, ErrorCode::Invalid);
    }
}

#[tokio::test]
async fn what_does_not_speak_http_is_said_not_to() {
    let guest = Running::start();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    guest.tasks.spawn("port", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"SSH-2.0-x\r\n").await;
        }
    });
    let error = guest
        .refused(Method::GET, &format!("/ports/{port}/"), "")
        .await;
    assert_eq!(error.code, ErrorCode::Upstream);
    assert!(
        error.message.contains("did not answer in HTTP"),
        "{}",
        error.message
    );
}

#[tokio::test]
async fn what_listens_is_listed_with_its_program() {
    let guest = Running::start();
    let port = serve(&guest).await;
    let list: PortList = guest.get("/ports").await;
    let found = list
        .ports
        .iter()
        .find(|found| found.port == port)
        .expect("it is listed");
    assert_eq!(found.address, "127.0.0.1");
    let own = std::fs::read_to_string("/proc/self/comm").unwrap();
    assert_eq!(found.program.as_deref(), Some(own.trim_end()));
    assert!(list.ports.is_sorted_by_key(|port| port.port));
}
