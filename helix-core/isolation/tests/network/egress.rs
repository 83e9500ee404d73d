//! What each policy lets through.

use std::io::ErrorKind;

use helix_proto::sandbox::{Egress, EgressProtocol::Tcp};

use crate::world::{HOST, OTHER_SITE, SITE, call, datagram, echoes, list, on_a_host};

#[test]
fn an_open_sandbox_reaches_the_internet_from_the_hosts_address_and_is_counted() {
    on_a_host(async |world| {
        let sandbox = world.sandbox(Egress::Open).await;
        assert_eq!(sandbox.call(SITE, 80).await.unwrap(), HOST.to_string());
        let udp = sandbox.namespace.run(|| datagram(OTHER_SITE, 443)).await;
        assert_eq!(udp.unwrap(), HOST.to_string());
        let (sent, received) = world.networks.counters(&sandbox.slot).await.unwrap();
        assert!(sent > 100 && received > 100, "{sent} {received}");
    });
}

#[test]
fn a_sandbox_without_egress_reaches_nothing_and_learns_so_at_once() {
    on_a_host(async |world| {
        let sandbox = world.sandbox(Egress::None).await;
        let refused = sandbox.call(SITE, 80).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let udp = sandbox.namespace.run(|| datagram(SITE, 80)).await;
        assert!(udp.is_err());
        // The host itself reaches it.
        assert!(
            tokio::task::spawn_blocking(|| call(SITE, 80))
                .await
                .unwrap()
                .is_ok()
        );
    });
}

#[test]
fn an_allow_list_of_networks_and_ports_lets_through_those_and_no_others() {
    on_a_host(async |world| {
        let rules = list(&[
            ("203.0.113.4/30", &["80", "400-500"], Some(Tcp)),
            ("203.0.113.0/24", &["8080"], None),
        ]);
        let sandbox = world.sandbox(rules).await;
        for (address, port) in [(SITE, 80), (SITE, 443), (SITE, 8080), (OTHER_SITE, 8080)] {
            assert!(
                sandbox.call(address, port).await.is_ok(),
                "{address}:{port}"
            );
        }
        for (address, port) in [(OTHER_SITE, 80), (OTHER_SITE, 443)] {
            assert!(
                sandbox.call(address, port).await.is_err(),
                "{address}:{port}"
            );
        }
        let udp = |port| sandbox.namespace.run(move || datagram(SITE, port));
        assert!(udp(8080).await.is_ok());
        assert!(udp(80).await.is_err());
    });
}

#[test]
fn a_change_of_policy_cuts_the_connections_that_it_no_longer_allows_and_no_others() {
    on_a_host(async |world| {
        let sandbox = world.sandbox(Egress::Open).await;
        let mut kept = sandbox.connect(SITE, 80).await;
        let mut cut = sandbox.connect(OTHER_SITE, 80).await;
        assert!(echoes(&mut kept) && echoes(&mut cut));
        let rules = list(&[("203.0.113.5", &["80"], None)]);
        world
            .networks
            .set_egress(&sandbox.slot, &rules)
            .await
            .unwrap();
        assert!(echoes(&mut kept), "still allowed");
        assert!(!echoes(&mut cut), "no longer allowed");
        world
            .networks
            .set_egress(&sandbox.slot, &Egress::None)
            .await
            .unwrap();
        assert!(!echoes(&mut kept));
        world
            .networks
            .set_egress(&sandbox.slot, &Egress::Open)
            .await
            .unwrap();
        assert!(sandbox.call(OTHER_SITE, 80).await.is_ok());
    });
}

#[test]
fn a_policy_that_cannot_be_kept_changes_nothing() {
    on_a_host(async |world| {
        let sandbox = world.sandbox(Egress::Open).await;
        let rules = list(&[("203.0.113.5", &["http"], None)]);
        let error = world
            .networks
            .set_egress(&sandbox.slot, &rules)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("rule 1"), "{error}");
        assert!(sandbox.call(SITE, 80).await.is_ok());
    });
}

#[test]
fn many_policies_at_once_each_take_effect() {
    on_a_host(async |world| {
        let (open, none) = (
            world.sandbox(Egress::Open).await,
            world.sandbox(Egress::None).await,
        );
        let rules = list(&[("203.0.113.5", &["80"], None)]);
        let (first, second) = tokio::join!(
            world.networks.set_egress(&open.slot, &rules),
            world.networks.set_egress(&none.slot, &rules),
        );
        first.unwrap();
        second.unwrap();
        for sandbox in [&open, &none] {
            assert!(sandbox.call(SITE, 80).await.is_ok());
            assert!(sandbox.call(SITE, 443).await.is_err());
        }
    });
}
