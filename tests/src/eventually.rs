//! Waiting for something that happens by itself.

use std::{fmt::Debug, time::Duration};

/// How long anything may take that happens by itself.
pub const SOON: Duration = Duration::from_secs(60);

/// Looks again and again until `look` finds what it looks for.
///
/// # Panics
/// When it did not within `within`; the message has what was seen last.
pub async fn eventually<T, S: Debug>(
    what: &str,
    within: Duration,
    mut look: impl AsyncFnMut() -> Result<T, S>,
) -> T {
    let deadline = tokio::time::Instant::now() + within;
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) => assert!(
                tokio::time::Instant::now() < deadline,
                "waited {within:?} for {what}; last seen: {seen:?}"
            ),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
