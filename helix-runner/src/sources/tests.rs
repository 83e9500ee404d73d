//! Downloads from a hub on loopback that breaks off, forgets and lies.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use futures_util::{StreamExt as _, stream};
use helix_base::{Outbound, OutboundOptions, TaskGroup};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::*;

/// What the hub does wrong, one answer after the other; then it does well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    BreakOffAfter(usize),
    StallAfter(usize),
    Status(u16),
}

#[derive(Default)]
struct Script {
    files: HashMap<String, Vec<u8>>,
    faults: Vec<Fault>,
    ignore_ranges: bool,
    wrong_checksum: bool,
    wants_token: bool,
    down: bool,
    /// The ranges that were asked for, one for each request of a file.
    asked: Vec<Option<String>>,
}

type Shared = Arc<Mutex<Script>>;

struct FakeHub {
    script: Shared,
    fetcher: Fetcher,
    folder: TempDir,
    tasks: TaskGroup,
}

impl FakeHub {
    async fn start(script: Script) -> Self {
        Self::start_with(script, |_| ()).await
    }

    async fn start_with(script: Script, change: impl FnOnce(&mut HubOptions)) -> Self {
        let script = Arc::new(Mutex::new(script));
        let router = Router::new()
            .route(
                "/api/models/{owner}/{name}/revision/{revision}",
                get(listing),
            )
            .route("/{owner}/{name}/resolve/{commit}/{*path}", get(resolve))
            .with_state(Arc::clone(&script));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
            .await
            .unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap())
            .parse()
            .unwrap();
        let tasks = TaskGroup::new();
        tasks.spawn("hub", async move { axum::serve(listener, router).await });
        let folder = tempfile::tempdir().unwrap();
        let stall_timeout = Duration::from_millis(500);
        let mut options = HubOptions {
            endpoint,
            stall_timeout,
            keep_free_bytes: 0,
            ..HubOptions::default()
        };
        change(&mut options);
        let client = Outbound::new(&OutboundOptions::default())
            .unwrap()
            .downloads()
            .clone();
        let fetcher = Fetcher::new(options, folder.path().to_owned(), client);
        Self {
            script,
            fetcher,
            folder,
            tasks,
        }
    }

    async fn fetch(&self) -> Result<PathBuf, Error> {
        self.fetcher
            .hugging_face_gguf("o/m", None, None, &|_, _| ())
            .await
    }

    fn asked(&self) -> Vec<Option<String>> {
        self.script.lock().unwrap().asked.clone()
    }
}

