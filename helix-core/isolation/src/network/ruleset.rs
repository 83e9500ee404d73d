//! The table that holds the policies of all sandboxes, as nftables' text: pure.
//!
//! The table is made once. What differs between sandboxes is data in its sets, keyed by
//! the name of the interface, so that a change costs a few elements.

#[cfg(test)]
mod tests;

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use helix_proto::sandbox::EgressProtocol;
use ipnet::Ipv4Net;
use sha2::{Digest as _, Sha256};

use super::policy::{Policy, Window};

/// The most connections that one sandbox may have at a time: the kernel's table of them is
/// the whole host's.
const MOST_CONNECTIONS: u32 = 16_384;

/// What the table is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Tells this daemon's table and interfaces from another's.
    pub tag: String,
    /// Where the sandboxes' addresses come from.
    pub subnet: Ipv4Net,
    /// Addresses and TCP ports of the host that a sandbox may reach where its policy allows.
    pub services: Vec<SocketAddrV4>,
    /// Networks that no sandbox reaches, besides those that none ever does.
    pub refused: Vec<Ipv4Net>,
    /// Interfaces of the host behind which no sandbox reaches anything; a final `*` stands
    /// for anything.
    pub refused_interfaces: Vec<String>,
}

/// One sandbox's place in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its interface on the host.
    pub interface: String,
    /// Its address: the only one that it may send from.
    pub address: Ipv4Addr,
    /// The host's address on its interface.
    pub gateway: Ipv4Addr,
    /// What it may reach.
    pub policy: Policy,
    /// Tells its connections from those of others that had its address.
    pub owner: u16,
}

/// An address that is open for a while because of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// The address and ports.
    pub window: Window,
    /// How long it stays open.
    pub lasts: Duration,
}

/// What no sandbox ever reaches: this host, link-local addresses (cloud metadata), and what
/// is not one machine's address.
pub const NEVER: [&str; 6] = [
    "0.0.0.0/8",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "192.0.0.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
];

impl Entry {
    /// The mark of the connections that its policy allows: whose, and by which policy.
    pub fn mark(&self) -> u32 {
        (u32::from(self.owner) << 16) | u32::from(self.policy.fingerprint())
    }
}

impl Layout {
    /// The table's name.
    pub fn table(&self) -> String {
        format!("helix_{}", self.tag)
    }

