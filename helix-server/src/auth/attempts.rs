//! How often someone may try to sign in: a bucket of attempts per account and
//! per address, each refilled slowly.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Buckets kept at most; one that is full again is not kept.
const CAPACITY: usize = 20_000;

/// How many attempts at once, and how long until one more.
#[derive(Debug, Clone, Copy)]
struct Rate {
    burst: u32,
    every: Duration,
}

const PER_ACCOUNT: Rate = Rate {
    burst: 10,
    every: Duration::from_secs(30),
};
const PER_ADDRESS: Rate = Rate {
    burst: 30,
    every: Duration::from_secs(5),
};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Who {
    Account(String),
    Address(IpAddr),
}

impl Who {
    const fn rate(&self) -> Rate {
        match self {
            Self::Account(_) => PER_ACCOUNT,
            Self::Address(_) => PER_ADDRESS,
        }
    }
}

/// Counts attempts.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// When each bucket will be full again. That one number says how full it is.
    full_at: Mutex<HashMap<Who, Instant>>,
}

/// A network of someone's own: an IPv6 host has a whole /64.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        },
    }
}

impl Attempts {
    /// Counts an attempt from an address, on an account if one is named.
    ///
    /// # Errors
    /// How long to wait, when there were too many.
    pub(super) fn admit(
        &self,
        account: Option<&str>,
        address: IpAddr,
        now: Instant,
    ) -> Result<(), Duration> {
        let account = account.map(|account| Who::Account(account.to_owned()));
        let keys = [Some(Who::Address(network(address))), account];
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        if full_at.len() >= CAPACITY {
            full_at.retain(|_, at| *at > now);
        }
        if full_at.len() >= CAPACITY {
            // Someone owns very many addresses: the account's bucket remains.
            full_at.retain(|who, _| matches!(who, Who::Account(_)));
        }
        let after =
            |who: &Who| full_at.get(who).map_or(now, |at| (*at).max(now)) + who.rate().every;
        let keys: Vec<(Who, Instant)> = keys
            .into_iter()
            .flatten()
            .map(|who| (who.clone(), after(&who)))
            .collect();
        let wait = keys
            .iter()
            .map(|(who, at)| {
                at.saturating_duration_since(now + who.rate().every * who.rate().burst)
            })
            .max()
            .unwrap_or_default();
        if !wait.is_zero() {
            return Err(wait);
        }
        full_at.extend(keys);
        Ok(())
    }

    /// The password was right: the account's bucket is full again.
    pub(super) fn succeeded(&self, account: &str) {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        full_at.remove(&Who::Account(account.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use helix_base::{Clock as _, ManualClock};

    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))
    }

    #[test]
    fn an_account_may_be_tried_ten_times_and_then_twice_a_minute_from_anywhere() {
        let clock = ManualClock::new(0);
        let attempts = Attempts::default();
        for n in 0..10 {
            assert_eq!(attempts.admit(Some("a"), address(n), clock.now()), Ok(()));
        }
        let wait = attempts
            .admit(Some("a"), address(99), clock.now())
            .unwrap_err();
        assert_eq!(wait, Duration::from_secs(30));
        clock.advance(wait);
        assert_eq!(attempts.admit(Some("a"), address(99), clock.now()), Ok(()));
        assert!(attempts.admit(Some("a"), address(99), clock.now()).is_err());
    }

    #[test]
    fn an_address_may_try_thirty_accounts_and_then_one_every_five_seconds() {
        let clock = ManualClock::new(0);
        let attempts = Attempts::default();
        for n in 0..30 {
            let account = n.to_string();
            assert_eq!(
                attempts.admit(Some(&account), address(1), clock.now()),
                Ok(())
            );
        }
        let wait = attempts
            .admit(Some("fresh"), address(1), clock.now())
            .unwrap_err();
        assert_eq!(wait, Duration::from_secs(5));
        assert_eq!(
            attempts.admit(Some("fresh"), address(2), clock.now()),
            Ok(())
        );
    }

    #[test]
    fn a_right_password_clears_the_account() {
        let clock = ManualClock::new(0);
        let attempts = Attempts::default();
        for _ in 0..10 {
            assert_eq!(attempts.admit(Some("a"), address(1), clock.now()), Ok(()));
        }
        attempts.succeeded("a");
        assert_eq!(attempts.admit(Some("a"), address(1), clock.now()), Ok(()));
    }

    #[test]
    fn one_host_cannot_change_its_ipv6_address_to_get_more_attempts() {
        let clock = ManualClock::new(0);
        let attempts = Attempts::default();
        let host = |n: u128| IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8_u128 << 96) | n));
        for n in 0..30 {
            assert_eq!(attempts.admit(None, host(n), clock.now()), Ok(()));
        }
        assert!(attempts.admit(None, host(31), clock.now()).is_err());
    }
}
