//! Why dialling out failed.

use std::{io, iter::successors, time::Duration};

use http::{HeaderMap, Method, StatusCode, header::RETRY_AFTER};
use hyper_util::client::legacy;
use rustls::AlertDescription;

use super::tls;
use crate::{Retry, Retryability, tls::Error as FileError};

type Cause = Box<dyn std::error::Error + Send + Sync>;

type Source = dyn std::error::Error + 'static;

/// Why dialling out failed. Messages name hosts, never credentials or paths.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A proxy's URL cannot be used.
    #[error("`{option}` is not a usable proxy URL: {reason}")]
    ProxyUrl {
        /// Which option holds it.
        option: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The bundle of certificate authorities cannot be used.
    #[error("the CA bundle: {0}")]
    CaBundle(FileError),
    /// The client certificate or its key cannot be used.
    #[error("the client certificate: {0}")]
    ClientCertificate(FileError),
    /// A client certificate without its key, or the other way round.
    #[error("`client_certificate` and `client_key` go together: `{0}` is missing")]
    HalfAnIdentity(&'static str),
    /// The TLS library rejects its own defaults.
    #[error("cannot set up TLS")]
    TlsSetup(#[source] rustls::Error),
    /// The HTTP client cannot be built.
    #[error("cannot build the HTTP client")]
    Client(#[source] reqwest::Error),
    /// The URL cannot be dialled.
    #[error("cannot dial this URL: {reason}")]
    Url {
        /// What is wrong with it.
        reason: String,
    },
    /// A name did not resolve.
    #[error("cannot resolve `{host}`: {source}")]
    Resolve {
        /// The name, of the destination or of the proxy.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// No connection to any address of the host.
    #[error("cannot connect to {host}: {source}")]
    Connect {
        /// Host and port, of the destination or of the proxy.
        host: String,
        /// What the last attempt said.
        source: Cause,
    },
    /// The proxy did not open a way to the destination, or did not forward a request.
    #[error("proxy {proxy} answered {status} to {method} {host}{}", proxy_hint(*status))]
    ProxyRefused {
        /// Host and port of the proxy.
        proxy: String,
        /// What it was asked for: `CONNECT`, or the request's own method.
        method: Method,
        /// Host and port of the destination.
        host: String,
        /// What it answered.
        status: StatusCode,
    },
    /// The proxy did not speak HTTP, or hung up.
    #[error("proxy {proxy} failed: {source}")]
    Proxy {
        /// Host and port of the proxy.
        proxy: String,
        /// What went wrong.
        source: hyper::Error,
    },
    /// The TLS handshake failed.
    #[error("no TLS connection to {host}: {source}{}", tls_hint(source))]
    Tls {
        /// The host.
        host: String,
        /// What went wrong.
        source: io::Error,
    },
    /// The server answered the WebSocket upgrade with another status.
    #[error("{host} answered {status} to the WebSocket upgrade")]
    Refused {
        /// Host and port.
        host: String,
        /// What it answered.
        status: StatusCode,
        /// The wait that it asked for.
        retry_after: Option<Duration>,
    },
    /// The server, or something before it, does not speak WebSocket.
    #[error("no WebSocket with {host}: {source}")]
    Handshake {
        /// Host and port.
        host: String,
        /// What went wrong.
        source: Box<tokio_tungstenite::tungstenite::Error>,
    },
    /// A request got no answer.
    #[error("{}", no_answer(host, *tls, source))]
    Request {
        /// Host and port.
        host: String,
        /// Whether it was to go over TLS.
        tls: bool,
        /// What went wrong.
        source: legacy::Error,
    },
    /// No usable connection in time.
    #[error(
        "no connection to {host} within {} s; it is not there, a firewall drops what is sent to \
         it, or a proxy has to be used",
        after.as_secs_f32()
    )]
    Timeout {
        /// Host and port.
        host: String,
        /// The time that was given.
        after: Duration,
    },
}

/// Why a request of an HTTP client failed, and what to do where that is known; unlike the
/// error's own text it names no URL.
pub fn why(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it took too long".to_owned();
    }
    reason(
        error,
        error.url().is_some_and(|url| url.scheme() == "https"),
    )
}

/// An error and what is behind it, the outermost first.
fn chain(error: &Source) -> impl Iterator<Item = &Source> {
    successors(Some(error), |error| error.source())
}

/// The same for any client, and whether it was to use TLS.
fn reason(error: &Source, tls: bool) -> String {
    let connection = chain(error).find_map(|error| error.downcast_ref::<io::Error>());
    if let Some((error, cause)) = connection.and_then(|error| Some((error, tls::cause(error)?))) {
        return format!("{cause}{}", tls_hint(error));
    }
    let hung_up = chain(error)
        .find_map(|error| error.downcast_ref::<hyper::Error>())
        .is_some_and(|error| {
            error.is_canceled() || error.is_closed() || error.is_incomplete_message()
        });
    if hung_up && tls {
        return "the server hung up without an answer; if it wants a client certificate, set \
                `client_certificate` and `client_key`"
            .to_owned();
    }
    let text = chain(error).last().unwrap_or(error).to_string();
    let hint = ALERTS
        .iter()
        .find(|alert| text.contains(&rustls::Error::AlertReceived(**alert).to_string()))
        .map_or("", |alert| alert_hint(*alert));
    format!("{text}{hint}")
}

/// What dialling failed with, where that is why a request got no answer.
fn of_dialling(error: &legacy::Error) -> Option<&Error> {
    chain(error).find_map(|error| error.downcast_ref())
}

fn no_answer(host: &str, tls: bool, error: &legacy::Error) -> String {
    of_dialling(error).map_or_else(
        || format!("no answer from {host}: {}", reason(error, tls)),
        ToString::to_string,
    )
}

/// What to do about a proxy's refusal.
fn proxy_hint(status: StatusCode) -> &'static str {
    match status {
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            "; put `user:password@` before the proxy's host, or correct what is there"
        }
        StatusCode::FORBIDDEN => {
            "; have it allow this destination, or list the destination in `no_proxy` where it \
             can be reached directly"
        }
        status if status.is_server_error() => {
            "; it seems that the proxy cannot reach this destination: check its name and port"
        }
        _ => "",
    }
}

