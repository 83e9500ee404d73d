//! Which network the sandboxes' addresses come from: pure.

use ipnet::Ipv4Net;

use crate::{Error, ErrorKind};

/// The networks that are tried, each a /16: `10.213.0.0`, and on for a prime number of them.
const FIRST: u8 = 213;
const CANDIDATES: u32 = 31;

/// The one that was asked for, if the host does not use it; else the first that it does not
/// use, in an order that differs between daemons. `used` is what the host has routes and addresses for, its own sandboxes' aside.
pub(super) fn choose(
    asked: Option<Ipv4Net>,
    number: u32,
    used: &[Ipv4Net],
) -> Result<Ipv4Net, Error> {
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
    let step = number % (CANDIDATES - 1) + 1;
    (0..CANDIDATES)
        .filter_map(|tried| u8::try_from(tried * step % CANDIDATES).ok())
        .filter_map(|offset| Ipv4Net::new([10, FIRST + offset, 0, 0].into(), 16).ok())
        .find(|subnet| clash(subnet).is_none())
        .ok_or_else(|| {
            let message = "this host uses every network that was tried for sandboxes, \
                           10.213.0.0/16 to 10.243.0.0/16; give one that it does not use";
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
        let free = choose(None, 30, &nets(&["192.0.2.0/24"])).unwrap();
        assert_eq!(free.to_string(), "10.213.0.0/16");
        let used = nets(&["10.213.4.0/30", "10.214.0.0/15"]);
        assert_eq!(
            choose(None, 30, &used).unwrap().to_string(),
            "10.216.0.0/16"
        );
        assert!(choose(None, 30, &nets(&["10.0.0.0/8"])).is_err());
    }

    #[test]
    fn two_daemons_that_pass_one_over_together_try_different_ones_next() {
        let used = nets(&["10.213.0.0/16"]);
        let next = |number| choose(None, number, &used).unwrap();
        assert_ne!(next(3), next(4));
        let all: Vec<Ipv4Net> = (0..31).fold(Vec::new(), |mut used, _| {
            used.push(choose(None, 7, &used).unwrap());
            used
        });
        assert!(
            choose(None, 7, &all).is_err(),
            "each was chosen once: {all:?}"
        );
    }

    #[test]
    fn a_network_that_was_asked_for_is_taken_or_refused() {
        let asked = |text: &str| Some(text.parse().unwrap());
        assert!(choose(asked("172.20.0.0/16"), 30, &nets(&["10.0.0.0/8"])).is_ok());
        let error = choose(asked("10.9.0.0/16"), 30, &nets(&["10.0.0.0/8"])).unwrap_err();
        assert!(error.to_string().contains("10.0.0.0/8"), "{error}");
        assert!(choose(asked("10.9.0.0/30"), 30, &[]).is_err());
    }
}
