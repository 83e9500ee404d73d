//! The pattern, served: viewers on real WebSockets, with an encoder that encodes nothing.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use helix_base::{SystemClock, TaskGroup};
use helix_proto::desktop::{Clipboard, Codec, Down, Greeting, Key, NoticeCode, Size, Up};
use helix_stream::{
    Error, ErrorKind,
    desktop::Desktop,
    encode::raw::Raw,
    input::Input,
    pattern::{Pattern, read_clock},
    serve::{Media, Options, Starter},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, protocol::CloseFrame},
};

const SOON: Duration = Duration::from_secs(60);

/// Starts the pattern: one for each start, of which the last is kept.
#[derive(Debug, Default)]
struct Patterns {
    running: std::sync::Mutex<Option<Pattern>>,
    /// None can be started.
    broken: AtomicBool,
}

#[async_trait]
impl Starter for Patterns {
    fn size(&self) -> Size {
        Size::new(640, 360).unwrap()
    }

    async fn start(&self) -> Result<Arc<dyn Desktop>, Error> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Unsupported, "no paint here"));
        }
        let pattern = Pattern::new(self.size(), Arc::new(SystemClock));
        *self.running.lock().unwrap() = Some(pattern.clone());
        Ok(Arc::new(pattern))
    }
}

struct World {
    tasks: TaskGroup,
    patterns: Arc<Patterns>,
    media: Media,
    at: SocketAddr,
}

impl World {
    async fn new() -> Self {
        let tasks = TaskGroup::new();
        let patterns = Arc::new(Patterns::default());
        let media = Media::start(
            patterns.clone(),
            Arc::new(Raw),
            &Options::default(),
            Arc::new(SystemClock),
            &tasks,
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let router = media.router();
        let draining = tasks.draining_token().clone().cancelled_owned();
        tasks.spawn("server", async move {
            axum::serve(listener, router)
                .with_graceful_shutdown(draining)
                .await
        });
        let world = Self {
            tasks,
            patterns,
            media,
            at,
        };
        eventually(|| world.patterns.running.lock().unwrap().is_some()).await;
        world
    }

    fn pattern(&self) -> Pattern {
        self.patterns.running.lock().unwrap().clone().unwrap()
    }

    /// Status, type and body of an answer.
    async fn get(&self, path: &str) -> (u16, String, Vec<u8>) {
        self.ask(path, "").await
    }

    /// With more headers, each a line.
    async fn ask(&self, path: &str, more: &str) -> (u16, String, Vec<u8>) {
        let mut socket = TcpStream::connect(self.at).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n{more}connection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.unwrap();
        let end = answer
            .windows(4)
            .position(|bytes| bytes == b"\r\n\r\n")
            .unwrap();
        let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
        let kind = head
            .lines()
            .find_map(|line| line.strip_prefix("content-type: "));
        let status = head[9..12].parse().unwrap();
        (
            status,
            kind.unwrap_or_default().to_owned(),
            answer[end + 4..].to_vec(),
        )
    }

    async fn open(&self) -> Viewer {
        let url = format!("ws://{}/desktop", self.at);
        let (socket, _) = connect_async(url).await.unwrap();
        Viewer { socket }
    }

    /// A viewer that has its first picture.
    async fn join(&self, codecs: &[Codec]) -> Viewer {
        let mut viewer = self.open().await;
        viewer.say(&greeting(codecs)).await;
        viewer
    }
}

fn greeting(codecs: &[Codec]) -> Up {
    Up::Hello(Greeting {
        looks_on: false,
        patches: false,
        size: Size::new(640, 360).unwrap(),
        codecs: codecs.to_vec(),
        name: "one".to_owned(),
    })
}

async fn eventually(mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, wait).await.unwrap();
}

struct Viewer {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Viewer {
    async fn say(&mut self, message: &Up) {
        self.send(message.encode().unwrap()).await;
    }

