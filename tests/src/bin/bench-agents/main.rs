//! What `cargo xtask bench agents` measures with: people who ask and look on, and a sandbox
//! host's side of agent sync, as `docs/agent-sync.md` has it for third parties.
//!
//! `bench-agents ROLE ARGUMENTS…`, with an API key in `HELIX_BENCH_KEY` and, where the host is
//! scripted, its credential in `HELIX_BENCH_CREDENTIAL`. Prints one JSON object; `crowd` prints
//! `begin` and `end` around what it measures.

mod crowd;
mod floor;
mod host;
mod path;
mod person;
mod replay;
mod viewer;

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use helix_base::SecretString;
use person::Person;

const USAGE: &str = "bench-agents path URL SANDBOX MESSAGES PROMPTS
bench-agents crowd URL SANDBOX SESSIONS TOKENS_PER_SECOND SECONDS
bench-agents replay URL SANDBOX EVENTS ROUNDS";

/// The agent that the real host runs.
const AGENT: &str = include_str!("agent.py");

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [role, url, sandbox, numbers @ ..] = arguments.as_slice() else {
        bail!(USAGE);
    };
    let numbers: Result<Vec<u32>, _> = numbers.iter().map(|number| number.parse()).collect();
    let numbers = numbers.context(USAGE)?;
    helix_base::limits::raise_open_files();
    let person = Person::new(url, &secret("HELIX_BENCH_KEY")?, sandbox)?;
    let measured = match (role.as_str(), numbers.as_slice()) {
        ("path", &[messages, prompts]) => path::measure(&person, messages, prompts).await?,
        ("crowd", &[sessions, rate, seconds]) => {
            let credential = secret("HELIX_BENCH_CREDENTIAL")?;
            crowd::measure(&person, &credential, sessions, rate, seconds).await?
        }
        ("replay", &[events, rounds]) => {
            let credential = secret("HELIX_BENCH_CREDENTIAL")?;
            replay::measure(&person, &credential, events, rounds).await?
        }
        _ => bail!(USAGE),
    };
    say(&measured.to_string())
}

fn secret(name: &str) -> Result<SecretString> {
    let value = std::env::var(name).with_context(|| format!("{name} is not set"))?;
    Ok(value.into())
}

/// Prints a line at once.
fn say(line: &str) -> Result<()> {
    use std::io::Write as _;

    let mut out = std::io::stdout();
    writeln!(out, "{line}").context("printing")?;
    out.flush().context("printing")
}

/// Nanoseconds since the Unix epoch: what an agent in a sandbox reads on its clock, too.
#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures by the machine's clock"
)]
fn now_ns() -> u128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures by the machine's clock"
)]
fn now() -> Instant {
    Instant::now()
}

/// Milliseconds between two readings of [`now_ns`].
fn ms_between(from: u128, to: u128) -> f64 {
    // A clock that was set back in between shows as nothing, not as a minute.
    to.saturating_sub(from) as f64 / 1e6
}

/// Milliseconds until `arrived` of each time that is written in a text, however many messages
/// were joined in it.
fn lateness(text: &str, arrived: u128) -> impl Iterator<Item = f64> {
    let stamps = text
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .map(move |written| ms_between(written, arrived));
    stamps.collect::<Vec<_>>().into_iter()
}
