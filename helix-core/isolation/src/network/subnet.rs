//! Which network the sandboxes' addresses come from: pure.

use ipnet::Ipv4Net;

use crate::{Error, ErrorKind};

/// The networks that are tried in turn, each a /16: `10.213.0.0` to `10.244.0.0`.
const CANDIDATES: std::ops::Range<u8> = 213..245;

/// The one that was asked for, if the host does not use it; else the first that it does not
/// use. `used` is what the host has routes and addresses for, its own sandboxes' aside.
pub(super) fn choose(asked: Option<Ipv4Net>, used: &[Ipv4Net]) -> Result<Ipv4Net, Error> {
    let clash = |subnet: &Ipv4Net| used.iter().find(|one| overlap(one, subnet)).copied();
    if let Some(subnet) = asked {
        let subnet = subnet.trunc();
        if !(8..=29).contains(&subnet.prefix_len()) {
            let message = format!("the sandboxes' network {subnet} must be between a /8 and a /29");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        return match clash(&subnet) {
            None => Ok(subnet),
            Some(other) => Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "the sandboxes' network {subnet} overlaps {other}, which this host uses; \
                     give another, or none to have one chosen"
                ),
            )),
        };
    }
    CANDIDATES
        .filter_map(|second| Ipv4Net::new([10, second, 0, 0].into(), 16).ok())
        .find(|subnet| clash(subnet).is_none())
        .ok_or_else(|| {
            let message = "this host uses every network that was tried for sandboxes, \
                           10.213.0.0/16 to 10.244.0.0/16; give one that it does not use";
            Error::new(ErrorKind::Conflict, message)
        })
}

/// The /16 that an address of an earlier process's sandbox came from.
pub(super) fn of_existing(address: Ipv4Net) -> Option<Ipv4Net> {
    Ipv4Net::new(address.addr(), 16).ok().map(|net| net.trunc())
}

fn overlap(one: &Ipv4Net, other: &Ipv4Net) -> bool {
    one.contains(other) || other.contains(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(texts: &[&str]) -> Vec<Ipv4Net> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_network_that_the_host_uses_is_passed_over() {
        let free = choose(None, &nets(&["192.0.2.0/24"])).unwrap();
        assert_eq!(free.to_string(), "10.213.0.0/16");
        let used = nets(&["10.213.4.0/30", "10.214.0.0/15"]);
        assert_eq!(choose(None, &used).unwrap().to_string(), "10.216.0.0/16");
        assert!(choose(None, &nets(&["10.0.0.0/8"])).is_err());
    }

    #[test]
    fn a_network_that_was_asked_for_is_taken_or_refused() {
        let asked = |text: &str| Some(text.parse().unwrap());
        assert!(choose(asked("172.20.0.0/16"), &nets(&["10.0.0.0/8"])).is_ok());
        let error = choose(asked("10.9.0.0/16"), &nets(&["10.0.0.0/8"])).unwrap_err();
        assert!(error.to_string().contains("10.0.0.0/8"), "{error}");
        assert!(choose(asked("10.9.0.0/30"), &[]).is_err());
    }
}
