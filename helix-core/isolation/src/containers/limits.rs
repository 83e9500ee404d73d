//! Limits that change after a sandbox was made.

use bollard::models::ContainerUpdateBody;
use helix_proto::sandbox::SandboxLimits;

use super::{config::PERIOD, daemon::failed, sandbox::Sandbox};
use crate::{Error, ErrorKind};

impl Sandbox {
    /// Changes the most that it may use.
    pub(super) async fn change_limits(&self, limits: &SandboxLimits) -> Result<(), Error> {
        let check = limits.check();
        check.map_err(|why| Error::new(ErrorKind::Invalid, why))?;
        let backend = self.backend()?;
        let _turn = self.turn.lock().await;
        let before = self.kept().spec.limits;
        possible(&before, limits)?;
        let updated = backend
            .docker
            .update_container(&self.container, body(limits))
            .await;
        updated.map_err(failed(format_args!("changing the limits of {}", self.id)))?;
        self.change(&backend, |kept| kept.spec.limits = *limits)
    }
}

/// Docker fixes these when a container is made.
fn possible(before: &SandboxLimits, after: &SandboxLimits) -> Result<(), Error> {
    let fixed = [
        ("disk_bytes", before.disk_bytes != after.disk_bytes),
        ("open_files", before.open_files != after.open_files),
    ];
    match fixed.into_iter().find(|(_, differs)| *differs) {
        None => Ok(()),
        Some((name, _)) => Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "sandboxes in containers keep the {name} that they were made with: take a \
                 snapshot, and make another from it"
            ),
        )),
    }
}

fn body(limits: &SandboxLimits) -> ContainerUpdateBody {
    let memory = i64::try_from(limits.memory_bytes).ok();
    ContainerUpdateBody {
        memory,
        // Together with swap: none.
        memory_swap: memory,
        cpu_period: Some(PERIOD),
        cpu_quota: Some(i64::from(limits.cpu_millis) * PERIOD / 1_000),
        pids_limit: Some(limits.pids.into()),
        ..ContainerUpdateBody::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_docker_fixes_is_named_and_the_rest_is_sent() {
        let now = SandboxLimits::DEFAULT;
        let disk = SandboxLimits {
            disk_bytes: now.disk_bytes * 2,
            ..now
        };
        let refused = possible(&now, &disk).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unsupported);
        assert!(refused.to_string().contains("disk_bytes"));
        let less = SandboxLimits {
            cpu_millis: 500,
            memory_bytes: 1 << 30,
            pids: 64,
            ..now
        };
        assert!(possible(&now, &less).is_ok());
        let sent = body(&less);
        assert_eq!(
            (sent.memory, sent.memory_swap),
            (Some(1 << 30), Some(1 << 30))
        );
        assert_eq!(
            (sent.cpu_quota, sent.pids_limit),
            (Some(PERIOD / 2), Some(64))
        );
    }
}
