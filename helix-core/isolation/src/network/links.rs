//! Interfaces, addresses and routes of the host, through rtnetlink.

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use futures_util::TryStreamExt as _;
use helix_base::TaskGroup;
use ipnet::Ipv4Net;
use rtnetlink::{
    Handle, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
    packet_route::{
        address::AddressAttribute,
        link::{InfoData, InfoVeth, LinkAttribute, LinkMessage},
        route::{RouteAddress, RouteAttribute, RouteMessage, RouteType},
    },
};

use super::{Slot, inside};
use crate::Error;

/// The kernel answers within milliseconds unless something is very wrong.
const DEADLINE: Duration = Duration::from_secs(10);

/// A connection to the kernel about one network namespace: the one of the thread that
/// opened it.
#[derive(Debug, Clone)]
pub(super) struct Links {
    handle: Handle,
}

/// A route of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) network: Ipv4Net,
    /// The number of whose claim it is, if it leads nowhere.
    pub(super) claim: Option<u32>,
}

/// An interface of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ours {
    pub(super) name: String,
    pub(super) addresses: Vec<Ipv4Net>,
}

impl Links {
    pub(super) fn open(tasks: &TaskGroup) -> Result<Self, Error> {
        let opened = rtnetlink::new_connection();
        let (connection, handle, _) = opened
            .map_err(|error| Error::io("cannot speak with the kernel about networks", error))?;
        tasks.spawn("netlink", connection);
        Ok(Self { handle })
    }

    /// Makes a veth pair: one end here, the other as `eth0` in the namespace of a process.
    pub(super) async fn add_pair(&self, slot: &Slot, pid: u32) -> Result<(), Error> {
        let peer = LinkUnspec::new_with_name(inside::INTERFACE)
            .setns_by_pid(pid)
            .build();
        let pair = LinkMessageBuilder::<LinkVeth>::new(&slot.interface, inside::INTERFACE)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .up()
            .build();
        let what = format!("cannot make the interface {}", slot.interface);
        let added = within(&what, self.handle.link().add(pair.clone()).execute()).await;
        if added.is_err() && self.exists(&slot.interface).await? {
            // Left over from a process that ended without a word.
            self.remove(&slot.interface).await?;
            within(&what, self.handle.link().add(pair).execute()).await?;
        } else {
            added?;
        }
        let index = self
            .find(&slot.interface)
            .await?
            .map(|link| link.header.index);
        let index = index.ok_or_else(|| missing(&slot.interface))?;
        let address = self.handle.address();
        let add = address
            .add(index, slot.gateway.into(), slot.prefix_len)
            .execute();
        within(&format!("cannot give {} its address", slot.interface), add).await
    }

    /// Removes an interface, if it is there.
    pub(super) async fn remove(&self, name: &str) -> Result<(), Error> {
        let Some(link) = self.find(name).await? else {
            return Ok(());
        };
        let removed = self.handle.link().del(link.header.index).execute();
        let removed = within(&format!("cannot remove the interface {name}"), removed).await;
        match removed {
            // It vanished with the last process of its sandbox meanwhile.
            Err(_) if self.find(name).await?.is_none() => Ok(()),
            other => other,
        }
    }

    /// Whether an interface is there.
    pub(super) async fn exists(&self, name: &str) -> Result<bool, Error> {
        Ok(self.find(name).await?.is_some())
    }

    /// Bytes received and sent on an interface, as the host counts; none where it is gone.
    pub(super) async fn counters(&self, name: &str) -> Result<Option<(u64, u64)>, Error> {
        let link = self.find(name).await?;
        let counted = link.and_then(|link| {
            link.attributes
                .into_iter()
                .find_map(|attribute| match attribute {
                    LinkAttribute::Stats64(stats) => Some((stats.rx_bytes, stats.tx_bytes)),
                    _ => None,
                })
        });
        Ok(counted)
    }

    /// The interfaces whose names begin so, with their addresses.
    pub(super) async fn ours(&self, prefix: &str) -> Result<Vec<Ours>, Error> {
        let links: Vec<LinkMessage> = within(
            "cannot list the interfaces",
            self.handle.link().get().execute().try_collect(),
        )
        .await?;
        let addresses = self.addresses().await?;
        let named = links
            .iter()
            .filter_map(|link| Some((link.header.index, name_of(link)?)));
        Ok(named
            .filter(|(_, name)| name.starts_with(prefix))
            .map(|(index, name)| Ours {
                name: name.to_owned(),
                addresses: addresses
                    .iter()
                    .filter(|(of, _)| *of == index)
                    .map(|(_, network)| *network)
                    .collect(),
            })
            .collect())
    }

