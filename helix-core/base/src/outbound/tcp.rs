//! A TCP connection to a host that may have several addresses, some of them dead.

use std::{
    future,
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use http::Uri;
use tokio::net::TcpStream;

use super::{Error, Resolve, dial::authority};

/// How long an address may take before the next one is tried beside it: the "connection
/// attempt delay" that RFC 8305, section 5, recommends.
const HEAD_START: Duration = Duration::from_millis(250);

/// Most addresses of a name that are tried.
const MAX_ADDRESSES: usize = 16;

/// Most bytes that the kernel holds unsent: what is written later, such as a small
/// request beside an upload, does not wait behind megabytes in the socket.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT_LIMIT: u32 = 128 << 10;

/// Sets what every socket of Helix wants, dialled or accepted: no Nagle delay, and
/// little unsent data in the kernel where the platform can say so.
///
/// # Errors
///
/// What the operating system says; the socket is usable all the same.
pub fn tune_socket(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket2::SockRef::from(socket).set_tcp_notsent_lowat(UNSENT_LIMIT)?;
    Ok(())
}

/// A connection to the first address of the URL's host that answers.
pub(super) async fn connect(resolver: &dyn Resolve, uri: &Uri) -> Result<TcpStream, Error> {
    let addresses = addresses(resolver, uri).await?;
    let socket = race(addresses).await.map_err(|source| Error::Connect {
        host: authority(uri),
        source: Box::new(source),
    })?;
    if let Err(error) = tune_socket(&socket) {
        tracing::debug!(%error, "socket options were not taken");
    }
    Ok(socket)
}

async fn addresses(resolver: &dyn Resolve, uri: &Uri) -> Result<Vec<SocketAddr>, Error> {
    let host = uri.host().unwrap_or_default();
    let tls = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let found = resolver.resolve(host).await.and_then(|found| {
        let none = || io::Error::new(ErrorKind::NotFound, "it has no address");
        (!found.is_empty()).then_some(found).ok_or_else(none)
    });
    let found = found.map_err(|source| Error::Resolve {
        host: host.to_owned(),
        source,
    })?;
    let order = alternating(found).into_iter().take(MAX_ADDRESSES);
    Ok(order.map(|ip| SocketAddr::new(ip, port)).collect())
}

/// In turns of each address family, the first one's first (RFC 8305, section 4): where one
/// family does not work, every second attempt does.
fn alternating(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let first = addresses.first().is_some_and(IpAddr::is_ipv6);
    let (ours, others): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == first);
    let (mut ours, mut others) = (ours.into_iter(), others.into_iter());
    let mut order = Vec::with_capacity(ours.len() + others.len());
    while ours.len() + others.len() > 0 {
        order.extend(ours.next());
        order.extend(others.next());
    }
    order
}

/// Tries the addresses in order, each with a head start before the next, which begins at
/// once when there is nothing left to wait for. The first to answer wins; the others are
/// given up.
async fn race(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut waiting = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut failed: Vec<(SocketAddr, io::Error)> = Vec::new();
    loop {
        if let Some(address) = waiting.next() {
            attempts.push(async move { (address, TcpStream::connect(address).await) });
        }
        let head_start = async {
            match waiting.len() {
                0 => future::pending().await,
                _ => tokio::time::sleep(HEAD_START).await,
            }
        };
        tokio::select! {
            biased;
            ended = attempts.next() => match ended {
                Some((_, Ok(socket))) => return Ok(socket),
                Some((address, Err(error))) => failed.push((address, error)),
                None => return Err(all_failed(failed)),
            },
            () = head_start => {}
        }
    }
}

/// The one error of a single address; of several, each with its address.
fn all_failed(mut failed: Vec<(SocketAddr, io::Error)>) -> io::Error {
    if failed.len() == 1
        && let Some((_, error)) = failed.pop()
    {
        return error;
    }
    let kind = failed
        .last()
        .map_or(ErrorKind::NotFound, |(_, error)| error.kind());
    let each = failed
        .iter()
        .map(|(address, error)| format!("{address}: {error}"));
    io::Error::new(kind, each.collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns_and_the_first_address_stays_first() {
        let parse = |text: &str| -> Vec<IpAddr> {
            text.split_whitespace()
                .map(|ip| ip.parse().unwrap())
                .collect()
        };
        let order = alternating(parse("::1 ::2 ::3 10.0.0.1"));
        assert_eq!(order, parse("::1 10.0.0.1 ::2 ::3"));
        let order = alternating(parse("10.0.0.1 ::1 10.0.0.2"));
        assert_eq!(order, parse("10.0.0.1 ::1 10.0.0.2"));
        assert!(alternating(Vec::new()).is_empty());
    }
}
