//! A real Xvfb, with real programs in it.
#![cfg(feature = "x11")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::print_stdout, reason = "a test says that it is skipped")]

use std::{future::Future, path::Path, process::Stdio, sync::Arc, time::Duration};

use async_trait::async_trait;
use helix_base::{SystemClock, TaskGroup};
use helix_proto::desktop::{Button, Clipboard, Cursor, Key, Point, Size, TouchPhase};
use helix_stream::{
    ErrorKind,
    capture::Want,
    conformance::{Subject, broken, run},
    desktop::Desktop,
    input::Input,
    serve::Starter as _,
    x11::xvfb::{Options, XvfbStarter},
};
use tokio::{io::AsyncWriteExt as _, process::Command, time::timeout};

const SOON: Duration = Duration::from_secs(60);

fn size() -> Size {
    Size::new(640, 360).unwrap()
}

#[derive(Debug)]
struct World {
    place: tempfile::TempDir,
    tasks: TaskGroup,
    starter: XvfbStarter,
}

impl World {
    /// None, and why is said, where there is no Xvfb.
    fn new(programs: &[&str]) -> Option<Self> {
        if !Path::new("/usr/bin/Xvfb").exists() {
            println!("skipped: there is no Xvfb");
            return None;
        }
        let place = tempfile::tempdir().unwrap();
        let home = place.path().to_owned();
        let tasks = TaskGroup::new();
        let env = [("PATH", "/usr/bin:/bin"), ("LANG", "C.UTF-8")];
        let env = env.map(|(name, value)| (name.into(), value.into()));
        let options = Options {
            program: "Xvfb".into(),
            runtime_dir: home.clone(),
            size: size(),
            layout: "us".to_owned(),
            window_manager: "openbox".to_owned(),
            programs: programs
                .iter()
                .map(|program| (*program).to_owned())
                .collect(),
            env: env
                .into_iter()
                .chain([("HOME".into(), home.into())])
                .collect(),
        };
        let starter = XvfbStarter::new(options, Arc::new(SystemClock), &tasks);
        Some(Self {
            place,
            tasks,
            starter,
        })
    }

    fn file(&self, name: &str) -> String {
        let bytes = std::fs::read(self.place.path().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The process of the server, by its own secret.
    fn server(&self) -> Option<rustix::process::Pid> {
        let secret = self.place.path().join("Xauthority").display().to_string();
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let server = processes.filter(|entry| {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            line.starts_with("Xvfb") && line.contains(&secret)
        });
        let mut numbers = server.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        rustix::process::Pid::from_raw(numbers.next()?)
    }

    /// A program of the desktop, which is the number that one of its programs wrote down.
    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("DISPLAY", self.file("display").trim())
            .env("XAUTHORITY", self.place.path().join("Xauthority"))
            .kill_on_drop(true);
        command
    }

    async fn end(self) {
        let report = self.tasks.shutdown(Duration::from_secs(5)).await;
        assert_eq!(report.aborted, Vec::<&str>::new());
        eventually(|| async { self.server().is_none() }).await;
    }
}

/// Writes down where the desktop is.
const DISPLAY: &str = "echo $DISPLAY > $HOME/display";

async fn eventually<F: Future<Output = bool>>(mut holds: impl FnMut() -> F) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, wait).await.expect("it comes about");
}

#[async_trait]
impl Subject for World {
    async fn desktop(&self) -> Arc<dyn Desktop> {
        let desktop = self.starter.start().await.unwrap();
        desktop.resize(size()).await.unwrap();
        // Until its terminal is there.
        tokio::time::sleep(Duration::from_secs(1)).await;
        desktop
    }

    async fn kill(&self) {
        let server = self.server().expect("it runs");
        rustix::process::kill_process(server, rustix::process::Signal::KILL).unwrap();
    }
}

#[tokio::test]
async fn xvfb_holds_what_is_promised() {
    let Some(world) = World::new(&["xterm -fa Monospace -e cat"]) else {
        return;
    };
    assert_eq!(broken(&run(&world).await), Vec::<String>::new());
    world.end().await;
}