/// What to do about a failed handshake, on this side or on the other.
fn tls_hint(error: &io::Error) -> &'static str {
    use rustls::{
        CertificateError as Theirs,
        Error::{AlertReceived, InvalidCertificate, InvalidMessage},
    };
    match tls::cause(error) {
        Some(InvalidCertificate(Theirs::UnknownIssuer | Theirs::BadSignature)) => {
            "; if a private certificate authority or a proxy that inspects TLS issued it, set \
             `ca_bundle` to that authority's certificate"
        }
        Some(InvalidCertificate(Theirs::Expired | Theirs::ExpiredContext { .. })) => {
            "; the server's certificate must be renewed, unless this machine's clock is wrong"
        }
        Some(InvalidCertificate(Theirs::NotValidYet | Theirs::NotValidYetContext { .. })) => {
            "; check the clocks of this machine and of the server"
        }
        Some(InvalidCertificate(
            Theirs::NotValidForName | Theirs::NotValidForNameContext { .. },
        )) => "; use a name that is in the certificate, or have one issued for this name",
        Some(AlertReceived(alert)) => alert_hint(*alert),
        Some(InvalidMessage(_)) => "; this port does not seem to speak TLS: is it an http URL?",
        _ => "",
    }
}

/// What servers say about the certificate of a client.
const ALERTS: [AlertDescription; 5] = [
    AlertDescription::CertificateRequired,
    AlertDescription::CertificateExpired,
    AlertDescription::UnknownCA,
    AlertDescription::BadCertificate,
    AlertDescription::DecryptError,
];

/// What to do about what a server says.
fn alert_hint(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::CertificateRequired => {
            "; the server wants a client certificate: set `client_certificate` and `client_key`"
        }
        AlertDescription::CertificateExpired => {
            "; the server finds that `client_certificate` has expired: renew it"
        }
        alert if ALERTS.contains(&alert) => {
            "; the server does not accept `client_certificate`: have it issued by the authority \
             in the server's `client_ca`"
        }
        _ => "",
    }
}

impl Error {
    /// The status with which a server refused the upgrade, if that is what happened.
    pub const fn refused_with(&self) -> Option<StatusCode> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

impl Retry for Error {
    fn retryability(&self) -> Retryability {
        match self {
            Self::ProxyUrl { .. }
            | Self::CaBundle(_)
            | Self::ClientCertificate(_)
            | Self::HalfAnIdentity(_)
            | Self::TlsSetup(_)
            | Self::Client(_)
            | Self::Url { .. } => Retryability::Permanent,
            Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::Proxy { .. }
            | Self::Handshake { .. }
            | Self::Timeout { .. } => Retryability::Transient,
            Self::Tls { source, .. } => of_tls(source),
            Self::Request { source, .. } => {
                of_dialling(source).map_or(Retryability::Transient, Retry::retryability)
            }
            Self::ProxyRefused { status, .. } => of_status(*status, None),
            Self::Refused {
                status,
                retry_after,
                ..
            } => of_status(*status, *retry_after),
        }
    }
}

/// A certificate stays wrong; a connection that broke may not break again.
fn of_tls(error: &io::Error) -> Retryability {
    let is_certificate = matches!(
        tls::cause(error),
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::AlertReceived(_))
    );
    if is_certificate {
        Retryability::Permanent
    } else {
        Retryability::Transient
    }
}

fn of_status(status: StatusCode, retry_after: Option<Duration>) -> Retryability {
    let passing = [
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::CONFLICT,
        StatusCode::TOO_EARLY,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    match retry_after {
        Some(wait) => Retryability::After(wait),
        None if status.is_client_error() && !passing.contains(&status) => Retryability::Permanent,
        None => Retryability::Transient,
    }
}

/// `Retry-After` in seconds; its date form is not used between these programs.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds))
}
