//! Names: what is answered, and what an answer opens.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use async_trait::async_trait;
use helix_base::TaskGroup;
use helix_isolation::{
    dns::{LocalNames, NoNames},
    network::Live,
};
use helix_proto::sandbox::Egress;
use hickory_proto::{
    op::{Message, Query, ResponseCode},
    rr::{Name, RecordType},
};

use crate::{
    answers::Scripted,
    world::{
        HOST, METADATA, OTHER_SITE, RESOLVER, SITE, dial, echoes, eventually, list, on_a_host,
        open, options,
    },
};

const OK: ResponseCode = ResponseCode::NoError;
const REFUSED: ResponseCode = ResponseCode::Refused;

#[test]
fn an_allow_listed_name_opens_its_addresses_for_its_ports_only() {
    on_a_host(async |world| {
        let resolver = Scripted::start();
        resolver.set("site.example", 60, &[SITE]);
        let sandbox = world
            .sandbox(list(&[("site.example", &["80"], None)]))
            .await;
        assert!(
            sandbox.call(SITE, 80).await.is_err(),
            "nobody asked for the name yet"
        );
        assert_eq!(sandbox.resolve("Site.Example.").await, (OK, vec![SITE]));
        assert!(sandbox.call(SITE, 80).await.is_ok());
        assert!(sandbox.call(SITE, 443).await.is_err());
        assert!(sandbox.call(OTHER_SITE, 80).await.is_err());
        let other = world.sandbox(list(&[("other.example", &[], None)])).await;
        assert!(
            other.call(SITE, 80).await.is_err(),
            "it is open for one sandbox"
        );
    });
}

#[test]
fn a_wildcard_opens_the_names_below_it_and_other_names_are_refused_unasked() {
    on_a_host(async |world| {
        let resolver = Scripted::start();
        resolver.set("a.b.site.example", 60, &[SITE]);
        resolver.set("site.example", 60, &[OTHER_SITE]);
        let sandbox = world
            .sandbox(list(&[("*.site.example", &["443"], None)]))
            .await;
        assert_eq!(sandbox.resolve("a.b.site.example.").await, (OK, vec![SITE]));
        assert!(sandbox.call(SITE, 443).await.is_ok());
        for name in [
            "site.example.",
            "evilsite.example.",
            "data.of.mine.evil.test.",
        ] {
            assert_eq!(sandbox.resolve(name).await, (REFUSED, vec![]), "{name}");
        }
        assert_eq!(resolver.asked(), ["a.b.site.example"]);
        assert!(sandbox.call(OTHER_SITE, 443).await.is_err());
    });
}

#[test]
fn when_a_names_lifetime_is_over_new_connections_are_refused_and_those_that_exist_go_on() {
    on_a_host(async |world| {
        let resolver = Scripted::start();
        resolver.set("site.example", 1, &[SITE]);
        let sandbox = world
            .sandbox(list(&[("site.example", &["80"], None)]))
            .await;
        sandbox.resolve("site.example.").await;
        let mut stream = sandbox.connect(SITE, 80).await;
        eventually("the address closes", async || {
            sandbox.call(SITE, 80).await.is_err()
        })
        .await;
        assert!(echoes(&mut stream));
        sandbox.resolve("site.example.").await;
        assert!(
            sandbox.call(SITE, 80).await.is_ok(),
            "asking again opens again"
        );
    });
}

#[test]
fn a_name_that_answers_with_addresses_that_are_always_refused_opens_none_of_them() {
    on_a_host(async |world| {
        let resolver = Scripted::start();
        let victim = world.sandbox(Egress::Open).await;
        victim.namespace.run(|| crate::world::greet(80)).await;
        crate::world::greet(80);
        let sandbox = world
            .sandbox(list(&[("*.evil.example", &["80"], None)]))
            .await;
        let bad = [
            ("host", HOST),
            ("gateway", sandbox.slot.gateway),
            ("neighbour", victim.slot.address),
            ("loopback", Ipv4Addr::LOCALHOST),
            ("metadata", METADATA),
        ];
        for (name, address) in bad {
            let name = format!("{name}.evil.example.");
            resolver.set(name.trim_end_matches('.'), 60, &[address]);
            assert_eq!(sandbox.resolve(&name).await, (OK, vec![]), "{name}");
            assert!(sandbox.call(address, 80).await.is_err(), "{name}");
        }
        let all: Vec<_> = bad
            .iter()
            .map(|(_, address)| *address)
            .chain([SITE])
            .collect();
        resolver.set("mixed.evil.example", 60, &all);
        assert_eq!(
            sandbox.resolve("mixed.evil.example.").await,
            (OK, vec![SITE])
        );
        assert!(sandbox.call(SITE, 80).await.is_ok());
    });
}

