//! The connection to the control plane: one WebSocket, dialled again and again.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use helix_base::{
    Backoff, BackoffPolicy, ExposeSecret as _, Outbound, SecretString, TaskGroup, outbound,
};
use helix_proto::agents::{Down, MALFORMED, MAX_MESSAGE, REVOKED, SUPERSEDED, TOO_LARGE, Up};
use http::{HeaderMap, HeaderValue, StatusCode, header::AUTHORIZATION};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Bytes, Error as WsError, Message,
        protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode},
    },
};
use url::Url;

/// Where agent sync is.
const PATH: &str = "/api/v1/external-agents/sync";
/// How often a sign of life is sent.
const PING: Duration = Duration::from_secs(15);
/// Without a sign of life for so long, the connection is given up.
const SILENT: Duration = Duration::from_secs(30);
/// How long the control plane may take to say welcome: it reads every thread of this host's first,
/// and says by itself when that takes too long.
const WELCOME: Duration = Duration::from_secs(30);
/// How long one message may take to be written.
const WRITE: Duration = Duration::from_secs(30);
/// Messages that wait to be sent. With more, the connection begins anew.
const WAITING: usize = 8_192;

/// Closes: this side is shutting down; no sign of life.
const GOING_AWAY: u16 = 1001;
const NO_LIFE: u16 = 1008;

/// Waits while the control plane refuses, or does not speak this: somebody has to act.
const REFUSED: BackoffPolicy = BackoffPolicy {
    base: Duration::from_secs(30),
    cap: Duration::from_secs(300),
};

/// What comes of the connection.
#[derive(Debug)]
pub(super) enum Heard {
    /// It is there, and waits for the host's hello.
    Opened(Connection),
    /// The control plane said something on it.
    Down { connection: u64, down: Box<Down> },
    /// It is gone.
    Closed { connection: u64 },
}

/// What is to be sent.
#[derive(Debug)]
enum Sent {
    Up(Box<Up>),
    Close(u16, String),
}

/// A connection, from the side of the threads.
#[derive(Debug)]
pub(super) struct Connection {
    /// Counts connections.
    pub(super) number: u64,
    sent: mpsc::Sender<Sent>,
}

impl Connection {
    /// Sends a message. What cannot be sent, as the connection is slower than all bounds or
    /// gone, is said again on the next.
    pub(super) fn send(&self, up: Up) {
        if self.sent.try_send(Sent::Up(Box::new(up))).is_err() {
            tracing::debug!("the connection for agents is gone, or too slow");
        }
    }

    pub(super) fn close(&self, code: u16, reason: String) {
        // Where there is no room, it ends as the sender is dropped.
        let _ = self.sent.try_send(Sent::Close(code, reason));
    }
}

/// Dials, and dials again.
pub(super) struct Sync {
    url: Url,
    authorization: HeaderValue,
    outbound: Outbound,
    heard: mpsc::Sender<Heard>,
}

impl std::fmt::Debug for Sync {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sync")
            .field("url", &self.url.as_str())
            .finish_non_exhaustive()
    }
}

/// Whether to dial again.
#[derive(Debug, PartialEq, Eq)]
enum Again {
    Soon,
    /// Not before something has changed: seldom.
    Seldom,
    Never,
}

impl Sync {
    /// Of the control plane at this base URL.
    ///
    /// # Errors
    ///
    /// The URL or the credential cannot be used.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a secret is given away, not lent"
    )]
    pub(super) fn new(
        base: &Url,
        credential: SecretString,
        outbound: Outbound,
        heard: mpsc::Sender<Heard>,
    ) -> Result<Self, outbound::Error> {
        let mut url = base.clone();
        url.set_query(None);
        url.set_fragment(None);
        url.set_path(&format!("{}{PATH}", base.path().trim_end_matches('/')));
        let bearer = format!("Bearer {}", credential.expose_secret());
        let mut authorization =
            HeaderValue::from_str(&bearer).map_err(|_| outbound::Error::Url {
                reason: "the credential holds characters that no header can".to_owned(),
            })?;
        authorization.set_sensitive(true);
        Ok(Self {
            url,
            authorization,
            outbound,
            heard,
        })
    }

    /// Until the group drains, or the control plane says to stay away.
    pub(super) async fn run(self, tasks: TaskGroup) {
        let mut soon = Backoff::new(BackoffPolicy::default());
        let mut seldom = Backoff::new(REFUSED);
        for number in 1.. {
            let again = match self.dial().await {
                Ok(socket) => {
                    let again = self.converse(number, socket, &mut soon, &tasks).await;
                    if soon.attempts() == 0 {
                        seldom.succeeded();
                    }
                    again
                }
                Err(error) => self.failed(&error),
            };
            let delay = match again {
                _ if tasks.is_draining() => return,
                Again::Soon => soon.next_delay(&mut rand::rng()),
                Again::Seldom => seldom.next_delay(&mut rand::rng()),
                Again::Never => return,
            };
            tokio::select! {
                () = tasks.draining() => return,
                () = tokio::time::sleep(delay) => {}
            }
        }
    }

    async fn dial(&self) -> Result<WebSocketStream<outbound::BoxedIo>, outbound::Error> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, self.authorization.clone());
        let config = WebSocketConfig::default()
            .write_buffer_size(0)
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        self.outbound
            .websocket_with(&self.url, headers, config)
            .await
    }

    fn failed(&self, error: &outbound::Error) -> Again {
        let refused = error.refused_with();
        match refused {
            // The tunnel says the same, and to whoever must act.
            Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => Again::Seldom,
            Some(StatusCode::NOT_FOUND) => {
                tracing::info!("this control plane has no agents");
                Again::Seldom
            }
            _ => {
                tracing::debug!(%error, "the control plane cannot be reached for agents");
                Again::Soon
            }
        }
    }

    /// One connection, from its hello to its end.
    async fn converse(
        &self,
        number: u64,
        mut socket: WebSocketStream<outbound::BoxedIo>,
        soon: &mut Backoff,
        tasks: &TaskGroup,
    ) -> Again {
        let (sent, sending) = mpsc::channel(WAITING);
        let connection = Connection { number, sent };
        if self.heard.send(Heard::Opened(connection)).await.is_err() {
            return Again::Never;
        }
        let mut talk = Talk {
            number,
            socket: &mut socket,
            sending,
            heard: &self.heard,
            welcomed: false,
        };
        let ended = talk.run(tasks).await;
        if talk.welcomed {
            soon.succeeded();
        }
        let again = match ended {
            Ended::Ours(code, reason) => {
                if code != GOING_AWAY {
                    tracing::warn!(code, reason, "the connection for agents was closed");
                }
                let frame = CloseFrame {
                    code: CloseCode::from(code),
                    reason: short(&reason).into(),
                };
                // It may be gone already.
                let _ = timeout(PING, socket.close(Some(frame))).await;
                after(code)
            }
            Ended::Theirs(code, reason) => {
                tracing::info!(
                    code,
                    reason,
                    "the control plane closed the connection for agents"
                );
                after(code)
            }
            Ended::Broke(why) => {
                tracing::debug!(why, "the connection for agents broke");
                Again::Soon
            }
        };
        let closed = Heard::Closed { connection: number };
        // Nobody listens where the host ends.
        let _ = self.heard.send(closed).await;
        again
    }
}

