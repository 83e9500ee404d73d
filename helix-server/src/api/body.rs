//! Bodies of requests, within bounds.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use helix_base::TaskGroup;
use helix_proto::ErrorCode;
use http::{HeaderMap, header};
use http_body::Body as _;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use super::Failure;
use crate::App;

/// How much of a body that is too large is read, and for how long.
const READ_ON_BYTES: usize = 256 << 20;
const READ_ON: Duration = Duration::from_secs(5);

/// Reads a body of at most `most` bytes, within the time that the options allow.
/// One that announces more is refused before any of it came.
pub(super) async fn read(
    app: &App,
    headers: &HeaderMap,
    mut body: Body,
    most: usize,
) -> Result<Bytes, Failure> {
    if body.size_hint().lower() <= most as u64 {
        let within = app.options().limits.body_timeout;
        let collecting = Limited::new(&mut body, most).collect();
        let late = |_| {
            let seconds = within.as_secs();
            Failure::bad_request(format!("the body did not arrive within {seconds} s"))
        };
        match tokio::time::timeout(within, collecting)
            .await
            .map_err(late)?
        {
            Ok(collected) => return Ok(collected.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => {}
            Err(error) => {
                let message = format!("the body could not be read: {error}");
                return Err(Failure::bad_request(message));
            }
        }
    }
    // A client that waits to be asked for the body has not begun to send it.
    if !headers.contains_key(header::EXPECT) {
        read_on(&app.foundation().tasks, body);
    }
    let message = format!("the body is larger than {most} bytes: send less at once");
    Err(Failure::new(ErrorCode::PayloadTooLarge, message))
}

/// Reads what will not be used, beside the answer: who still sends would
/// otherwise lose the connection before it read why.
fn read_on(tasks: &TaskGroup, body: Body) {
    let draining = tasks.draining_token().clone();
    let reading = async move {
        let mut body = Limited::new(body, READ_ON_BYTES);
        let all = async { while let Some(Ok(_)) = body.frame().await {} };
        // Late or not, nobody waits for it.
        let _ = tokio::time::timeout(READ_ON, all).await;
    };
    tasks.spawn("read on", async move {
        draining.run_until_cancelled(reading).await;
    });
}
