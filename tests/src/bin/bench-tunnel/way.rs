//! The ways to the other end: a TCP address, behind which the backend answers, an HTTP
//! address of the agent's own router, or a tunnel to that router.

use std::net::SocketAddr;

use anyhow::{Context as _, bail, ensure};
use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt as _;
use helix_base::TaskGroup;
use helix_tunnel::{Hub, Lane};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{Method, Request, Response, body::Frame, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, oneshot},
    task::AbortHandle,
};
use tokio_stream::wrappers::ReceiverStream;

use crate::{agent, backend, pattern};

/// The agent that everything goes through.
pub(crate) const FIRST_AGENT: &str = "0";

/// What is read from a socket at a time.
const BUFFER: usize = 256 << 10;

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Way {
    /// To the backend, directly or through what forwards to it.
    Tcp(SocketAddr),
    /// To the agent's router, without a tunnel.
    Http(SocketAddr),
    /// To the agent's router.
    Tunnel(Lane),
}

/// What a stream is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Down,
    Up,
    Echo,
    Hold,
    Small,
    Exact(u64),
}

/// Opens streams.
#[derive(Debug, Clone)]
pub(crate) struct Opener {
    pub(crate) hub: Option<Hub<String>>,
    pub(crate) tasks: TaskGroup,
}

/// One open stream.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) sender: Sender,
    pub(crate) receiver: Receiver,
}

#[derive(Debug)]
pub(crate) enum Sender {
    Tcp(OwnedWriteHalf),
    Body(mpsc::Sender<Bytes>),
    /// What goes up goes by itself until this is dropped.
    Busy {
        _until: oneshot::Sender<()>,
    },
    Nothing,
}

#[derive(Debug)]
pub(crate) enum Receiver {
    Tcp {
        socket: OwnedReadHalf,
        buffer: Vec<u8>,
    },
    Body {
        body: Body,
        last: Bytes,
        /// The connection, where it is for this request alone.
        _connection: Option<Background>,
    },
}

/// A task that ends with whoever started it.
#[derive(Debug)]
pub(crate) struct Background(AbortHandle);