fn after(code: u16) -> Again {
    match code {
        SUPERSEDED | REVOKED => {
            tracing::error!(
                code,
                "the control plane wants no agents of this host any more"
            );
            Again::Never
        }
        MALFORMED | TOO_LARGE => Again::Seldom,
        _ => Again::Soon,
    }
}

/// A close frame has room for so much.
fn short(reason: &str) -> String {
    reason[..reason.floor_char_boundary(120)].to_owned()
}

#[derive(Debug)]
enum Ended {
    Ours(u16, String),
    Theirs(u16, String),
    Broke(String),
}

struct Talk<'a> {
    number: u64,
    socket: &'a mut WebSocketStream<outbound::BoxedIo>,
    sending: mpsc::Receiver<Sent>,
    heard: &'a mpsc::Sender<Heard>,
    welcomed: bool,
}

impl Talk<'_> {
    async fn run(&mut self, tasks: &TaskGroup) -> Ended {
        let mut ping = interval(PING);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut lived = Instant::now();
        let began = lived;
        loop {
            let step = tokio::select! {
                biased;
                () = tasks.draining() => Err(Ended::Ours(GOING_AWAY, "the host stops".to_owned())),
                message = self.socket.next() => {
                    lived = Instant::now();
                    self.received(message).await
                }
                sent = self.sending.recv() => match sent {
                    Some(Sent::Up(up)) => self.send(&up).await,
                    Some(Sent::Close(code, reason)) => Err(Ended::Ours(code, reason)),
                    None => Err(Ended::Ours(GOING_AWAY, "replaced".to_owned())),
                },
                _ = ping.tick() => self.write(Message::Ping(Bytes::new())).await,
            };
            if let Err(ended) = step {
                return ended;
            }
            if lived.elapsed() > SILENT {
                return Ended::Ours(NO_LIFE, "no sign of life".to_owned());
            }
            if !self.welcomed && began.elapsed() > WELCOME {
                return Ended::Ours(NO_LIFE, "no welcome".to_owned());
            }
        }
    }

    async fn received(&mut self, message: Option<Result<Message, WsError>>) -> Result<(), Ended> {
        let text = match message {
            None => return Err(Ended::Broke("it ended".to_owned())),
            Some(Err(WsError::Capacity(error))) => {
                return Err(Ended::Ours(TOO_LARGE, error.to_string()));
            }
            Some(Err(error)) => return Err(Ended::Broke(error.to_string())),
            Some(Ok(Message::Close(frame))) => {
                return Err(match frame {
                    Some(frame) => Ended::Theirs(frame.code.into(), frame.reason.to_string()),
                    None => Ended::Broke("it was closed without a reason".to_owned()),
                });
            }
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Binary(_))) => {
                return Err(Ended::Ours(MALFORMED, "not a text message".to_owned()));
            }
            Some(Ok(_)) => return Ok(()),
        };
        let down = Down::decode(text.as_str())
            .map_err(|error| Ended::Ours(error.close_code(), error.to_string()))?;
        let welcome = matches!(down, Down::Welcome { .. });
        if welcome == self.welcomed {
            let why = if welcome {
                "a second welcome"
            } else {
                "no welcome at first"
            };
            return Err(Ended::Ours(MALFORMED, why.to_owned()));
        }
        self.welcomed = true;
        let (connection, down) = (self.number, Box::new(down));
        let heard = self.heard.send(Heard::Down { connection, down }).await;
        heard.map_err(|_| Ended::Ours(GOING_AWAY, "the host stops".to_owned()))
    }

    async fn send(&mut self, up: &Up) -> Result<(), Ended> {
        match up.encode() {
            Ok(text) => self.write(Message::text(text)).await,
            // The machines keep to the bounds: this is a fault of ours, and said as such.
            Err(error) => Err(Ended::Ours(error.close_code(), error.to_string())),
        }
    }

    async fn write(&mut self, message: Message) -> Result<(), Ended> {
        match timeout(WRITE, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Ended::Broke(error.to_string())),
            Err(_) => Err(Ended::Ours(NO_LIFE, "nothing is read".to_owned())),
        }
    }
}