    async fn send(&mut self, message: Bytes) {
        self.socket.send(Message::Binary(message)).await.unwrap();
    }

    /// The next message; the close frame, where it is that.
    async fn hear(&mut self) -> Result<Down, Option<CloseFrame>> {
        loop {
            match timeout(SOON, self.socket.next())
                .await
                .expect("something is said")
            {
                Some(Ok(Message::Binary(message))) => return Ok(Down::decode(message).unwrap()),
                Some(Ok(Message::Close(frame))) => return Err(frame),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    /// Paints what comes until something comes that is looked for.
    async fn until<T>(&mut self, mut found: impl FnMut(&Down) -> Option<T>) -> T {
        let search = async {
            loop {
                let heard = self.hear().await.expect("a message");
                if let Down::Frame(frame) = &heard {
                    let sequence = frame.sequence;
                    self.say(&Up::Painted { sequence, queue: 0 }).await;
                }
                if let Some(found) = found(&heard) {
                    return found;
                }
            }
        };
        timeout(SOON, search).await.expect("it comes")
    }

    async fn frame(&mut self) -> u32 {
        self.until(|heard| match heard {
            Down::Frame(frame) => Some(frame.sequence),
            _ => None,
        })
        .await
    }

    async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.hear().await {
                Ok(_) => {}
                Err(frame) => {
                    let frame = frame.expect("a reason");
                    return (frame.code.into(), frame.reason.to_string());
                }
            }
        }
    }
}

/// Runs a test on a world of its own, and shuts it down.
fn with<F: Future<Output = ()>>(test: impl FnOnce(Arc<World>) -> F) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let world = Arc::new(World::new().await);
        test(world.clone()).await;
        let report = world.tasks.shutdown(Duration::from_secs(5)).await;
        assert_eq!(report.aborted, Vec::<&str>::new());
    });
}

#[test]
fn a_viewer_gets_a_hello_then_a_key_frame_and_then_nothing_while_nothing_changes() {
    with(async |world| {
        let mut viewer = world.join(&[Codec::H264]).await;
        assert!(
            matches!(viewer.hear().await, Ok(Down::Hello(hello)) if hello.codec == Codec::H264)
        );
        assert_eq!(viewer.frame().await, 1);
        // Statistics of the second with the picture in it, and then silence.
        viewer
            .until(|heard| matches!(heard, Down::Stats(_)).then_some(()))
            .await;
        let more = timeout(Duration::from_millis(1_500), viewer.hear()).await;
        assert!(more.is_err(), "{more:?}");
    });
}

#[test]
fn a_key_that_is_pressed_changes_the_picture() {
    with(async |world| {
        let mut viewer = world.join(&[Codec::H264]).await;
        assert_eq!(viewer.frame().await, 1);
        let key = Key::new(30, 0x61).unwrap();
        viewer.say(&Up::Key { key, down: true }).await;
        assert_eq!(viewer.frame().await, 2);
        assert_eq!(
            world.pattern().take_inputs(),
            [Input::Key { key, down: true }]
        );
        drop(viewer);
        let mut inputs = Vec::new();
        eventually(|| {
            inputs.extend(world.pattern().take_inputs());
            inputs == [Input::Key { key, down: false }]
        })
        .await;
    });
}

#[test]
fn a_desktop_that_moves_is_seen_to_move_and_one_that_paints_nothing_is_sent_little() {
    with(async |world| {
        let mut viewer = world.join(&[Codec::H264]).await;
        let mut lazy = world.join(&[Codec::H264]).await;
        world.pattern().set_moving(true);
        while viewer.frame().await < 150 {}
        let mut frames = 0;
        while let Ok(Ok(heard)) = timeout(Duration::from_millis(100), lazy.hear()).await {
            frames += u32::from(matches!(heard, Down::Frame(_)));
        }
        assert!(frames < 100, "{frames}");
    });
}

