//! An agent by hand: what it says is up to the test.

use std::net::SocketAddr;

use axum::body::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use helix_tunnel::{
    REVDIAL_PATH,
    link::greeting::{Hello, Identity, Welcome},
};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest as _},
};

use super::{Site, hello, soon};

pub(crate) type Raw = WebSocketStream<TcpStream>;

/// A WebSocket to a control plane, with this credential and nothing said.
pub(crate) async fn raw(address: SocketAddr, credential: &str) -> Raw {
    let mut request = format!("ws://{address}{REVDIAL_PATH}")
        .into_client_request()
        .unwrap();
    let bearer = format!("Bearer {credential}");
    request
        .headers_mut()
        .insert("authorization", bearer.parse().unwrap());
    let socket = TcpStream::connect(address).await.unwrap();
    soon(tokio_tungstenite::client_async(request, socket))
        .await
        .unwrap()
        .0
}

pub(crate) async fn say(socket: &mut Raw, message: Bytes) {
    socket.send(Message::Binary(message)).await.unwrap();
}

pub(crate) async fn hear(socket: &mut Raw) -> Bytes {
    loop {
        match soon(socket.next()).await.unwrap().unwrap() {
            Message::Binary(message) => return message,
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// The code and reason with which the other side closes.
pub(crate) async fn closed_with(socket: &mut Raw) -> (u16, String) {
    loop {
        match soon(socket.next()).await {
            Some(Ok(Message::Close(Some(frame)))) => {
                return (frame.code.into(), frame.reason.as_str().to_owned());
            }
            Some(Ok(_)) => {}
            other => panic!("no close frame but {other:?}"),
        }
    }
}

/// A link begun by hand: what was said, and what to resume it with.
pub(crate) async fn begun(site: &Site, credential: &str) -> (Raw, Hello, Identity) {
    let mut socket = raw(site.address.unwrap(), credential).await;
    let hello = hello(1);
    say(&mut socket, hello.write()).await;
    match Welcome::read(hear(&mut socket).await).unwrap() {
        Welcome::New { identity, .. } => (socket, hello, identity),
        other => panic!("{other:?}"),
    }
}
