//! Where a new sandbox goes: a pure function of what each host has, has promised and
//! can do.

use std::fmt;

use helix_proto::{
    SandboxHostId,
    sandbox::{
        Rootfs, SandboxLimits,
        host::{HostCapacity, HostInfo},
    },
};

/// A host's file system is kept free by this many hundredths.
const KEEP_FREE_PERCENT: u64 = 2;

/// Whether a host takes sandboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// It does.
    Online,
    /// It takes nothing new.
    Draining,
    /// It cannot be asked now.
    Unreachable,
}

/// What is promised to the sandboxes on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Promised {
    /// Processor time, in thousandths of a core.
    pub cpu_millis: u64,
    /// Main memory.
    pub memory_bytes: u64,
    /// Disk.
    pub disk_bytes: u64,
}

/// A host.
#[derive(Debug, Clone, Copy)]
pub struct Host<'a> {
    /// Its id.
    pub id: SandboxHostId,
    /// Whether it takes sandboxes.
    pub availability: Availability,
    /// What it last said about itself; a host that said nothing yet takes nothing.
    pub info: Option<&'a HostInfo>,
    /// What is promised there, sandboxes included of which the host has not told yet.
    pub promised: Promised,
}

/// What a sandbox needs.
#[derive(Debug, Clone, Copy)]
pub struct Need<'a> {
    /// The most it may use.
    pub limits: &'a SandboxLimits,
    /// Its root file system.
    pub rootfs: &'a Rootfs,
    /// Whether it has a Docker daemon.
    pub docker: bool,
    /// Whether it has a desktop.
    pub desktop: bool,
    /// Whether it may reach anything.
    pub network: bool,
    /// The only host that will do, if there is one.
    pub only: Option<SandboxHostId>,
}

/// How far what is promised may go beyond what there is, in hundredths: 100 promises
/// no more than that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overcommit {
    /// Of processor time.
    pub cpu_percent: u32,
    /// Of main memory.
    pub memory_percent: u32,
    /// Of disk.
    pub disk_percent: u32,
}

/// Why a host does not take a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shortfall {
    /// It cannot be asked now.
    Unreachable,
    /// It takes nothing new.
    Draining,
    /// It cannot do something.
    Lacks {
        /// Which.
        capability: String,
        /// Why not, in its own words.
        detail: String,
    },
    /// It does not have the image.
    NoImage {
        /// Which.
        image: String,
    },
    /// It has too little left of something.
    Short {
        /// Of what.
        of: Resource,
        /// How much it has left.
        left: u64,
        /// How much is needed.
        needed: u64,
    },
}

/// Something that a host has only so much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Processor time, in thousandths of a core.
    Cpu,
    /// Main memory.
    Memory,
    /// Disk.
    Disk,
}

/// No host takes a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NoHost {
    /// Why not, for each host that was considered.
    pub reasons: Vec<(SandboxHostId, Shortfall)>,
}

impl std::error::Error for NoHost {}

impl fmt::Display for NoHost {
    /// Says each reason once, with how many hosts it holds for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.reasons.is_empty() {
            return f.write_str("there is no sandbox host");
        }
        let mut told: Vec<(String, usize)> = Vec::new();
        for (_, reason) in &self.reasons {
            let reason = reason.to_string();
            match told.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, count)) => *count += 1,
                None => told.push((reason, 1)),
            }
        }
        f.write_str("no sandbox host can take it: ")?;
        for (at, (reason, count)) in told.iter().enumerate() {
            let gap = if at == 0 { "" } else { "; " };
            write!(f, "{gap}{count} {reason}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable => f.write_str("not connected"),
            Self::Draining => f.write_str("draining"),
            Self::Lacks { capability, detail } => write!(f, "without {capability} ({detail})"),
            Self::NoImage { image } => write!(f, "without the image {image}"),
            Self::Short { of, left, needed } => match of {
                Resource::Cpu => write!(
                    f,
                    "with {left} of the {needed} thousandths of a core that it needs"
                ),
                Resource::Memory => write!(
                    f,
                    "with {} of the {} MiB of memory that it needs",
                    left >> 20,
                    needed.div_ceil(1 << 20)
                ),
                Resource::Disk => write!(
                    f,
                    "with {} of the {} MiB of disk that it needs",
                    left >> 20,
                    needed.div_ceil(1 << 20)
                ),
            },
        }
    }
}

