//! Where a request comes from.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr},
};

use axum::extract::FromRequestParts;
use http::request::Parts;

use crate::{App, serve::Peer};

/// The client's address: the socket's, or what a trusted reverse proxy says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

impl FromRequestParts<App> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        // Without a socket, the router is called within the process.
        let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let peer = parts
            .extensions
            .get::<Peer>()
            .map_or(unknown, |peer| peer.0.ip());
        let trusted = |address: IpAddr| {
            app.options()
                .trusted_proxies
                .iter()
                .any(|net| net.contains(&address))
        };
        let forwarded = parts.headers.get_all("x-forwarded-for");
        let hops = forwarded
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect::<Vec<_>>();
        Ok(Self(behind(peer, &hops.join(","), trusted)))
    }
}

/// The last hop that is no trusted proxy. What is in front of it is hearsay.
fn behind(peer: IpAddr, hops: &str, trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let mut address = peer.to_canonical();
    for hop in hops.rsplit(',') {
        if !trusted(address) {
            break;
        }
        let Ok(hop) = hop.trim().parse::<IpAddr>() else {
            break;
        };
        address = hop.to_canonical();
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trusted_proxy_is_believed_and_only_about_its_own_peer() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let trusted = |address: IpAddr| address.to_string().starts_with("10.");
        let check = |peer: &str, hops: &str, expected: &str| {
            assert_eq!(
                behind(ip(peer), hops, trusted),
                ip(expected),
                "{peer} {hops}"
            );
        };
        check("192.0.2.1", "198.51.100.1", "192.0.2.1");
        check("10.0.0.1", "198.51.100.1", "198.51.100.1");
        check(
            "10.0.0.1",
            "6.6.6.6, 198.51.100.1, 10.0.0.2",
            "198.51.100.1",
        );
        check("10.0.0.1", "", "10.0.0.1");
        check("10.0.0.1", "nonsense", "10.0.0.1");
    }
}
