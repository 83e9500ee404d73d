//! The parts of Ollama's API (`docs/api.md` of its repository) that bring a
//! model up.

use std::time::Duration;

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::engine::{Endpoint, Error, ProgressSink, Stage};

/// One line of progress is shorter than this.
const MAX_LINE: usize = 64 << 10;

/// A line of `POST /api/pull`.
#[derive(Debug, Deserialize)]
struct PullLine {
    #[serde(default)]
    status: String,
    total: Option<u64>,
    completed: Option<u64>,
    error: Option<String>,
}

/// Whether the model is on this machine.
pub(super) async fn has(endpoint: &Endpoint, name: &str) -> bool {
    let request = endpoint
        .request(Method::POST, "/api/show")
        .json(&json!({ "model": name }));
    let answer = request.timeout(Duration::from_secs(10)).send().await;
    answer.is_ok_and(|answer| answer.status().is_success())
}

/// Pulls the model, telling how far it has come.
pub(super) async fn pull(
    endpoint: &Endpoint,
    name: &str,
    stall_timeout: Duration,
    progress: &ProgressSink,
) -> Result<(), Error> {
    progress.tell(Stage::Downloading, format!("pulling {name}"), None);
    let request = endpoint
        .request(Method::POST, "/api/pull")
        .json(&json!({ "model": name }));
    let stalled = |_| fetching(name, "it said nothing for too long");
    let sent = tokio::time::timeout(stall_timeout, request.send())
        .await
        .map_err(stalled)?;
    let mut answer = sent.map_err(|_| fetching(name, "the connection broke"))?;
    if answer.status() == http::StatusCode::NOT_FOUND {
        return Err(missing(name, "the registry does not know it"));
    }
    let mut buffer = Vec::new();
    loop {
        let chunk = tokio::time::timeout(stall_timeout, answer.chunk())
            .await
            .map_err(stalled)?;
        let Some(chunk) = chunk.map_err(|_| fetching(name, "the connection broke"))? else {
            return Err(fetching(name, "it ended early"));
        };
        buffer.extend_from_slice(&chunk);
        if buffer.len() > MAX_LINE {
            return Err(fetching(name, "it said what is not progress"));
        }
        while let Some(end) = buffer.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            if pulled(&line, name, progress)? {
                return Ok(());
            }
        }
    }
}

/// Takes in one line; says whether it was the last.
fn pulled(line: &[u8], name: &str, progress: &ProgressSink) -> Result<bool, Error> {
    let Ok(line) = serde_json::from_slice::<PullLine>(line) else {
        return Ok(false);
    };
    if let Some(error) = line.error {
        let gone = error.contains("does not exist") || error.contains("not found");
        return Err(if gone {
            missing(name, &error)
        } else {
            fetching(name, &error)
        });
    }
    let done_of = line.total.map(|total| (line.completed.unwrap_or(0), total));
    progress.tell(
        Stage::Downloading,
        format!("pulling {name}: {}", line.status),
        done_of,
    );
    Ok(line.status == "success")
}

/// Has the model loaded: a prompt that is empty does nothing else.
pub(super) async fn load(
    endpoint: &Endpoint,
    name: &str,
    progress: &ProgressSink,
) -> Result<(), Error> {
    progress.tell(Stage::Starting, format!("loading {name}"), None);
    let body = json!({ "model": name, "keep_alive": -1, "stream": false });
    // The instance's own deadline bounds this.
    let answer = endpoint
        .request(Method::POST, "/api/generate")
        .json(&body)
        .send()
        .await;
    let answer =
        answer.map_err(|_| Error::Unhealthy(format!("Ollama broke off while loading {name}")))?;
    if answer.status().is_success() {
        return Ok(());
    }
    let reason: Value = answer.json().await.unwrap_or_default();
    let reason = reason["error"]
        .as_str()
        .unwrap_or("it did not say why")
        .to_owned();
    let message = format!("Ollama cannot load {name}: {reason}");
    if crate::engine::shows_out_of_memory(&[reason]) {
        return Err(Error::OutOfMemory(message));
    }
    Err(Error::Unhealthy(message))
}

/// What the loaded model uses, by Ollama's account: on GPUs where it uses any,
/// else in main memory.
pub(super) async fn memory(endpoint: &Endpoint) -> Option<u64> {
    let loaded = endpoint.get_json("/api/ps").await?;
    let models = loaded["models"].as_array()?;
    let sum = |key: &str| {
        models
            .iter()
            .filter_map(|model| model[key].as_u64())
            .sum::<u64>()
    };
    [sum("size_vram"), sum("size")]
        .into_iter()
        .find(|&bytes| bytes > 0)
}

fn missing(name: &str, why: &str) -> Error {
    Error::ModelMissing(format!("Ollama cannot pull {name}: {why}"))
}

fn fetching(name: &str, why: &str) -> Error {
    crate::sources::Error::Network {
        what: name.to_owned(),
        host: "the Ollama registry".to_owned(),
        why: why.to_owned(),
    }
    .into()
}

#[cfg(test)]
mod tests {
    use helix_proto::runner::FailureKind;

    use super::*;

    #[test]
    fn lines_of_a_pull_become_progress_until_the_last() {
        let (sink, seen) = ProgressSink::new();
        let line = br#"{"status":"pulling 12","digest":"sha256:12","total":1000,"completed":400}"#;
        assert!(!pulled(line, "m", &sink).unwrap());
        let (stage, progress) = seen.borrow().clone().unwrap();
        assert_eq!(stage, Stage::Downloading);
        assert_eq!(
            (progress.done_bytes, progress.total_bytes),
            (Some(400), Some(1000))
        );
        assert!(!pulled(b"not json", "m", &sink).unwrap());
        assert!(pulled(br#"{"status":"success"}"#, "m", &sink).unwrap());
    }

    #[test]
    fn a_model_that_is_not_there_is_told_from_a_registry_that_is_not() {
        let (sink, _) = ProgressSink::new();
        let kind = |line: &[u8]| pulled(line, "m", &sink).unwrap_err().failure_kind();
        let gone = br#"{"error":"pull model manifest: file does not exist"}"#;
        assert_eq!(kind(gone), FailureKind::ModelMissing);
        let offline = br#"{"error":"dial tcp: lookup registry.ollama.ai: no such host"}"#;
        assert_eq!(kind(offline), FailureKind::Download);
    }
}
