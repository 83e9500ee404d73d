//! What a sandbox's container is: pure.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig,
    Mount, MountType, ResourcesUlimits,
};
use helix_proto::{SandboxId, sandbox::host::SandboxSpec};
use serde_json::json;

use super::{handshake, images::Image, inside, places::Places, program};

/// Names the sandbox that a container is.
pub(super) const SANDBOX: &str = "helix.sandbox";
/// Names the data directory that a container, or an image made of one, belongs to.
pub(super) const HOST: &str = "helix.host";
/// The variables of the image that a container was first made from, as JSON: those that
/// are kept from the guest must not be lost to its programs.
pub(super) const VARIABLES: &str = "helix.env";

/// What root inside may do: what installing and running programs needs, all of it among
/// what Docker gives by default. Without `DAC_READ_SEARCH`, which opens files by number, and
/// without `MKNOD`, `NET_RAW`, `AUDIT_WRITE`.
const CAPABILITIES: [&str; 11] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// How long a period of processor time is, in microseconds.
pub(super) const PERIOD: i64 = 100_000;

/// What every container of a backend has in common.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) places: Places,
    pub(super) tag: String,
    /// How the guest's program is started.
    pub(super) start: Vec<String>,
    pub(super) cgroup_parent: Option<String>,
    /// More than these the Docker daemon cannot give.
    pub(super) most_open_files: Option<u64>,
    /// Whether the Docker daemon keeps limits on disks.
    pub(super) limits_disk: bool,
}

impl Common {
    pub(super) fn container(&self, id: SandboxId) -> String {
        format!("helix-{}-{id}", self.tag)
    }

    /// The container of a sandbox.
    pub(super) fn body(&self, spec: &SandboxSpec, image: &Image) -> ContainerCreateBody {
        let mut entrypoint = self.start.clone();
        entrypoint.push(inside::ARGUMENT.to_owned());
        let labels = [
            (SANDBOX.to_owned(), spec.id.to_string()),
            (HOST.to_owned(), self.tag.clone()),
            (VARIABLES.to_owned(), json!(image.env).to_string()),
        ];
        ContainerCreateBody {
            hostname: Some(hostname(&spec.name)),
            user: Some("0:0".to_owned()),
            env: Some(env(image)),
            cmd: Some(Vec::new()),
            healthcheck: Some(HealthConfig {
                test: Some(vec!["NONE".to_owned()]),
                ..HealthConfig::default()
            }),
            image: Some(image.id.clone()),
            working_dir: Some("/".to_owned()),
            entrypoint: Some(entrypoint),
            labels: Some(HashMap::from(labels)),
            stop_signal: Some("SIGTERM".to_owned()),
            host_config: Some(self.host_config(spec)),
            ..ContainerCreateBody::default()
        }
    }

    fn host_config(&self, spec: &SandboxSpec) -> HostConfig {
        let limits = spec.limits;
        let memory = i64::try_from(limits.memory_bytes).ok();
        let files = self.most_open_files.unwrap_or(u64::MAX);
        let files = i64::try_from(files.min(limits.open_files.into())).ok();
        let files = ResourcesUlimits {
            name: Some("nofile".to_owned()),
            soft: files,
            hard: files,
        };
        let logs = [("max-size", "1m"), ("max-file", "1")];
        let disk = HashMap::from([("size".to_owned(), limits.disk_bytes.to_string())]);
        HostConfig {
            memory,
            // Together with swap: none.
            memory_swap: memory,
            cpu_period: Some(PERIOD),
            cpu_quota: Some(i64::from(limits.cpu_millis) * PERIOD / 1_000),
            pids_limit: Some(limits.pids.into()),
            ulimits: Some(vec![files]),
            storage_opt: self.limits_disk.then_some(disk),
            cgroup_parent: self.cgroup_parent.clone(),
            cap_drop: Some(vec!["ALL".to_owned()]),
            cap_add: Some(CAPABILITIES.map(str::to_owned).to_vec()),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            network_mode: Some("none".to_owned()),
            // Without a network of Docker's, it gives the container's name no address.
            extra_hosts: Some(vec![format!("{}:127.0.1.1", hostname(&spec.name))]),
            ipc_mode: Some("private".to_owned()),
            cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
            privileged: Some(false),
            // The guest is the first process and collects orphans itself.
            init: Some(false),
            mounts: Some(vec![
                shown(&self.places.guest(), program::INSIDE),
                shown(&self.places.door(spec.id), handshake::INSIDE),
            ]),
            log_config: Some(HostConfigLogConfig {
                typ: Some("json-file".to_owned()),
                config: Some(HashMap::from(
                    logs.map(|(name, value)| (name.to_owned(), value.to_owned())),
                )),
            }),
            ..HostConfig::default()
        }
    }
}

