//! Pictures and the pointer's look by ext-image-copy-capture, from a compositor that is made up.
#![cfg(feature = "wayland")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/compositor.rs"]
mod compositor;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use compositor::{Compositor, Order};
use helix_base::SystemClock;
use helix_proto::desktop::{Cursor, Size};
use helix_stream::{
    Error, ErrorKind,
    capture::{Capture, Want},
    conformance::{Subject, broken, run},
    cursor::Cursors,
    desktop::{Clipboard, Desktop},
    input::{Input, InputSink},
    wayland,
};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(10);
const QUIET: Duration = Duration::from_millis(300);

struct World {
    _place: tempfile::TempDir,
    compositor: Arc<Compositor>,
}

impl World {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let socket = place.path().join("wayland-1");
        Self {
            compositor: Arc::new(Compositor::start(socket, (64, 48))),
            _place: place,
        }
    }

    async fn capture(&self) -> Box<dyn Capture> {
        let capture = wayland::capture(&self.compositor.socket, Arc::new(SystemClock)).await;
        capture.unwrap()
    }

    async fn cursors(&self) -> Box<dyn Cursors> {
        let cursors = wayland::cursors(&self.compositor.socket).await;
        cursors.unwrap().expect("it tells")
    }
}

/// The first pixel and the size of the next picture.
async fn next(capture: &mut dyn Capture, want: Want) -> ([u8; 4], Size) {
    let shot = timeout(SOON, capture.next(want)).await.expect("a picture");
    let shot = shot.unwrap();
    (shot.pixels[..4].try_into().unwrap(), shot.size)
}

async fn is_still(capture: &mut dyn Capture) -> bool {
    timeout(QUIET, capture.next(Want::Changed)).await.is_err()
}

#[tokio::test]
async fn pictures_come_when_something_changes_or_one_is_wanted_now() {
    let world = World::new();
    let mut capture = world.capture().await;
    let size = Size::new(64, 48).unwrap();
    let first = next(&mut *capture, Want::Changed).await;
    assert_eq!(first, ([1, 2, 3, 255], size));
    assert!(is_still(&mut *capture).await);
    // Dropped, it has lost nothing.
    world.compositor.order(Order::Paint([9, 8, 7, 255]));
    tokio::time::sleep(QUIET).await;
    let changed = next(&mut *capture, Want::Changed).await;
    assert_eq!(changed, ([9, 8, 7, 255], size));
    assert!(is_still(&mut *capture).await);
    let now = next(&mut *capture, Want::Now).await;
    assert_eq!(now, ([9, 8, 7, 255], size));
    assert!(is_still(&mut *capture).await);
    world.compositor.order(Order::Resize(80, 40));
    let resized = next(&mut *capture, Want::Changed).await;
    assert_eq!(resized, ([9, 8, 7, 255], Size::new(80, 40).unwrap()));
}

#[tokio::test]
async fn a_buffer_is_written_as_a_whole_only_when_it_is_new() {
    let world = World::new();
    let mut capture = world.capture().await;
    for pixel in 0..10 {
        world.compositor.order(Order::Paint([pixel; 4]));
        while next(&mut *capture, Want::Changed).await.0 != [pixel; 4] {}
    }
    {
        let seen = world.compositor.seen.lock().unwrap();
        assert!(seen.frames >= 10, "{seen:?}");
        assert_eq!(seen.whole, 1, "{seen:?}");
    }
    world.compositor.order(Order::Resize(80, 40));
    next(&mut *capture, Want::Changed).await;
    assert_eq!(world.compositor.seen.lock().unwrap().whole, 2);
}

#[tokio::test]
async fn what_the_pointer_looks_like_is_told_with_where_it_points() {
    let world = World::new();
    let mut cursors = world.cursors().await;
    let mut next = async || timeout(SOON, cursors.next()).await.unwrap().unwrap();
    assert_eq!(next().await, Cursor::Hidden);
    world.compositor.order(Order::Point {
        pixel: [10, 20, 30, 255],
        hotspot: (1, 0),
    });
    let Cursor::Image(image) = next().await else {
        panic!("it is hidden");
    };
    assert_eq!((image.hotspot_x, image.hotspot_y), (1, 0));
    assert_eq!(image.size, Size::new(2, 1).unwrap());
    let decoder = png::Decoder::new(std::io::Cursor::new(image.png.clone()));
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = [0; 8];
    reader.next_frame(&mut pixels).unwrap();
    assert_eq!(pixels, [30, 20, 10, 255, 30, 20, 10, 255]);
    world.compositor.order(Order::Point {
        pixel: [0, 0, 0, 0],
        hotspot: (0, 0),
    });
    // Where it points, and what it looks like, may come one after the other.
    while !matches!(next().await, Cursor::Image(other) if other.png != image.png && other.hotspot_x == 0)
    {
    }
    world.compositor.order(Order::Leave);
    assert_eq!(next().await, Cursor::Hidden);
    assert!(timeout(QUIET, cursors.next()).await.is_err());
}