#[test]
fn stills_for_who_decodes_no_video() {
    with(async |world| {
        let mut viewer = world.join(&[]).await;
        let jpeg = viewer
            .until(|heard| match heard {
                Down::Still(still) => Some(still.jpeg.clone()),
                _ => None,
            })
            .await;
        assert_eq!(&jpeg[..3], b"\xff\xd8\xff");
    });
}

#[test]
fn another_size_comes_with_a_second_hello() {
    with(async |world| {
        let mut viewer = world.join(&[Codec::H264]).await;
        viewer.frame().await;
        // An odd side becomes even.
        viewer.say(&Up::Resize(Size::new(323, 243).unwrap())).await;
        let size = Size::new(322, 242).unwrap();
        let hello =
            |heard: &Down| matches!(heard, Down::Hello(hello) if hello.size == size).then_some(());
        viewer.until(hello).await;
        let key = viewer
            .until(|heard| match heard {
                Down::Frame(frame) => Some((frame.size, frame.flags.key)),
                _ => None,
            })
            .await;
        assert_eq!(key, (size, true));
    });
}

#[test]
fn the_clipboard_is_passed_on_both_ways() {
    with(async |world| {
        let mut viewer = world.join(&[Codec::H264]).await;
        viewer.frame().await;
        let text = |text: &str| Clipboard::Text(text.to_owned());
        viewer.say(&Up::Clipboard(text("up"))).await;
        eventually(|| world.pattern().pasted() == Some(text("up"))).await;
        world.pattern().copy(text("down"));
        let copied = viewer
            .until(|heard| match heard {
                Down::Clipboard(content) => Some(content.clone()),
                _ => None,
            })
            .await;
        assert_eq!(copied, text("down"));
    });
}

#[test]
fn a_desktop_that_ends_is_started_again_and_viewers_stay() {
    with(async |world| {
        let mut viewer = world.join(&[Codec::H264]).await;
        viewer.frame().await;
        world.pattern().end();
        for expected in [
            NoticeCode::CompositorEnded,
            NoticeCode::Starting,
            NoticeCode::Well,
        ] {
            let told = |heard: &Down| match heard {
                Down::Notice(notice) => Some(notice.code),
                _ => None,
            };
            assert_eq!(viewer.until(told).await, expected);
        }
        viewer
            .until(|heard| matches!(heard, Down::Frame(frame) if frame.flags.key).then_some(()))
            .await;
    });
}

#[test]
fn who_comes_where_no_desktop_can_be_started_is_told_why() {
    with(async |world| {
        let mut viewer = world.join(&[Codec::H264]).await;
        viewer.frame().await;
        world.patterns.broken.store(true, Ordering::Relaxed);
        world.pattern().end();
        let why = "the desktop cannot be started: no paint here";
        let told = |heard: &Down| match heard {
            Down::Notice(notice) if notice.text == why => Some(notice.code),
            _ => None,
        };
        assert_eq!(viewer.until(told).await, NoticeCode::CompositorEnded);
        // One that cannot be greeted is let go of, and may come again.
        let (code, reason) = world.join(&[]).await.closed().await;
        assert_eq!(code, 1013);
        assert!(reason.starts_with(why), "{reason}");
        // It is tried again all the same; who was greeted has stayed.
        world.patterns.broken.store(false, Ordering::Relaxed);
        viewer.frame().await;
    });
}

