//! What no policy lets through.

use std::{io::Write as _, net::UdpSocket, process::Command, time::Duration};

use helix_proto::sandbox::Egress;

use crate::world::{
    HOST, METADATA, OTHER_SITE, SITE, Sandbox, call, datagram, dial, greet, ip, list, on_a_host,
};

/// Whether a call is not answered, over TCP and UDP.
async fn is_closed(sandbox: &Sandbox, to: std::net::Ipv4Addr, port: u16) -> bool {
    let udp = sandbox.namespace.run(move || datagram(to, port)).await;
    sandbox.call(to, port).await.is_err() && udp.is_err()
}

#[test]
fn another_sandbox_is_never_reached() {
    on_a_host(async |world| {
        let policies = [Egress::Open, list(&[("0.0.0.0/0", &[], None)])];
        let other = world.sandbox(Egress::Open).await;
        other.namespace.run(|| greet(7000)).await;
        let address = other.slot.address;
        let within = other.namespace.run(move || call(address, 7000)).await;
        assert!(within.is_ok(), "it listens");
        for policy in policies {
            let sandbox = world.sandbox(policy).await;
            assert!(is_closed(&sandbox, address, 7000).await);
            assert!(sandbox.call(SITE, 80).await.is_ok());
        }
    });
}

#[test]
fn the_hosts_own_services_are_never_reached_at_any_of_its_addresses() {
    on_a_host(async |world| {
        ip(&["address", "add", "192.168.77.1/24", "dev", "wan0"]);
        let sandbox = world.sandbox(Egress::Open).await;
        greet(7001);
        let gateway = sandbox.slot.gateway;
        let private = [192, 168, 77, 1].into();
        for address in [HOST, gateway, private] {
            let near = tokio::task::spawn_blocking(move || call(address, 7001))
                .await
                .unwrap();
            assert!(near.is_ok(), "it listens on {address}");
            assert!(is_closed(&sandbox, address, 7001).await, "{address}");
        }
        // Not even what would be the host's loopback, by a route of the sandbox's own.
        let route = vec!["route", "add", "local", "127.0.0.1", "dev", "lo"];
        sandbox
            .namespace
            .run(move || drop(Command::new("ip").args(route).output()))
            .await;
        assert!(is_closed(&sandbox, [127, 0, 0, 1].into(), 7001).await);
    });
}

#[test]
fn a_service_of_the_host_that_is_offered_is_reached_where_the_policy_allows() {
    on_a_host(async |world| {
        let open = world.sandbox(Egress::Open).await;
        greet(9443);
        assert!(open.call(HOST, 9443).await.is_ok());
        assert!(open.call(open.slot.gateway, 9443).await.is_err());
        let none = world.sandbox(Egress::None).await;
        assert!(none.call(HOST, 9443).await.is_err());
        let rule = list(&[("198.51.100.1", &["9443"], None)]);
        let listed = world.sandbox(rule).await;
        assert!(listed.call(HOST, 9443).await.is_ok());
    });
}

#[test]
fn cloud_metadata_is_never_reached() {
    on_a_host(async |world| {
        ip(&["route", "add", "169.254.169.254", "via", "198.51.100.2"]);
        let near = tokio::task::spawn_blocking(|| call(METADATA, 80))
            .await
            .unwrap();
        assert!(near.is_ok(), "the host reaches it");
        for policy in [Egress::Open, list(&[("169.254.169.254", &[], None)])] {
            let sandbox = world.sandbox(policy).await;
            assert!(is_closed(&sandbox, METADATA, 80).await);
        }
    });
}

#[test]
fn networks_behind_the_hosts_own_bridges_are_never_reached() {
    on_a_host(async |world| {
        let container = crate::world::Namespace::new().await;
        let pid = container.pid().to_string();
        ip(&[
            "link", "add", "docker0", "type", "veth", "peer", "name", "eth0", "netns", &pid,
        ]);
        ip(&["address", "add", "172.17.0.1/16", "dev", "docker0"]);
        ip(&["link", "set", "docker0", "up"]);
        container
            .run(|| {
                ip(&["address", "add", "172.17.0.2/16", "dev", "eth0"]);
                ip(&["link", "set", "eth0", "up"]);
                ip(&["route", "add", "default", "via", "172.17.0.1"]);
                greet(80);
            })
            .await;
        let address = [172, 17, 0, 2].into();
        let near = tokio::task::spawn_blocking(move || call(address, 80))
            .await
            .unwrap();
        assert!(near.is_ok(), "the host reaches it");
        let sandbox = world.sandbox(Egress::Open).await;
        assert!(is_closed(&sandbox, address, 80).await);
    });
}

