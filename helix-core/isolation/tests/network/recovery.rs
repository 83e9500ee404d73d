//! A process that ends, another that goes on, and what is left at the end.

use std::sync::Arc;

use helix_base::TaskGroup;
use helix_isolation::{dns::NoNames, network::Live};
use helix_proto::sandbox::Egress;

use crate::world::{OTHER_SITE, SITE, Sandbox, echoes, list, on_a_host, open, options, printed};

fn live(sandbox: &Sandbox, egress: Egress) -> Live {
    Live {
        id: sandbox.id,
        index: sandbox.slot.index,
        egress,
        names: Arc::new(NoNames),
    }
}

#[test]
fn sandboxes_go_on_when_the_process_ends_and_the_next_one_takes_them_over() {
    on_a_host(async |world| {
        let policy = list(&[("203.0.113.5", &["80"], None)]);
        let sandbox = world.sandbox(policy.clone()).await;
        let stray = world.sandbox(Egress::Open).await;
        let mut stream = sandbox.connect(SITE, 80).await;
        world.tasks.cancel();
        drop(world.networks);
        assert!(echoes(&mut stream), "no process is needed");
        assert!(sandbox.call(OTHER_SITE, 80).await.is_err());

        let tasks = TaskGroup::new();
        let networks = open(&options(world.dir.path()), &tasks).await;
        assert!(echoes(&mut stream), "the table was made again around it");
        let slots = networks
            .recover(vec![live(&sandbox, policy)])
            .await
            .unwrap();
        assert_eq!(slots, std::slice::from_ref(&sandbox.slot));
        assert!(echoes(&mut stream));
        assert!(sandbox.call(SITE, 80).await.is_ok());
        assert!(sandbox.call(OTHER_SITE, 80).await.is_err());
        let links = printed("ip", &["-brief", "link"]);
        assert!(!links.contains(&stray.slot.interface), "{links}");
        networks
            .set_egress(&sandbox.slot, &Egress::None)
            .await
            .unwrap();
        assert!(!echoes(&mut stream), "the next process is in charge");
    });
}

#[test]
fn a_policy_that_changed_while_no_process_ran_holds_from_recovery_on() {
    on_a_host(async |world| {
        let sandbox = world.sandbox(Egress::Open).await;
        let mut stream = sandbox.connect(OTHER_SITE, 80).await;
        world.tasks.cancel();
        drop(world.networks);
        let tasks = TaskGroup::new();
        let networks = open(&options(world.dir.path()), &tasks).await;
        let policy = list(&[("203.0.113.5", &["80"], None)]);
        networks
            .recover(vec![live(&sandbox, policy)])
            .await
            .unwrap();
        assert!(!echoes(&mut stream));
        assert!(sandbox.call(SITE, 80).await.is_ok());
    });
}

#[test]
fn nothing_is_left_of_a_sandbox_that_was_released_nor_of_the_network_when_it_is_closed() {
    on_a_host(async |world| {
        let before = printed("nft", &["list", "ruleset"]);
        let mut slots = Vec::new();
        for policy in [
            Egress::Open,
            Egress::None,
            list(&[("203.0.113.5", &["80"], None)]),
        ] {
            let sandbox = world.sandbox(policy).await;
            let _ = sandbox.call(SITE, 80).await;
            slots.push(sandbox.slot.clone());
            // Its processes end first, and its interface with them.
        }
        assert!(
            world.networks.close().await.is_err(),
            "sandboxes are joined"
        );
        for slot in &slots {
            world.networks.release(slot).await.unwrap();
            world.networks.release(slot).await.unwrap();
        }
        let after = printed("nft", &["list", "ruleset"]);
        let sets = |text: &str| {
            let lines = text.lines().filter(|line| line.contains("elements"));
            lines.filter(|line| !line.contains("ct count")).count()
        };
        assert_eq!(sets(&before), sets(&after), "{after}");
        let links = printed("ip", &["-brief", "link"]);
        assert!(!links.contains("hx"), "{links}");
        let known = printed("cat", &["/proc/net/nf_conntrack"]);
        assert!(!known.contains("10.213."), "{known}");
        world.networks.close().await.unwrap();
        assert_eq!(printed("nft", &["list", "tables"]), "");
    });
}