#[test]
fn without_egress_no_question_leaves_the_sandbox() {
    on_a_host(async |world| {
        let resolver = Scripted::start();
        resolver.set("site.example", 60, &[SITE]);
        let sandbox = world.sandbox(Egress::None).await;
        for kind in [
            RecordType::A,
            RecordType::TXT,
            RecordType::MX,
            RecordType::HTTPS,
        ] {
            let answer = sandbox.ask("c2VjcmV0.site.example.", kind).await;
            assert_eq!(answer.metadata.response_code, REFUSED, "{kind}");
        }
        let six = sandbox
            .ask("c2VjcmV0.site.example.", RecordType::AAAA)
            .await;
        assert_eq!((six.metadata.response_code, six.answers.len()), (OK, 0));
        assert_eq!(resolver.asked(), Vec::<String>::new());
        // Nor straight to the host's own resolver, nor to one on the internet.
        assert!(sandbox.call(RESOLVER, 53).await.is_err());
        assert!(sandbox.call(SITE, 53).await.is_err());
    });
}

#[test]
fn a_new_policy_holds_for_names_too_and_closes_what_only_the_old_one_opened() {
    on_a_host(async |world| {
        let resolver = Scripted::start();
        resolver.set("site.example", 60, &[SITE]);
        resolver.set("other.example", 60, &[OTHER_SITE]);
        let both = list(&[("site.example", &[], None), ("other.example", &[], None)]);
        let sandbox = world.sandbox(both).await;
        sandbox.resolve("site.example.").await;
        sandbox.resolve("other.example.").await;
        let mut kept = sandbox.connect(SITE, 80).await;
        let mut cut = sandbox.connect(OTHER_SITE, 80).await;
        let one = list(&[("site.example", &["80"], None)]);
        world
            .networks
            .set_egress(&sandbox.slot, &one)
            .await
            .unwrap();
        assert!(echoes(&mut kept) && !echoes(&mut cut));
        assert_eq!(sandbox.resolve("other.example.").await, (REFUSED, vec![]));
        assert!(sandbox.call(SITE, 443).await.is_err());
    });
}

#[test]
fn what_a_name_opened_stays_open_when_another_process_takes_over() {
    on_a_host(async |world| {
        let resolver = Scripted::start();
        resolver.set("site.example", 600, &[SITE]);
        let policy = list(&[("site.example", &["80"], None)]);
        let sandbox = world.sandbox(policy.clone()).await;
        sandbox.resolve("site.example.").await;
        world
            .tasks
            .shutdown(std::time::Duration::from_secs(3))
            .await;
        drop(world.networks);
        let tasks = TaskGroup::new();
        let networks = open(&options(world.dir.path()), &tasks).await;
        let live = Live {
            id: sandbox.id,
            index: sandbox.slot.index,
            egress: policy,
            names: Arc::new(NoNames),
        };
        networks.recover(vec![live]).await.unwrap();
        assert!(sandbox.call(SITE, 80).await.is_ok());
        assert_eq!(sandbox.resolve("site.example.").await, (OK, vec![SITE]));
    });
}

#[derive(Debug)]
struct Containers;

#[async_trait]
impl LocalNames for Containers {
    async fn lookup(&self, name: &str) -> Vec<IpAddr> {
        match name {
            "web" => vec![[172, 17, 0, 2].into()],
            "stuck" => std::future::pending().await,
            _ => Vec::new(),
        }
    }
}

#[test]
fn a_sandboxs_own_names_come_first_and_open_nothing() {
    on_a_host(async |world| {
        let resolver = Scripted::start();
        resolver.set("web", 60, &[OTHER_SITE]);
        resolver.set("stuck", 60, &[SITE]);
        let sandbox = world.sandbox_with(Egress::None, Arc::new(Containers)).await;
        let own = vec![Ipv4Addr::new(172, 17, 0, 2)];
        assert_eq!(sandbox.resolve("web.").await, (OK, own));
        assert_eq!(sandbox.resolve("stuck.").await, (REFUSED, vec![]));
        let open = world.sandbox_with(Egress::Open, Arc::new(Containers)).await;
        assert_eq!(
            open.resolve("stuck.").await,
            (OK, vec![SITE]),
            "a guest that hangs is passed over"
        );
    });
}

