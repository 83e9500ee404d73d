//! Limits that change after a sandbox was made.

use helix_proto::sandbox::SandboxLimits;

use super::{disk, launch::Cgroups, sandbox::Sandbox};
use crate::{Environment as _, Error, ErrorKind};

/// What must be free below a new limit of memory, for what comes meanwhile.
const SPARE_BYTES: u64 = 4 << 20;

impl Sandbox {
    /// Changes the most that it may use.
    pub(super) async fn change_limits(&self, limits: &SandboxLimits) -> Result<(), Error> {
        let check = limits.check();
        check.map_err(|why| Error::new(ErrorKind::Invalid, why))?;
        let _turn = self.turn().await?;
        let before = self.spec().limits;
        let running = self.running().zip(self.state().cgroups);
        possible(&before, limits, running.is_some())?;
        if let Some((running, cgroups)) = &running {
            if cgroups.are_none() && before.pids != limits.pids {
                let why = "without a control group, pids changes only while the sandbox does not \
                           run: stop it first";
                return Err(Error::new(ErrorKind::Conflict, why));
            }
            fits(cgroups, running.first(), limits)?;
            if let Err(error) = cgroups.limit(limits) {
                // What holds is what is kept.
                let back = cgroups.limit(&before);
                if let Err(error) = back {
                    tracing::warn!(id = %self.id, %error, "its limits are not as they were");
                }
                return Err(Error::io("changing its limits", error));
            }
        }
        if before.disk_bytes != limits.disk_bytes {
            let (path, bytes) = (self.places.disk(&self.name), limits.disk_bytes);
            let grown = tokio::task::spawn_blocking(move || disk::grow(&path, bytes)).await;
            grown.map_err(|error| Error::new(ErrorKind::Failed, error.to_string()))??;
        }
        self.change_spec(|spec| spec.limits = *limits)
    }
}

/// Refuses what cannot be, or not while it runs.
fn possible(before: &SandboxLimits, after: &SandboxLimits, runs: bool) -> Result<(), Error> {
    let refused = |kind, why: &str| Err(Error::new(kind, why));
    if after.disk_bytes < before.disk_bytes {
        let why = "a disk only grows: give a disk_bytes of at least what it is";
        return refused(ErrorKind::Invalid, why);
    }
    if runs && after.disk_bytes != before.disk_bytes {
        let why = "the disk grows only while the sandbox does not run: stop it first";
        return refused(ErrorKind::Conflict, why);
    }
    if runs && after.open_files != before.open_files {
        let why = "open_files changes only while the sandbox does not run: stop it first";
        return refused(ErrorKind::Conflict, why);
    }
    Ok(())
}

/// The kernel would kill processes until they fit.
fn fits(cgroups: &Cgroups, first: i32, limits: &SandboxLimits) -> Result<(), Error> {
    let usage = cgroups
        .usage(first)
        .map_err(|error| Error::io("reading what it uses", error))?;
    if usage.memory_bytes + SPARE_BYTES <= limits.memory_bytes {
        return Ok(());
    }
    let used = usage.memory_bytes >> 20;
    let message = format!(
        "it uses {used} MiB of memory now: give more than that, or end something in it first"
    );
    Err(Error::new(ErrorKind::Conflict, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_running_sandbox_cannot_have_changed_is_named() {
        let now = SandboxLimits::DEFAULT;
        let kind =
            |after: SandboxLimits, runs| possible(&now, &after, runs).map_err(|it| it.kind());
        let more = SandboxLimits {
            disk_bytes: now.disk_bytes * 2,
            ..now
        };
        let less = SandboxLimits {
            disk_bytes: now.disk_bytes / 2,
            ..now
        };
        let files = SandboxLimits {
            open_files: 1_024,
            ..now
        };
        let rest = SandboxLimits {
            cpu_millis: 100,
            memory_bytes: 1 << 30,
            pids: 64,
            ..now
        };
        assert_eq!(kind(rest, true), Ok(()));
        assert_eq!(kind(more, false), Ok(()));
        assert_eq!(kind(more, true), Err(ErrorKind::Conflict));
        assert_eq!(kind(files, true), Err(ErrorKind::Conflict));
        assert_eq!(kind(files, false), Ok(()));
        for runs in [true, false] {
            assert_eq!(kind(less, runs), Err(ErrorKind::Invalid));
        }
    }
}
