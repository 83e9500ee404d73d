//! What this machine allows, found out once.

use std::{fmt::Display, fs::File, path::Path};

use helix_proto::sandbox::host::HostCapability;

use super::{cgroup::Hierarchies, options::Options};

/// Linux 5.19: overlays on mounts that map ids.
const OLDEST_KERNEL: (u32, u32) = (5, 19);

/// Looks at everything that sandboxes need.
pub(super) fn find(options: &Options, hierarchies: &Hierarchies) -> Vec<HostCapability> {
    let namespaces = namespaces(options);
    let all = [
        ("limits", limits(hierarchies)),
        ("disk_limit", disk()),
        (
            "images",
            Ok("OCI layouts and tars, imported on this host".into()),
        ),
        (
            "host_rootfs",
            Ok("the host's system, read-only, ids mapped".into()),
        ),
        ("docker", crate::docker::on_this_system()),
    ];
    let mut found = vec![capability("namespaces", namespaces.clone())];
    for (name, result) in all {
        // Without namespaces there is nothing to limit.
        let result = namespaces
            .as_ref()
            .map_err(Clone::clone)
            .and(result.as_ref().map_err(Clone::clone));
        found.push(capability(name, result.cloned()));
    }
    found
}

fn capability(name: &str, result: Result<String, String>) -> HostCapability {
    HostCapability {
        name: name.to_owned(),
        available: result.is_ok(),
        detail: result.unwrap_or_else(|why| why),
    }
}

pub(super) fn has(capabilities: &[HostCapability], name: &str) -> bool {
    capabilities
        .iter()
        .any(|capability| capability.name == name && capability.available)
}

/// Why something is missing, or `None` if it is there.
pub(super) fn missing<'a>(capabilities: &'a [HostCapability], name: &str) -> Option<&'a str> {
    capabilities
        .iter()
        .find(|capability| capability.name == name && !capability.available)
        .map(|capability| capability.detail.as_str())
}

pub(super) fn can(capabilities: &mut Vec<HostCapability>, name: &str, how: &impl Display) {
    set(capabilities, capability(name, Ok(how.to_string())));
}

pub(super) fn cannot(capabilities: &mut Vec<HostCapability>, name: &str, why: &impl Display) {
    set(capabilities, capability(name, Err(why.to_string())));
}

fn set(capabilities: &mut Vec<HostCapability>, new: HostCapability) {
    capabilities.retain(|capability| capability.name != new.name);
    capabilities.push(new);
}

fn namespaces(options: &Options) -> Result<String, String> {
    if !rustix::process::geteuid().is_root() {
        return Err(
            "this daemon runs as an ordinary user, who cannot map ids of mounts, make control \
             groups or networks: run it as root"
                .into(),
        );
    }
    let release = rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned();
    if version(&release).is_none_or(|version| version < OLDEST_KERNEL) {
        let (major, minor) = OLDEST_KERNEL;
        return Err(format!(
            "Linux {release} is too old: {major}.{minor} or later is needed"
        ));
    }
    for name in ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"] {
        if !Path::new("/proc/self/ns").join(name).exists() {
            return Err(format!("this kernel has no {name} namespaces"));
        }
    }
    if !options.program.exists() {
        let program = options.program.display();
        return Err(format!(
            "the program that starts sandboxes, {program}, does not exist"
        ));
    }
    Ok(format!("Linux {release}"))
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|one: char| !one.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn limits(hierarchies: &Hierarchies) -> Result<String, String> {
    let how = hierarchies.check()?;
    hierarchies
        .prepare()
        .map_err(|error| format!("control groups cannot be made: {error}"))?;
    Ok(how)
}

fn disk() -> Result<String, String> {
    File::options()
        .read(true)
        .write(true)
        .open("/dev/loop-control")
        .map_err(|error| {
            format!("/dev/loop-control cannot be opened ({error}): load the module loop")
        })?;
    let paths = ["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin"];
    for program in ["mkfs.ext4", "resize2fs"] {
        if !paths
            .iter()
            .any(|path| Path::new(path).join(program).exists())
        {
            return Err(format!(
                "the program {program} is missing: install e2fsprogs"
            ));
        }
    }
    Ok("an ext4 image for each sandbox, on a loop device".into())
}
