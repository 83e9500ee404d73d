//! What a sandbox may reach, read and checked: pure.

mod name;
mod ports;
mod windows;

#[cfg(test)]
mod tests;

use std::net::Ipv4Addr;

use helix_proto::sandbox::{Egress, EgressProtocol, EgressRule};
use ipnet::Ipv4Net;
use sha2::{Digest as _, Sha256};

pub use name::Pattern;
pub use ports::{Ports, Ranges};
pub use windows::Window;

use crate::{Error, ErrorKind};

/// The most rules of an allow-list.
pub const MOST_RULES: usize = 256;
/// The most ports and port ranges of one rule.
pub const MOST_PORTS: usize = 16;
/// The most windows that the rules with addresses may come to.
pub const MOST_WINDOWS: usize = 4_096;

/// What a sandbox may reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Policy {
    /// Everything that the host can reach.
    Open,
    /// What the rules list.
    AllowList(AllowList),
    /// Nothing.
    None,
}

/// The rules of an allow-list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowList {
    names: Vec<(Pattern, Ports)>,
    windows: Vec<Window>,
}

/// A rule that cannot be kept, by its place in the list, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// Too many of them.
    #[error("the allow-list has {0} rules; give at most {MOST_RULES}")]
    TooManyRules(usize),
    /// Together they are too many.
    #[error(
        "the allow-list's networks and ports come to more than {MOST_WINDOWS} combinations; \
         use fewer or wider ones"
    )]
    TooManyWindows,
    /// One cannot be read.
    #[error("rule {rule} of the allow-list: {message}")]
    Rule {
        /// Which, counted from 1.
        rule: usize,
        /// What is wrong with it, and what to give instead.
        message: String,
    },
}

impl From<PolicyError> for Error {
    fn from(error: PolicyError) -> Self {
        Self::new(ErrorKind::Invalid, error.to_string())
    }
}

/// What one rule is about.
enum Target {
    Name(Pattern),
    Network(Ipv4Net),
}

impl Policy {
    /// Reads and checks a policy.
    ///
    /// # Errors
    ///
    /// Names the first rule that cannot be kept, and says what to give instead.
    pub fn parse(egress: &Egress) -> Result<Self, PolicyError> {
        let rules = match egress {
            Egress::Open => return Ok(Self::Open),
            Egress::None => return Ok(Self::None),
            Egress::AllowList { rules } => rules,
        };
        if rules.len() > MOST_RULES {
            return Err(PolicyError::TooManyRules(rules.len()));
        }
        let mut names = Vec::new();
        let mut networks = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            let (target, ports) = read(rule).map_err(|message| PolicyError::Rule {
                rule: index + 1,
                message,
            })?;
            match target {
                Target::Name(pattern) => names.push((pattern, ports)),
                Target::Network(network) => networks.push((network, ports)),
            }
        }
        let windows = windows::disjoint(&networks);
        if windows.len() > MOST_WINDOWS {
            return Err(PolicyError::TooManyWindows);
        }
        Ok(Self::AllowList(AllowList { names, windows }))
    }

    /// What may be reached at the addresses of this name because of the name: `None` where
    /// the name is not allowed. A name is compared without regard to case or a final dot.
    pub fn at_name(&self, name: &str) -> Option<Ports> {
        match self {
            Self::Open => Some(Ports::every()),
            Self::None => None,
            Self::AllowList(list) => {
                let mut matching = list
                    .names
                    .iter()
                    .filter(|(pattern, _)| pattern.matches(name))
                    .map(|(_, ports)| ports)
                    .peekable();
                matching.peek()?;
                Some(matching.fold(Ports::default(), |all, ports| all.union(ports)))
            }
        }
    }

    /// Whether an address may be reached without regard to names.
    pub fn at_address(&self, address: Ipv4Addr, protocol: EgressProtocol, port: u16) -> bool {
        match self {
            Self::Open => true,
            Self::None => false,
            Self::AllowList(list) => list
                .windows
                .iter()
                .any(|window| window.contains(address, protocol, port)),
        }
    }

    /// What the rules with addresses allow, no two of which overlap.
    pub fn windows(&self) -> &[Window] {
        match self {
            Self::AllowList(list) => &list.windows,
            Self::Open | Self::None => &[],
        }
    }

    /// A number that tells policies apart, the same in every process.
    pub fn fingerprint(&self) -> u16 {
        let digest = Sha256::digest(format!("{self:?}").as_bytes());
        u16::from_be_bytes([digest[0], digest[1]])
    }
}

fn read(rule: &EgressRule) -> Result<(Target, Ports), String> {
    let target = read_target(&rule.to)?;
    if rule.ports.len() > MOST_PORTS {
        return Err(format!(
            "it has {} ports; give at most {MOST_PORTS} ports and ranges",
            rule.ports.len()
        ));
    }
    let ranges = if rule.ports.is_empty() {
        Ranges::every()
    } else {
        let ranges: Result<Vec<_>, _> = rule.ports.iter().map(|text| read_range(text)).collect();
        ranges?.into_iter().collect()
    };
    Ok((target, Ports::new(&ranges, rule.protocol)))
}

fn read_target(text: &str) -> Result<Target, String> {
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Ok(Target::Network(address.into()));
    }
    if text.contains(':') {
        return Err(format!(
            "{text:?} looks like IPv6, which is closed in sandboxes; give an IPv4 address or a name"
        ));
    }
    if text.contains('/') {
        return match text.parse::<Ipv4Net>() {
            Ok(network) => Ok(Target::Network(network.trunc())),
            Err(_) => Err(format!(
                "{text:?} is not a network; give one such as 10.1.0.0/16"
            )),
        };
    }
    Pattern::parse(text).map(Target::Name)
}

fn read_range(text: &str) -> Result<(u16, u16), String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let port = |text: &str| {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|port| plain && *port > 0)
    };
    match (port(first), port(last)) {
        (Some(first), Some(last)) if first <= last => Ok((first, last)),
        _ => Err(format!(
            "{text:?} is not a port; give one such as 443, or a range such as 8000-8999"
        )),
    }
}