    /// Every IPv4 address of the host, by the index of its interface.
    pub(super) async fn addresses(&self) -> Result<Vec<(u32, Ipv4Net)>, Error> {
        let listed = self.handle.address().get().execute().try_collect();
        let messages: Vec<_> = within("cannot list the addresses", listed).await?;
        let read = |message: &rtnetlink::packet_route::address::AddressMessage| {
            let address = message
                .attributes
                .iter()
                .find_map(|attribute| match attribute {
                    AddressAttribute::Local(IpAddr::V4(address)) => Some(*address),
                    _ => None,
                })?;
            let network = Ipv4Net::new(address, message.header.prefix_len).ok()?;
            Some((message.header.index, network))
        };
        Ok(messages.iter().filter_map(read).collect())
    }

    /// The host's routes; default routes aside.
    pub(super) async fn routes(&self) -> Result<Vec<Route>, Error> {
        let every = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let listed = self.handle.route().get(every).execute().try_collect();
        let messages: Vec<_> = within("cannot list the routes", listed).await?;
        Ok(messages.iter().filter_map(read_route).collect())
    }

    /// Claims a network for this daemon's sandboxes, by a route that leads nowhere: other
    /// daemons see it, and what is for a sandbox that is gone does not leave the host.
    pub(super) async fn claim(&self, network: Ipv4Net, number: u32) -> Result<(), Error> {
        let route = self.handle.route().add(claim(network, number)).replace();
        within(&format!("cannot claim {network}"), route.execute()).await
    }

    /// Gives a claim up, if it is there.
    pub(super) async fn give_up(&self, network: Ipv4Net, number: u32) -> Result<(), Error> {
        let is_ours = |route: &Route| route.network == network && route.claim == Some(number);
        if !self.routes().await?.iter().any(is_ours) {
            return Ok(());
        }
        let removed = self.handle.route().del(claim(network, number)).execute();
        within(&format!("cannot give {network} up"), removed).await
    }

    /// The index of an interface; none where it is gone.
    async fn find(&self, name: &str) -> Result<Option<LinkMessage>, Error> {
        let mut found = self.handle.link().get().match_name(name).execute();
        let answer = tokio::time::timeout(DEADLINE, found.try_next()).await;
        match answer {
            Ok(Ok(link)) => Ok(link),
            Ok(Err(error)) => {
                let error = io_error(error);
                if error.raw_os_error() == Some(NO_SUCH_DEVICE) {
                    return Ok(None);
                }
                Err(Error::io(
                    format!("cannot find the interface {name}"),
                    error,
                ))
            }
            Err(_) => Err(late(&format!("cannot find the interface {name}"))),
        }
    }
}

fn claim(network: Ipv4Net, number: u32) -> RouteMessage {
    RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(network.network(), network.prefix_len())
        .priority(number)
        .kind(RouteType::Unreachable)
        .build()
}

fn read_route(message: &RouteMessage) -> Option<Route> {
    let attributes = message.attributes.iter();
    let address = attributes.clone().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(*address),
        _ => None,
    })?;
    let priority = attributes.clone().find_map(|attribute| match attribute {
        RouteAttribute::Priority(priority) => Some(*priority),
        _ => None,
    });
    let network = Ipv4Net::new(address, message.header.destination_prefix_length).ok()?;
    let claim = priority.filter(|_| message.header.kind == RouteType::Unreachable);
    (network.prefix_len() > 0).then_some(Route { network, claim })
}

/// ENODEV.
const NO_SUCH_DEVICE: i32 = 19;

pub(super) fn name_of(link: &LinkMessage) -> Option<&str> {
    link.attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name.as_str()),
            _ => None,
        })
}

fn missing(name: &str) -> Error {
    let gone = io::Error::from_raw_os_error(NO_SUCH_DEVICE);
    Error::io(
        format!("the interface {name} is gone: its sandbox ended"),
        gone,
    )
}

fn late(what: &str) -> Error {
    Error::io(what, io::Error::from(io::ErrorKind::TimedOut))
}

async fn within<T>(
    what: &str,
    call: impl Future<Output = Result<T, rtnetlink::Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(DEADLINE, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Error::io(what, io_error(error))),
        Err(_) => Err(late(what)),
    }
}

/// The kernel's own error, where it is one.
pub(super) fn io_error(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other),
    }
}
