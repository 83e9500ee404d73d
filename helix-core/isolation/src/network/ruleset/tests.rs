use helix_proto::sandbox::{Egress, EgressRule};

use super::*;

fn layout() -> Layout {
    Layout {
        tag: "ab12cd".to_owned(),
        subnet: "10.213.0.0/16".parse().unwrap(),
        services: vec!["192.0.2.2:8080".parse().unwrap()],
        refused: vec!["192.0.2.128/25".parse().unwrap()],
        refused_interfaces: vec!["docker0".to_owned(), "br-*".to_owned()],
    }
}

fn entry(egress: &Egress) -> Entry {
    Entry {
        interface: "hxab12cd7".to_owned(),
        address: Ipv4Addr::new(10, 213, 0, 30),
        gateway: Ipv4Addr::new(10, 213, 0, 29),
        policy: Policy::parse(egress).unwrap(),
        owner: 0x1234,
    }
}

fn some_rules() -> Egress {
    let rule = |to: &str, ports: &[&str]| EgressRule {
        to: to.to_owned(),
        ports: ports.iter().map(|port| (*port).to_owned()).collect(),
        protocol: None,
    };
    Egress::AllowList {
        rules: vec![
            rule("198.51.100.0/24", &["80", "443"]),
            rule("198.51.100.7", &["8000-8999"]),
            rule("*.example.com", &["443"]),
        ],
    }
}

#[test]
fn the_table() {
    insta::assert_snapshot!(layout().make());
}

#[test]
fn a_sandbox_with_an_allow_list_comes_and_goes() {
    let entry = entry(&some_rules());
    insta::assert_snapshot!(layout().add(&entry) + "---\n" + &layout().remove_entry(&entry));
}

#[test]
fn an_open_sandbox_comes() {
    insta::assert_snapshot!(layout().add(&entry(&Egress::Open)));
}

#[test]
fn addresses_of_names_open_and_close() {
    let window = Window {
        addresses: (Ipv4Addr::new(203, 0, 113, 9), Ipv4Addr::new(203, 0, 113, 9)),
        protocol: EgressProtocol::Tcp,
        ports: (443, 443),
    };
    let opened = Opened {
        window,
        lasts: Duration::from_millis(90_500),
    };
    let layout = layout();
    insta::assert_snapshot!(
        layout.open("hxab12cd7", &[opened]) + "---\n" + &layout.close("hxab12cd7", &[window])
    );
    assert_eq!(layout.open("hxab12cd7", &[]), "");
    assert_eq!(layout.close("hxab12cd7", &[]), "");
}

#[test]
fn the_sandboxes_own_network_and_link_local_addresses_are_always_refused() {
    let refused = layout().refused();
    for address in ["127.0.0.1", "169.254.169.254", "10.213.9.9", "192.0.2.200"] {
        let address: Ipv4Addr = address.parse().unwrap();
        assert!(
            refused.iter().any(|network| network.contains(&address)),
            "{address}"
        );
    }
    let address: Ipv4Addr = "192.0.2.2".parse().unwrap();
    assert!(!refused.iter().any(|network| network.contains(&address)));
}

#[test]
fn the_mark_changes_with_the_policy_and_keeps_the_owner() {
    let (open, list) = (entry(&Egress::Open).mark(), entry(&some_rules()).mark());
    assert_ne!(open, list);
    assert_eq!((open >> 16, list >> 16), (0x1234, 0x1234));
}