#[test]
fn an_address_is_given_again_late_and_a_slot_only_once() {
    on_a_host(async |world| {
        let first = world.sandbox(Egress::Open).await;
        world.networks.release(&first.slot).await.unwrap();
        let second = world.sandbox(Egress::Open).await;
        assert_ne!(first.slot.address, second.slot.address);
        assert_eq!(world.networks.take(second.id, None).unwrap(), second.slot);
        let taken = world.networks.take(first.id, Some(second.slot.index));
        assert!(taken.is_err());
    });
}

#[test]
fn a_process_that_is_gone_cannot_be_joined_and_leaves_nothing() {
    on_a_host(async |world| {
        let gone = world.sandbox(Egress::Open).await;
        let pid = gone.namespace.pid();
        world.networks.release(&gone.slot).await.unwrap();
        drop(gone.namespace);
        let slot = world.networks.take(gone.id, None).unwrap();
        let early = world.networks.attach(&slot, pid, Arc::new(NoNames)).await;
        assert!(early.is_err(), "no policy yet");
        world
            .networks
            .set_egress(&slot, &Egress::Open)
            .await
            .unwrap();
        assert!(
            world
                .networks
                .attach(&slot, pid, Arc::new(NoNames))
                .await
                .is_err()
        );
        world.networks.release(&slot).await.unwrap();
        let links = printed("ip", &["-brief", "link"]);
        assert!(!links.contains("hx"), "{links}");
    });
}

#[test]
fn sandboxes_reach_out_on_a_host_whose_docker_drops_what_it_does_not_know() {
    on_a_host(async |world| {
        let rules = [
            "-N DOCKER-USER",
            "-A DOCKER-USER -j RETURN",
            "-P FORWARD DROP",
            "-A FORWARD -j DOCKER-USER",
        ];
        for rule in rules {
            printed("iptables", &rule.split(' ').collect::<Vec<_>>());
        }
        if !printed("iptables", &["-S"]).contains("DOCKER-USER") {
            println!("skipped: there is no iptables");
            return;
        }
        let sandbox = world.sandbox(Egress::Open).await;
        assert!(sandbox.call(SITE, 80).await.is_err(), "Docker drops it");
        let tasks = TaskGroup::new();
        let networks = open(&options(world.dir.path()), &tasks).await;
        assert!(sandbox.call(SITE, 80).await.is_ok());
        networks.close().await.unwrap();
        assert!(!printed("iptables", &["-S", "DOCKER-USER"]).contains("hx"));
    });
}

#[test]
fn daemons_on_one_host_have_networks_that_do_not_overlap_and_keep_them() {
    on_a_host(async |world| {
        let mut others = Vec::new();
        for number in 0..4 {
            let dir = world.dir.path().join(number.to_string());
            others.push((TaskGroup::new(), options(&dir)));
        }
        let opened = others.iter().map(|(tasks, options)| open(options, tasks));
        let opened = futures_util::future::join_all(opened).await;
        let mut subnets: Vec<_> = opened.iter().map(|networks| networks.subnet()).collect();
        subnets.push(world.networks.subnet());
        let (tasks, options) = &others[0];
        assert_eq!(
            open(options, tasks).await.subnet(),
            subnets[0],
            "the same again"
        );
        subnets.sort_unstable();
        subnets.dedup();
        assert_eq!(subnets.len(), 5);
        for networks in &opened {
            networks.close().await.unwrap();
        }
        world.networks.close().await.unwrap();
        assert!(!printed("ip", &["route"]).contains("unreachable"));
    });
}