#[tokio::test]
async fn a_session_that_is_stopped_is_the_end() {
    let world = World::new();
    let (mut capture, mut cursors) = (world.capture().await, world.cursors().await);
    next(&mut *capture, Want::Changed).await;
    timeout(SOON, cursors.next()).await.unwrap().unwrap();
    // Until the pointer's session is there, too.
    tokio::time::sleep(QUIET).await;
    assert!(timeout(QUIET, cursors.next()).await.is_err());
    world.compositor.order(Order::Stop);
    let ended = timeout(SOON, capture.next(Want::Changed)).await.unwrap();
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::Ended);
    let ended = timeout(SOON, cursors.next()).await.unwrap();
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::Ended);
}

/// The compositor as a desktop, for the kit: what is about its capture.
#[derive(Debug)]
struct MadeUp {
    compositor: Arc<Compositor>,
    _place: Arc<tempfile::TempDir>,
    size: Mutex<Size>,
    pixel: Mutex<u8>,
    ended: tokio::sync::watch::Sender<bool>,
}

impl InputSink for MadeUp {
    fn send(&self, input: Input) -> Result<(), Error> {
        if let Input::Key { down: true, .. } = input {
            let mut pixel = self.pixel.lock().unwrap();
            *pixel = pixel.wrapping_add(1);
            self.compositor.order(Order::Paint([*pixel; 4]));
        }
        Ok(())
    }
}

#[derive(Debug, Clone)]
struct Shared(Arc<MadeUp>);

#[async_trait]
impl Desktop for Shared {
    fn size(&self) -> Size {
        *self.0.size.lock().unwrap()
    }

    async fn capture(&self) -> Result<Box<dyn Capture>, Error> {
        wayland::capture(&self.0.compositor.socket, Arc::new(SystemClock)).await
    }

    fn input(&self) -> Arc<dyn InputSink> {
        self.0.clone()
    }

    fn clipboard(&self) -> Option<Arc<dyn Clipboard>> {
        None
    }

    async fn resize(&self, size: Size) -> Result<(), Error> {
        if self.size() != size {
            let (width, height) = (size.width().into(), size.height().into());
            self.0.compositor.order(Order::Resize(width, height));
            let mut capture = self.capture().await?;
            while capture.next(Want::Now).await?.size != size {}
            *self.0.size.lock().unwrap() = size;
        }
        Ok(())
    }

    async fn ended(&self) -> Error {
        let mut ended = self.0.ended.subscribe();
        let _ = ended.wait_for(|ended| *ended).await;
        Error::new(ErrorKind::Ended, "it was ended")
    }
}

#[derive(Debug, Default)]
struct MadeUps(Mutex<Option<Shared>>);

#[async_trait]
impl Subject for MadeUps {
    async fn desktop(&self) -> Arc<dyn Desktop> {
        let place = tempfile::tempdir().unwrap();
        let socket = place.path().join("wayland-1");
        let made_up = MadeUp {
            compositor: Arc::new(Compositor::start(socket, (64, 48))),
            _place: Arc::new(place),
            size: Mutex::new(Size::new(64, 48).unwrap()),
            pixel: Mutex::default(),
            ended: tokio::sync::watch::Sender::new(false),
        };
        let shared = Shared(Arc::new(made_up));
        *self.0.lock().unwrap() = Some(shared.clone());
        Arc::new(shared)
    }

    async fn kill(&self) {
        let last = self.0.lock().unwrap().clone().unwrap();
        let socket = last.0.compositor.socket.clone();
        last.0.compositor.order(Order::End);
        while std::os::unix::net::UnixStream::connect(&socket).is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        last.0.ended.send_replace(true);
    }
}

#[tokio::test]
async fn captures_hold_what_is_promised() {
    assert_eq!(
        broken(&run(&MadeUps::default()).await),
        Vec::<String>::new()
    );
}
