//! What programs do to a desktop: the pattern, which keeps what was done to it.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/rest.rs"]
mod rest;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use axum::http::{Method, StatusCode};
use helix_base::{SystemClock, TaskGroup};
use helix_proto::desktop::{Button, Clipboard, Codec, Greeting, Size, Up};
use helix_stream::{
    Error,
    desktop::Desktop,
    encode::raw::Raw,
    input::Input,
    pattern::Pattern,
    serve::{Media, Options, Starter},
};
use serde_json::json;
use tokio::time::timeout;

use rest::{get, json as ask, send};

const SOON: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
struct One {
    running: Mutex<Option<Pattern>>,
}

#[async_trait]
impl Starter for One {
    fn size(&self) -> Size {
        Size::new(640, 360).unwrap()
    }

    async fn start(&self) -> Result<Arc<dyn Desktop>, Error> {
        let pattern = Pattern::new(self.size(), Arc::new(SystemClock));
        *self.running.lock().unwrap() = Some(pattern.clone());
        Ok(Arc::new(pattern))
    }
}

struct World {
    media: Media,
    pattern: Pattern,
    tasks: TaskGroup,
}

impl World {
    async fn new() -> Self {
        Self::with(&Options::default()).await
    }

    async fn with(options: &Options) -> Self {
        let tasks = TaskGroup::new();
        let starter = Arc::new(One::default());
        let clock = Arc::new(SystemClock);
        let media = Media::start(starter.clone(), Arc::new(Raw), options, clock, &tasks);
        eventually(async || get(&media, "/screenshot").await.status == StatusCode::OK).await;
        let pattern = starter.running.lock().unwrap().clone().unwrap();
        Self {
            media,
            pattern,
            tasks,
        }
    }

    async fn end(self) {
        let report = self.tasks.shutdown(Duration::from_secs(5)).await;
        assert_eq!(report.aborted, Vec::<&str>::new());
    }

    /// Long work, with a button down, that has begun.
    async fn begin_to_drag(&self) -> tokio::task::JoinHandle<rest::Answer> {
        let drag = json!({ "actions": [
            { "type": "move", "x": 5, "y": 5 },
            { "type": "drag", "path": [{ "x": 1, "y": 1 }, { "x": 600, "y": 300 }],
              "modifiers": ["ctrl"], "duration_ms": 10_000 },
            { "type": "type", "text": "never" },
        ] });
        let media = self.media.clone();
        #[expect(clippy::disallowed_methods, reason = "a test waits for it")]
        let acting = tokio::spawn(async move { ask(&media, Method::POST, "/input", &drag).await });
        let mut inputs = Vec::new();
        eventually(async || {
            inputs.extend(self.pattern.take_inputs());
            inputs
                .iter()
                .any(|input| matches!(input, Input::Button { down: true, .. }))
        })
        .await;
        acting
    }

    /// That what the long work held was let go of, and that it did nothing more.
    fn nothing_is_held(&self) {
        let inputs = self.pattern.take_inputs();
        let up = |input: &&Input| {
            matches!(
                input,
                Input::Button {
                    down: false,
                    button: Button::Left
                }
            ) || matches!(input, Input::Key { down: false, .. })
        };
        assert_eq!(inputs.iter().filter(up).count(), 2, "{inputs:?}");
        assert!(!inputs.iter().any(|input| matches!(input, Input::Text(_))));
    }
}

async fn eventually(mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, wait).await.expect("it holds in time");
}

