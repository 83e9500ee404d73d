//! A veth pair between the network namespaces of two sandboxes or containers, neither of
//! which is the host's: each end is reached at the address that it has already.

use std::{
    fs::File,
    io::{self, Write as _},
    net::Ipv4Addr,
    os::fd::{AsFd as _, AsRawFd as _},
    path::Path,
    process::{Command, Stdio},
};

use rtnetlink::{
    LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
    packet_route::{
        link::{InfoData, InfoVeth},
        route::RouteScope,
    },
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::inside::{block_on, find, up};

/// One end of a pair.
#[derive(Debug)]
pub struct End {
    /// Its network namespace.
    pub namespace: File,
    /// What the pair's interface is called there.
    pub interface: String,
    /// An address that it has, for the other end to reach it at.
    pub address: Ipv4Addr,
}

/// Joins two namespaces. `localhost` are TCP ports of `ours`, at whose `localhost` the same
/// ports of `theirs` are reached. Replaces a pair of the same name. `nft` is the program.
///
/// Nothing that comes in by the pair is passed on by `ours`, nor reaches its loopback.
///
/// # Errors
///
/// Where the kernel refuses, or `nft`; nothing is left then.
pub fn join(ours: &End, theirs: &End, localhost: &[u16], nft: &Path) -> io::Result<()> {
    part(&ours.namespace, &ours.interface, nft)?;
    let joined = make(ours, theirs).and_then(|()| {
        within(&ours.namespace, || {
            let settings = Path::new("/proc/sys/net/ipv4/conf").join(&ours.interface);
            std::fs::write(settings.join("forwarding"), "0")?;
            if localhost.is_empty() {
                return Ok(());
            }
            std::fs::write(settings.join("route_localnet"), "1")?;
            run(nft, &rules(ours, theirs.address, localhost))
        })
    });
    if joined.is_err() {
        part(&ours.namespace, &ours.interface, nft)?;
    }
    joined
}

/// Takes a pair away with all that [`join`] made, if it is there.
///
/// # Errors
///
/// Where the kernel refuses, or `nft`.
pub fn part(namespace: &File, interface: &str, nft: &Path) -> io::Result<()> {
    within(namespace, || {
        block_on(async |handle| {
            let Some(index) = find(handle, interface).await? else {
                return Ok(());
            };
            handle.link().del(index).execute().await
        })?;
        // Adding it first makes that it is there to be deleted.
        let table = table(interface);
        run(
            nft,
            &format!("add table ip {table}\ndelete table ip {table}\n"),
        )
    })
}

fn make(ours: &End, theirs: &End) -> io::Result<()> {
    let peer = LinkUnspec::new_with_name(&theirs.interface)
        .setns_by_fd(theirs.namespace.as_raw_fd())
        .build();
    let pair = LinkMessageBuilder::<LinkVeth>::new(&ours.interface, &theirs.interface)
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
        .build();
    within(&ours.namespace, move || {
        block_on(async |handle| handle.link().add(pair).execute().await)
    })?;
    reach(ours, theirs.address)?;
    reach(theirs, ours.address)
}

/// Brings an end up, with the way to the other.
fn reach(end: &End, other: Ipv4Addr) -> io::Result<()> {
    within(&end.namespace, || {
        block_on(async |handle| {
            let index = up(handle, &end.interface).await?;
            let route = RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(other, 32)
                .output_interface(index)
                .pref_source(end.address)
                .scope(RouteScope::Link)
                .build();
            handle.route().add(route).replace().execute().await
        })
    })
}

fn table(interface: &str) -> String {
    format!("helix_join_{interface}")
}

fn rules(ours: &End, theirs: Ipv4Addr, localhost: &[u16]) -> String {
    let (table, interface) = (table(&ours.interface), &ours.interface);
    let ports: Vec<String> = localhost.iter().map(u16::to_string).collect();
    let ports = ports.join(", ");
    format!(
        "table ip {table} {{
  chain first {{
    type filter hook prerouting priority raw; policy accept;
    iifname \"{interface}\" ip daddr 127.0.0.0/8 drop
  }}
  chain to {{
    type nat hook output priority -100; policy accept;
    ip daddr 127.0.0.0/8 tcp dport {{ {ports} }} dnat to {theirs}
  }}
  chain from {{
    type nat hook postrouting priority srcnat; policy accept;
    oifname \"{interface}\" ip saddr 127.0.0.0/8 masquerade
  }}
}}
"
    )
}

fn run(nft: &Path, text: &str) -> io::Result<()> {
    let mut child = Command::new(nft)
        .args(["--file", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        // It may end without reading; then its own words say why.
        let _ = input.write_all(text.as_bytes());
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().next().unwrap_or("it said nothing");
    Err(io::Error::other(format!("nft refused a change: {said}")))
}

/// Does something in a network namespace, on a thread that goes with it.
pub(crate) fn within(
    namespace: &File,
    work: impl FnOnce() -> io::Result<()> + Send,
) -> io::Result<()> {
    let entered = || {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        work()
    };
    std::thread::scope(|scope| scope.spawn(entered).join())
        .unwrap_or_else(|_| Err(io::Error::other("the thread that did it failed")))
}
