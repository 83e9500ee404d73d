//! What one user may have.

use crate::{api::Failure, options::SandboxOptions, store::sandboxes::Usage};

/// Says what would be too much, and what to do.
pub(super) fn check(options: &SandboxOptions, wanted: &Usage) -> Result<(), Failure> {
    let gib = |bytes: u64| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30));
    let plain = |number: u64| number.to_string();
    let bounds: [(u64, u64, &str, &dyn Fn(u64) -> String); 5] = [
        (
            wanted.sandboxes,
            options.max_per_user.into(),
            "sandboxes: delete some",
            &plain,
        ),
        (
            wanted.running,
            options.max_running_per_user.into(),
            "running sandboxes: stop some",
            &plain,
        ),
        (
            wanted.cpu_millis,
            options.max_cpu_millis_per_user,
            "thousandths of a core for running sandboxes: stop some, or ask for less",
            &plain,
        ),
        (
            wanted.memory_bytes,
            options.max_memory_bytes_per_user,
            "of memory for running sandboxes: stop some, or ask for less",
            &gib,
        ),
        (
            wanted.disk_bytes,
            options.max_disk_bytes_per_user,
            "of disk for sandboxes: delete some, or ask for less",
            &gib,
        ),
    ];
    for (wanted, most, of_what, shown) in bounds {
        if wanted > most {
            let (wanted, most) = (shown(wanted), shown(most));
            let message = format!("you would have {wanted} of at most {most} {of_what}");
            return Err(Failure::conflict(message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use helix_proto::sandbox::SandboxLimits;

    use super::*;

    #[test]
    fn what_is_too_much_is_named_with_the_bound_and_what_to_do() {
        let options = SandboxOptions {
            max_per_user: 2,
            max_memory_bytes_per_user: 8 << 30,
            ..SandboxOptions::default()
        };
        let one = Usage::default().with_new(&SandboxLimits::DEFAULT);
        assert!(check(&options, &one).is_ok());
        let two = one.with_new(&SandboxLimits::DEFAULT);
        assert!(check(&options, &two).is_ok());
        let three = check(&options, &two.with_new(&SandboxLimits::DEFAULT)).unwrap_err();
        assert_eq!(
            three.error().message,
            "you would have 3 of at most 2 sandboxes: delete some"
        );
        let large = SandboxLimits {
            memory_bytes: 9 << 30,
            ..SandboxLimits::DEFAULT
        };
        let large = check(&options, &Usage::default().with_new(&large)).unwrap_err();
        assert!(
            large
                .error()
                .message
                .contains("9.0 GiB of at most 8.0 GiB of memory"),
            "{large:?}"
        );
    }
}
