//! What a sandbox says that a service of its own wrote. It may say anything.

use std::sync::Arc;

use helix_isolation::{Environment, GuestClient};
use helix_proto::sandbox::{SandboxLog, SandboxLogLine};
use http::Method;

use super::{
    SHORT,
    log::{LINE_BYTES, LINES},
};

/// The newest lines, of bounded number and length, none from later than `now_ms`.
///
/// # Errors
///
/// Why it cannot be read.
pub(super) async fn read(
    environment: Arc<dyn Environment>,
    service: &str,
    tail: usize,
    now_ms: u64,
) -> Result<Vec<SandboxLogLine>, String> {
    let tail = tail.min(LINES);
    let guest = GuestClient::new(environment).with_patience(SHORT);
    let path = format!("/{service}/log?tail={tail}");
    let answer = guest.ask(Method::GET, &path, bytes::Bytes::new()).await;
    let answer = answer.map_err(|error| error.to_string())?;
    if !answer.status().is_success() {
        return Err(format!("the sandbox answered {}", answer.status()));
    }
    let log: SandboxLog = serde_json::from_slice(answer.body())
        .map_err(|_| "the sandbox answered something else".to_owned())?;
    let mut lines = log.lines;
    lines.drain(..lines.len().saturating_sub(tail));
    for line in &mut lines {
        line.at_ms = line.at_ms.min(now_ms);
        service.clone_into(&mut line.source);
        line.text
            .truncate(line.text.floor_char_boundary(LINE_BYTES));
    }
    Ok(lines)
}

/// Adds lines where they belong in time; those of one time stay as they were.
pub(super) fn merge(lines: &mut Vec<SandboxLogLine>, more: Vec<SandboxLogLine>) {
    lines.extend(more);
    lines.sort_by_key(|line| line.at_ms);
}