#[test]
fn when_the_hosts_resolver_changes_the_next_question_goes_to_the_new_one() {
    on_a_host(async |world| {
        let resolver = Scripted::start();
        resolver.set("site.example", 60, &[SITE]);
        let sandbox = world.sandbox(Egress::Open).await;
        assert_eq!(sandbox.resolve("site.example.").await, (OK, vec![SITE]));
        std::fs::write(
            world.resolv_conf(),
            "nameserver 127.0.0.99\noptions timeout:1 attempts:1\n",
        )
        .unwrap();
        assert_eq!(
            sandbox.resolve("site.example.").await,
            (ResponseCode::ServFail, vec![])
        );
        std::fs::write(
            world.resolv_conf(),
            format!("nameserver {RESOLVER}\nsearch example\n"),
        )
        .unwrap();
        assert_eq!(sandbox.resolve("site.").await, (OK, vec![SITE]));
    });
}

/// dnsmasq, as the host's resolver.
struct Dnsmasq(Child);

impl Dnsmasq {
    fn start(arguments: &[&str]) -> Option<Self> {
        let listen = format!("--listen-address={RESOLVER}");
        let mut command = Command::new("dnsmasq");
        command
            .args([
                "--keep-in-foreground",
                "--conf-file=/dev/null",
                "--no-resolv",
                "--no-hosts",
            ])
            .args([
                "--bind-interfaces",
                "--user=root",
                "--pid-file=",
                "--log-facility=/dev/null",
            ])
            .arg(listen)
            .args(arguments)
            .stdin(Stdio::null());
        command.spawn().ok().map(Self)
    }
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_private_top_level_domain_of_the_hosts_dnsmasq_works_with_its_search_domains() {
    on_a_host(async |world| {
        let Some(_dnsmasq) = Dnsmasq::start(&[
            "--local=/test/",
            "--host-record=intranet.corp.test,203.0.113.5",
            "--cname=wiki.corp.test,intranet.corp.test",
            "--txt-record=notes.corp.test,hello",
        ]) else {
            println!("skipped: dnsmasq is not installed");
            return;
        };
        let open = world.sandbox(Egress::Open).await;
        eventually("dnsmasq answers", async || {
            open.resolve("intranet.corp.test.").await.0 == OK
        })
        .await;
        assert_eq!(open.resolve("intranet.").await, (OK, vec![SITE]));
        assert_eq!(open.resolve("wiki.").await, (OK, vec![SITE]));
        assert_eq!(
            open.resolve("nothing.corp.test.").await.0,
            ResponseCode::NXDomain
        );
        let text = open.ask("notes.corp.test.", RecordType::TXT).await;
        assert_eq!(text.answers.len(), 1);
        let listed = world
            .sandbox(list(&[("wiki.corp.test", &["80"], None)]))
            .await;
        assert_eq!(listed.resolve("intranet.").await, (REFUSED, vec![]));
        assert_eq!(listed.resolve("wiki.").await, (OK, vec![SITE]));
        assert!(listed.call(SITE, 80).await.is_ok());
        assert_eq!(world.networks.search_domains().await, ["corp.test"]);
    });
}

#[test]
fn an_answer_too_large_for_a_packet_is_cut_and_whole_over_tcp() {
    on_a_host(async |world| {
        let resolver = Scripted::start();
        let many: Vec<_> = (1..=60)
            .map(|last| Ipv4Addr::new(203, 0, 113, last))
            .collect();
        resolver.set("many.example", 60, &many);
        let sandbox = world.sandbox(Egress::Open).await;
        let cut = sandbox.ask("many.example.", RecordType::A).await;
        assert!(cut.metadata.truncation && cut.answers.len() < 60, "{cut}");
        let gateway = sandbox.slot.gateway;
        let whole = sandbox
            .namespace
            .run(move || {
                let mut message = Message::query();
                let name = Name::from_ascii("many.example.").unwrap();
                message.add_query(Query::query(name, RecordType::A));
                let bytes = message.to_vec().unwrap();
                let mut stream = dial(gateway, 53).unwrap();
                stream
                    .write_all(&u16::try_from(bytes.len()).unwrap().to_be_bytes())
                    .unwrap();
                stream.write_all(&bytes).unwrap();
                let mut length = [0; 2];
                stream.read_exact(&mut length).unwrap();
                let mut answer = vec![0; u16::from_be_bytes(length).into()];
                stream.read_exact(&mut answer).unwrap();
                Message::from_vec(&answer).unwrap()
            })
            .await;
        assert_eq!(whole.answers.len(), 60);
    });
}
