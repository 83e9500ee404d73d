//! Which addresses are open because of names, and until when: pure.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use helix_proto::sandbox::EgressProtocol;

use super::{
    policy::{Policy, Ports, Window},
    ruleset::Opened,
};

/// For how long an address of a name is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// At least so long, however short the name's lifetime: time enough to connect.
    pub shortest: Duration,
    /// At most so long, however long the name's lifetime.
    pub longest: Duration,
    /// So much longer than the lifetime, so that asking again within it changes nothing in
    /// the kernel.
    pub grace: Duration,
}

impl Default for Lifetimes {
    /// Half a minute to an hour, and half a minute more.
    fn default() -> Self {
        Self {
            shortest: Duration::from_secs(30),
            longest: Duration::from_secs(3_600),
            grace: Duration::from_secs(30),
        }
    }
}

/// The most addresses of one sandbox that are open at a time.
pub const MOST_ADDRESSES: usize = 2_048;
/// The most names of one address.
const MOST_NAMES: usize = 16;

/// What names opened for one sandbox.
#[derive(Debug, Clone, Default)]
pub struct Openings {
    lifetimes: Lifetimes,
    addresses: BTreeMap<Ipv4Addr, Address>,
}

#[derive(Debug, Clone, Default)]
struct Address {
    names: Vec<Named>,
    installed: Vec<(Window, Instant)>,
}

#[derive(Debug, Clone)]
struct Named {
    /// Absent for what an earlier process opened.
    name: Option<String>,
    ports: Ports,
    until: Instant,
}

/// What has to change in the kernel: first close, then open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// No longer open as it was.
    pub close: Vec<Window>,
    /// Open from now on.
    pub open: Vec<Opened>,
}

/// As many addresses are open as may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{MOST_ADDRESSES} addresses of names are open; wait until the lifetime of some is over")]
pub struct Full;

impl Change {
    /// Whether nothing changes.
    pub const fn is_empty(&self) -> bool {
        self.close.is_empty() && self.open.is_empty()
    }
}

impl Openings {
    /// None yet.
    pub const fn new(lifetimes: Lifetimes) -> Self {
        Self {
            lifetimes,
            addresses: BTreeMap::new(),
        }
    }

    /// Opens the addresses of a name for its lifetime.
    ///
    /// # Errors
    ///
    /// Where too many are open; nothing has changed then.
    pub fn open(
        &mut self,
        name: &str,
        addresses: &[Ipv4Addr],
        ports: &Ports,
        lifetime: Duration,
        now: Instant,
    ) -> Result<Change, Full> {
        self.forget(now);
        let lifetime = lifetime.clamp(self.lifetimes.shortest, self.lifetimes.longest);
        let new = addresses
            .iter()
            .filter(|address| !self.addresses.contains_key(address))
            .count();
        if self.addresses.len() + new > MOST_ADDRESSES {
            return Err(Full);
        }
        let mut change = Change::default();
        for at in addresses {
            let address = self.addresses.entry(*at).or_default();
            address.add(name, ports, now + lifetime);
            address.install(*at, self.lifetimes.grace, now, &mut change);
        }
        Ok(change)
    }

    /// Keeps what a new policy still allows, and closes the rest. Every window is installed
    /// anew.
    pub fn judge(&mut self, policy: &Policy, now: Instant) -> Change {
        let mut change = Change::default();
        for (at, address) in &mut self.addresses {
            let installed = std::mem::take(&mut address.installed);
            change
                .close
                .extend(installed.iter().map(|(window, _)| *window));
            address.names.retain_mut(|named| {
                let ports = named.name.as_deref().and_then(|name| policy.at_name(name));
                named.until > now && ports.map(|ports| named.ports = ports).is_some()
            });
            // Where everything is allowed, nothing has to be open by name.
            if *policy != Policy::Open {
                address.install(*at, self.lifetimes.grace, now, &mut change);
            }
        }
        self.addresses
            .retain(|_, address| !address.installed.is_empty());
        change
    }