#[tokio::test]
async fn text_is_typed_as_it_is_whatever_is_held_and_keys_by_place_and_meaning() {
    let program = "xterm -fa Monospace -u8 -e sh -c 'stty raw -echo; echo > $HOME/ready; exec cat > $HOME/typed'";
    let Some(world) = World::new(&[program]) else {
        return;
    };
    let desktop = world.starter.start().await.unwrap();
    let input = desktop.input();
    let press = |code, keysym| {
        for down in [true, false] {
            let key = Key::new(code, keysym).unwrap();
            input.send(Input::Key { key, down }).unwrap();
        }
    };
    eventually(|| async { !world.file("ready").is_empty() }).await;
    // Until it has the keyboard.
    eventually(|| async {
        press(30, 0);
        tokio::time::sleep(Duration::from_millis(100)).await;
        !world.file("typed").is_empty()
    })
    .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let seen = world.file("typed").len();
    let shift = Key::new(42, 0).unwrap();
    let hold = |down| input.send(Input::Key { key: shift, down }).unwrap();
    hold(true);
    input.send(Input::Text("aB1! äÖ€ß→日".to_owned())).unwrap();
    press(48, 0);
    hold(false);
    press(58, 0);
    input.send(Input::Text("caps Lock".to_owned())).unwrap();
    press(48, 0);
    press(58, 0);
    // By what they mean: `é`, and Return.
    press(0, 0xe9);
    press(0, 0xff0d);
    let expected = "aB1! äÖ€ß→日Bcaps LockBé\r";
    eventually(|| async { world.file("typed").len() >= seen + expected.len() }).await;
    assert_eq!(&world.file("typed")[seen..], expected);
    let bad = Key::new(0, 0x2000_0000).unwrap();
    let refused = input.send(Input::Key {
        key: bad,
        down: true,
    });
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unsupported);
    drop((desktop, input));
    world.end().await;
}

