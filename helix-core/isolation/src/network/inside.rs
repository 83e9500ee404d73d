//! A sandbox's own side of its network, configured from within.

use std::{io, net::Ipv4Addr};

use futures_util::TryStreamExt as _;
use rtnetlink::{Handle, LinkUnspec, RouteMessageBuilder};
use serde::{Deserialize, Serialize};

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
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        tokio::select! {
            () = connection => Err(io::Error::other("the kernel closed the netlink socket")),
            result = apply(&handle, config) => result.map_err(super::links::io_error),
        }
    })
}

/// Makes only the loopback interface work: a sandbox without a network.
///
/// # Errors
///
/// Where the kernel refuses.
pub fn configure_loopback() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        tokio::select! {
            () = connection => Err(io::Error::other("the kernel closed the netlink socket")),
            result = up(&handle, "lo") => result.map(drop).map_err(super::links::io_error),
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
async fn up(handle: &Handle, name: &str) -> Result<u32, rtnetlink::Error> {
    let mut found = handle.link().get().match_name(name).execute();
    let link = found
        .try_next()
        .await?
        .ok_or(rtnetlink::Error::RequestFailed)?;
    let index = link.header.index;
    handle
        .link()
        .set(LinkUnspec::new_with_index(index).up().build())
        .execute()
        .await?;
    Ok(index)
}