#[tokio::test]
async fn actions_are_done_in_their_order_and_nothing_stays_down() {
    let world = World::new().await;
    let actions = json!({ "actions": [
        { "type": "click", "x": 639, "y": 0, "count": 2 },
        { "type": "scroll", "dy": -2 },
        { "type": "type", "text": "Grüße, WORLD\n" },
        { "type": "key", "keys": "ctrl+shift+t" },
        { "type": "wait", "ms": 5 },
    ] });
    let done = ask(&world.media, Method::POST, "/input", &actions).await;
    assert_eq!(done.status, StatusCode::OK, "{done:?}");
    assert_eq!(done.json()["actions"], 5);
    let inputs = world.pattern.take_inputs();
    let text: String = inputs
        .iter()
        .filter_map(|input| match input {
            Input::Text(text) => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(text, "Grüße, WORLD\n");
    let count = |down: bool| {
        let same = |input: &&Input| matches!(input, Input::Key { down: is, .. } | Input::Button { down: is, .. } if *is == down);
        inputs.iter().filter(same).count()
    };
    assert_eq!((count(true), count(false)), (5, 5));
    let first = inputs.iter().find_map(|input| match input {
        Input::Move(at) => Some(at.pixel(Size::new(640, 360).unwrap())),
        _ => None,
    });
    assert_eq!(first, Some((639, 0)));
    world.end().await;
}

#[tokio::test]
async fn what_cannot_be_right_is_refused_before_anything_is_done() {
    let world = World::new().await;
    for (actions, status) in [
        (json!({ "actions": [] }), 422),
        (
            json!({ "actions": [{ "type": "type", "text": "x" }, { "type": "move", "x": 640, "y": 0 }] }),
            422,
        ),
        (
            json!({ "actions": [{ "type": "key", "keys": "nonsense" }] }),
            422,
        ),
        (json!({ "actions": [{ "type": "jump" }] }), 422),
        (
            json!({ "actions": [{ "type": "move", "x": -1, "y": 0 }] }),
            422,
        ),
        (
            json!({ "actions": [{ "type": "wait", "ms": 1, "more": 1 }] }),
            422,
        ),
        (
            json!({ "actions": [{ "type": "wait", "ms": 40_000 }] }),
            422,
        ),
    ] {
        let refused = ask(&world.media, Method::POST, "/input", &actions).await;
        assert_eq!(refused.status.as_u16(), status, "{actions} {refused:?}");
    }
    let garbage = send(
        &world.media,
        Method::POST,
        "/input",
        "application/json",
        "{",
    )
    .await;
    assert_eq!(garbage.status, StatusCode::BAD_REQUEST);
    assert_eq!(world.pattern.take_inputs(), []);
    world.end().await;
}

#[tokio::test]
async fn a_person_who_takes_over_ends_what_is_under_way_and_nothing_stays_down() {
    let world = World::new().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/desktop", listener.local_addr().unwrap());
    let (router, draining) = (world.media.router(), world.tasks.draining_token().clone());
    world.tasks.spawn("server", async move {
        let server = axum::serve(listener, router);
        server
            .with_graceful_shutdown(draining.cancelled_owned())
            .await
    });
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let hello = Up::Hello(Greeting {
        looks_on: false,
        patches: false,
        size: Size::new(640, 360).unwrap(),
        codecs: vec![Codec::H264],
        name: "a person".to_owned(),
    });
    let mut say = async |message: Up| {
        let message = tokio_tungstenite::tungstenite::Message::Binary(message.encode().unwrap());
        futures_util::SinkExt::send(&mut socket, message)
            .await
            .unwrap();
    };
    say(hello).await;
    let acting = world.begin_to_drag().await;
    // A viewer that has the controls already says so once more.
    say(Up::TakeOver).await;
    let stopped = timeout(SOON, acting).await.unwrap().unwrap();
    assert_eq!(stopped.status, StatusCode::CONFLICT);
    assert_eq!(
        stopped.why(),
        "stopped after 1 of 3 actions: a person has taken over"
    );
    world.nothing_is_held();
    world.end().await;
}

#[tokio::test]
async fn the_switch_ends_what_is_under_way_and_refuses_more_until_it_is_on() {
    let world = World::new().await;
    let acting = world.begin_to_drag().await;
    let off = json!({ "allowed": false });
    let answer = ask(&world.media, Method::PUT, "/automation", &off).await;
    assert_eq!(answer.json(), off);
    let stopped = timeout(SOON, acting).await.unwrap().unwrap();
    assert_eq!(stopped.status, StatusCode::CONFLICT);
    world.nothing_is_held();
    let wait = json!({ "actions": [{ "type": "wait", "ms": 1 }] });
    let refused = ask(&world.media, Method::POST, "/input", &wait).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert_eq!(get(&world.media, "/automation").await.json(), off);
    ask(
        &world.media,
        Method::PUT,
        "/automation",
        &json!({ "allowed": true }),
    )
    .await;
    let done = ask(&world.media, Method::POST, "/input", &wait).await;
    assert_eq!(done.status, StatusCode::OK, "{done:?}");
    world.end().await;
}

#[tokio::test]
async fn a_caller_that_leaves_lets_go_of_everything() {
    let world = World::new().await;
    let acting = world.begin_to_drag().await;
    acting.abort();
    assert!(acting.await.unwrap_err().is_cancelled());
    world.nothing_is_held();
    world.end().await;
}

#[tokio::test]
async fn the_clipboard_is_read_and_written_by_its_type() {
    let world = World::new().await;
    let nothing = get(&world.media, "/clipboard").await;
    assert_eq!(nothing.status, StatusCode::NO_CONTENT);
    let put = send(
        &world.media,
        Method::PUT,
        "/clipboard",
        "text/plain",
        "Grüße",
    )
    .await;
    assert_eq!(put.status, StatusCode::NO_CONTENT, "{put:?}");
    assert_eq!(
        world.pattern.pasted(),
        Some(Clipboard::Text("Grüße".to_owned()))
    );
    let read = get(&world.media, "/clipboard").await;
    assert_eq!(
        (read.mime.as_str(), read.body.as_slice()),
        (Clipboard::TEXT, "Grüße".as_bytes())
    );
    let png = b"\x89PNG\r\n\x1a\n".to_vec();
    world.pattern.copy(Clipboard::Png(png.clone().into()));
    eventually(async || get(&world.media, "/clipboard").await.mime == Clipboard::PNG).await;
    let large = send(
        &world.media,
        Method::PUT,
        "/clipboard",
        "text/plain",
        vec![b'x'; 17 << 20],
    )
    .await;
    assert_eq!(large.status, StatusCode::PAYLOAD_TOO_LARGE);
    let html = send(&world.media, Method::PUT, "/clipboard", "text/html", "x").await;
    assert_eq!(html.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(get(&world.media, "/clipboard").await.body, png);
    world.end().await;

    let mut options = Options::default();
    options.hub.clipboard = false;
    let world = World::with(&options).await;
    let refused = get(&world.media, "/clipboard").await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    let refused = send(&world.media, Method::PUT, "/clipboard", "text/plain", "x").await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert_eq!(world.pattern.pasted(), None);
    world.end().await;
}

#[tokio::test]
async fn what_a_desktop_lacks_it_says() {
    let world = World::new().await;
    let answer = get(&world.media, "/windows").await;
    assert_eq!(answer.status, StatusCode::NOT_IMPLEMENTED);
    assert_eq!(answer.json()["error"]["code"], "unsupported");
    let none = get(&world.media, "/recording").await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
    let unsupported = ask(&world.media, Method::POST, "/recording", &json!({})).await;
    assert_eq!(unsupported.status, StatusCode::NOT_IMPLEMENTED);
    world.end().await;
}

#[tokio::test]
async fn a_screenshot_is_what_was_asked_for() {
    let world = World::new().await;
    let (fine, coarse) = (
        get(&world.media, "/screenshot?format=jpeg&quality=95").await,
        get(&world.media, "/screenshot?format=jpeg&quality=5").await,
    );
    assert_eq!(fine.mime, "image/jpeg");
    assert!(fine.body.starts_with(b"\xff\xd8") && coarse.body.len() < fine.body.len());
    // Nothing below the block of the pattern is white, but the pointer's arrow is.
    let has_white = async |query: &str| {
        let file = get(&world.media, &format!("/screenshot{query}")).await.body;
        let mut reader = png::Decoder::new(std::io::Cursor::new(file))
            .read_info()
            .unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        pixels[640 * 80 * 3..].contains(&255)
    };
    assert!(!has_white("?cursor=true").await, "it was not moved yet");
    let moved = json!({ "actions": [{ "type": "move", "x": 600, "y": 300 }] });
    ask(&world.media, Method::POST, "/input", &moved).await;
    assert!(has_white("?cursor=true").await);
    assert!(!has_white("?cursor=false").await && !has_white("").await);
    let webp = get(&world.media, "/screenshot?format=webp").await;
    assert_eq!(
        (webp.mime.as_str(), &webp.body[8..12]),
        ("image/webp", b"WEBP".as_slice())
    );
    for wrong in ["quality=0", "quality=101", "format=gif", "cursor=maybe"] {
        let refused = get(&world.media, &format!("/screenshot?{wrong}")).await;
        assert!(refused.status.is_client_error(), "{wrong}: {refused:?}");
    }
    world.end().await;
}

/// The media process has one thread for all who watch.
#[tokio::test]
async fn a_screenshot_is_made_while_everything_else_goes_on() {
    let world = World::new().await;
    let media = world.media.clone();
    let mut taken = Box::pin(get(&media, "/screenshot?format=webp"));
    let mut turns = 0;
    let taken = loop {
        tokio::select! {
            biased;
            taken = &mut taken => break taken,
            () = tokio::task::yield_now() => turns += 1,
        }
    };
    assert_eq!(taken.status, StatusCode::OK);
    // A few turns are taken in any case, until there is a picture.
    assert!(turns > 50, "{turns}");
    world.end().await;
}