impl Drop for FakeHub {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

fn weights() -> Vec<u8> {
    let filler = (0..200_000_u32).flat_map(u32::to_le_bytes);
    b"GGUF".iter().copied().chain(filler).collect()
}

fn one_file() -> Script {
    Script {
        files: HashMap::from([("m.gguf".to_owned(), weights())]),
        ..Script::default()
    }
}

async fn listing(State(script): State<Shared>, headers: HeaderMap) -> Response {
    let script = script.lock().unwrap();
    if script.down {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    if script.wants_token && headers.get(header::AUTHORIZATION).is_none() {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let file = |(name, bytes): (&String, &Vec<u8>)| {
        let digest = if script.wrong_checksum {
            Sha256::digest(b"other")
        } else {
            Sha256::digest(bytes)
        };
        let sha256: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        serde_json::json!({ "rfilename": name, "size": bytes.len(), "lfs": { "sha256": sha256, "size": bytes.len() } })
    };
    let siblings: Vec<_> = script.files.iter().map(file).collect();
    Json(serde_json::json!({ "sha": "c0ffee", "siblings": siblings })).into_response()
}

async fn resolve(
    State(script): State<Shared>,
    Path((_, _, _, path)): Path<(String, String, String, String)>,
    headers: HeaderMap,
) -> Response {
    let mut script = script.lock().unwrap();
    let range = headers
        .get(header::RANGE)
        .map(|range| range.to_str().unwrap().to_owned());
    script.asked.push(range.clone());
    let fault = (!script.faults.is_empty()).then(|| script.faults.remove(0));
    if let Some(Fault::Status(status)) = fault {
        return StatusCode::from_u16(status).unwrap().into_response();
    }
    let bytes = script.files[&path].clone();
    let range = range.filter(|_| !script.ignore_ranges);
    let range = range.map(|range| {
        let (start, end) = range["bytes=".len()..].split_once('-').unwrap();
        let end = end
            .parse()
            .map_or(bytes.len(), |last: usize| bytes.len().min(last + 1));
        (start.parse::<usize>().unwrap(), end)
    });
    let (start, end) = range.unwrap_or((0, bytes.len()));
    let rest = bytes[start..end].to_vec();
    let body = match fault {
        Some(Fault::BreakOffAfter(count)) => {
            // Breaks off once the first part has left.
            let broken = stream::once(async {
                tokio::task::yield_now().await;
                Err(std::io::Error::other("broken off"))
            });
            let first = stream::iter([Ok(rest[..count].to_vec())]);
            Body::from_stream(first.chain(broken))
        }
        Some(Fault::StallAfter(count)) => {
            let first = stream::iter([Ok::<_, std::io::Error>(rest[..count].to_vec())]);
            Body::from_stream(first.chain(stream::pending()))
        }
        _ => Body::from(rest),
    };
    match range {
        Some((start, end)) => {
            let range = format!("bytes {start}-{}/{}", end - 1, bytes.len());
            (
                StatusCode::PARTIAL_CONTENT,
                [(header::CONTENT_RANGE, range)],
                body,
            )
                .into_response()
        }
        None => body.into_response(),
    }
}

#[tokio::test]
async fn a_file_is_fetched_once() {
    let hub = FakeHub::start(one_file()).await;
    let path = hub.fetch().await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), weights());
    assert_eq!(hub.fetch().await.unwrap(), path);
    assert_eq!(hub.asked(), [None]);
}

#[tokio::test]
async fn two_who_want_the_same_file_fetch_it_once() {
    let hub = FakeHub::start(one_file()).await;
    let (one, two) = tokio::join!(hub.fetch(), hub.fetch());
    assert_eq!(one.unwrap(), two.unwrap());
    assert_eq!(hub.asked().len(), 1);
}

#[tokio::test]
async fn a_download_that_breaks_off_or_stalls_goes_on_where_it_was() {
    let faults = vec![
        Fault::BreakOffAfter(1_000),
        Fault::StallAfter(2_000),
        Fault::Status(503),
    ];
    let hub = FakeHub::start(Script {
        faults,
        ..one_file()
    })
    .await;
    let told = Mutex::new(Vec::new());
    let tell = |done, total| told.lock().unwrap().push((done, total));
    let path = hub
        .fetcher
        .hugging_face_gguf("o/m", None, None, &tell)
        .await
        .unwrap();
    assert_eq!(std::fs::read(path).unwrap(), weights());
    let range = |from: usize| Some(format!("bytes={from}-"));
    assert_eq!(
        hub.asked(),
        [None, range(1_000), range(3_000), range(3_000)]
    );
    let told = told.into_inner().unwrap();
    let total = weights().len() as u64;
    assert!(
        told.is_sorted() && told.last() == Some(&(total, total)),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_cancelled_download_goes_on_where_it_was() {
    let hub = FakeHub::start(Script {
        faults: vec![Fault::StallAfter(5_000)],
        ..one_file()
    })
    .await;
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let sender = Mutex::new(Some(sender));
    let tell = |done, _| {
        if done == 5_000 {
            let _ = sender.lock().unwrap().take().map(|sender| sender.send(()));
        }
    };
    tokio::select! {
        ended = hub.fetcher.hugging_face_gguf("o/m", None, None, &tell) => panic!("{ended:?}"),
        told = receiver => told.unwrap(),
    }
    hub.fetch().await.unwrap();
    assert_eq!(hub.asked()[1], Some("bytes=5000-".to_owned()));
}

#[tokio::test]
async fn a_hub_that_knows_no_ranges_starts_over() {
    let faults = vec![Fault::BreakOffAfter(1_000)];
    let hub = FakeHub::start(Script {
        faults,
        ignore_ranges: true,
        ..one_file()
    })
    .await;
    assert_eq!(
        std::fs::read(hub.fetch().await.unwrap()).unwrap(),
        weights()
    );
}

#[tokio::test]
async fn what_came_damaged_is_discarded() {
    let hub = FakeHub::start(Script {
        wrong_checksum: true,
        ..one_file()
    })
    .await;
    let error = hub.fetch().await.unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    hub.script.lock().unwrap().wrong_checksum = false;
    assert_eq!(
        std::fs::read(hub.fetch().await.unwrap()).unwrap(),
        weights()
    );
}

#[tokio::test]
async fn a_hub_that_stays_broken_is_given_up_on() {
    let faults = vec![Fault::Status(500); 10];
    let hub = FakeHub::start_with(
        Script {
            faults,
            ..one_file()
        },
        |options| options.retries = 1,
    )
    .await;
    let error = hub.fetch().await.unwrap_err();
    assert!(error.to_string().contains("status 500"), "{error}");
    assert_eq!(hub.asked().len(), 2);
}

#[tokio::test]
async fn a_token_opens_what_is_not_public() {
    let hub = FakeHub::start(Script {
        wants_token: true,
        ..one_file()
    })
    .await;
    let error = hub.fetch().await.unwrap_err();
    assert!(
        matches!(&error, Error::Refused(_)) && error.to_string().contains("hub.token"),
        "{error}"
    );
    let script = Script {
        wants_token: true,
        ..one_file()
    };
    let hub = FakeHub::start_with(script, |options| {
        options.token = Some("hf_x".to_owned().into())
    })
    .await;
    hub.fetch().await.unwrap();
}

#[tokio::test]
async fn a_disk_without_room_is_refused_before_the_first_byte() {
    let hub =
        FakeHub::start_with(one_file(), |options| options.keep_free_bytes = u64::MAX / 2).await;
    let error = hub.fetch().await.unwrap_err();
    assert!(matches!(error, Error::DiskFull { .. }), "{error}");
    assert_eq!(hub.asked(), []);
}

#[tokio::test]
async fn what_was_fetched_before_is_used_while_the_hub_is_down() {
    let hub = FakeHub::start(one_file()).await;
    hub.script.lock().unwrap().down = true;
    assert!(
        hub.fetch()
            .await
            .unwrap_err()
            .to_string()
            .contains("status 502")
    );
    hub.script.lock().unwrap().down = false;
    let path = hub.fetch().await.unwrap();
    hub.script.lock().unwrap().down = true;
    assert_eq!(hub.fetch().await.unwrap(), path);
}

#[tokio::test]
async fn a_repository_of_safetensors_becomes_a_folder() {
    let names = [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "model.bin",
    ];
    let files = names.map(|name| (name.to_owned(), b"{}".to_vec()));
    let hub = FakeHub::start(Script {
        files: HashMap::from(files),
        ..Script::default()
    })
    .await;
    let folder = hub
        .fetcher
        .hugging_face_folder("o/m", Some("v1"), &|_, _| ())
        .await
        .unwrap();
    assert!(
        folder.starts_with(hub.folder.path()) && folder.ends_with("o--m/c0ffee"),
        "{folder:?}"
    );
    assert!(folder.join("model.safetensors").exists() && !folder.join("model.bin").exists());
}

#[tokio::test]
async fn what_a_model_needs_is_read_from_its_beginning() {
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/tiny.gguf");
    let files = HashMap::from([("m.gguf".to_owned(), std::fs::read(model).unwrap())]);
    for ignore_ranges in [false, true] {
        let script = Script {
            files: files.clone(),
            ignore_ranges,
            ..Script::default()
        };
        let hub = FakeHub::start(script).await;
        let profile = hub.fetcher.peek_gguf("o/m", None, None).await.unwrap();
        assert!(profile.weight_bytes() > 1_000_000);
        assert_eq!(profile, gguf_profile(model.as_ref()).await.unwrap());
        assert_eq!(hub.asked(), [Some("bytes=0-1048575".to_owned())]);
    }
    let hub = FakeHub::start(one_file()).await;
    let error = hub.fetcher.peek_gguf("o/m", None, None).await.unwrap_err();
    assert!(error.is_missing(), "{error}");
}
