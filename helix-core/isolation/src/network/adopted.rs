//! What an earlier process left in the table, from nft's JSON.

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use helix_proto::sandbox::EgressProtocol;
use serde_json::Value;

use super::{
    nft::Nft,
    policy::Window,
    ruleset::{Layout, Opened},
};
use crate::Error;

/// By interface: the mark of the policy, and what names opened.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Adopted {
    pub(super) marks: BTreeMap<String, u32>,
    pub(super) opened: BTreeMap<String, Vec<Opened>>,
}

pub(super) async fn read(nft: &Nft, layout: &Layout) -> Result<Adopted, Error> {
    let table = layout.table();
    let marks = nft
        .list(&["list", "map", "inet", &table, "generation"])
        .await?;
    let named = nft.list(&["list", "set", "inet", &table, "named"]).await?;
    Ok(parse(
        &marks.unwrap_or_default(),
        &named.unwrap_or_default(),
    ))
}

fn parse(marks: &Value, named: &Value) -> Adopted {
    let mut adopted = Adopted::default();
    for element in elements(marks, "map") {
        let mark = element[1]
            .as_u64()
            .and_then(|mark| u32::try_from(mark).ok());
        if let (Some(interface), Some(mark)) = (element[0].as_str(), mark) {
            adopted.marks.insert(interface.to_owned(), mark);
        }
    }
    for element in elements(named, "set") {
        if let Some((interface, opened)) = read_opened(&element["elem"]) {
            adopted.opened.entry(interface).or_default().push(opened);
        }
    }
    adopted
}

fn elements<'a>(list: &'a Value, kind: &str) -> impl Iterator<Item = &'a Value> {
    let objects = list["nftables"].as_array().into_iter().flatten();
    let kind = kind.to_owned();
    objects.flat_map(move |object| object[&kind]["elem"].as_array().into_iter().flatten())
}

fn read_opened(element: &Value) -> Option<(String, Opened)> {
    let parts = element["val"]["concat"].as_array()?;
    let [interface, address, protocol, ports] = parts.as_slice() else {
        return None;
    };
    let address: Ipv4Addr = address.as_str()?.parse().ok()?;
    let protocol = match protocol.as_str()? {
        "tcp" => EgressProtocol::Tcp,
        "udp" => EgressProtocol::Udp,
        _ => return None,
    };
    let port = |value: &Value| value.as_u64().and_then(|port| u16::try_from(port).ok());
    let ports = match ports["range"].as_array() {
        Some(range) => (port(range.first()?)?, port(range.get(1)?)?),
        None => (port(ports)?, port(ports)?),
    };
    let window = Window {
        addresses: (address, address),
        protocol,
        ports,
    };
    let lasts = Duration::from_secs(element["expires"].as_u64()?);
    Some((interface.as_str()?.to_owned(), Opened { window, lasts }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_nft_lists_is_read_back() {
        let marks = json!({"nftables": [{"metainfo": {}}, {"map": {"name": "generation", "elem": [["hxab12cd1", 65_541]]}}]});
        let element = |ports: Value| json!({"elem": {"val": {"concat": ["hxab12cd1", "1.2.3.4", "tcp", ports]}, "timeout": 90, "expires": 49}});
        let named = json!({"nftables": [{"metainfo": {}}, {"set": {"name": "named", "elem": [
            element(json!({"range": [80, 90]})), element(json!(443)), element(json!("odd")),
        ]}}]});
        let adopted = parse(&marks, &named);
        assert_eq!(adopted.marks["hxab12cd1"], 65_541);
        let opened = &adopted.opened["hxab12cd1"];
        let ports: Vec<_> = opened.iter().map(|one| one.window.ports).collect();
        assert_eq!(ports, [(80, 90), (443, 443)]);
        assert_eq!(opened[0].lasts, Duration::from_secs(49));
        assert_eq!(parse(&Value::Null, &Value::Null), Adopted::default());
    }
}
