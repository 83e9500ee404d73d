use helix_proto::sandbox::EgressProtocol::{Tcp, Udp};
use proptest::prelude::*;

use super::*;

fn rule(to: &str, ports: &[&str], protocol: Option<EgressProtocol>) -> EgressRule {
    EgressRule {
        to: to.to_owned(),
        ports: ports.iter().map(|port| (*port).to_owned()).collect(),
        protocol,
    }
}

fn policy(rules: Vec<EgressRule>) -> Policy {
    Policy::parse(&Egress::AllowList { rules }).unwrap()
}

fn refusal(rule: EgressRule) -> String {
    Policy::parse(&Egress::AllowList { rules: vec![rule] })
        .unwrap_err()
        .to_string()
}

#[test]
fn a_name_is_matched_whole_and_without_regard_to_case_or_a_final_dot() {
    let policy = policy(vec![rule("Example.com", &["443"], Some(Tcp))]);
    for name in ["example.com", "EXAMPLE.COM.", "example.com."] {
        let ports = policy.at_name(name).unwrap();
        assert!(ports.contains(Tcp, 443), "{name}");
        assert!(!ports.contains(Udp, 443) && !ports.contains(Tcp, 80));
    }
    for name in [
        "www.example.com",
        "notexample.com",
        "example.com.evil",
        "com",
        "",
    ] {
        assert_eq!(policy.at_name(name), None, "{name}");
    }
}

#[test]
fn a_wildcard_matches_all_names_below_and_not_the_name_itself() {
    let policy = policy(vec![rule("*.example.com", &[], None)]);
    for name in ["a.example.com", "a.b.example.com."] {
        assert!(policy.at_name(name).unwrap().contains(Udp, 53), "{name}");
    }
    for name in [
        "example.com",
        ".example.com",
        "evilexample.com",
        "a.example.com.x",
    ] {
        assert_eq!(policy.at_name(name), None, "{name}");
    }
}

#[test]
fn several_rules_for_a_name_add_up() {
    let policy = policy(vec![
        rule("a.example.com", &["80", "443"], Some(Tcp)),
        rule("*.example.com", &["8000-8999"], None),
    ]);
    let ports = policy.at_name("a.example.com").unwrap();
    assert!(ports.contains(Tcp, 443) && ports.contains(Udp, 8500));
    assert!(!ports.contains(Udp, 443));
}

#[test]
fn open_and_none_need_no_rules() {
    let somewhere = Ipv4Addr::new(192, 0, 2, 1);
    let open = Policy::parse(&Egress::Open).unwrap();
    let none = Policy::parse(&Egress::None).unwrap();
    assert!(open.at_address(somewhere, Tcp, 1) && open.at_name("any").is_some());
    assert!(!none.at_address(somewhere, Tcp, 1) && none.at_name("any").is_none());
}

#[test]
fn a_rule_that_cannot_be_kept_is_named() {
    let cases = [
        (rule("::1", &[], None), "IPv6"),
        (rule("2001:db8::/32", &[], None), "IPv6"),
        (rule("10.0.0.0/33", &[], None), "not a network"),
        (rule("*", &[], None), "not a name"),
        (rule("*.", &[], None), "not a name"),
        (rule("a.*.com", &[], None), "not a name"),
        (rule("", &[], None), "not a name"),
        (rule("exa mple.com", &[], None), "neither a name"),
        (rule("a..b", &[], None), "neither a name"),
        (rule("https://example.com", &[], None), "IPv6"),
        (rule("1.2.3", &[], None), "nor an IPv4 address"),
        (rule("bücher.example", &[], None), "xn--"),
        (rule("a.b", &["0"], None), "not a port"),
        (rule("a.b", &["65536"], None), "not a port"),
        (rule("a.b", &["+80"], None), "not a port"),
        (rule("a.b", &["90-80"], None), "not a port"),
        (rule("a.b", &["http"], None), "not a port"),
        (rule("a.b", &["1"; 17], None), "at most 16"),
    ];
    for (bad, expected) in cases {
        let said = refusal(bad.clone());
        assert!(said.starts_with("rule 1 "), "{bad:?}: {said}");
        assert!(said.contains(expected), "{bad:?}: {said}");
    }
}

#[test]
fn more_rules_or_combinations_than_may_be_are_refused() {
    let rules = vec![rule("a.b", &[], None); 257];
    let error = Policy::parse(&Egress::AllowList { rules }).unwrap_err();
    assert_eq!(error, PolicyError::TooManyRules(257));
    let ports: Vec<String> = (0..16).map(|n| format!("{}", 100 + 2 * n)).collect();
    let ports: Vec<&str> = ports.iter().map(String::as_str).collect();
    let rules = (0..256).map(|n| rule(&format!("10.0.{n}.{}", n % 7), &ports, None));
    let error = Policy::parse(&Egress::AllowList {
        rules: rules.collect(),
    })
    .unwrap_err();
    assert_eq!(error, PolicyError::TooManyWindows);
}

#[test]
fn a_policy_has_the_same_fingerprint_every_time_and_another_has_another() {
    let one = policy(vec![rule("a.b", &["1"], None)]);
    let two = policy(vec![rule("a.b", &["2"], None)]);
    let again = policy(vec![rule("a.b", &["1"], None)]);
    assert_eq!(one.fingerprint(), again.fingerprint());
    assert_ne!(one.fingerprint(), two.fingerprint());
    assert_ne!(Policy::Open.fingerprint(), Policy::None.fingerprint());
}

fn some_rule() -> impl Strategy<Value = (Ipv4Net, Option<(u16, u16)>, Option<EgressProtocol>)> {
    // Few addresses and ports, so that rules overlap often.
    let network = (0u8..8, 0u8..4, 24u8..=32)
        .prop_map(|(low, third, len)| Ipv4Net::new([10, 0, third, low].into(), len).unwrap());
    let ports = proptest::option::of((1u16..20, 0u16..10).prop_map(|(a, n)| (a, a + n)));
    let protocol = prop_oneof![Just(None), Just(Some(Tcp)), Just(Some(Udp))];
    (network, ports, protocol)
}

proptest! {
    #[test]
    fn windows_allow_what_the_rules_allow_and_never_overlap(
        rules in proptest::collection::vec(some_rule(), 0..12),
        probes in proptest::collection::vec((0u8..12, 0u8..5, 0u16..32, any::<bool>()), 64),
    ) {
        let written = rules.iter().map(|(network, ports, protocol)| {
            let ports = ports.map(|(first, last)| format!("{first}-{last}"));
            rule(&network.to_string(), &ports.as_deref().into_iter().collect::<Vec<_>>(), *protocol)
        });
        let policy = policy(written.collect());
        for (low, third, port, tcp) in probes {
            let address = Ipv4Addr::new(10, 0, third, low);
            let protocol = if tcp { Tcp } else { Udp };
            let naive = rules.iter().any(|(network, ports, only)| {
                network.contains(&address)
                    && ports.is_none_or(|(first, last)| (first..=last).contains(&port))
                    && only.is_none_or(|only| only == protocol)
            });
            prop_assert_eq!(policy.at_address(address, protocol, port), naive);
            let covering = policy.windows().iter();
            let covering = covering.filter(|window| window.contains(address, protocol, port));
            prop_assert_eq!(covering.count(), usize::from(naive));
        }
    }
}