    /// A number that tells daemons apart, the same in every process.
    pub fn number(&self) -> u32 {
        let digest = Sha256::digest(self.tag.as_bytes());
        u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]) | 1
    }

    /// What the names of its interfaces begin with.
    pub fn prefix(&self) -> String {
        format!("hx{}", self.tag)
    }

    /// Networks that no sandbox reaches: [`NEVER`], the sandboxes' own, and those given.
    pub fn refused(&self) -> Vec<Ipv4Net> {
        let never = NEVER.iter().filter_map(|network| network.parse().ok());
        let mut all: Vec<Ipv4Net> = never
            .chain([self.subnet])
            .chain(self.refused.clone())
            .collect();
        all = Ipv4Net::aggregate(&all);
        all.sort_unstable();
        all
    }

    /// Makes the table, or makes its rules anew and keeps what is in its sets: the
    /// connections of sandboxes that run do not notice.
    pub fn make(&self) -> String {
        let table = self.table();
        format!(
            "add table inet {table}\nflush table inet {table}\ntable inet {table} {{\n{SETS}{}}}\n",
            self.chains()
        )
    }

    /// Removes the table, for a new one of another shape.
    pub fn remove(&self) -> String {
        let table = self.table();
        format!("add table inet {table}\ndelete table inet {table}\n")
    }

    fn chains(&self) -> String {
        let ours = format!("\"{}*\"", self.prefix());
        let subnet = self.subnet;
        let mut services = String::new();
        for service in &self.services {
            let _ = writeln!(
                services,
                "    ip daddr {} tcp dport {} goto decide",
                service.ip(),
                service.port()
            );
        }
        let mut refused = String::new();
        for interface in &self.refused_interfaces {
            let _ = writeln!(refused, "    oifname \"{interface}\" goto refuse");
        }
        let networks: Vec<String> = self.refused().iter().map(ToString::to_string).collect();
        let networks = networks.join(", ");
        format!(
            r#"
  chain permit {{
    ct state new add @connections {{ iifname ct count over {MOST_CONNECTIONS} }} goto refuse
    ct mark set iifname map @generation accept
  }}
  chain refuse {{
    meta l4proto tcp reject with tcp reset
    reject with icmp type admin-prohibited
  }}
  chain decide {{
    ct state invalid drop
    ct direction reply drop
    iifname . ct mark @marked accept
    iifname @open goto permit
    meta l4proto {{ tcp, udp }} iifname . ip daddr . meta l4proto . th dport @allowed goto permit
    meta l4proto {{ tcp, udp }} iifname . ip daddr . meta l4proto . th dport @named goto permit
    goto refuse
  }}
  chain to_host {{
    meta l4proto {{ tcp, udp }} th dport 53 iifname . ip daddr @gateway accept
{services}    goto refuse
  }}
  chain readmit {{
    ct mark set oifname map @generation accept
  }}
  chain answer {{
    iifname "hx*" drop
    ct direction original drop
    ct state != {{ established, related }} drop
    oifname . ct mark @marked accept
    oifname . ct mark != @owned drop
    oifname @open goto readmit
    meta l4proto {{ tcp, udp }} oifname . ip saddr . meta l4proto . th sport @allowed goto readmit
    meta l4proto {{ tcp, udp }} oifname . ip saddr . meta l4proto . th sport @named goto readmit
    drop
  }}
  chain leave {{
    ip daddr {{ {networks} }} goto refuse
    oifname "hx*" goto refuse
{refused}    goto decide
  }}
  chain arriving {{
    type filter hook prerouting priority mangle; policy accept;
    iifname != {ours} accept
    meta nfproto != ipv4 drop
    iifname . ip saddr != @source drop
    fib daddr type local goto to_host
    fib daddr type != unicast drop
  }}
  chain crossing {{
    type filter hook forward priority filter - 10; policy accept;
    iifname {ours} goto leave
    oifname {ours} goto answer
  }}
  chain from_host {{
    type filter hook output priority filter - 10; policy accept;
    oifname != {ours} accept
    meta nfproto != ipv4 drop
    ct direction original drop
  }}
  chain translate {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {subnet} oifname != {ours} masquerade
  }}
"#
        )
    }

    /// Adds a sandbox.
    pub fn add(&self, entry: &Entry) -> String {
        let interface = &entry.interface;
        let owned = u32::from(entry.owner) << 16;
        let mut text = String::new();
        let mut add = |set: &str, element: String| self.element(&mut text, "add", set, &element);
        add("source", format!("\"{interface}\" . {}", entry.address));
        add("gateway", format!("\"{interface}\" . {}", entry.gateway));
        add(
            "owned",
            format!("\"{interface}\" . {owned:#x}-{:#x}", owned | 0xffff),
        );
        text.push_str(&self.add_policy(entry));
        text
    }

    /// Removes a sandbox, with what names opened for it.
    pub fn remove_entry(&self, entry: &Entry) -> String {
        let interface = &entry.interface;
        let owned = u32::from(entry.owner) << 16;
        let mut text = self.remove_policy(entry);
        let mut remove =
            |set: &str, element: String| self.element(&mut text, "delete", set, &element);
        remove("source", format!("\"{interface}\" . {}", entry.address));
        remove("gateway", format!("\"{interface}\" . {}", entry.gateway));
        remove(
            "owned",
            format!("\"{interface}\" . {owned:#x}-{:#x}", owned | 0xffff),
        );
        text
    }

    /// Adds what a sandbox's policy allows.
    pub fn add_policy(&self, entry: &Entry) -> String {
        self.policy("add", entry)
    }

    /// Removes what a sandbox's policy allows, but not what names opened.
    pub fn remove_policy(&self, entry: &Entry) -> String {
        self.policy("delete", entry)
    }

    fn policy(&self, verb: &str, entry: &Entry) -> String {
        let interface = &entry.interface;
        let mark = entry.mark();
        let mut text = String::new();
        self.element(
            &mut text,
            verb,
            "generation",
            &format!("\"{interface}\" : {mark:#x}"),
        );
        let marked = format!("\"{interface}\" . {mark:#x}");
        self.element(&mut text, verb, "marked", &marked);
        if entry.policy == Policy::Open {
            self.element(&mut text, verb, "open", &format!("\"{interface}\""));
        }
        let windows = entry.policy.windows();
        if !windows.is_empty() {
            let elements: Vec<String> = windows.iter().map(|one| key(interface, one)).collect();
            self.element(&mut text, verb, "allowed", &elements.join(", "));
        }
        text
    }

    /// Opens addresses for a while.
    pub fn open(&self, interface: &str, opened: &[Opened]) -> String {
        let mut text = String::new();
        if !opened.is_empty() {
            self.element(&mut text, "add", "named", &lasting(interface, opened));
        }
        text
    }

    /// Closes what was opened, whether or not its time is over by now.
    pub fn close(&self, interface: &str, windows: &[Window]) -> String {
        let mut text = String::new();
        if windows.is_empty() {
            return text;
        }
        let opened: Vec<Opened> = windows
            .iter()
            .map(|window| Opened {
                window: *window,
                lasts: Duration::from_secs(60),
            })
            .collect();
        // To remove what is not there would be an error: first it is there for certain.
        self.element(&mut text, "add", "named", &lasting(interface, &opened));
        let keys: Vec<String> = windows.iter().map(|one| key(interface, one)).collect();
        self.element(&mut text, "delete", "named", &keys.join(", "));
        text
    }

    /// Empties every set.
    pub fn clear(&self) -> String {
        let table = self.table();
        let mut text = String::new();
        for set in [
            "source", "gateway", "owned", "marked", "open", "allowed", "named",
        ] {
            let _ = writeln!(text, "flush set inet {table} {set}");
        }
        let _ = writeln!(text, "flush map inet {table} generation");
        text
    }

    fn element(&self, text: &mut String, verb: &str, set: &str, element: &str) {
        let _ = writeln!(
            text,
            "{verb} element inet {} {set} {{ {element} }}",
            self.table()
        );
    }
}