#[tokio::test]
async fn pointer_buttons_wheel_and_a_finger_arrive() {
    let program = "xterm -fa Monospace -maximized -e sh -c \
                   'stty raw -echo; printf \"\\033[?1000h\\033[?1006h\"; exec cat > $HOME/mouse'";
    let Some(world) = World::new(&[program]) else {
        return;
    };
    let desktop = world.starter.start().await.unwrap();
    let input = desktop.input();
    let send = |one| input.send(one).unwrap();
    let middle = Point {
        x: 32_768,
        y: 32_768,
    };
    let touch = |phase, finger| Input::Touch {
        phase,
        finger,
        at: middle,
    };
    let mut seen = 0;
    // As SGR has them: left, right, up, down, and left again by a finger.
    for (at, expected) in ["\x1b[<0;", "\x1b[<2;", "\x1b[<64;", "\x1b[<65;", "\x1b[<0;"]
        .into_iter()
        .enumerate()
    {
        eventually(|| async {
            send(Input::Move(middle));
            let button = if at == 1 { Button::Right } else { Button::Left };
            match at {
                0 | 1 => [true, false]
                    .into_iter()
                    .for_each(|down| send(Input::Button { button, down })),
                2 => send(Input::Wheel { dx: 0, dy: -120 }),
                3 => [60, 60]
                    .into_iter()
                    .for_each(|dy| send(Input::Wheel { dx: 0, dy })),
                _ => {
                    send(touch(TouchPhase::Down, 1));
                    let second = input.send(touch(TouchPhase::Down, 2));
                    assert_eq!(second.unwrap_err().kind(), ErrorKind::Unsupported);
                    send(touch(TouchPhase::Up, 1));
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            world.file("mouse")[seen..].contains(expected)
        })
        .await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        seen = world.file("mouse").len();
    }
    drop((desktop, input));
    world.end().await;
}

#[tokio::test]
async fn what_is_copied_comes_out_and_what_is_put_can_be_pasted() {
    let Some(world) = World::new(&[DISPLAY]) else {
        return;
    };
    let desktop = world.starter.start().await.unwrap();
    let clipboard = desktop.clipboard().unwrap();
    eventually(|| async { world.file("display").starts_with(':') }).await;
    let paste = async |target: &str| {
        let mut command = world.client("xclip");
        command.args(["-selection", "clipboard", "-o", "-target", target]);
        timeout(SOON, command.output())
            .await
            .unwrap()
            .unwrap()
            .stdout
    };
    let copy = async |target: &str, bytes: &[u8]| {
        let mut command = world.client("xclip");
        command.args(["-selection", "clipboard", "-target", target, "-quiet"]);
        let mut copying = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        copying
            .stdin
            .take()
            .unwrap()
            .write_all(bytes)
            .await
            .unwrap();
        let copied = timeout(SOON, clipboard.copied()).await.unwrap().unwrap();
        (copying, copied)
    };
    let long = "long € ".repeat(200_000);
    for text in ["copied ü", &long] {
        let (_copying, copied) = copy("UTF8_STRING", text.as_bytes()).await;
        assert!(
            copied == Clipboard::Text(text.to_owned()),
            "{} bytes",
            copied.content().len()
        );
    }
    let png = b"\x89PNG\r\n\x1a\n and more".to_vec();
    let (_copying, copied) = copy("image/png", &png).await;
    assert_eq!(copied, Clipboard::Png(png.clone().into()));

    for text in ["put ü", &long] {
        clipboard
            .put(Clipboard::Text(text.to_owned()))
            .await
            .unwrap();
        eventually(|| async { paste("UTF8_STRING").await == text.as_bytes() }).await;
    }
    clipboard
        .put(Clipboard::Png(png.clone().into()))
        .await
        .unwrap();
    eventually(|| async { paste("image/png").await == png }).await;
    assert_eq!(paste("UTF8_STRING").await, b"");
    // What was put is not what was copied.
    let more = timeout(Duration::from_millis(300), clipboard.copied()).await;
    assert!(more.is_err(), "{more:?}");
    drop((desktop, clipboard));
    world.end().await;
}

#[tokio::test]
async fn what_the_pointer_looks_like_is_told_apart_from_the_picture() {
    let Some(world) = World::new(&["xterm -fa Monospace -maximized -e cat"]) else {
        return;
    };
    let desktop = world.starter.start().await.unwrap();
    let mut capture = desktop.capture().await.unwrap();
    let mut cursors = desktop.cursors().await.unwrap().expect("it has one");
    let mut next = async || match timeout(SOON, cursors.next()).await.unwrap().unwrap() {
        Cursor::Image(image) => Some(image),
        Cursor::Hidden => None,
    };
    let first = next().await;
    // Over the terminal's text it is another.
    let over = desktop.input();
    let mut other = first.clone();
    while other == first || other.as_ref().is_none_or(|it| it.hotspot_x == 0) {
        over.send(Input::Move(Point {
            x: 30_000,
            y: 30_000,
        }))
        .unwrap();
        other = next().await;
    }
    let image = other.unwrap();
    let decoder = png::Decoder::new(std::io::Cursor::new(image.png.clone()));
    let info = decoder.read_info().unwrap().info().clone();
    assert_eq!(
        (info.width, info.height),
        (image.size.width().into(), image.size.height().into())
    );
    // The picture is without it: moving changes nothing to be seen.
    while timeout(Duration::from_millis(700), capture.next(Want::Changed))
        .await
        .is_ok()
    {}
    over.send(Input::MoveBy { dx: 20, dy: 20 }).unwrap();
    let changed = timeout(Duration::from_millis(700), capture.next(Want::Changed)).await;
    assert!(changed.is_err());
    drop((desktop, over, capture));
    world.end().await;
}

#[tokio::test]
async fn a_size_beyond_its_memory_is_refused_and_one_that_is_killed_comes_back_as_large() {
    let Some(world) = World::new(&[]) else {
        return;
    };
    let desktop = world.starter.start().await.unwrap();
    let large = Size::new(3_842, 2_160).unwrap();
    let refused = desktop.resize(large).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    let other = Size::new(1_000, 700).unwrap();
    desktop.resize(other).await.unwrap();
    world.kill().await;
    let why = timeout(SOON, desktop.ended()).await.unwrap();
    assert_eq!(why.to_string(), "Xvfb has ended by signal 9");
    drop(desktop);
    let desktop = world.starter.start().await.unwrap();
    let mut capture = desktop.capture().await.unwrap();
    assert_eq!(capture.next(Want::Now).await.unwrap().size, other);
    drop((desktop, capture));
    world.end().await;
}
