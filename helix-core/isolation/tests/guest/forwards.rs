//! Connections that programs inside make, and the host takes.

use helix_proto::{
    ErrorCode,
    sandbox::guest::{FORWARDED, Forward, PortList},
};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::support::{Running, WITHIN};

async fn listen(guest: &Running, name: &str) -> u16 {
    let (status, body) = guest
        .call(Method::PUT, &format!("/forwards/{name}"), "")
        .await;
    assert_eq!(status, StatusCode::OK);
    serde_json::from_slice::<Forward>(&body).unwrap().port
}

async fn ask(guest: &Running, name: &str) -> Response<Incoming> {
    let request = Request::get(format!("/forwards/{name}/next"))
        .header("host", "guest")
        .header("connection", "upgrade")
        .header("upgrade", FORWARDED);
    let request = request.body(Default::default()).unwrap();
    timeout(WITHIN, guest.send(request)).await.unwrap()
}

async fn taken(guest: &Running, name: &str) -> TokioIo<hyper::upgrade::Upgraded> {
    let answer = ask(guest, name).await;
    assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
    TokioIo::new(hyper::upgrade::on(answer).await.unwrap())
}

#[tokio::test]
async fn a_connection_of_a_program_is_taken_and_carries_bytes_both_ways() {
    let guest = Running::start();
    let port = listen(&guest, "models").await;
    assert_eq!(listen(&guest, "models").await, port);
    assert_ne!(listen(&guest, "other").await, port);
    // It waits for somebody who takes it.
    let mut program = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    program.write_all(b"ask").await.unwrap();
    let mut host = taken(&guest, "models").await;
    let mut said = [0; 3];
    host.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"ask");
    host.write_all(b"answer").await.unwrap();
    host.shutdown().await.unwrap();
    let mut answer = String::new();
    program.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "answer");
}

#[tokio::test]
async fn one_who_asked_and_left_takes_no_connection() {
    let guest = Running::start();
    let port = listen(&guest, "models").await;
    for _ in 0..3 {
        let mut leaving = guest.connect().await;
        let text = format!(
            "GET /forwards/models/next HTTP/1.1\r\nhost: guest\r\nconnection: upgrade\r\nupgrade: {FORWARDED}\r\n\r\n"
        );
        leaving.write_all(text.as_bytes()).await.unwrap();
    }
    // The guest hears of it before what is said to it afterwards.
    guest.call(Method::GET, "/exec", "").await;
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let mut program = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let mut host = taken(&guest, "models").await;
    program.write_all(b"x").await.unwrap();
    assert_eq!(host.read_u8().await.unwrap(), b'x');
}

#[tokio::test]
async fn forwards_are_bounded_and_are_no_ports_of_the_sandbox() {
    let guest = Running::start();
    let port = listen(&guest, "a-1").await;
    let (_, body) = guest.call(Method::GET, "/ports", "").await;
    let list: PortList = serde_json::from_slice(&body).unwrap();
    assert!(list.ports.iter().all(|listed| listed.port != port));
    for name in ["A", "a_b", "%20", &"a".repeat(33)] {
        let error = guest
            .refused(Method::PUT, &format!("/forwards/{name}"), "")
            .await;
        assert_eq!(error.code, ErrorCode::Invalid, "{name}");
    }
    for number in 2..=8 {
        listen(&guest, &format!("a-{number}")).await;
    }
    let error = guest.refused(Method::PUT, "/forwards/a-9", "").await;
    assert_eq!(error.code, ErrorCode::TooManyRequests);
    let error = guest.refused(Method::GET, "/forwards/none/next", "").await;
    assert_eq!(error.code, ErrorCode::NotFound);
    let error = guest.refused(Method::GET, "/forwards/a-1/next", "").await;
    assert_eq!(error.code, ErrorCode::BadRequest);
}
