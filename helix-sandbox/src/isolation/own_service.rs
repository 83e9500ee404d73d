//! The control plane, where it is on this machine.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket},
    time::Duration,
};

use url::{Host, Url};

/// How long the control plane's name may take to resolve.
const PATIENCE: Duration = Duration::from_secs(5);

/// The addresses of a control plane that are this machine's own, loopback aside: that is
/// another one in each sandbox.
pub(super) async fn of(server: &Url) -> Vec<SocketAddrV4> {
    let (Some(host), Some(port)) = (server.host(), server.port_or_known_default()) else {
        return Vec::new();
    };
    let addresses: Vec<SocketAddr> = match host {
        Host::Ipv4(address) => vec![(address, port).into()],
        Host::Ipv6(_) => Vec::new(),
        Host::Domain(name) => resolved(name, port).await,
    };
    addresses
        .into_iter()
        .filter_map(|address| match address.ip() {
            IpAddr::V4(ip) if is_own(ip) => Some(SocketAddrV4::new(ip, address.port())),
            _ => None,
        })
        .collect()
}

async fn resolved(name: &str, port: u16) -> Vec<SocketAddr> {
    match tokio::time::timeout(PATIENCE, tokio::net::lookup_host((name, port))).await {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => unknown(name, &error.to_string()),
        Err(_) => unknown(name, "the resolver does not answer"),
    }
}

fn unknown(name: &str, error: &str) -> Vec<SocketAddr> {
    tracing::warn!(
        name,
        error,
        "the control plane's name cannot be resolved: if it is on this machine, sandboxes do \
         not reach it before the next start"
    );
    Vec::new()
}

/// Only an address of this machine can be listened on.
fn is_own(address: Ipv4Addr) -> bool {
    !address.is_loopback()
        && !address.is_unspecified()
        && !address.is_multicast()
        && !address.is_broadcast()
        && UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn of_text(server: &str) -> Vec<SocketAddrV4> {
        of(&server.parse().unwrap()).await
    }

    #[tokio::test]
    async fn a_control_plane_elsewhere_or_on_loopback_is_no_service_of_this_machine() {
        // Of a network for documentation, which nobody has.
        assert!(of_text("https://192.0.2.1").await.is_empty());
        assert!(of_text("http://127.0.0.1:8080").await.is_empty());
        assert!(of_text("http://localhost:8080").await.is_empty());
        assert!(of_text("http://0.0.0.0:8080").await.is_empty());
        assert!(of_text("http://[::1]:8080").await.is_empty());
    }

    #[tokio::test]
    async fn a_control_plane_on_an_address_of_this_machine_is_a_service() {
        // Where packets to another machine would leave from; nothing is sent.
        let probe = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let has_network = probe.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).is_ok();
        let own = match probe.local_addr().unwrap() {
            SocketAddr::V4(own) if has_network => *own.ip(),
            // A machine with loopback alone has no such address, so nothing to open.
            _ => return assert!(of_text("http://127.0.0.1").await.is_empty()),
        };
        let expected = |port| vec![SocketAddrV4::new(own, port)];
        assert_eq!(of_text(&format!("http://{own}:8080")).await, expected(8080));
        assert_eq!(of_text(&format!("https://{own}")).await, expected(443));
    }
}
