//! What this machine allows, found out once.

use std::{fmt::Display, fs::File, path::Path};

use helix_proto::sandbox::host::HostCapability;

use super::{cgroup::Hierarchies, launch::own_ids, options::Options};

/// Linux 5.19: overlays on mounts that map ids.
const OLDEST_KERNEL: (u32, u32) = (5, 19);

/// Without what no sandbox can be made.
pub(super) fn needed() -> &'static [&'static str] {
    if own_ids::uses_own_ids() {
        &["namespaces"]
    } else {
        &["namespaces", "limits", "disk_limit"]
    }
}

const NO_DISK_LIMIT: &str = "only the host's root can mount a disk with a limit: sandboxes can \
    fill the file system of the data directory; run the daemon as root, or give it a file system \
    of its own";
const HOST_AS_IT_IS: &str = "the host's system; its programs can be used and not changed, since \
    only the host's root can map their owners: to install programs, use an image, or run the \
    daemon as root";
const NOT_ENTERED: &str = "this daemon runs as an ordinary user and could not become root of a \
    user namespace: what it wrote when it started says why; or run it as root";
const ONE_RANGE: &str = "as an ordinary user: all sandboxes share the user's one range of ids";
pub(super) const NO_DOCKER: &str = "sandboxes have Docker daemons only where the daemon of \
    the host runs as root";
pub(super) const NO_MEDIA: &str = "no sandbox of this host has a desktop: there is no helix-media \
    beside helix-sandbox";
pub(super) const NO_NETWORK: &str = "only the host's root can join sandboxes to a network: they \
    have the egress policy `none`; for another, run the daemon as root";

/// Looks at everything that sandboxes need.
pub(super) fn find(options: &Options, hierarchies: &Hierarchies) -> Vec<HostCapability> {
    let namespaces = namespaces(options);
    let desktop = crate::desktop::on_this_system(options.media.as_deref());
    let images = "OCI layouts and tars, imported on this host";
    let all = if own_ids::uses_own_ids() {
        [
            ("limits", limits(hierarchies)),
            ("disk_limit", Err(NO_DISK_LIMIT.to_owned())),
            ("images", Ok(images.to_owned())),
            ("host_rootfs", Ok(HOST_AS_IT_IS.to_owned())),
            ("docker", Err(NO_DOCKER.to_owned())),
            ("desktop", desktop),
        ]
    } else {
        let mapped = "the host's system, read-only, ids mapped";
        [
            ("limits", limits(hierarchies)),
            ("disk_limit", disk()),
            ("images", Ok(images.to_owned())),
            ("host_rootfs", Ok(mapped.to_owned())),
            ("docker", crate::docker::on_this_system()),
            ("desktop", desktop),
        ]
    };
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
        let why = own_ids::refused();
        return Err(why.unwrap_or_else(|| NOT_ENTERED.to_owned()));
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
    if own_ids::uses_own_ids() {
        own_ids::suffice()?;
        return Ok(format!("Linux {release}, {ONE_RANGE}"));
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
