//! Which network the sandboxes' addresses come from: pure.

use ipnet::Ipv4Net;

use crate::{Error, ErrorKind};

/// The networks that are tried, each a /16: `10.213.0.0`, and on for a prime number of them.
const FIRST: u8 = 213;
const CANDIDATES: u32 = 31;

/// The one that was asked for, if the host does not use it; else the first that it does not
/// use, in an order that differs between daemons and between attempts, so that two that
/// clashed go different ways. `used` is what the host has routes and addresses for, its own
/// sandboxes' aside.
pub(super) fn choose(
    asked: Option<Ipv4Net>,
    number: u32,
    attempt: u32,
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
    let (start, step) = order(number, attempt);
    (0..CANDIDATES)
        .filter_map(|tried| u8::try_from((start + tried * step) % CANDIDATES).ok())
        .filter_map(|offset| Ipv4Net::new([10, FIRST + offset, 0, 0].into(), 16).ok())
        .find(|subnet| clash(subnet).is_none())
        .ok_or_else(|| {
            let message = "this host uses every network that was tried for sandboxes, \
                           10.213.0.0/16 to 10.243.0.0/16; give one that it does not use";
            Error::new(ErrorKind::Conflict, message)
        })
}

/// Where to begin and how far to go on each time: a prime number of candidates are all met.
/// The first attempt begins with the first.
fn order(number: u32, attempt: u32) -> (u32, u32) {
    // SplitMix64 (Steele, Lea and Flood, 2014).
    let mut mixed =
        (u64::from(number) << 32 | u64::from(attempt)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let [low, high] = [mixed as u32, (mixed >> 32) as u32];
    let start = if attempt == 0 { 0 } else { low % CANDIDATES };
    (start, high % (CANDIDATES - 1) + 1)
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
        let free = choose(None, 30, 0, &nets(&["192.0.2.0/24"])).unwrap();
        assert_eq!(free.to_string(), "10.213.0.0/16");
        let used = nets(&["10.213.4.0/30", "10.214.0.0/15"]);
        let free = choose(None, 30, 0, &used).unwrap();
        assert!(used.iter().all(|one| !overlap(one, &free)), "{free}");
        assert!(choose(None, 30, 0, &nets(&["10.0.0.0/8"])).is_err());
        let all: Vec<Ipv4Net> = (0..31).fold(Vec::new(), |mut used, attempt| {
            used.push(choose(None, 7, attempt, &used).unwrap());
            used
        });
        assert!(
            choose(None, 7, 0, &all).is_err(),
            "each was chosen once: {all:?}"
        );
    }

    #[test]
    fn two_daemons_that_clashed_soon_go_different_ways() {
        for (one, other) in [(3, 4), (3, 33), (0, 0x8000_0000), (7, 7 + 30 * 31)] {
            let together = |attempt| {
                let next = |number| choose(None, number, attempt, &[]).unwrap();
                next(one) == next(other)
            };
            let clashes = (0..64).take_while(|attempt| together(*attempt)).count();
            assert!(clashes <= 4, "{one} and {other}: {clashes}");
        }
    }

    #[test]
    fn a_network_that_was_asked_for_is_taken_or_refused() {
        let asked = |text: &str| Some(text.parse().unwrap());
        assert!(choose(asked("172.20.0.0/16"), 30, 0, &nets(&["10.0.0.0/8"])).is_ok());
        let error = choose(asked("10.9.0.0/16"), 30, 0, &nets(&["10.0.0.0/8"])).unwrap_err();
        assert!(error.to_string().contains("10.0.0.0/8"), "{error}");
        assert!(choose(asked("10.9.0.0/30"), 30, 0, &[]).is_err());
    }
}
