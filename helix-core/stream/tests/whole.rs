//! A real Sway, encoded by GStreamer, watched and driven over a WebSocket.
#![cfg(all(feature = "wayland", feature = "gstreamer"))]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{SinkExt as _, StreamExt as _};
use helix_base::{Clock as _, SystemClock, TaskGroup};
use helix_proto::desktop::{Codec, Down, Greeting, Key, Up};
use helix_stream::{
    encode::gstreamer::{self as encoders, GStreamer},
    serve::{Media, Options},
    wayland::sway::SwayStarter,
};
use support::{place, program, size};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

const SOON: Duration = Duration::from_secs(60);

struct Viewer {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Bytes of pictures.
    bytes: usize,
    frames: u32,
    patches: u32,
}

impl Viewer {
    async fn say(&mut self, message: Up) {
        let message = Message::Binary(message.encode().unwrap());
        self.socket.send(message).await.unwrap();
    }

    /// The next picture or patch, painted; when it came.
    async fn frame(&mut self) -> Instant {
        loop {
            let Some(Ok(message)) = self.socket.next().await else {
                panic!("the socket is closed");
            };
            let Message::Binary(message) = message else {
                continue;
            };
            let now = SystemClock.now();
            let sequence = match Down::decode(message).unwrap() {
                Down::Frame(frame) => {
                    self.bytes += frame.picture.len();
                    self.frames += 1;
                    frame.sequence
                }
                Down::Patch(patch) => {
                    let (_, rgb) = qoi::decode_to_vec(&patch.qoi).unwrap();
                    let pieces = patch.pieces.iter();
                    let pixels: usize = pieces.map(|piece| piece.size.pixels()).sum();
                    assert_eq!(rgb.len(), 3 * pixels);
                    self.bytes += patch.qoi.len();
                    self.patches += 1;
                    patch.sequence
                }
                _ => continue,
            };
            self.say(Up::Painted { sequence, queue: 0 }).await;
            return now;
        }
    }

    /// Paints what comes until nothing does for half a second.
    async fn settle(&mut self) {
        while timeout(Duration::from_millis(500), self.frame())
            .await
            .is_ok()
        {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_seen_soon_and_a_terminal_that_scrolls_is_smooth() {
    let Some(program) = program() else {
        println!("skipped: there is no sway");
        return;
    };
    let tasks = TaskGroup::new();
    let (_place, options) = place(&program, &["foot sh"]);
    let clock = Arc::new(SystemClock);
    let starter = SwayStarter::new(options, clock.clone(), &tasks);
    let encoders = GStreamer::new(&encoders::Options::default()).unwrap();
    let options = Options::default();
    let media = Media::start(
        Arc::new(starter),
        Arc::new(encoders),
        &options,
        clock,
        &tasks,
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/desktop", listener.local_addr().unwrap());
    let (router, draining) = (media.router(), tasks.draining_token().clone());
    tasks.spawn("server", async move {
        let server = axum::serve(listener, router);
        server
            .with_graceful_shutdown(draining.cancelled_owned())
            .await
    });
    let began = SystemClock.now();
    let (socket, _) = connect_async(url).await.unwrap();
    let mut viewer = Viewer {
        socket,
        bytes: 0,
        frames: 0,
        patches: 0,
    };
    viewer
        .say(Up::Hello(Greeting {
            looks_on: false,
            patches: true,
            size: size(),
            codecs: vec![Codec::H264],
            name: "one".to_owned(),
        }))
        .await;
    let first = timeout(SOON, viewer.frame()).await.unwrap() - began;
    tokio::time::sleep(Duration::from_secs(1)).await;
    viewer.settle().await;

    let mut waits = Vec::new();
    for _ in 0..20 {
        let pressed = SystemClock.now();
        for down in [true, false] {
            let key = Key::new(30, 0).unwrap();
            viewer.say(Up::Key { key, down }).await;
        }
        let seen = timeout(SOON, viewer.frame())
            .await
            .expect("a key that is seen");
        waits.push(seen - pressed);
        while timeout(Duration::from_millis(60), viewer.frame())
            .await
            .is_ok()
        {}
    }
    waits.sort_unstable();
    // A letter is little.
    assert!(viewer.patches >= 15, "{} patches", viewer.patches);

    viewer.say(Up::Text("\nseq 3000000\n".to_owned())).await;
    let (began, frames, bytes) = (SystemClock.now(), viewer.frames, viewer.bytes);
    while SystemClock.now() - began < Duration::from_secs(2) {
        // It may end before.
        let _ = timeout(Duration::from_millis(200), viewer.frame()).await;
    }
    let (frames, bytes) = (viewer.frames - frames, viewer.bytes - bytes);
    println!(
        "first picture {first:?}; key to picture p50 {:?}, worst {:?}; scrolling {} fps, {} kB/s",
        waits[10],
        waits[19],
        frames / 2,
        bytes / 2_000
    );
    assert!(frames > 0, "nothing came while it scrolled");
    drop(viewer);
    let report = tasks.shutdown(Duration::from_secs(5)).await;
    assert_eq!(report.aborted, Vec::<&str>::new());
}
