//! Names with several addresses, some of them dead, and names that move.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use helix_base::{
    Outbound, OutboundOptions,
    outbound::{BoxedIo, Error, Resolve},
};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::Full;
use socket2::{Domain, Socket, Type};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;

use super::{
    echoes,
    support::{Server, websocket_server},
    url,
};

/// Answers what it was told last, to any name.
#[derive(Debug, Clone, Default)]
struct Told(Arc<Mutex<Vec<IpAddr>>>);

impl Told {
    fn tell(&self, addresses: &[&str]) {
        let parsed = addresses.iter().map(|address| address.parse().unwrap());
        *self.0.lock().unwrap() = parsed.collect();
    }

    fn outbound(&self) -> Outbound {
        Outbound::with_resolver(&OutboundOptions::default(), Arc::new(self.clone())).unwrap()
    }
}

#[async_trait]
impl Resolve for Told {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        assert_eq!(name, "control.test");
        Ok(self.0.lock().unwrap().clone())
    }
}

/// An address that takes connections and never answers: nobody accepts, and there is no
/// room to wait.
struct Dead {
    _listener: Socket,
    _waiting: Vec<Socket>,
}

impl Dead {
    fn at(address: SocketAddr) -> Self {
        let socket = || Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        let listener = socket();
        listener.set_reuse_address(true).unwrap();
        listener.bind(&address.into()).unwrap();
        listener.listen(0).unwrap();
        let fill = || {
            let waiting = socket();
            waiting.set_nonblocking(true).unwrap();
            let _ = waiting.connect(&address.into());
            waiting
        };
        Self {
            _listener: listener,
            _waiting: (0..4).map(|_| fill()).collect(),
        }
    }
}

async fn dial(outbound: &Outbound, port: u16) -> Result<WebSocketStream<BoxedIo>, Error> {
    let address = url(&format!("ws://control.test:{port}/"));
    let dialled = outbound.websocket(&address, HeaderMap::new());
    // Far less than the connect timeout.
    timeout(Duration::from_secs(5), dialled).await.unwrap()
}

#[tokio::test]
async fn dead_and_refusing_addresses_are_passed_over_in_a_moment() {
    let server = websocket_server(Server::plain().await);
    let port = server.address.port();
    let _dead = Dead::at(format!("127.0.0.2:{port}").parse().unwrap());
    let told = Told::default();
    // Nobody listens on the third.
    told.tell(&["127.0.0.2", "127.0.0.3", "127.0.0.1"]);
    echoes(dial(&told.outbound(), port).await.unwrap()).await;
}

#[tokio::test]
async fn each_address_that_failed_is_in_the_error_and_a_name_without_any_is_not_found() {
    let port = Server::plain().await.address().port();
    let told = Told::default();
    told.tell(&["127.0.0.2", "127.0.0.3"]);
    let error = dial(&told.outbound(), port).await.unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, Error::Connect { .. }), "{message}");
    for part in ["control.test", "127.0.0.2", "127.0.0.3"] {
        assert!(message.contains(part), "{message}");
    }
    told.tell(&[]);
    let error = dial(&told.outbound(), port).await.unwrap_err();
    assert!(matches!(error, Error::Resolve { .. }), "{error}");
}

#[tokio::test]
async fn a_name_that_moved_is_found_by_the_next_connection_of_every_client() {
    let first = Server::plain().await;
    let port = first.address().port();
    let second = Server::on(format!("127.0.0.2:{port}").parse().unwrap()).await;
    let (first, second) = (first.answer(201), second.answer(202));
    let told = Told::default();
    let outbound = told.outbound();
    let address = format!("http://control.test:{port}/");
    let uri: http::Uri = address.parse().unwrap();
    for (at, status) in [("127.0.0.1", 201), ("127.0.0.2", 202)] {
        told.tell(&[at]);
        let answer = outbound.http().get(&address).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
        let request = Request::get(uri.clone()).body(Full::default()).unwrap();
        let answer = outbound.request(request).await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
        let error = dial(&outbound, port).await.unwrap_err();
        assert_eq!(
            error.refused_with(),
            Some(StatusCode::from_u16(status).unwrap())
        );
    }
    drop((first, second));
}
