//! Recordings that are played back: by GStreamer's own demuxers and decoders.
#![cfg(feature = "gstreamer")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/rest.rs"]
mod rest;

use std::{path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::http::{Method, StatusCode};
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::AppSink;
use helix_base::{SystemClock, TaskGroup};
use helix_proto::desktop::Size;
use helix_stream::{
    Error,
    desktop::Desktop,
    encode::gstreamer::{self as encoders, GStreamer},
    pattern::Pattern,
    serve::{Media, Options, Starter},
};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use rest::{get, json as ask};

const SOON: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct One {
    pattern: Pattern,
}

#[async_trait]
impl Starter for One {
    fn size(&self) -> Size {
        self.pattern.size()
    }

    async fn start(&self) -> Result<Arc<dyn Desktop>, Error> {
        Ok(Arc::new(self.pattern.clone()))
    }
}

struct World {
    home: tempfile::TempDir,
    media: Media,
    pattern: Pattern,
    tasks: TaskGroup,
}

impl World {
    async fn new() -> Self {
        let (tasks, clock) = (TaskGroup::new(), Arc::new(SystemClock));
        let home = tempfile::tempdir().unwrap();
        let pattern = Pattern::new(Size::new(320, 240).unwrap(), clock.clone());
        let starter = Arc::new(One {
            pattern: pattern.clone(),
        });
        let encoders = Arc::new(GStreamer::new(&encoders::Options::default()).unwrap());
        let options = Options {
            recordings: Some(home.path().to_owned()),
            ..Options::default()
        };
        let media = Media::start(starter, encoders, &options, clock, &tasks);
        let up = async {
            while get(&media, "/screenshot").await.status != StatusCode::OK {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(SOON, up).await.unwrap();
        Self {
            home,
            media,
            pattern,
            tasks,
        }
    }

    async fn begin(&self, asked: Value) -> Value {
        let begun = ask(&self.media, Method::POST, "/recording", &asked).await;
        assert_eq!(begun.status, StatusCode::CREATED, "{begun:?}");
        begun.json()
    }

    async fn state(&self) -> Value {
        get(&self.media, "/recording").await.json()
    }

    /// Until it says so.
    async fn until(&self, holds: impl Fn(&Value) -> bool) -> Value {
        let wait = async {
            loop {
                let state = self.state().await;
                if holds(&state) {
                    return state;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(SOON, wait).await.expect("it comes to that")
    }

    async fn stop(&self) -> Value {
        let ended = ask(&self.media, Method::DELETE, "/recording", &Value::Null).await;
        assert_eq!(ended.status, StatusCode::OK, "{ended:?}");
        ended.json()
    }

    async fn end(self) {
        let report = self.tasks.shutdown(Duration::from_secs(5)).await;
        assert_eq!(report.aborted, Vec::<&str>::new());
    }
}

/// What a player sees: how long the file says that it is, and its pictures.
#[derive(Debug)]
struct Played {
    duration: Option<Duration>,
    pictures: usize,
    end: Duration,
}

fn play(path: &Path) -> Played {
    gst::init().unwrap();
    let text = format!(
        "filesrc location={} ! parsebin ! decodebin ! appsink name=sink sync=false",
        path.display()
    );
    let pipeline = gst::parse::launch(&text).unwrap();
    let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
    let sink = pipeline.by_name("sink").unwrap();
    let sink = sink.downcast::<AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut played = Played {
        duration: None,
        pictures: 0,
        end: Duration::ZERO,
    };
    while let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_seconds(10)) {
        let duration: Option<gst::ClockTime> = sink.query_duration();
        played.duration = played.duration.or(duration.map(Into::into));
        let buffer = sample.buffer().unwrap();
        let lasts = buffer.duration().unwrap_or_default();
        played.end = (buffer.pts().unwrap() + lasts).into();
        played.pictures += 1;
    }
    assert!(sink.is_eos(), "{text} does not end");
    pipeline.set_state(gst::State::Null).unwrap();
    played
}

fn near(is: Duration, expected: Duration) -> bool {
    is.abs_diff(expected) < Duration::from_millis(300)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_moves_is_recorded_and_the_file_is_as_long_as_it_took() {
    for format in ["mp4", "webm"] {
        let world = World::new().await;
        world.pattern.set_moving(true);
        let path = format!("films/one.{format}");
        let begun = world.begin(json!({ "format": format, "path": path })).await;
        let file = world.home.path().join(&path);
        assert_eq!(begun["path"], file.to_str().unwrap());
        let again = ask(&world.media, Method::POST, "/recording", &json!({})).await;
        assert_eq!(again.status, StatusCode::CONFLICT);
        world
            .until(|state| state["duration_ms"].as_u64() >= Some(2_000))
            .await;
        let ended = world.stop().await;
        assert_eq!(
            (&ended["state"], &ended["reason"]),
            (&json!("finished"), &json!("it was stopped"))
        );
        let long = Duration::from_millis(ended["duration_ms"].as_u64().unwrap());
        assert_eq!(ended["bytes"], std::fs::metadata(&file).unwrap().len());
        let played = play(&file);
        assert!(
            played.duration.is_some_and(|is| near(is, long)),
            "{format} {long:?} {played:?}"
        );
        assert!(near(played.end, long), "{format} {long:?} {played:?}");
        // Thirty a second were asked for, each a tenth early at most, of a machine that may be
        // busy.
        let most = long.as_secs_f64() * 34.0 + 2.0;
        let pictures = played.pictures as f64;
        assert!((10.0..=most).contains(&pictures), "{format} {played:?}");
        assert_eq!(world.stop().await, ended, "stopping twice changes nothing");
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_still_desktop_gives_a_file_of_the_length_that_it_took() {
    for format in ["mp4", "webm"] {
        let world = World::new().await;
        world.begin(json!({ "format": format })).await;
        world
            .until(|state| state["duration_ms"].as_u64() >= Some(3_000))
            .await;
        let ended = world.stop().await;
        let long = Duration::from_millis(ended["duration_ms"].as_u64().unwrap());
        let played = play(Path::new(ended["path"].as_str().unwrap()));
        assert!(
            played.duration.is_some_and(|is| near(is, long)),
            "{format} {long:?} {played:?}"
        );
        // The first, and what makes it better.
        assert!(played.pictures < 16, "{format} {played:?}");
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_cut_off_in_the_middle_still_plays() {
    for format in ["mp4", "webm"] {
        let world = World::new().await;
        world.pattern.set_moving(true);
        let begun = world.begin(json!({ "format": format })).await;
        world
            .until(|state| state["duration_ms"].as_u64() >= Some(12_000))
            .await;
        let cut = world.home.path().join("cut");
        std::fs::copy(begun["path"].as_str().unwrap(), &cut).unwrap();
        let played = play(&cut);
        // All but what came after the last key frame but one.
        assert!(
            played.end > Duration::from_secs(4) && played.pictures > 20,
            "{format} {played:?}"
        );
        world.stop().await;
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_ends_by_itself_at_its_bounds_and_with_the_size() {
    let world = World::new().await;
    world.pattern.set_moving(true);
    let ended = |state: &Value| state["state"] != "recording";
    world.begin(json!({ "max_seconds": 1 })).await;
    let long = world.until(ended).await;
    assert_eq!(
        (&long["state"], &long["reason"]),
        (&json!("finished"), &json!("it is as long as it may become"))
    );
    world
        .begin(json!({ "max_bytes": 65_536, "path": "a.mp4" }))
        .await;
    let large = world.until(ended).await;
    assert_eq!(large["reason"], "it is as large as it may become");
    world.begin(json!({ "path": "b.mp4" })).await;
    world
        .until(|state| state["duration_ms"].as_u64() >= Some(500))
        .await;
    world
        .pattern
        .resize(Size::new(640, 360).unwrap())
        .await
        .unwrap();
    let resized = world.until(ended).await;
    assert_eq!(
        (&resized["state"], &resized["reason"]),
        (&json!("finished"), &json!("the desktop has another size"))
    );
    assert!(play(&world.home.path().join("b.mp4")).pictures > 0);
    for (asked, status) in [
        (json!({ "path": "../out.mp4" }), 422),
        (json!({ "path": "b.mp4" }), 409),
        (json!({ "fps": 0 }), 422),
        (json!({ "kbits": 1 }), 422),
        (json!({ "max_seconds": 100_000 }), 422),
        (json!({ "format": "avi" }), 422),
    ] {
        let refused = ask(&world.media, Method::POST, "/recording", &asked).await;
        assert_eq!(refused.status.as_u16(), status, "{asked} {refused:?}");
        assert_eq!(refused.mime, "application/json");
        assert!(!refused.why().is_empty());
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_leaves_a_whole_file() {
    let world = World::new().await;
    world.pattern.set_moving(true);
    let begun = world.begin(json!({})).await;
    world
        .until(|state| state["duration_ms"].as_u64() >= Some(1_000))
        .await;
    let (home, path) = (world.home, begun["path"].as_str().unwrap().to_owned());
    let report = world.tasks.shutdown(Duration::from_secs(5)).await;
    assert_eq!(report.aborted, Vec::<&str>::new());
    let played = play(Path::new(&path));
    assert!(
        played.duration > Some(Duration::from_millis(800)),
        "{played:?}"
    );
    drop(home);
}
