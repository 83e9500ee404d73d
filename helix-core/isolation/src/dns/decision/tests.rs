use std::str::FromStr as _;

use helix_proto::sandbox::{Egress, EgressRule};
use hickory_proto::rr::rdata::{A, AAAA};

use super::*;

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn ask(text: &str, kind: RecordType) -> Query {
    Query::query(name(text), kind)
}

fn list(names: &[&str]) -> Policy {
    let rule = |to: &&str| EgressRule {
        to: (*to).to_owned(),
        ports: Vec::new(),
        protocol: None,
    };
    let rules = names.iter().map(rule).collect();
    Policy::parse(&Egress::AllowList { rules }).unwrap()
}

fn refused() -> Verdict {
    Verdict::Refuse(ResponseCode::Refused)
}

#[test]
fn under_none_every_name_is_refused_whatever_is_asked() {
    for kind in [
        RecordType::A,
        RecordType::TXT,
        RecordType::MX,
        RecordType::NULL,
    ] {
        assert_eq!(
            judge(&Policy::None, &ask("secret.evil.example.", kind), &[]),
            refused()
        );
        assert_eq!(
            judge(&Policy::None, &ask("intranet.", kind), &[name("corp.")]),
            refused()
        );
    }
}

#[test]
fn under_an_allow_list_only_its_names_are_forwarded() {
    let policy = list(&["*.example.com", "host.corp"]);
    let forwarded = |text: &str| judge(&policy, &ask(text, RecordType::A), &[]);
    assert_eq!(
        forwarded("a.Example.com."),
        Verdict::Forward(vec![name("a.Example.com.")])
    );
    assert_eq!(
        forwarded("host.corp."),
        Verdict::Forward(vec![name("host.corp.")])
    );
    for other in [
        "example.com.",
        "evil.example.",
        "a.example.com.evil.",
        "x.host.corp.",
    ] {
        assert_eq!(forwarded(other), refused(), "{other}");
    }
}

#[test]
fn a_name_without_a_dot_is_looked_for_below_the_search_domains_that_the_policy_allows() {
    let search = [name("corp."), name("example.com.")];
    let query = ask("intranet.", RecordType::A);
    let open = judge(&Policy::Open, &query, &search);
    let all = ["intranet.corp.", "intranet.example.com.", "intranet."].map(name);
    assert_eq!(open, Verdict::Forward(all.to_vec()));
    let some = judge(&list(&["*.example.com"]), &query, &search);
    assert_eq!(some, Verdict::Forward(vec![name("intranet.example.com.")]));
    let dotted = judge(&Policy::Open, &ask("a.b.", RecordType::A), &search);
    assert_eq!(dotted, Verdict::Forward(vec![name("a.b.")]));
}

#[test]
fn ipv6_is_never_answered_nor_asked_for() {
    for policy in [Policy::Open, Policy::None, list(&["a.b"])] {
        assert_eq!(
            judge(&policy, &ask("a.b.", RecordType::AAAA), &[]),
            Verdict::Empty
        );
    }
}

#[test]
fn records_that_carry_addresses_of_their_own_are_empty_under_an_allow_list() {
    let query = ask("a.b.", RecordType::HTTPS);
    assert_eq!(judge(&list(&["a.b"]), &query, &[]), Verdict::Empty);
    assert_eq!(judge(&list(&["c.d"]), &query, &[]), refused());
    assert_eq!(
        judge(&Policy::Open, &query, &[]),
        Verdict::Forward(vec![name("a.b.")])
    );
}

#[test]
fn zones_are_not_handed_out() {
    for kind in [RecordType::ANY, RecordType::AXFR] {
        let verdict = judge(&Policy::Open, &ask("a.b.", kind), &[]);
        assert_eq!(verdict, Verdict::Refuse(ResponseCode::NotImp));
    }
}

#[test]
fn what_is_no_question_gets_no_answer_and_odd_ones_are_refused() {
    let mut message = Message::query();
    assert_eq!(question(&message), Err(Some(ResponseCode::FormErr)));
    message.add_query(ask("a.b.", RecordType::A));
    assert!(question(&message).is_ok());
    message.queries[0].set_query_class(DNSClass::CH);
    assert_eq!(question(&message), Err(Some(ResponseCode::Refused)));
    message.metadata.op_code = OpCode::Update;
    assert_eq!(question(&message), Err(Some(ResponseCode::NotImp)));
    message.metadata.message_type = MessageType::Response;
    assert_eq!(question(&message), Err(None));
}

fn address(owner: &str, ttl: u32, address: &str) -> Record {
    let address = Ipv4Addr::from_str(address).unwrap();
    Record::from_rdata(name(owner), ttl, RData::A(A(address)))
}

#[test]
fn an_answer_keeps_only_addresses_that_are_reachable_and_no_lifetime_above_an_hour() {
    let records = [
        address("a.b.", 86_400, "203.0.113.9"),
        address("a.b.", 60, "169.254.169.254"),
        Record::from_rdata(name("a.b."), 60, RData::AAAA(AAAA("::1".parse().unwrap()))),
    ];
    let (found, lifetime) = addresses(&records);
    assert_eq!(found.len(), 2);
    assert_eq!(lifetime, Duration::from_secs(86_400));
    let asked = name("a.b.");
    let kept = admit(
        &asked,
        &asked,
        &records,
        Some(&[Ipv4Addr::new(203, 0, 113, 9)]),
    );
    assert_eq!(kept, [address("a.b.", 3_600, "203.0.113.9")]);
    assert_eq!(admit(&asked, &asked, &records, Some(&[])), []);
    assert_eq!(admit(&asked, &asked, &records, None).len(), 2);
}

#[test]
fn a_name_found_below_a_search_domain_says_where() {
    let (asked, found) = (name("intranet."), name("intranet.corp."));
    let kept = admit(
        &asked,
        &found,
        &[address("intranet.corp.", 60, "203.0.113.9")],
        None,
    );
    assert_eq!(kept.len(), 2);
    assert_eq!(kept[0].name, asked);
    assert_eq!(kept[0].data, RData::CNAME(CNAME(found.clone())));
    assert_eq!(admit(&asked, &found, &[], None), []);
}