/// A folder of the host, read-only.
fn shown(folder: &std::path::Path, inside: &str) -> Mount {
    Mount {
        typ: Some(MountType::BIND),
        source: Some(folder.to_string_lossy().into_owned()),
        target: Some(inside.to_owned()),
        read_only: Some(true),
        ..Mount::default()
    }
}

/// Takes away the image's variables that tell a loader what to load: the guest is not the
/// image's program. A name without a value does that; the others come with the image.
fn env(image: &Image) -> Vec<String> {
    let names = image.env.keys();
    names
        .filter(|name| name.starts_with("LD_"))
        .cloned()
        .collect()
}

/// What a person calls a sandbox, as a host name.
pub(super) fn hostname(name: &str) -> String {
    let plain = |one: char| {
        if one.is_ascii_alphanumeric() {
            one
        } else {
            '-'
        }
    };
    let name: String = name.to_lowercase().chars().map(plain).take(63).collect();
    match name.trim_matches('-') {
        "" => "sandbox".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use helix_proto::sandbox::{Egress, Rootfs, SandboxLimits};

    use super::*;

    fn common(limits_disk: bool) -> Common {
        Common {
            places: Places {
                data: PathBuf::from("/data"),
            },
            tag: "0123abcd".into(),
            start: vec!["/.helix/program/guest".into()],
            cgroup_parent: None,
            most_open_files: Some(20_000),
            limits_disk,
        }
    }

    fn spec() -> SandboxSpec {
        SandboxSpec {
            id: "sbx_00000000000000000000000001".parse().unwrap(),
            name: "Ann's Box!".into(),
            rootfs: Rootfs::Image {
                image: "debian:12".into(),
            },
            egress: Egress::None,
            limits: SandboxLimits::DEFAULT,
            docker: false,
            desktop: None,
            env: [("SECRET".to_owned(), "s".to_owned())].into(),
            idle_timeout_ms: None,
            expires_at_ms: None,
            origin: None,
        }
    }

    #[test]
    fn a_container_is_confined_whatever_its_image_says() {
        let image = Image {
            id: "sha256:1".into(),
            env: [("LD_PRELOAD", "/evil.so"), ("PATH", "/go/bin")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        };
        let body = common(false).body(&spec(), &image);
        let host = body.host_config.unwrap();
        assert_eq!(host.network_mode.as_deref(), Some("none"));
        assert_eq!(host.cap_drop.unwrap(), ["ALL"]);
        assert_eq!(host.security_opt.unwrap(), ["no-new-privileges"]);
        assert_eq!(host.memory, host.memory_swap);
        assert_eq!(
            (host.cpu_quota, host.cpu_period),
            (Some(200_000), Some(100_000))
        );
        assert_eq!(host.storage_opt, None);
        assert!(
            host.mounts
                .unwrap()
                .iter()
                .all(|mount| mount.read_only == Some(true))
        );
        let files = host.ulimits.unwrap().remove(0);
        assert_eq!((files.soft, files.hard), (Some(20_000), Some(20_000)));
        assert_eq!(body.env.unwrap(), ["LD_PRELOAD"]);
        assert_eq!(body.user.as_deref(), Some("0:0"));
        assert_eq!(body.hostname.as_deref(), Some("ann-s-box"));
        let disk = common(true).body(&spec(), &image).host_config.unwrap();
        assert_eq!(disk.storage_opt.unwrap()["size"], "10737418240");
    }

    #[test]
    fn a_name_without_letters_is_a_host_name_too() {
        assert_eq!(hostname("  "), "sandbox");
        assert_eq!(hostname("日本"), "sandbox");
        assert_eq!(hostname(&"x".repeat(100)).len(), 63);
    }
}
