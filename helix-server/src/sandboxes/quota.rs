//! What one user may have.

use crate::{api::Failure, options::SandboxOptions, store::sandboxes::Usage};

/// What is wanted, the most there may be, of what and what to do, and how it is shown.
type Bound = (u64, u64, &'static str, fn(u64) -> u64);

const fn plain(number: u64) -> u64 {
    number
}

const fn mebibytes(bytes: u64) -> u64 {
    bytes >> 20
}

/// Says what would be too much, and what to do.
pub(super) fn check(options: &SandboxOptions, wanted: &Usage) -> Result<(), Failure> {
    let bounds: [Bound; 5] = [
        (
            wanted.sandboxes,
            options.max_per_user.into(),
            "sandboxes: delete some",
            plain,
        ),
        (
            wanted.running,
            options.max_running_per_user.into(),
            "running sandboxes: stop some",
            plain,
        ),
        (
            wanted.cpu_millis,
            options.max_cpu_millis_per_user,
            "thousandths of a core for running sandboxes: stop some, or ask for less",
            plain,
        ),
        (
            wanted.memory_bytes,
            options.max_memory_bytes_per_user,
            "MiB of memory for running sandboxes: stop some, or ask for less",
            mebibytes,
        ),
        (
            wanted.disk_bytes,
            options.max_disk_bytes_per_user,
            "MiB of disk for sandboxes: delete some, or ask for less",
            mebibytes,
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
                .contains("9216 of at most 8192 MiB of memory"),
            "{large:?}"
        );
    }
}
