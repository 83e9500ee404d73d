//! A sandbox's place in the network.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::inside;

/// The prefix length of a slot: the host's address, the sandbox's, and the two that name
/// the network and its broadcast.
const PREFIX_LEN: u8 = 30;

/// A sandbox's place in the network: a number, and what follows from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// Which.
    pub index: u32,
    /// The host's address on the sandbox's interface: its gateway and resolver.
    pub gateway: Ipv4Addr,
    /// The sandbox's address.
    pub address: Ipv4Addr,
    /// The length of the prefix of the two.
    pub prefix_len: u8,
    /// The interface on the host.
    pub interface: String,
}

impl Slot {
    /// The slot with a number, if the subnet has it.
    pub(super) fn new(index: u32, subnet: Ipv4Net, prefix: &str) -> Option<Self> {
        if index >= Self::count(subnet) {
            return None;
        }
        let base = u32::from(subnet.network()) + index * 4;
        Some(Self {
            index,
            gateway: Ipv4Addr::from(base + 1),
            address: Ipv4Addr::from(base + 2),
            prefix_len: PREFIX_LEN,
            interface: format!("{prefix}{index}"),
        })
    }

    /// How many slots a subnet has.
    pub(super) const fn count(subnet: Ipv4Net) -> u32 {
        match PREFIX_LEN.checked_sub(subnet.prefix_len()) {
            Some(bits) if bits < 32 => 1 << bits,
            _ => 0,
        }
    }

    /// What the sandbox's side is configured with.
    pub const fn inside(&self) -> inside::Config {
        inside::Config {
            address: self.address,
            prefix_len: self.prefix_len,
            gateway: self.gateway,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_do_not_overlap_and_stay_within_the_subnet() {
        let subnet: Ipv4Net = "10.213.0.0/16".parse().unwrap();
        assert_eq!(Slot::count(subnet), 16_384);
        let first = Slot::new(0, subnet, "hxab12cd").unwrap();
        let second = Slot::new(1, subnet, "hxab12cd").unwrap();
        let last = Slot::new(16_383, subnet, "hxab12cd").unwrap();
        assert_eq!(first.gateway, Ipv4Addr::new(10, 213, 0, 1));
        assert_eq!(first.address, Ipv4Addr::new(10, 213, 0, 2));
        assert_eq!(second.gateway, Ipv4Addr::new(10, 213, 0, 5));
        assert_eq!(last.address, Ipv4Addr::new(10, 213, 255, 254));
        assert!(last.interface.len() <= 15, "{}", last.interface);
        assert_eq!(Slot::new(16_384, subnet, "hxab12cd"), None);
    }

    #[test]
    fn a_subnet_that_is_too_small_has_no_slots() {
        for (subnet, count) in [("10.0.0.0/30", 1), ("10.0.0.0/31", 0), ("10.0.0.0/29", 2)] {
            assert_eq!(Slot::count(subnet.parse().unwrap()), count, "{subnet}");
        }
    }
}
