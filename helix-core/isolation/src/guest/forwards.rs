//! Connections that programs inside make, and the host takes: remote port forwarding, as SSH has
//! it.
//!
//! The guest listens on the sandbox's loopback, and gives each connection to whoever holds the
//! sandbox and asks for the next. While nobody does, as when the host's daemon is replaced,
//! connections wait a while: what is inside need not notice.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, Request, State},
    response::{IntoResponse as _, Response},
    routing::{get, put},
};
use helix_base::TaskGroup;
use helix_proto::{
    error::ErrorCode,
    sandbox::guest::{FORWARDED, Forward},
};
use http::{
    HeaderValue, StatusCode,
    header::{CONNECTION, UPGRADE},
};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, watch},
    time::{Instant, sleep_until, timeout},
};

use super::{
    Guest,
    failure::{Answer, Failed},
};

/// How many there are.
const MOST: usize = 8;
/// The longest name.
const LONGEST_NAME: usize = 32;
/// How long somebody waits for the next connection before asking again.
const ASK_AGAIN: Duration = Duration::from_secs(20);
/// How long after somebody last asked a connection waits for the next who does.
const UNTAKEN: Duration = Duration::from_secs(60);
/// How long the change to bytes may take.
const UPGRADE_WITHIN: Duration = Duration::from_secs(10);

/// The forwards of a sandbox, by their names.
#[derive(Debug, Default)]
pub(crate) struct Forwards(Mutex<BTreeMap<String, Listening>>);

#[derive(Debug, Clone)]
struct Listening {
    port: u16,
    listener: Arc<TcpListener>,
    /// When somebody last asked for a connection.
    asked: watch::Sender<Instant>,
}

pub(crate) fn routes() -> Router<Guest> {
    Router::new()
        .route("/forwards/{name}", put(listen))
        .route("/forwards/{name}/next", get(next))
}

impl Forwards {
    /// The forward of that name, which listens from now on.
    fn listen(&self, name: &str, tasks: &TaskGroup) -> Answer<Listening> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(fits) {
            return Err(Failed::invalid(
                "name",
                format!("1 to {LONGEST_NAME} of a to z, 0 to 9 and -"),
            ));
        }
        let mut forwards = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(listening) = forwards.get(name) {
            return Ok(listening.clone());
        }
        if forwards.len() >= MOST {
            return Err(Failed::new(
                ErrorCode::TooManyRequests,
                format!("a sandbox has at most {MOST} forwards"),
            ));
        }
        let (listener, port) =
            bind().map_err(|error| Failed::io("listening on the sandbox's loopback", &error))?;
        let listening = Listening {
            port,
            listener: Arc::new(listener),
            asked: watch::Sender::new(Instant::now()),
        };
        tasks.spawn("forward", refuse_untaken(listening.clone()));
        forwards.insert(name.to_owned(), listening.clone());
        Ok(listening)
    }

    /// Whether a port is one of a forward.
    pub(super) fn is_one(&self, port: u16) -> bool {
        let forwards = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        forwards.values().any(|listening| listening.port == port)
    }

    fn find(&self, name: &str) -> Option<Listening> {
        let forwards = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        forwards.get(name).cloned()
    }
}

fn bind() -> std::io::Result<(TcpListener, u16)> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    Ok((TcpListener::from_std(listener)?, port))
}

/// Ends connections that nobody has taken for long: whoever made them need not wait for ever.
async fn refuse_untaken(
    Listening {
        listener, asked, ..
    }: Listening,
) {
    let mut asked = asked.subscribe();
    loop {
        let until = *asked.borrow_and_update() + UNTAKEN;
        sleep_until(until).await;
        tokio::select! {
            biased;
            changed = asked.changed() => if changed.is_err() {
                return;
            },
            _ = listener.accept() => {}
        }
    }
}

async fn listen(State(guest): State<Guest>, Path(name): Path<String>) -> Answer<Json<Forward>> {
    let forwards = &guest.inner.forwards;
    let Listening { port, .. } = forwards.listen(&name, &guest.inner.tasks)?;
    Ok(Json(Forward { port }))
}

async fn next(
    State(guest): State<Guest>,
    Path(name): Path<String>,
    mut request: Request,
) -> Answer<Response> {
    let found = guest.inner.forwards.find(&name);
    let found = found.ok_or_else(|| Failed::not_found(format!("there is no forward {name:?}")))?;
    let wants = request.headers().get(UPGRADE);
    let asks = wants.is_some_and(|wants| wants == FORWARDED);
    let near = request.extensions_mut().remove::<OnUpgrade>();
    let Some(near) = near.filter(|_| asks) else {
        return Err(Failed::new(
            ErrorCode::BadRequest,
            format!("a connection is taken by an upgrade to {FORWARDED}"),
        ));
    };
    let way = guest.enter_ways()?;
    found.asked.send_replace(Instant::now());
    let taken = timeout(ASK_AGAIN, found.listener.accept()).await;
    found.asked.send_replace(Instant::now());
    let stream = match taken {
        Ok(Ok((stream, _))) => stream,
        Ok(Err(error)) => return Err(Failed::io("accepting a connection", &error)),
        Err(_) => return Ok(StatusCode::NO_CONTENT.into_response()),
    };
    guest
        .inner
        .tasks
        .spawn("forwarded", pipe(near, stream, way));
    let headers = [
        (CONNECTION, HeaderValue::from_static("upgrade")),
        (UPGRADE, HeaderValue::from_static(FORWARDED)),
    ];
    Ok((StatusCode::SWITCHING_PROTOCOLS, headers).into_response())
}

async fn pipe(near: OnUpgrade, mut stream: TcpStream, _way: OwnedSemaphorePermit) {
    // Events of a stream are small; a failure only costs time.
    let _ = stream.set_nodelay(true);
    match timeout(UPGRADE_WITHIN, near).await {
        Ok(Ok(near)) => {
            // However it ends, it has ended.
            let _ = copy_bidirectional(&mut TokioIo::new(near), &mut stream).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "a forward's taker did not change over"),
        Err(_) => tracing::debug!("a forward's taker took too long to change over"),
    }
}