/// Chooses the host on which the scarcest resource would be the least scarce; of hosts
/// that are alike, the oldest.
///
/// # Errors
///
/// [`NoHost`], with the reason for each host.
pub fn place<'a>(
    hosts: impl IntoIterator<Item = Host<'a>>,
    need: &Need<'_>,
    overcommit: &Overcommit,
) -> Result<SandboxHostId, NoHost> {
    let mut refused = NoHost::default();
    let mut best: Option<(u64, SandboxHostId)> = None;
    for host in hosts {
        if need.only.is_some_and(|only| only != host.id) {
            continue;
        }
        match room(&host, need, overcommit) {
            Ok(room) => {
                let better = best
                    .is_none_or(|(most, oldest)| room > most || (room == most && host.id < oldest));
                if better {
                    best = Some((room, host.id));
                }
            }
            Err(reason) => refused.reasons.push((host.id, reason)),
        }
    }
    best.map(|(_, host)| host).ok_or(refused)
}

/// What would be left of the scarcest resource, in millionths of what there is.
fn room(host: &Host<'_>, need: &Need<'_>, overcommit: &Overcommit) -> Result<u64, Shortfall> {
    match host.availability {
        Availability::Online => {}
        Availability::Draining => return Err(Shortfall::Draining),
        Availability::Unreachable => return Err(Shortfall::Unreachable),
    }
    let info = host.info.ok_or(Shortfall::Unreachable)?;
    can(info, need)?;
    remains(&info.capacity, &host.promised, need.limits, overcommit)
}

/// Whether a host has so much more for a sandbox that it has already.
///
/// # Errors
///
/// [`Shortfall`], where it has not.
pub fn grows(
    host: &Host<'_>,
    more: &SandboxLimits,
    overcommit: &Overcommit,
) -> Result<(), Shortfall> {
    let info = host.info.ok_or(Shortfall::Unreachable)?;
    remains(&info.capacity, &host.promised, more, overcommit).map(drop)
}

fn remains(
    has: &HostCapacity,
    promised: &Promised,
    limits: &SandboxLimits,
    overcommit: &Overcommit,
) -> Result<u64, Shortfall> {
    let cpu = (
        Resource::Cpu,
        stretched(has.cpu_millis.into(), overcommit.cpu_percent),
        promised.cpu_millis.max(has.cpu_promised_millis.into()),
        limits.cpu_millis.into(),
    );
    let memory = (
        Resource::Memory,
        stretched(has.memory_bytes, overcommit.memory_percent),
        promised.memory_bytes.max(has.memory_promised_bytes),
        limits.memory_bytes,
    );
    let disk = (
        Resource::Disk,
        stretched(has.disk_bytes, overcommit.disk_percent),
        promised.disk_bytes,
        limits.disk_bytes,
    );
    let mut least = u64::MAX;
    for (of, total, promised, needed) in [cpu, memory, disk] {
        least = least.min(left(of, total, promised, needed)?);
    }
    let reserve = has.disk_bytes / 100 * KEEP_FREE_PERCENT;
    if has.disk_free_bytes <= reserve {
        return Err(Shortfall::Short {
            of: Resource::Disk,
            left: 0,
            needed: limits.disk_bytes,
        });
    }
    Ok(least)
}

/// Whether the host can do what is asked of it.
fn can(info: &HostInfo, need: &Need<'_>) -> Result<(), Shortfall> {
    let wanted = [
        ("docker", need.docker),
        ("desktop", need.desktop),
        ("network", need.network),
        ("host_rootfs", matches!(need.rootfs, Rootfs::Host)),
    ];
    for (name, _) in wanted.into_iter().filter(|(_, wanted)| *wanted) {
        let known = info.capabilities.iter().find(|it| it.name == name);
        if let Some(lacking) = known.filter(|it| !it.available) {
            return Err(Shortfall::Lacks {
                capability: lacking.name.clone(),
                detail: lacking.detail.clone(),
            });
        }
    }
    if let Rootfs::Image { image } = need.rootfs {
        let has =
            |it: &helix_proto::sandbox::host::HostImage| it.name == *image || it.digest == *image;
        if !info.images.iter().any(has) {
            return Err(Shortfall::NoImage {
                image: image.clone(),
            });
        }
    }
    Ok(())
}

fn stretched(total: u64, percent: u32) -> u64 {
    let stretched = u128::from(total) * u128::from(percent) / 100;
    u64::try_from(stretched).unwrap_or(u64::MAX)
}

/// What would be left, in millionths of the total.
fn left(of: Resource, total: u64, promised: u64, needed: u64) -> Result<u64, Shortfall> {
    let free = total.saturating_sub(promised);
    match free.checked_sub(needed) {
        Some(rest) => {
            let millionths = u128::from(rest) * 1_000_000 / u128::from(total.max(1));
            Ok(u64::try_from(millionths).unwrap_or(u64::MAX))
        }
        None => Err(Shortfall::Short {
            of,
            left: free,
            needed,
        }),
    }
}

#[cfg(test)]
mod tests;
