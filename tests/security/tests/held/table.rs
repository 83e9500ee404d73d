//! The table in SECURITY.md: what was tried, and what holds it.

use std::{fmt::Write as _, path::Path};

use anyhow::{Context as _, Result, ensure};

use crate::attempts::{ATTEMPTS, Baseline, Trust, User, Which};

const BEGIN: &str = "<!-- attempts: begin -->";
const END: &str = "<!-- attempts: end -->";

fn table() -> String {
    let mut table = String::from(
        "\n| attempt | by | in a sandbox | without the confinement | held by |\n|---|---|---|---|---|\n",
    );
    for attempt in ATTEMPTS {
        let user = match attempt.user {
            User::Root => "root inside",
            User::Ordinary => "`user`",
            User::Caller => "a caller",
        };
        let whose = match attempt.sandbox {
            Which::Plain | Which::Slow => "",
            Which::Docker => " (Docker)",
            Which::Container => " (container in it)",
            Which::Closed => " (egress `none`)",
            Which::Listed => " (egress list)",
            Which::Restarted => " (started again)",
            Which::Forked => " (fork)",
            Which::Restored => " (from a snapshot)",
        };
        let place = match attempt.baseline {
            Baseline::Host | Baseline::HostBy(_) => "on the host",
            Baseline::HostUser => "as a user of the host",
            Baseline::Open => "with egress `open`",
            Baseline::Neighbour | Baseline::NeighbourBy(_) => "from inside that one",
            Baseline::NoSandbox => "by a guest in no sandbox",
            Baseline::Trusting(Trust::Unpack) => "by `tar -P`",
            Baseline::Trusting(Trust::Output) => "by a program that keeps it",
            Baseline::Trusting(Trust::Name) => "by a shell",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            table,
            "| {} | {user} | held{whose} | breached {place} | {} |",
            attempt.name, attempt.held_by
        );
    }
    table
}

/// Compares, or with `HELIX_UPDATE_SECURITY` writes.
pub(crate) fn check() -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../SECURITY.md");
    let text = std::fs::read_to_string(&path)?;
    let (head, rest) = text.split_once(BEGIN).context("SECURITY.md has no table")?;
    let (shown, tail) = rest.split_once(END).context("the table has no end")?;
    let table = table();
    if std::env::var_os("HELIX_UPDATE_SECURITY").is_some() {
        let text = format!("{head}{BEGIN}\n{table}\n{END}{tail}");
        return Ok(std::fs::write(&path, text)?);
    }
    ensure!(
        shown.trim() == table.trim(),
        "SECURITY.md does not list what is tried: run this test with HELIX_UPDATE_SECURITY=1"
    );
    Ok(())
}