#[test]
fn packets_from_an_address_that_is_not_its_own_go_nowhere() {
    on_a_host(async |world| {
        let victim = world.sandbox(Egress::Open).await;
        let sandbox = world.sandbox(Egress::Open).await;
        let receiver = world
            .internet
            .run(|| {
                let socket = UdpSocket::bind("0.0.0.0:7002").unwrap();
                socket
                    .set_read_timeout(Some(Duration::from_secs(2)))
                    .unwrap();
                socket
            })
            .await;
        let send = |from: String| {
            sandbox.namespace.run(move || {
                ip(&["address", "add", &format!("{from}/32"), "dev", "eth0"]);
                let socket = UdpSocket::bind((from.as_str(), 0)).unwrap();
                let _ = socket.send_to(b"spoofed", (SITE, 7002));
            })
        };
        send(victim.slot.address.to_string()).await;
        send("198.51.100.77".to_owned()).await;
        let own = sandbox.slot.address;
        sandbox
            .namespace
            .run(move || {
                let socket = UdpSocket::bind((own, 0)).unwrap();
                socket.send_to(b"honest", (SITE, 7002)).unwrap();
            })
            .await;
        let mut bytes = [0; 16];
        let (length, _) = receiver.recv_from(&mut bytes).unwrap();
        assert_eq!(&bytes[..length], b"honest");
        assert!(receiver.recv_from(&mut bytes).is_err(), "nothing else came");
    });
}

#[test]
fn ipv6_is_closed() {
    on_a_host(async |world| {
        let sandbox = world.sandbox(Egress::Open).await;
        let interface = sandbox.slot.interface.clone();
        ip(&[
            "-6",
            "address",
            "add",
            "fd00:77::1/64",
            "dev",
            &interface,
            "nodad",
        ]);
        let listener = std::net::TcpListener::bind("[fd00:77::1]:7003").unwrap();
        let near = std::net::TcpStream::connect("[fd00:77::1]:7003");
        assert!(near.is_ok(), "it listens");
        let tried = sandbox
            .namespace
            .run(|| {
                ip(&[
                    "-6",
                    "address",
                    "add",
                    "fd00:77::2/64",
                    "dev",
                    "eth0",
                    "nodad",
                ]);
                let to = "[fd00:77::1]:7003".parse().unwrap();
                std::net::TcpStream::connect_timeout(&to, Duration::from_secs(2))
            })
            .await;
        assert!(tried.is_err());
        drop(listener);
    });
}

#[test]
fn nobody_opens_a_connection_to_a_sandbox() {
    on_a_host(async |world| {
        let sandbox = world.sandbox(Egress::Open).await;
        sandbox.namespace.run(|| greet(7004)).await;
        let address = sandbox.slot.address;
        let from_host = tokio::task::spawn_blocking(move || dial(address, 7004))
            .await
            .unwrap();
        assert!(from_host.is_err());
        let from_internet = world
            .internet
            .run(move || {
                ip(&[
                    "route",
                    "add",
                    &format!("{address}/32"),
                    "via",
                    "198.51.100.1",
                ]);
                (
                    dial(address, 7004).is_err(),
                    datagram(address, 7004).is_err(),
                )
            })
            .await;
        assert_eq!(from_internet, (true, true));
    });
}

#[test]
fn an_answer_to_a_connection_that_nobody_made_is_dropped() {
    on_a_host(async |world| {
        let sandbox = world.sandbox(list(&[("203.0.113.5", &["80"], None)])).await;
        let mut stream = sandbox.connect(SITE, 80).await;
        stream.write_all(b"x").unwrap();
        // Another side cannot speak in its place: it is another connection.
        assert!(sandbox.call(OTHER_SITE, 80).await.is_err());
    });
}
