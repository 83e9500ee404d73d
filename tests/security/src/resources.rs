//! More than a limit allows, by a little, and then a stop.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    time::{Duration, Instant},
};

use crate::{Outcome, misused};

fn number(text: &str) -> io::Result<u64> {
    text.parse().map_err(|_| misused("give a number"))
}

/// Starts so many processes that live at the same time, and ends them all.
pub(crate) fn forks(limit: &str) -> Outcome {
    let wanted = number(limit)?.min(5_000);
    let mut children = Vec::new();
    let mut refused = None;
    for _ in 0..wanted {
        // SAFETY: the child calls nothing but pause and _exit; alarm ends it in any case.
        match unsafe { libc::fork() } {
            // SAFETY: as above: async-signal-safe calls, and no return.
            0 => unsafe {
                libc::alarm(20);
                libc::pause();
                libc::_exit(0);
            },
            -1 => {
                refused = Some(io::Error::last_os_error());
                break;
            }
            child => children.push(child),
        }
    }
    let started = children.len();
    for child in &children {
        // SAFETY: these are this process's own children, not yet waited for.
        unsafe {
            libc::kill(*child, libc::SIGKILL);
            libc::waitpid(*child, std::ptr::null_mut(), 0);
        }
    }
    refused.map_or_else(
        || Ok(format!("{started} processes at once")),
        |error| {
            Err(io::Error::new(
                error.kind(),
                format!("{started} processes, then: {error}"),
            ))
        },
    )
}

/// Uses so much memory, and lets it go.
pub(crate) fn memory(bytes: &str) -> Outcome {
    const STEP: usize = 4 << 20;
    let wanted = usize::try_from(number(bytes)?.min(2 << 30)).unwrap_or(usize::MAX);
    let mut held: Vec<Vec<u8>> = Vec::new();
    while held.len() * STEP < wanted {
        // Ones, not zeroes: pages that are only promised count for nothing.
        held.push(vec![1; STEP]);
    }
    Ok(format!("{} MiB in use", (held.len() * STEP) >> 20))
}

/// Writes a file of so many bytes, and removes it.
pub(crate) fn disk(path: &str, bytes: &str) -> Outcome {
    let wanted = number(bytes)?.min(2 << 30);
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let written = fill(&mut file, wanted);
    drop(file);
    std::fs::remove_file(path)?;
    written.map(|()| format!("{} MiB written", wanted >> 20))
}

fn fill(file: &mut File, wanted: u64) -> io::Result<()> {
    let block = vec![1_u8; 1 << 20];
    for _ in 0..wanted.div_ceil(1 << 20) {
        file.write_all(&block)?;
    }
    file.sync_all()
}

/// Opens so many descriptors, and closes them.
pub(crate) fn descriptors(count: &str) -> Outcome {
    let wanted = usize::try_from(number(count)?.min(100_000)).unwrap_or(usize::MAX);
    // As root of anything, lift one's own limit first.
    let limit = libc::rlimit {
        rlim_cur: wanted as libc::rlim_t + 16,
        rlim_max: wanted as libc::rlim_t + 16,
    };
    // SAFETY: reads one rlimit that lives on. Where it is refused, opening will show it.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    let mut held = Vec::new();
    while held.len() < wanted {
        held.push(File::open("/dev/null")?);
    }
    Ok(format!("{} descriptors at once", held.len()))
}

/// Says how much of the processor's time eight busy threads got, in thousandths of a core:
/// so many that they get enough of a machine that others keep busy too.
pub(crate) fn processor(ms: &str) -> Outcome {
    let span = Duration::from_millis(number(ms)?.min(10_000));
    #[expect(
        clippy::disallowed_methods,
        reason = "measures time, in a program of its own"
    )]
    let began = Instant::now();
    let busy = move || while began.elapsed() < span {};
    let threads: Vec<_> = (0..8).map(|_| std::thread::spawn(busy)).collect();
    for thread in threads {
        let _ = thread.join();
    }
    let took = began.elapsed();
    // SAFETY: getrusage writes one struct that lives on.
    let used = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        [usage.ru_utime, usage.ru_stime]
    };
    let used_ms: i64 = used
        .iter()
        .map(|time| time.tv_sec * 1000 + time.tv_usec / 1000)
        .sum();
    let millis = i128::from(used_ms) * 1000 / i128::try_from(took.as_millis()).unwrap_or(1);
    if millis > 180 {
        return Ok(format!("{millis} thousandths of a core"));
    }
    Err(io::Error::other(format!("{millis} thousandths of a core")))
}