    /// Takes over what an earlier process opened.
    pub fn adopt(&mut self, opened: &[Opened], now: Instant) {
        for Opened { window, lasts } in opened {
            let until = now + *lasts;
            let ranges = [window.ports].into_iter().collect();
            let address = self.addresses.entry(window.addresses.0).or_default();
            address.names.push(Named {
                name: None,
                ports: Ports::new(&ranges, Some(window.protocol)),
                until,
            });
            address.installed.push((*window, until));
        }
    }

    /// Everything that may still be in the kernel.
    pub fn installed(&self) -> Vec<Window> {
        let addresses = self.addresses.values();
        addresses
            .flat_map(|address| address.installed.iter().map(|(window, _)| *window))
            .collect()
    }

    /// Forgets what is over.
    fn forget(&mut self, now: Instant) {
        let grace = self.lifetimes.grace;
        self.addresses.retain(|_, address| {
            address.names.retain(|named| named.until > now);
            // The kernel's clock may be behind: what was installed is known a while longer.
            address
                .installed
                .iter()
                .any(|(_, until)| *until + grace > now)
        });
    }
}

impl Address {
    fn add(&mut self, name: &str, ports: &Ports, until: Instant) {
        let known = self
            .names
            .iter_mut()
            .find(|named| named.name.as_deref() == Some(name));
        if let Some(known) = known {
            known.ports = ports.clone();
            known.until = known.until.max(until);
            return;
        }
        if self.names.len() == MOST_NAMES {
            let oldest = (0..self.names.len()).min_by_key(|index| self.names[*index].until);
            oldest.map(|index| self.names.swap_remove(index));
        }
        self.names.push(Named {
            name: Some(name.to_owned()),
            ports: ports.clone(),
            until,
        });
    }

    /// Brings the kernel's windows to what the names say, where it is not so already.
    fn install(&mut self, at: Ipv4Addr, grace: Duration, now: Instant, change: &mut Change) {
        let wanted = self.windows(at);
        let is_installed = wanted.iter().all(|(window, until)| {
            self.installed
                .iter()
                .any(|(old, old_until)| old == window && old_until >= until)
        });
        if is_installed && wanted.len() == self.installed.len() {
            return;
        }
        change
            .close
            .extend(self.installed.iter().map(|(window, _)| *window));
        self.installed = wanted
            .into_iter()
            .map(|(window, until)| (window, until + grace))
            .collect();
        change
            .open
            .extend(self.installed.iter().map(|(window, until)| Opened {
                window: *window,
                lasts: until.saturating_duration_since(now),
            }));
    }

    /// What the names say, cut where a range begins or ends; each piece is open for as long
    /// as the name that lasts longest.
    fn windows(&self, at: Ipv4Addr) -> Vec<(Window, Instant)> {
        let mut windows = Vec::new();
        for protocol in [EgressProtocol::Tcp, EgressProtocol::Udp] {
            let ranges = || {
                self.names.iter().flat_map(move |named| {
                    let ranges = named.ports.of(protocol).as_slice();
                    ranges.iter().map(move |range| (*range, named.until))
                })
            };
            let mut cuts: Vec<u32> = ranges()
                .flat_map(|((first, last), _)| [u32::from(first), u32::from(last) + 1])
                .collect();
            cuts.sort_unstable();
            cuts.dedup();
            for pair in cuts.windows(2) {
                let (Ok(first), Ok(last)) = (u16::try_from(pair[0]), u16::try_from(pair[1] - 1))
                else {
                    continue;
                };
                let covering = ranges().filter(|((from, to), _)| *from <= first && last <= *to);
                let window = |until| {
                    let ports = (first, last);
                    let addresses = (at, at);
                    (
                        Window {
                            addresses,
                            protocol,
                            ports,
                        },
                        until,
                    )
                };
                windows.extend(covering.map(|(_, until)| until).max().map(window));
            }
        }
        windows
    }
}
