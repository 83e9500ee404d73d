//! Sets of ports.

use helix_proto::sandbox::EgressProtocol;

/// Ports as ranges that are in order and neither touch nor overlap.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ranges(Vec<(u16, u16)>);

impl Ranges {
    /// Every port.
    pub fn every() -> Self {
        Self(vec![(0, u16::MAX)])
    }

    /// The ranges, first and last port of each.
    pub fn as_slice(&self) -> &[(u16, u16)] {
        &self.0
    }

    fn contains(&self, port: u16) -> bool {
        self.0
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&port))
    }

    fn union(&self, other: &Self) -> Self {
        self.0.iter().chain(&other.0).copied().collect()
    }
}

impl FromIterator<(u16, u16)> for Ranges {
    fn from_iter<T: IntoIterator<Item = (u16, u16)>>(ranges: T) -> Self {
        let mut sorted: Vec<_> = ranges.into_iter().collect();
        sorted.sort_unstable();
        let mut merged: Vec<(u16, u16)> = Vec::with_capacity(sorted.len());
        for (first, last) in sorted {
            match merged.last_mut() {
                Some(before) if u32::from(first) <= u32::from(before.1) + 1 => {
                    before.1 = before.1.max(last);
                }
                _ => merged.push((first, last)),
            }
        }
        Self(merged)
    }
}

/// Ports by protocol.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ports {
    tcp: Ranges,
    udp: Ranges,
}

impl Ports {
    /// These ports of one protocol, or of both.
    pub fn new(ranges: &Ranges, protocol: Option<EgressProtocol>) -> Self {
        let of = |one| match protocol {
            Some(only) if only != one => Ranges::default(),
            _ => ranges.clone(),
        };
        Self {
            tcp: of(EgressProtocol::Tcp),
            udp: of(EgressProtocol::Udp),
        }
    }

    /// Every port of both.
    pub fn every() -> Self {
        Self::new(&Ranges::every(), None)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.tcp.0.is_empty() && self.udp.0.is_empty()
    }

    /// Whether this port is one of them.
    pub fn contains(&self, protocol: EgressProtocol, port: u16) -> bool {
        self.of(protocol).contains(port)
    }

    /// Those of either.
    pub fn union(&self, other: &Self) -> Self {
        Self {
            tcp: self.tcp.union(&other.tcp),
            udp: self.udp.union(&other.udp),
        }
    }

    /// The ports of one protocol.
    pub const fn of(&self, protocol: EgressProtocol) -> &Ranges {
        match protocol {
            EgressProtocol::Tcp => &self.tcp,
            EgressProtocol::Udp => &self.udp,
        }
    }

    /// Each range of each protocol.
    pub fn ranges(&self) -> impl Iterator<Item = (EgressProtocol, (u16, u16))> + '_ {
        [EgressProtocol::Tcp, EgressProtocol::Udp]
            .into_iter()
            .flat_map(|protocol| {
                self.of(protocol)
                    .0
                    .iter()
                    .map(move |range| (protocol, *range))
            })
    }
}
