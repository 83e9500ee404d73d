use helix_proto::{
    TypedId as _,
    sandbox::host::{HostCapability, HostCapacity, HostImage},
};
use proptest::prelude::*;

use super::*;

const EXACT: Overcommit = Overcommit {
    cpu_percent: 100,
    memory_percent: 100,
    disk_percent: 100,
};

const NEED: SandboxLimits = SandboxLimits {
    cpu_millis: 1_000,
    memory_bytes: 1 << 30,
    ..SandboxLimits::DEFAULT
};

fn id(n: u128) -> SandboxHostId {
    SandboxHostId::from_parts(1, n)
}

fn info(cores: u32, memory_gib: u64) -> HostInfo {
    HostInfo {
        boot_id: "b".into(),
        version: "0".into(),
        hostname: "h".into(),
        platform: "linux".into(),
        backend: "namespaces".into(),
        capabilities: vec![HostCapability {
            name: "docker".into(),
            available: false,
            detail: "there is no dockerd".into(),
        }],
        capacity: HostCapacity {
            cpu_millis: cores * 1_000,
            memory_bytes: memory_gib << 30,
            memory_available_bytes: memory_gib << 30,
            disk_bytes: 100 << 30,
            disk_free_bytes: 100 << 30,
            ..HostCapacity::default()
        },
        images: vec![HostImage {
            name: "debian:12".into(),
            digest: "sha256:1".into(),
            size_bytes: 1,
            created_at_ms: 1,
        }],
    }
}

fn host(n: u128, info: &HostInfo) -> Host<'_> {
    Host {
        id: id(n),
        availability: Availability::Online,
        info: Some(info),
        promised: Promised::default(),
    }
}

const fn need(limits: &SandboxLimits) -> Need<'_> {
    Need {
        limits,
        rootfs: &Rootfs::Host,
        docker: false,
        desktop: false,
        network: true,
        only: None,
    }
}

fn reason(host: Host<'_>, need: &Need<'_>) -> Shortfall {
    let mut refused = place([host], need, &EXACT).unwrap_err();
    refused.reasons.remove(0).1
}

#[test]
fn the_host_with_the_most_room_is_chosen_and_of_equals_the_oldest() {
    let (small, large) = (info(4, 8), info(8, 16));
    let hosts = [host(1, &small), host(2, &large), host(3, &large)];
    assert_eq!(place(hosts, &need(&NEED), &EXACT), Ok(id(2)));
    let mut busy = host(2, &large);
    busy.promised.memory_bytes = 14 << 30;
    let hosts = [host(1, &small), busy];
    assert_eq!(place(hosts, &need(&NEED), &EXACT), Ok(id(1)));
}

#[test]
fn a_host_that_drains_or_is_away_takes_nothing_and_says_so() {
    let info = info(8, 16);
    let mut away = host(1, &info);
    away.availability = Availability::Unreachable;
    let mut draining = host(2, &info);
    draining.availability = Availability::Draining;
    let mut silent = host(3, &info);
    silent.info = None;
    let refused = place([away, draining, silent], &need(&NEED), &EXACT).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "no sandbox host can take it: 2 not connected; 1 draining"
    );
    let none = place([], &need(&NEED), &EXACT).unwrap_err();
    assert_eq!(none.to_string(), "there is no sandbox host");
}

#[test]
fn what_a_host_lacks_is_named() {
    let info = info(8, 16);
    let docker = Need {
        docker: true,
        ..need(&NEED)
    };
    assert_eq!(
        reason(host(1, &info), &docker).to_string(),
        "without docker (there is no dockerd)"
    );
    let image = |image: &str| Rootfs::Image {
        image: image.into(),
    };
    for (name, found) in [("debian:12", true), ("sha256:1", true), ("alpine", false)] {
        let rootfs = image(name);
        let need = Need {
            rootfs: &rootfs,
            ..need(&NEED)
        };
        assert_eq!(place([host(1, &info)], &need, &EXACT).is_ok(), found);
    }
}

#[test]
fn what_is_short_is_named_with_what_is_left_and_needed() {
    let info = info(2, 16);
    let large = SandboxLimits {
        memory_bytes: 20 << 30,
        ..NEED
    };
    assert_eq!(
        reason(host(1, &info), &need(&large)).to_string(),
        "with 16384 of the 20480 MiB of memory that it needs"
    );
    let mut promised = host(1, &info);
    promised.promised.cpu_millis = 1_500;
    let short = Shortfall::Short {
        of: Resource::Cpu,
        left: 500,
        needed: 1_000,
    };
    assert_eq!(reason(promised, &need(&NEED)), short);
    let stretch = Overcommit {
        cpu_percent: 200,
        ..EXACT
    };
    assert_eq!(place([promised], &need(&NEED), &stretch), Ok(id(1)));
}

#[test]
fn a_disk_that_is_nearly_full_takes_nothing_whatever_is_promised() {
    let mut info = info(8, 16);
    info.capacity.disk_free_bytes = 2 << 30;
    let stretch = Overcommit {
        disk_percent: 1_000,
        ..EXACT
    };
    assert!(place([host(1, &info)], &need(&NEED), &stretch).is_err());
    info.capacity.disk_free_bytes = 3 << 30;
    assert!(place([host(1, &info)], &need(&NEED), &stretch).is_ok());
}

#[test]
fn a_host_that_was_asked_for_is_the_only_one() {
    let (small, large) = (info(2, 2), info(8, 16));
    let only = |n| Need {
        only: Some(id(n)),
        ..need(&NEED)
    };
    let hosts = || [host(1, &small), host(2, &large)];
    assert_eq!(place(hosts(), &only(1), &EXACT), Ok(id(1)));
    let refused = place(hosts(), &only(9), &EXACT).unwrap_err();
    assert_eq!(refused.reasons, []);
}

proptest! {
    #[test]
    fn a_host_is_chosen_exactly_if_one_has_room_and_is_never_promised_more_than_it_has(
        hosts in prop::collection::vec((1_u32..16, 1_u64..64, 0_u64..20_000, 0_u64..80, 0_u8..4), 0..8),
        cpu_millis in 50_u32..20_000,
        memory_gib in 1_u64..64,
    ) {
        let limits = SandboxLimits { cpu_millis, memory_bytes: memory_gib << 30, ..NEED };
        let infos: Vec<HostInfo> = hosts.iter().map(|(cores, gib, ..)| info(*cores, *gib)).collect();
        let all = || hosts.iter().zip(&infos).enumerate().map(|(n, ((_, _, cpu, gib, how), info))| Host {
            availability: match how {
                0 => Availability::Draining,
                1 => Availability::Unreachable,
                _ => Availability::Online,
            },
            promised: Promised { cpu_millis: *cpu, memory_bytes: gib << 30, disk_bytes: 0 },
            ..host(n as u128, info)
        });
        // The naive model: whoever is online and has enough left.
        let fits = |host: &Host<'_>| {
            let has = host.info.unwrap().capacity;
            host.availability == Availability::Online
                && u64::from(has.cpu_millis) >= host.promised.cpu_millis + u64::from(cpu_millis)
                && has.memory_bytes >= host.promised.memory_bytes + limits.memory_bytes
        };
        match place(all(), &need(&limits), &EXACT) {
            Ok(chosen) => prop_assert!(all().any(|host| host.id == chosen && fits(&host))),
            Err(refused) => {
                prop_assert!(!all().any(|host| fits(&host)));
                prop_assert_eq!(refused.reasons.len(), hosts.len());
            }
        }
    }
}
