//! What little is asked of the Docker daemon: JSON over its Unix socket.

use std::{io, path::Path, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

/// The longest answer that is read.
const LONGEST: usize = 16 << 20;
/// For one answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// The whole body of an answer.
pub(super) async fn get(socket: &Path, path: &str) -> io::Result<Bytes> {
    let asked = async {
        let (mut sender, connection) = connect(socket).await?;
        let answer = async {
            let body = Limited::new(send(&mut sender, path).await?, LONGEST);
            Ok(body.collect().await.map_err(io::Error::other)?.to_bytes())
        };
        drive(connection, answer).await
    };
    tokio::time::timeout(DEADLINE, asked).await?
}

/// Calls `changed` once when the stream of events begins, and at each event; returns when
/// the stream ends.
pub(super) async fn watch(socket: &Path, path: &str, mut changed: impl FnMut()) -> io::Result<()> {
    let (mut sender, connection) = connect(socket).await?;
    let events = async {
        let mut body = send(&mut sender, path).await?;
        changed();
        while let Some(frame) = body.frame().await {
            frame.map_err(io::Error::other)?;
            changed();
        }
        Ok(())
    };
    drive(connection, events).await
}

type Sender = SendRequest<Empty<Bytes>>;

async fn connect(socket: &Path) -> io::Result<(Sender, impl Future<Output = hyper::Result<()>>)> {
    let stream = UnixStream::connect(socket).await?;
    handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)
}

async fn send(sender: &mut Sender, path: &str) -> io::Result<Incoming> {
    let request = Request::get(path)
        .header(header::HOST, "docker")
        .body(Empty::new());
    let request = request.map_err(io::Error::other)?;
    let answer = sender
        .send_request(request)
        .await
        .map_err(io::Error::other)?;
    if answer.status() != StatusCode::OK {
        return Err(io::Error::other(format!(
            "the Docker daemon answers {}",
            answer.status()
        )));
    }
    Ok(answer.into_body())
}

/// A connection makes progress only while it is polled beside what uses it.
async fn drive<T>(
    connection: impl Future<Output = hyper::Result<()>>,
    work: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    let mut work = std::pin::pin!(work);
    tokio::select! {
        biased;
        done = &mut work => done,
        // Ended in order: what is left may be there already.
        ended = connection => match ended {
            Ok(()) => work.await,
            Err(error) => Err(io::Error::other(error)),
        },
    }
}
