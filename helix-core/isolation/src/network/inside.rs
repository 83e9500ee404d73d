//! A sandbox's own side of its network, configured from within.

use std::{io, net::Ipv4Addr};

use futures_util::TryStreamExt as _;
use rtnetlink::{Handle, LinkUnspec, RouteMessageBuilder};
use serde::{Deserialize, Serialize};

use super::links;

/// The sandbox's interface.
pub const INTERFACE: &str = "eth0";

/// What the sandbox's side is configured with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Its address.
    pub address: Ipv4Addr,
    /// The length of the prefix that it shares with its gateway.
    pub prefix_len: u8,
    /// Its gateway, which is also its resolver.
    pub gateway: Ipv4Addr,
}

impl Config {
    /// What its `/etc/resolv.conf` says. The resolver knows the host's search domains for
    /// names without a dot; `search` is for names with one.
    pub fn resolv_conf(&self, search: &[String]) -> String {
        let mut text = format!("nameserver {}\n", self.gateway);
        if !search.is_empty() {
            text.push_str(&format!("search {}\n", search.join(" ")));
        }
        text.push_str("options timeout:5 attempts:2 edns0\n");
        text
    }
}

/// Configures the loopback interface and `eth0` of the network namespace of the calling
/// thread. Starts no other thread.
///
/// # Errors
///
/// Where the kernel refuses, such as without the rights or without `eth0`.
pub fn configure(config: &Config) -> io::Result<()> {
    block_on(async |handle| apply(handle, config).await)
}

/// Makes only the loopback interface work: a sandbox without a network.
///
/// # Errors
///
/// Where the kernel refuses.
pub fn configure_loopback() -> io::Result<()> {
    block_on(async |handle| up(handle, "lo").await.map(drop))
}

/// Asks the kernel for something, about the network namespace of the calling thread.
pub(super) fn block_on(
    work: impl AsyncFnOnce(&Handle) -> Result<(), rtnetlink::Error>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        tokio::select! {
            () = connection => Err(io::Error::other("the kernel closed the netlink socket")),
            result = work(&handle) => result.map_err(links::io_error),
        }
    })
}

async fn apply(handle: &Handle, config: &Config) -> Result<(), rtnetlink::Error> {
    up(handle, "lo").await?;
    let index = up(handle, INTERFACE).await?;
    let address = handle.address();
    address
        .add(index, config.address.into(), config.prefix_len)
        .replace()
        .execute()
        .await?;
    let route = RouteMessageBuilder::<Ipv4Addr>::new()
        .gateway(config.gateway)
        .build();
    handle.route().add(route).replace().execute().await
}

/// Brings an interface up; its index.
pub(super) async fn up(handle: &Handle, name: &str) -> Result<u32, rtnetlink::Error> {
    let found = find(handle, name).await?;
    let index = found.ok_or(rtnetlink::Error::RequestFailed)?;
    handle
        .link()
        .set(LinkUnspec::new_with_index(index).up().build())
        .execute()
        .await?;
    Ok(index)
}

/// The index of an interface, if it is there.
pub(super) async fn find(handle: &Handle, name: &str) -> Result<Option<u32>, rtnetlink::Error> {
    let links = handle.link().get().execute();
    let mut named = links.try_filter(|link| std::future::ready(links::name_of(link) == Some(name)));
    Ok(named.try_next().await?.map(|link| link.header.index))
}
