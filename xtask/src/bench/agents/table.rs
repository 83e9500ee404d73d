//! The figures, beside their targets.

use anyhow::{Context as _, Result};

use super::{Arguments, Crowd, Path, REPLAYS, Replay, Taken};
use crate::bench::report::{Row, machine, median};

/// What the path may add to a message, in milliseconds: half of them, and all but one of a hundred.
const ADDED_MS: [(f64, f64); 2] = [(0.5, 5.0), (0.99, 25.0)];
/// Within this time a long log is to be read, in milliseconds.
const REPLAY_MS: f64 = 1_000.0;
/// The most statements for a token.
const STATEMENTS: f64 = 1.0;

pub(super) fn path(path: &Path) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (what, late, floor) in [
        ("a message each 50 ms", &path.alone_ms, &path.floor_ms),
        (
            "100 tokens per second",
            &path.token_ms,
            &path.floor_token_ms,
        ),
    ] {
        for (share, most) in ADDED_MS {
            let metric = format!(
                "agent's write to who looks on, {what}, p{:.0}",
                share * 100.0
            );
            let (ours, least) = (percentile(late, share)?, percentile(floor, share)?);
            rows.push(Row {
                peer: Some("a pipe"),
                peer_value: Some(least),
                ratio: Some(ours / least),
                ..Row::below(metric, ours, "ms", most)
            });
        }
    }
    for share in [0.5, 0.99] {
        let metric = format!("prompt asked to agent's read, p{:.0}", share * 100.0);
        let ours = percentile(&path.prompt_ms, share)?;
        rows.push(Row::reported(metric, ours, "ms"));
    }
    Ok(rows)
}

/// What the database is given while many stream.
#[derive(Debug, Default)]
pub(super) struct Statements {
    per_token: f64,
}

impl Statements {
    pub(super) fn of(crowd: &Crowd, taken: &Taken) -> Self {
        // A transaction's beginning and end are statements, too, and are not in the log.
        let all = taken.statements + 2.0 * crowd.transactions;
        Self {
            per_token: all / crowd.tokens,
        }
    }
}

pub(super) fn crowd(
    sessions: u32,
    crowd: &Crowd,
    taken: &Taken,
    statements: &Statements,
) -> Result<Vec<Row>> {
    let of = |what: &str| format!("{sessions} sessions stream at once: {what}");
    let (tokens, per_token) = (crowd.tokens / crowd.seconds, statements.per_token);
    let transactions = crowd.transactions / crowd.seconds;
    let mut rows = vec![
        Row::reported(of("tokens in all"), tokens, "1/s"),
        Row::reported(
            of("control plane's processors in use"),
            taken.processors,
            "cores",
        ),
        Row::reported(
            of("control plane's resident memory"),
            taken.bytes / 1e6,
            "MB",
        ),
        Row::reported(of("log entries"), crowd.entries / crowd.seconds, "1/s"),
        Row::reported(of("transactions"), transactions, "1/s"),
        Row::reported(of("statements"), per_token * tokens, "1/s"),
        Row::below(
            of("statements for a token"),
            per_token,
            "statements",
            STATEMENTS,
        ),
    ];
    for (share, _) in ADDED_MS {
        let metric = format!("host's write to who looks on, p{:.0}", share * 100.0);
        let ours = percentile(&crowd.late_ms, share)?;
        rows.push(Row::reported(of(&metric), ours, "ms"));
    }
    Ok(rows)
}

pub(super) fn replay(events: u32, replay: Replay) -> Result<Vec<Row>> {
    let of = |how: &str| format!("a log of {events} events until its last, {how}");
    let (socket, sse) = (median(replay.socket_ms)?, median(replay.sse_ms)?);
    Ok(vec![
        Row::below(
            of("on the page's WebSocket, median"),
            socket,
            "ms",
            REPLAY_MS,
        ),
        Row::reported(of("as server-sent events, median"), sse, "ms"),
    ])
}

/// The smallest sample that so large a share of all does not exceed.
fn percentile(samples: &[f64], share: f64) -> Result<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank among few samples"
    )]
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .context("no samples")
}

pub(super) fn introduction(arguments: &Arguments) -> String {
    let Arguments {
        messages,
        prompts,
        sessions,
        tokens,
        seconds,
        events,
        ..
    } = arguments;
    format!(
        "`cargo xtask bench agents --messages {messages} --prompts {prompts} --sessions {sessions} \
         --tokens {tokens} --seconds {seconds} --events {events}`, on {}.\n\n\
         The control plane (SQLite), the sandbox host, the sandbox, the agent and who looks on share \
         the machine. *Agent's write to who looks on*: a scripted agent in a real sandbox on a real \
         host writes, as ACP on its standard output, messages with the time at which they are written; \
         a client on the user's WebSocket, as the page has it, notes when they came. All of the way is \
         in it: the sandbox's guest, the host with its journal on the disk, agent sync, the control \
         plane's database, the WebSocket. *A pipe* is the same agent, read by the same program \
         directly. *Prompt asked to agent's read*: from before `POST prompts` until the agent has \
         the prompt. *Sessions stream at once*: the host is a scripted one that speaks agent sync, \
         and says each token as an event by itself; each session has a WebSocket that follows it. \
         The load takes its part of the same processors. The statements are counted in a run of its \
         own, in the control plane's log, with all else that it asks its database meanwhile. *A log until its last*: from before the session is asked for until its last event \
         came, {REPLAYS} times; each twentieth event is what a tool does, the others are a few words.",
        machine(),
    )
}
