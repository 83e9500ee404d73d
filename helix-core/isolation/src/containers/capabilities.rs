//! What a Docker daemon allows, found out once: pure, but for the table of mounts.

use bollard::models::SystemInfo;
use helix_proto::sandbox::host::HostCapability;

/// What every sandbox needs.
pub(super) const NEEDED: [&str; 2] = ["limits", "system_call_filter"];

/// Storage drivers that limit any container's disk. `overlay2` does so on XFS with quotas.
const LIMITING_DRIVERS: [&str; 2] = ["btrfs", "zfs"];

/// Looks at everything that sandboxes need. `mounts` is the host's table of mounts.
pub(super) fn find(info: &SystemInfo, mounts: &str) -> Vec<HostCapability> {
    let version = info.server_version.as_deref().unwrap_or("unknown");
    let no_docker = "a sandbox in a container has no Docker daemon of its own: use a host with \
                     the backend `namespaces`";
    let no_host = "a container cannot start from the host's own system: name an image, or use a \
                   host with the backend `namespaces`";
    let no_desktop = "a sandbox in a container has no desktop: use a host with the backend \
                      `namespaces`";
    let all = [
        (
            "images",
            Ok(format!("the images of the Docker daemon {version}")),
        ),
        (
            "network",
            Ok("a veth pair and a firewall of our own; no network of Docker's".into()),
        ),
        ("limits", limits(info)),
        ("disk_limit", disk(info, mounts)),
        ("system_call_filter", filter(info)),
        ("user_namespace", ids(info)),
        ("host_rootfs", Err(no_host.to_owned())),
        ("docker", Err(no_docker.to_owned())),
        ("desktop", Err(no_desktop.to_owned())),
    ];
    let capability = |(name, result): (&str, Result<String, String>)| HostCapability {
        name: name.to_owned(),
        available: result.is_ok(),
        detail: result.unwrap_or_else(|why| why),
    };
    all.into_iter().map(capability).collect()
}

/// Why something is missing, or `None` if it is there.
pub(super) fn missing<'a>(capabilities: &'a [HostCapability], name: &str) -> Option<&'a str> {
    let of = |one: &&HostCapability| one.name == name && !one.available;
    capabilities.iter().find(of).map(|one| one.detail.as_str())
}

fn limits(info: &SystemInfo) -> Result<String, String> {
    let all = [
        ("memory", info.memory_limit),
        ("processes", info.pids_limit),
        ("processor time", info.cpu_cfs_quota),
    ];
    match all.iter().find(|(_, able)| *able != Some(true)) {
        Some((what, _)) => Err(format!(
            "the Docker daemon cannot limit {what}: enable that control group controller"
        )),
        None => Ok("control groups made by the Docker daemon".into()),
    }
}

fn disk(info: &SystemInfo, mounts: &str) -> Result<String, String> {
    let driver = info.driver.as_deref().unwrap_or("unknown");
    let root = info.docker_root_dir.as_deref().unwrap_or("/var/lib/docker");
    let able = LIMITING_DRIVERS.contains(&driver)
        || (driver == "overlay2" && has_project_quotas(mounts, root));
    if able {
        return Ok(format!("the storage driver {driver}"));
    }
    Err(format!(
        "the Docker daemon's storage driver {driver} on {root} does not limit disks, so a sandbox \
         may fill that file system: put it on XFS mounted with pquota, or on btrfs or ZFS"
    ))
}

/// Whether the file system that holds `path` is XFS with quotas of projects.
fn has_project_quotas(mounts: &str, path: &str) -> bool {
    let holds = |place: &str| {
        let place = place.trim_end_matches('/');
        path.strip_prefix(place)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let parts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?, words.next()?, words.next()?))
    });
    // The last of the longest is on top.
    let holder = parts
        .filter(|(place, ..)| holds(place))
        .max_by_key(|(place, ..)| place.len());
    holder.is_some_and(|(_, kind, options)| {
        let mut options = options.split(',');
        kind == "xfs" && options.any(|one| matches!(one, "prjquota" | "pquota"))
    })
}

fn option<'a>(info: &'a SystemInfo, name: &str) -> Option<&'a str> {
    let options = info.security_options.as_deref().unwrap_or_default();
    let name = format!("name={name}");
    let of = |one: &&String| one.split(',').next() == Some(&name);
    options.iter().find(of).map(String::as_str)
}

fn filter(info: &SystemInfo) -> Result<String, String> {
    let ours = |option: &str| {
        let profile = option
            .split(',')
            .find_map(|part| part.strip_prefix("profile="));
        matches!(profile, Some("default" | "builtin"))
    };
    match option(info, "seccomp") {
        Some(option) if ours(option) => Ok("the Docker daemon's default profile".into()),
        Some(_) => Err(
            "the Docker daemon has a system call filter of somebody's own choosing: remove \
             `seccomp-profile` from its configuration"
                .into(),
        ),
        None => Err("the Docker daemon filters no system calls: it lacks seccomp".into()),
    }
}

fn ids(info: &SystemInfo) -> Result<String, String> {
    if option(info, "userns").is_some() || option(info, "rootless").is_some() {
        return Ok("the Docker daemon maps ids: one range for all its containers".into());
    }
    Err(
        "root in a sandbox is root's number on the host, held by capabilities and filters alone: \
         set `userns-remap` in the Docker daemon's configuration"
            .into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> SystemInfo {
        SystemInfo {
            driver: Some("overlay2".into()),
            docker_root_dir: Some("/var/lib/docker".into()),
            memory_limit: Some(true),
            pids_limit: Some(true),
            cpu_cfs_quota: Some(true),
            security_options: Some(vec!["name=seccomp,profile=default".into()]),
            ..SystemInfo::default()
        }
    }

    fn lacks(info: &SystemInfo, mounts: &str) -> Vec<String> {
        let all = find(info, mounts).into_iter();
        all.filter(|one| !one.available)
            .map(|one| one.name)
            .collect()
    }

    #[test]
    fn a_daemon_on_a_plain_file_system_lacks_a_limit_on_disks_and_maps_no_ids() {
        let usual = [
            "disk_limit",
            "user_namespace",
            "host_rootfs",
            "docker",
            "desktop",
        ];
        assert_eq!(lacks(&info(), "/dev/vda / ext4 rw 0 0"), usual);
        let xfs = "/dev/vda / ext4 rw 0 0\n/dev/vdb /var/lib/docker xfs rw,prjquota 0 0";
        assert_eq!(lacks(&info(), xfs), &usual[1..]);
        let beside = "/dev/vda / ext4 rw 0 0\n/dev/vdb /var/lib/dock xfs rw,prjquota 0 0";
        assert_eq!(lacks(&info(), beside), usual);
        let mapped = SystemInfo {
            security_options: Some(vec![
                "name=seccomp,profile=builtin".into(),
                "name=userns".into(),
            ]),
            ..info()
        };
        assert_eq!(lacks(&mapped, xfs), &usual[2..]);
    }

    #[test]
    fn a_daemon_without_limits_or_with_another_filter_says_so() {
        let weak = SystemInfo {
            pids_limit: Some(false),
            security_options: Some(vec!["name=seccomp,profile=/etc/mine.json".into()]),
            ..info()
        };
        let all = find(&weak, "");
        assert!(missing(&all, "limits").unwrap().contains("processes"));
        assert!(missing(&all, "system_call_filter").is_some());
        assert_eq!(missing(&all, "images"), None);
    }
}
