//! Programs that call the host.

use bytes::Bytes;
use helix_proto::sandbox::guest::FORWARDED;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

use crate::support::{Running, WITHIN};

fn asking() -> Request<Full<Bytes>> {
    let request = Request::builder()
        .uri("/calls")
        .header("host", "guest")
        .header("connection", "upgrade")
        .header("upgrade", FORWARDED);
    request.body(Full::default()).unwrap()
}

#[tokio::test]
async fn a_call_waits_until_somebody_asks_for_it_and_bytes_go_both_ways() {
    let guest = Running::start();
    let mut program = UnixStream::connect(guest.calls.path().join("calls"))
        .await
        .unwrap();
    program.write_all(b"hello").await.unwrap();
    let talk = async {
        let answer = guest.send(asking()).await;
        assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
        let mut call = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
        let mut heard = [0; 5];
        call.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");
        call.write_all(b"bye").await.unwrap();
        drop(call);
        let mut said = String::new();
        program.read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "bye");
    };
    tokio::time::timeout(WITHIN, talk).await.unwrap();
}

#[tokio::test]
async fn a_call_is_taken_by_an_upgrade_only() {
    let guest = Running::start();
    let (status, _) = guest.call(Method::GET, "/calls", "").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}