/// The sets, all keyed by interface: who may send from where, whom its resolver is, which
/// marks its connections may have (`owned`) and have by the policy of now (`generation`,
/// `marked`), and what it may reach: everything, what the policy lists, what names opened.
const SETS: &str = "
  set source { type ifname . ipv4_addr; }
  set gateway { type ifname . ipv4_addr; }
  set owned { type ifname . mark; flags interval; }
  map generation { type ifname : mark; }
  set marked { type ifname . mark; }
  set open { type ifname; }
  set allowed { type ifname . ipv4_addr . inet_proto . inet_service; flags interval; }
  set named { type ifname . ipv4_addr . inet_proto . inet_service; flags interval, timeout; }
  set connections { type ifname; size 65536; flags dynamic; }
";

fn key(interface: &str, window: &Window) -> String {
    let protocol = match window.protocol {
        EgressProtocol::Tcp => "tcp",
        EgressProtocol::Udp => "udp",
    };
    let addresses = range(window.addresses);
    let ports = range(window.ports);
    format!("\"{interface}\" . {addresses} . {protocol} . {ports}")
}

fn lasting(interface: &str, opened: &[Opened]) -> String {
    let elements: Vec<String> = opened
        .iter()
        .map(|one| {
            let seconds = one.lasts.as_secs().max(1);
            format!("{} timeout {seconds}s", key(interface, &one.window))
        })
        .collect();
    elements.join(", ")
}

fn range<T: std::fmt::Display + PartialEq>((first, last): (T, T)) -> String {
    if first == last {
        first.to_string()
    } else {
        format!("{first}-{last}")
    }
}