#[test]
fn whoever_says_something_else_is_told_what_is_wrong() {
    with(async |world| {
        let hello = greeting(&[]).encode().unwrap();
        let mut old = hello.to_vec();
        old[2] = 0;
        for (messages, code, reason) in [
            (
                vec![b"\x8a".to_vec()],
                1002,
                "the first message is no Hello",
            ),
            (
                vec![old],
                1002,
                "version 0 of the desktop's protocol, where 1 is spoken here",
            ),
            (vec![hello.to_vec(), hello.to_vec()], 1002, "a second Hello"),
            (
                vec![hello.to_vec(), b"\x8a\0".to_vec()],
                1002,
                "Release has 1 bytes after its last field",
            ),
            (
                vec![hello.to_vec(), b"\xff".to_vec()],
                1002,
                "a message of the unknown kind 0xff",
            ),
            (
                vec![hello.to_vec(), vec![0x84; 70_000]],
                1009,
                "the whole of a message has 70000 bytes, where 65536 are allowed",
            ),
            (
                vec![hello.to_vec(), vec![0x90; 17 << 20]],
                1009,
                "a message beyond all bounds",
            ),
        ] {
            let mut viewer = world.open().await;
            for message in messages {
                // It may be told before it has said it all.
                let _ = viewer.socket.send(Message::Binary(message.into())).await;
            }
            assert_eq!(viewer.closed().await, (code, reason.to_owned()));
        }
        let mut viewer = world.open().await;
        viewer
            .socket
            .send(Message::Text("hello".into()))
            .await
            .unwrap();
        assert_eq!(viewer.closed().await.0, 1003);
    });
}

#[test]
fn a_shutdown_says_goodbye() {
    with(async |world| {
        let mut viewer = world.join(&[Codec::H264]).await;
        viewer.frame().await;
        let tasks = world.tasks.clone();
        let shutdown = timeout(SOON, async { tasks.shutdown(SOON).await });
        let (_, closed) = tokio::join!(shutdown, viewer.closed());
        assert_eq!(closed.0, 1001);
    });
}

#[test]
fn a_screenshot_is_the_desktop_as_a_file() {
    with(async |world| {
        let (status, kind, body) = world.get("/screenshot").await;
        assert_eq!((status, kind.as_str()), (200, "image/png"));
        let mut decoder = png::Decoder::new(std::io::Cursor::new(body))
            .read_info()
            .unwrap();
        let mut rgb = vec![0; decoder.output_buffer_size().unwrap()];
        decoder.next_frame(&mut rgb).unwrap();
        let luma: Vec<_> = rgb.chunks(3).map(|pixel| pixel[1]).collect();
        assert!(read_clock(&luma, Size::new(640, 360).unwrap()).is_some());

        let (status, kind, body) = world.get("/screenshot?format=jpeg&quality=30").await;
        assert_eq!((status, kind.as_str()), (200, "image/jpeg"));
        assert_eq!(&body[..3], b"\xff\xd8\xff");
        for wrong in ["?format=gif", "?quality=0", "?quality=101", "?quality=x"] {
            let (status, ..) = world.get(&format!("/screenshot{wrong}")).await;
            assert!((400..=422).contains(&status), "{wrong}: {status}");
        }
    });
}

#[test]
fn a_thumbnail_is_made_once_for_all_and_anew_when_the_desktop_has_changed() {
    with(async |world| {
        let first = world.media.thumbnail().await.unwrap();
        assert_eq!(first.jpeg[..3], [0xff, 0xd8, 0xff]);
        let same = world.media.thumbnail().await.unwrap();
        assert_eq!(same.tag, first.tag);
        let (status, kind, body) = world.get("/thumbnail").await;
        assert_eq!((status, kind.as_str()), (200, "image/jpeg"));
        assert_eq!(body, first.jpeg);
        let known = format!("if-none-match: \"other\", {}\r\n", first.tag);
        let (status, _, body) = world.ask("/thumbnail", &known).await;
        assert_eq!((status, body.len()), (304, 0));
        // The block turns white.
        let input = world.pattern().input();
        let key = Key::new(30, 0).unwrap();
        input.send(Input::Key { key, down: true }).unwrap();
        let changed = async {
            loop {
                let (status, _, body) = world.ask("/thumbnail", &known).await;
                if status == 200 {
                    return body;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        assert_ne!(timeout(SOON, changed).await.unwrap(), first.jpeg);
    });
}
