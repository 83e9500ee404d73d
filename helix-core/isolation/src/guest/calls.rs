//! Programs of the sandbox that call its host.
//!
//! A program connects to a Unix socket in the sandbox, and waits there. Whoever holds the sandbox
//! asks for a call (`GET /calls`, to be upgraded), and has the program's bytes from then on. So
//! nothing outside listens for a sandbox, and what nobody asks for waits in the kernel's queue.

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
    routing::get,
};
use helix_proto::{error::ErrorCode, sandbox::guest::FORWARDED};
use http::{
    HeaderValue, StatusCode,
    header::{CONNECTION, UPGRADE},
};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{
    io::copy_bidirectional,
    net::{UnixListener, UnixStream},
    time::timeout,
};

use super::{
    Guest,
    failure::{Answer, Failed},
};

/// Where programs of a sandbox reach its host.
pub const SOCKET: &str = "/run/helix/host";

/// How long one request waits for a call.
const WAIT: Duration = Duration::from_secs(20);
/// How long the upgrade may take.
const UPGRADE_WITHIN: Duration = Duration::from_secs(10);

/// Where calls come in.
#[derive(Debug, Clone)]
pub(super) struct Calls(Arc<UnixListener>);

impl Calls {
    /// Listens at a path, which any user of the sandbox may connect to.
    ///
    /// # Errors
    ///
    /// It cannot be bound.
    pub(super) fn listen(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            // What an earlier start left, or nothing.
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
        Ok(Self(Arc::new(listener)))
    }
}

pub(super) fn routes() -> Router<Guest> {
    Router::new().route("/calls", get(take))
}

/// Hands the next call to whoever asks; without one in time, says so by 204.
async fn take(State(guest): State<Guest>, mut request: Request) -> Answer<Response> {
    let calls = guest
        .calls()
        .ok_or_else(|| Failed::not_found("programs of this sandbox cannot call its host"))?;
    let asked = request.headers().get(UPGRADE) == Some(&HeaderValue::from_static(FORWARDED));
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let Some(near) = upgrade.filter(|_| asked) else {
        return Err(Failed::new(
            ErrorCode::BadRequest,
            format!("a call is taken by an upgrade to {FORWARDED}"),
        ));
    };
    // The request ends with its connection: no call is taken for somebody who left.
    let call = match timeout(WAIT, calls.0.accept()).await {
        Ok(Ok((call, _))) => call,
        Ok(Err(error)) => {
            return Err(Failed::new(
                ErrorCode::Internal,
                format!("no call can be taken: {error}"),
            ));
        }
        Err(_) => return Ok(StatusCode::NO_CONTENT.into_response()),
    };
    guest.tasks().spawn("call", connect(near, call));
    let switch = [
        (CONNECTION, HeaderValue::from_static("upgrade")),
        (UPGRADE, HeaderValue::from_static(FORWARDED)),
    ];
    Ok((StatusCode::SWITCHING_PROTOCOLS, switch, Body::empty()).into_response())
}

/// Carries bytes both ways until either side ends.
async fn connect(near: OnUpgrade, mut call: UnixStream) {
    if let Ok(Ok(near)) = timeout(UPGRADE_WITHIN, near).await {
        // However it ends, it has ended.
        let _ = copy_bidirectional(&mut TokioIo::new(near), &mut call).await;
    }
}
