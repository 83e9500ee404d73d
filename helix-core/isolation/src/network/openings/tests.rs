use helix_proto::sandbox::{Egress, EgressRule};

use super::*;

const SHORTEST: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(3_600);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);

fn ports(range: (u16, u16)) -> Ports {
    Ports::new(&[range].into_iter().collect(), Some(EgressProtocol::Tcp))
}

fn ranges(change: &Change) -> Vec<((u16, u16), u64)> {
    let open = change.open.iter();
    open.map(|one| (one.window.ports, one.lasts.as_secs()))
        .collect()
}

fn start() -> Instant {
    helix_base::Clock::now(&helix_base::ManualClock::new(0))
}

#[test]
fn an_address_is_open_for_the_lifetime_and_the_grace_and_at_least_half_a_minute() {
    let now = start();
    for (lifetime, lasts) in [(0, 60), (5, 60), (300, 330), (86_400, 3_630)] {
        let change = Openings::default()
            .open(
                "a.b",
                &[ADDRESS],
                &ports((443, 443)),
                Duration::from_secs(lifetime),
                now,
            )
            .unwrap();
        assert_eq!(ranges(&change), [((443, 443), lasts)]);
        assert_eq!(change.close, []);
    }
}

#[test]
fn asking_again_within_the_grace_changes_nothing_and_later_renews() {
    let now = start();
    let minute = Duration::from_secs(60);
    let mut openings = Openings::default();
    let mut ask = |now| {
        openings
            .open("a.b", &[ADDRESS], &ports((443, 443)), minute, now)
            .unwrap()
    };
    assert!(!ask(now).is_empty());
    assert!(ask(now + Duration::from_secs(29)).is_empty());
    let renewed = ask(now + Duration::from_secs(31));
    assert_eq!(renewed.close.len(), 1);
    assert_eq!(ranges(&renewed), [((443, 443), 90)]);
}

#[test]
fn names_with_one_address_are_cut_into_windows_that_do_not_overlap() {
    let now = start();
    let mut openings = Openings::default();
    let mut ask = |name: &str, range, seconds| {
        let lifetime = Duration::from_secs(seconds);
        openings
            .open(name, &[ADDRESS], &ports(range), lifetime, now)
            .unwrap()
    };
    ask("a.b", (80, 90), 100);
    let change = ask("c.d", (85, 95), 200);
    assert_eq!(change.close.len(), 1);
    assert_eq!(
        ranges(&change),
        [((80, 84), 130), ((85, 90), 230), ((91, 95), 230)]
    );
}

#[test]
fn what_is_over_is_forgotten() {
    let now = start();
    let mut openings = Openings::default();
    openings
        .open("a.b", &[ADDRESS], &ports((1, 1)), SHORTEST, now)
        .unwrap();
    let other = Ipv4Addr::new(203, 0, 113, 10);
    let later = now + Duration::from_secs(200);
    openings
        .open("c.d", &[other], &ports((2, 2)), SHORTEST, later)
        .unwrap();
    let windows = openings.installed();
    assert_eq!(windows.len(), 1);
    assert_eq!(windows[0].addresses.0, other);
}

#[test]
fn a_new_policy_closes_what_it_does_not_allow_and_keeps_the_rest() {
    let now = start();
    let mut openings = Openings::default();
    let other = Ipv4Addr::new(203, 0, 113, 10);
    openings
        .open("a.b", &[ADDRESS], &ports((1, 9)), LONGEST, now)
        .unwrap();
    openings
        .open("c.d", &[other], &ports((1, 9)), LONGEST, now)
        .unwrap();
    let rule = EgressRule {
        to: "c.d".to_owned(),
        ports: vec!["5".to_owned()],
        protocol: Some(EgressProtocol::Tcp),
    };
    let policy = Policy::parse(&Egress::AllowList { rules: vec![rule] }).unwrap();
    let change = openings.judge(&policy, now);
    assert_eq!(change.close.len(), 2);
    assert_eq!(ranges(&change), [((5, 5), 3_630)]);
    assert_eq!(change.open[0].window.addresses.0, other);
    let nothing = openings.judge(&Policy::None, now);
    assert_eq!((nothing.close.len(), nothing.open.len()), (1, 0));
    assert_eq!(openings.installed(), []);
}

#[test]
fn what_an_earlier_process_opened_is_known_until_the_policy_changes() {
    let now = start();
    let window = Window {
        addresses: (ADDRESS, ADDRESS),
        protocol: EgressProtocol::Tcp,
        ports: (443, 443),
    };
    let mut openings = Openings::default();
    let lasts = Duration::from_secs(50);
    openings.adopt(&[Opened { window, lasts }], now);
    assert_eq!(openings.installed(), [window]);
    let again = openings.open("a.b", &[ADDRESS], &ports((443, 443)), SHORTEST, now);
    assert_eq!(again.unwrap(), Change::default());
    assert_eq!(openings.judge(&Policy::None, now).close, [window]);
}

#[test]
fn more_addresses_than_may_be_open_are_refused_and_change_nothing() {
    let now = start();
    let mut openings = Openings::default();
    let many: Vec<Ipv4Addr> = (0u32..2_048)
        .map(|n| Ipv4Addr::from(0xcb00_0000 + n))
        .collect();
    openings
        .open("a.b", &many, &ports((1, 1)), SHORTEST, now)
        .unwrap();
    let more = openings.open("a.b", &[ADDRESS], &ports((1, 1)), SHORTEST, now);
    assert_eq!(more, Err(Full));
    let later = now + Duration::from_secs(200);
    assert!(
        openings
            .open("a.b", &[ADDRESS], &ports((1, 1)), SHORTEST, later)
            .is_ok()
    );
}
