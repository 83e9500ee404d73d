//! Plain TCP over a tunnel: what an agent connects to on the control plane's behalf, and
//! a listener on the control plane whose connections come out at the agent.

use std::{fmt, io, sync::Arc, time::Duration};

use axum::{body::Body, response::IntoResponse as _};
use helix_base::{TaskGroup, outbound::tune_socket};
use http::{Request, Response, StatusCode, uri::Authority};
use hyper::body::Incoming;
use tokio::{
    io::{AsyncRead, AsyncWrite, copy_bidirectional_with_sizes},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::{Lane, Tunnel, readers::Readers};

/// How long a target may take to accept.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// One buffer per direction.
const BUFFER: usize = 64 << 10;

/// What an agent connects to when the control plane asks it to
/// ([`Tunnel::connect`]). The default is nothing.
#[derive(Clone)]
pub struct Forward {
    allows: Arc<dyn Fn(&Authority) -> bool + Send + Sync>,
}

impl fmt::Debug for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forward").finish_non_exhaustive()
    }
}

impl Default for Forward {
    fn default() -> Self {
        Self::where_allowed(|_| false)
    }
}

impl Forward {
    /// To exactly these targets, each `host:port`.
    pub fn to<T: Into<String>>(targets: impl IntoIterator<Item = T>) -> Self {
        let targets: Vec<String> = targets.into_iter().map(Into::into).collect();
        Self::where_allowed(move |target| targets.iter().any(|it| it == target.as_str()))
    }

    /// To where the predicate says yes. It sees what was asked for, a name perhaps; the
    /// name is resolved after it.
    pub fn where_allowed(allows: impl Fn(&Authority) -> bool + Send + Sync + 'static) -> Self {
        Self {
            allows: Arc::new(allows),
        }
    }

    /// Answers one CONNECT.
    pub(crate) async fn answer(
        &self,
        request: Request<Incoming>,
        readers: Arc<Readers>,
        group: &TaskGroup,
    ) -> Response<Body> {
        let refused = |status: StatusCode, why: String| (status, why).into_response();
        let Some(target) = request.uri().authority().cloned() else {
            return refused(StatusCode::BAD_REQUEST, "there is no target".to_owned());
        };
        if target.port_u16().is_none() || !(self.allows)(&target) {
            let why = format!("this agent does not forward to {target}");
            return refused(StatusCode::FORBIDDEN, why);
        }
        let mut near = match timeout(CONNECT_WITHIN, TcpStream::connect(target.as_str())).await {
            Ok(Ok(near)) => near,
            Ok(Err(error)) => {
                let why = format!("cannot connect to {target}: {error}");
                return refused(StatusCode::BAD_GATEWAY, why);
            }
            Err(_) => {
                let within = CONNECT_WITHIN.as_secs();
                let why = format!("{target} did not accept within {within} s");
                return refused(StatusCode::GATEWAY_TIMEOUT, why);
            }
        };
        group.spawn("tunnel forward", async move {
            let Ok(upgraded) = hyper::upgrade::on(request).await else {
                return;
            };
            let mut far = readers.watch_pipe(upgraded, None);
            carry(&mut near, &mut far).await;
        });
        Response::new(Body::empty())
    }
}

/// Copies both ways until both are done or one breaks: either is told by its own end.
async fn carry(near: &mut TcpStream, far: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    if let Err(error) = tune_socket(near) {
        tracing::debug!(%error, "a socket could not be set up");
    }
    if let Err(error) = copy_bidirectional_with_sizes(near, far, BUFFER, BUFFER).await {
        tracing::debug!(%error, "a forwarded connection broke");
    }
}

/// Accepts on `listener`, and carries each connection to `target` (`host:port`) as the
/// agent sees it. Ends with the tunnel or the group.
///
/// # Errors
///
/// The listener cannot accept.
pub async fn forward(
    listener: TcpListener,
    tunnel: Tunnel,
    lane: Lane,
    target: String,
    group: &TaskGroup,
) -> io::Result<()> {
    loop {
        let (mut near, _) = tokio::select! {
            accepted = listener.accept() => accepted?,
            _ = tunnel.closed() => return Ok(()),
            () = group.draining() => return Ok(()),
        };
        let (tunnel, target) = (tunnel.clone(), target.clone());
        group.spawn("tunnel forward", async move {
            match tunnel.connect(lane, &target).await {
                Ok(mut far) => carry(&mut near, &mut far).await,
                Err(error) => tracing::warn!(%error, target, "a connection was not forwarded"),
            }
        });
    }
}
