//! Networks and ports that may overlap, as windows that do not: the kernel's sets of
//! intervals refuse overlaps.

use std::net::Ipv4Addr;

use helix_proto::sandbox::EgressProtocol;
use ipnet::Ipv4Net;

use super::Ports;

/// Addresses and ports of one protocol that may be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First and last address.
    pub addresses: (Ipv4Addr, Ipv4Addr),
    /// The protocol.
    pub protocol: EgressProtocol,
    /// First and last port.
    pub ports: (u16, u16),
}

impl Window {
    /// Whether this is within it.
    pub fn contains(&self, address: Ipv4Addr, protocol: EgressProtocol, port: u16) -> bool {
        (self.addresses.0..=self.addresses.1).contains(&address)
            && self.protocol == protocol
            && (self.ports.0..=self.ports.1).contains(&port)
    }
}

/// Cuts the addresses where a network begins or ends, and joins the ports of each piece.
pub(super) fn disjoint(networks: &[(Ipv4Net, Ports)]) -> Vec<Window> {
    let mut cuts: Vec<u64> = networks
        .iter()
        .flat_map(|(network, _)| [first(network), last(network) + 1])
        .collect();
    cuts.sort_unstable();
    cuts.dedup();
    let mut pieces: Vec<((u64, u64), Ports)> = Vec::new();
    for pair in cuts.windows(2) {
        let (from, to) = (pair[0], pair[1] - 1);
        let ports = networks
            .iter()
            .filter(|(network, _)| first(network) <= from && to <= last(network))
            .fold(Ports::default(), |all, (_, ports)| all.union(ports));
        match pieces.last_mut() {
            _ if ports.is_empty() => {}
            Some((range, same)) if range.1 + 1 == from && *same == ports => range.1 = to,
            _ => pieces.push(((from, to), ports)),
        }
    }
    pieces
        .iter()
        .flat_map(|((from, to), ports)| {
            let addresses = (address(*from), address(*to));
            ports.ranges().map(move |(protocol, ports)| Window {
                addresses,
                protocol,
                ports,
            })
        })
        .collect()
}

fn first(network: &Ipv4Net) -> u64 {
    u64::from(u32::from(network.network()))
}

fn last(network: &Ipv4Net) -> u64 {
    u64::from(u32::from(network.broadcast()))
}

/// An address from a number that came from one.
fn address(number: u64) -> Ipv4Addr {
    Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX))
}