impl Background {
    fn spawn<F>(tasks: &TaskGroup, name: &'static str, task: F) -> Self
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        Self(tasks.spawn(name, task).abort_handle())
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Opener {
    /// Opens a stream; a transfer up begins at once, and ends with the stream.
    pub(crate) async fn open(&self, way: Way, kind: Kind) -> anyhow::Result<Stream> {
        match way {
            Way::Tcp(address) => self.open_tcp(address, kind).await,
            Way::Http(address) => {
                let (request, sender) = request(kind, &address.to_string())?;
                let (response, connection) = self.ask_directly(address, request).await?;
                Stream::of_response(response, sender, Some(connection))
            }
            Way::Tunnel(lane) => {
                let (request, sender) = request(kind, "agent")?;
                let hub = self.hub.as_ref().context("no tunnels here")?;
                let tunnel = hub
                    .get(&FIRST_AGENT.to_owned())
                    .context("no agent is connected")?;
                let response = tunnel.request_on(lane, request).await?;
                Stream::of_response(response.map(Body::new), sender, None)
            }
        }
    }

    async fn open_tcp(&self, address: SocketAddr, kind: Kind) -> anyhow::Result<Stream> {
        let socket = TcpStream::connect(address).await.context("connecting")?;
        socket.set_nodelay(true)?;
        let (socket, mut write) = socket.into_split();
        let buffer = vec![0; BUFFER];
        let receiver = Receiver::Tcp { socket, buffer };
        let first = match kind {
            Kind::Down => backend::DOWN,
            Kind::Up => backend::UP,
            Kind::Echo => backend::ECHO,
            Kind::Hold => backend::HOLD,
            Kind::Small => backend::SMALL,
            Kind::Exact(total) => {
                let mut head = vec![backend::EXACT];
                head.extend(total.to_le_bytes());
                write.write_all(&head).await.context("sending")?;
                let sender = Sender::Tcp(write);
                return Ok(Stream { sender, receiver });
            }
        };
        write.write_u8(first).await.context("sending")?;
        let sender = if matches!(kind, Kind::Up) {
            let (_until, dropped) = oneshot::channel();
            self.tasks.spawn("transfer up", async move {
                let transfer = async { while write.write_all(&pattern::chunk()).await.is_ok() {} };
                tokio::select! {
                    () = transfer => {}
                    _ = dropped => {}
                }
            });
            Sender::Busy { _until }
        } else {
            Sender::Tcp(write)
        };
        Ok(Stream { sender, receiver })
    }

    /// Over a connection of its own.
    async fn ask_directly(
        &self,
        address: SocketAddr,
        request: Request<Body>,
    ) -> anyhow::Result<(Response<Body>, Background)> {
        let socket = TcpStream::connect(address).await.context("connecting")?;
        socket.set_nodelay(true)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
        let connection = Background::spawn(&self.tasks, "connection", connection);
        let response = sender.send_request(request).await.context("asking")?;
        Ok((response.map(Body::new), connection))
    }
}

fn request(kind: Kind, host: &str) -> anyhow::Result<(Request<Body>, Sender)> {
    let (method, path, body, sender) = match kind {
        Kind::Down => (
            Method::GET,
            "/down".to_owned(),
            Body::empty(),
            Sender::Nothing,
        ),
        Kind::Hold => (
            Method::GET,
            "/hold".to_owned(),
            Body::empty(),
            Sender::Nothing,
        ),
        Kind::Small => (
            Method::GET,
            "/small".to_owned(),
            Body::empty(),
            Sender::Nothing,
        ),
        Kind::Exact(total) => {
            let path = format!("/exact/{total}");
            (Method::GET, path, Body::empty(), Sender::Nothing)
        }
        Kind::Up => {
            // A response's body that is dropped does not end its request's.
            let (_until, dropped) = oneshot::channel::<()>();
            let body = Body::from_stream(agent::endless().take_until(dropped));
            (
                Method::POST,
                "/up".to_owned(),
                body,
                Sender::Busy { _until },
            )
        }
        Kind::Echo => {
            let (sender, receiver) = mpsc::channel(1);
            let frames = ReceiverStream::new(receiver)
                .map(|bytes| Ok::<_, std::convert::Infallible>(Frame::data(bytes)));
            let body = Body::new(StreamBody::new(frames));
            (Method::POST, "/echo".to_owned(), body, Sender::Body(sender))
        }
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, host);
    Ok((request.body(body).context("making a request")?, sender))
}

impl Stream {
    fn of_response(
        response: Response<Body>,
        sender: Sender,
        connection: Option<Background>,
    ) -> anyhow::Result<Self> {
        let status = response.status();
        ensure!(status.is_success(), "answered {status}");
        let receiver = Receiver::Body {
            body: response.into_body(),
            last: Bytes::new(),
            _connection: connection,
        };
        Ok(Self { sender, receiver })
    }
}

impl Sender {
    pub(crate) async fn send(&mut self, bytes: Bytes) -> anyhow::Result<()> {
        match self {
            Self::Tcp(socket) => socket.write_all(&bytes).await.context("sending"),
            Self::Body(sender) => sender.send(bytes).await.context("the stream ended"),
            Self::Busy { .. } | Self::Nothing => bail!("nothing can be sent on this stream"),
        }
    }
}

impl Receiver {
    /// What came next; nothing at the end.
    pub(crate) async fn receive(&mut self) -> anyhow::Result<&[u8]> {
        match self {
            Self::Tcp { socket, buffer } => {
                let read = socket.read(buffer).await.context("receiving")?;
                Ok(&buffer[..read])
            }
            Self::Body { body, last, .. } => loop {
                let Some(frame) = body.frame().await else {
                    return Ok(&[]);
                };
                if let Ok(bytes) = frame.context("receiving")?.into_data()
                    && !bytes.is_empty()
                {
                    *last = bytes;
                    return Ok(last);
                }
            },
        }
    }
}
