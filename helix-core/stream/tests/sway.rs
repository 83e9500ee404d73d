//! A real Sway: seen, driven, resized, copied from and to, ended. Run by an ordinary user where
//! the tests are root, since Sway refuses to be.
#![cfg(feature = "wayland")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::print_stdout, reason = "a test says that it is skipped")]

mod support;

use std::{process::Stdio, sync::Arc, time::Duration};

use helix_base::{SystemClock, TaskGroup};
use helix_proto::desktop::{Button, Clipboard, Key, Point, Size, TouchPhase};
use helix_stream::{
    ErrorKind,
    capture::{Capture, Want},
    desktop::Desktop,
    input::Input,
    serve::Starter as _,
    wayland::sway::SwayStarter,
};
use tokio::{process::Command, time::timeout};

use support::{place, program, size};

const SOON: Duration = Duration::from_secs(60);
struct World {
    place: tempfile::TempDir,
    tasks: TaskGroup,
    starter: SwayStarter,
    desktop: Arc<dyn Desktop>,
}

impl World {
    /// With these programs; none where there is no Sway.
    async fn new(programs: &[&str]) -> Option<Self> {
        let Some(program) = program() else {
            println!("skipped: there is no sway");
            return None;
        };
        let (place, options) = place(&program, programs);
        let tasks = TaskGroup::new();
        let starter = SwayStarter::new(options, Arc::new(SystemClock), &tasks);
        let desktop = starter.start().await.unwrap();
        Some(Self {
            place,
            tasks,
            starter,
            desktop,
        })
    }

    async fn end(self) {
        drop(self.desktop);
        let report = self.tasks.shutdown(Duration::from_secs(5)).await;
        assert_eq!(report.aborted, Vec::<&str>::new());
    }

    /// A program beside it.
    fn client(&self, program: &str) -> Command {
        let entries = std::fs::read_dir(self.place.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let socket = names.filter(|name| name.starts_with("wayland-") && !name.ends_with(".lock"));
        let mut command = Command::new(program);
        command
            .env("XDG_RUNTIME_DIR", self.place.path())
            .env("WAYLAND_DISPLAY", socket.last().unwrap())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Sway's number.
    async fn pid(&self) -> i32 {
        let socket = self.place.path().join("sway.sock");
        let socket = tokio::net::UnixStream::connect(socket).await.unwrap();
        socket.peer_cred().unwrap().pid().unwrap()
    }

    /// What Sway has used of the processor, by the kernel's ticks of 10 ms.
    async fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid().await)).unwrap();
        let fields: Vec<_> = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        let ticks: u64 = fields[11..13]
            .iter()
            .map(|ticks| ticks.parse::<u64>().unwrap())
            .sum();
        Duration::from_millis(ticks * 10)
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.place.path().join(name)).unwrap_or_default()
    }

    async fn until_file(&self, name: &str, expected: &str) {
        let wait = async {
            while self.file(name) != expected {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let seen = timeout(SOON, wait).await;
        assert!(seen.is_ok(), "{:?} is not {expected:?}", self.file(name));
    }

    /// Presses Enter until the program reads, which is a moment after its window is seen; what
    /// it has read then.
    async fn until_it_reads(&self, name: &str) -> String {
        let wait = async {
            while self.file(name).is_empty() {
                self.key(28, 0);
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            // What was pressed before comes all together, or never.
            tokio::time::sleep(Duration::from_millis(500)).await;
            self.file(name)
        };
        timeout(SOON, wait).await.unwrap()
    }

    fn send(&self, input: Input) {
        self.desktop.input().send(input).unwrap();
    }

    fn key(&self, code: u16, keysym: u32) {
        let key = Key::new(code, keysym).unwrap();
        for down in [true, false] {
            self.send(Input::Key { key, down });
        }
    }
}

/// Blue, green, red of a pixel.
async fn pixel(capture: &mut dyn Capture, want: Want, x: usize, y: usize) -> [u8; 3] {
    let shot = timeout(SOON, capture.next(want)).await.unwrap().unwrap();
    let at = y * shot.stride + x * 4;
    [shot.pixels[at], shot.pixels[at + 1], shot.pixels[at + 2]]
}

/// Waits for a terminal: the wallpaper's middle is covered.
async fn covered(world: &World) {
    let mut capture = world.desktop.capture().await.unwrap();
    let wait = async {
        let mut want = Want::Now;
        while pixel(&mut *capture, want, 320, 300).await == [0x99, 0x66, 0x33] {
            want = Want::Changed;
        }
    };
    timeout(SOON, wait).await.unwrap();
}

#[tokio::test]
async fn it_is_seen_as_it_is_and_costs_nothing_while_it_is_still() {
    let Some(world) = World::new(&[]).await else {
        return;
    };
    let mut capture = world.desktop.capture().await.unwrap();
    let blue = [0x99, 0x66, 0x33];
    let wait = async { while pixel(&mut *capture, Want::Now, 639, 359).await != blue {} };
    timeout(SOON, wait).await.unwrap();
    let shot = capture.next(Want::Now).await.unwrap();
    assert_eq!(shot.size, size());
    // What was painted until now may come once more; then nothing does.
    let mut more = 0;
    while timeout(Duration::from_millis(700), capture.next(Want::Changed))
        .await
        .is_ok()
    {
        more += 1;
        assert!(more < 20, "pictures without a change");
    }
    let before = world.processor_time().await;
    let still = timeout(Duration::from_secs(2), capture.next(Want::Changed)).await;
    assert!(still.is_err());
    let took = world.processor_time().await - before;
    assert!(
        took <= Duration::from_millis(40),
        "sway took {took:?} of two seconds"
    );
    drop(capture);
    world.end().await;
}

#[tokio::test]
async fn keys_and_text_arrive_as_they_were_meant() {
    let typed = "foot sh -c 'stty -echo; cat > $XDG_RUNTIME_DIR/typed'";
    let Some(world) = World::new(&[typed]).await else {
        return;
    };
    covered(&world).await;
    let before = world.until_it_reads("typed").await;
    world.key(30, 0);
    let shift = Key::new(42, 0).unwrap();
    world.send(Input::Key {
        key: shift,
        down: true,
    });
    world.key(30, 0);
    world.send(Input::Key {
        key: shift,
        down: false,
    });
    world.key(0, 0x62);
    world.key(0, 0x0100_20ac);
    world.key(28, 0);
    world.until_file("typed", &format!("{before}aAb€\n")).await;
    world.send(Input::Text("Grüße, 日本: ~{}|\n".to_owned()));
    let typed = format!("{before}aAb€\nGrüße, 日本: ~{{}}|\n");
    world.until_file("typed", &typed).await;
    // More characters than there are spare keys, with a modifier that is down meanwhile.
    let control = Key::new(29, 0).unwrap();
    world.send(Input::Key {
        key: control,
        down: true,
    });
    world.send(Input::Text(
        "abcdefghijklmnopqrstuvwxyz0123456789\n".to_owned(),
    ));
    world.send(Input::Key {
        key: control,
        down: false,
    });
    world
        .until_file(
            "typed",
            &format!("{typed}abcdefghijklmnopqrstuvwxyz0123456789\n"),
        )
        .await;
    let no_key = Key::new(600, 0).unwrap();
    let refused = world.desktop.input().send(Input::Key {
        key: no_key,
        down: true,
    });
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unsupported);
    world.key(0, 0xffe3);
    world.end().await;
}

#[tokio::test]
async fn the_pointer_the_wheel_and_a_finger_reach_the_program_under_them() {
    // A terminal tells of its mouse: button, column and row, pressed or let go of.
    let mouse = "foot sh -c 'stty raw -echo; printf \"\\033[?1002h\\033[?1006h\"; \
                 cat > $XDG_RUNTIME_DIR/mouse'";
    let Some(world) = World::new(&[mouse]).await else {
        return;
    };
    covered(&world).await;
    let wait = async {
        let middle = Point {
            x: 32_768,
            y: 32_768,
        };
        let mut seen = 0;
        let expects = ["\x1b[<0;", "\x1b[<2;", "\x1b[<64;", "\x1b[<65;", "\x1b[<0;"];
        for (at, expected) in expects.into_iter().enumerate() {
            while !world.file("mouse")[seen..].contains(expected) {
                world.send(Input::Move(middle));
                let button = if at == 1 { Button::Right } else { Button::Left };
                match at {
                    0 | 1 => {
                        for down in [true, false] {
                            world.send(Input::Button { button, down });
                        }
                    }
                    2 => world.send(Input::Wheel { dx: 0, dy: -120 }),
                    3 => world.send(Input::Wheel { dx: 0, dy: 120 }),
                    _ => {
                        for phase in [TouchPhase::Down, TouchPhase::Up] {
                            world.send(Input::Touch {
                                phase,
                                finger: 1,
                                at: middle,
                            });
                        }
                    }
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            seen = world.file("mouse").len();
        }
    };
    timeout(SOON, Box::pin(wait))
        .await
        .unwrap_or_else(|_| panic!("{:?}", world.file("mouse")));
    world.end().await;
}

#[tokio::test]
async fn what_is_copied_comes_out_and_what_is_put_can_be_pasted() {
    let Some(world) = World::new(&[]).await else {
        return;
    };
    let clipboard = world.desktop.clipboard().unwrap();
    let text = |text: &str| Clipboard::Text(text.to_owned());
    let status = world
        .client("wl-copy")
        .arg("copied ü")
        .status()
        .await
        .unwrap();
    assert!(status.success());
    assert_eq!(
        timeout(SOON, clipboard.copied()).await.unwrap().unwrap(),
        text("copied ü")
    );
    let long = "put € ".repeat(50_000);
    clipboard.put(text(&long)).await.unwrap();
    let mut paste = world.client("wl-paste");
    let paste = paste.arg("--no-newline").output().await.unwrap();
    assert!(paste.stdout == long.as_bytes(), "{:?}", paste.stderr);
    let png = Clipboard::Png(bytes::Bytes::from_static(b"\x89PNG\r\n"));
    clipboard.put(png).await.unwrap();
    let mut paste = world.client("wl-paste");
    let paste = paste.args(["--type", "image/png"]).output().await.unwrap();
    assert_eq!(paste.stdout, b"\x89PNG\r\n");
    // What was put is not what was copied.
    let more = timeout(Duration::from_millis(300), clipboard.copied()).await;
    assert!(more.is_err(), "{more:?}");
    world.end().await;
}

#[tokio::test]
async fn it_becomes_the_size_that_it_is_given_and_captures_follow() {
    let Some(world) = World::new(&["foot"]).await else {
        return;
    };
    let mut capture = world.desktop.capture().await.unwrap();
    capture.next(Want::Now).await.unwrap();
    for (width, height) in [(1_366, 768), (800, 600), (1_920, 1_080)] {
        let size = Size::new(width, height).unwrap();
        world.desktop.resize(size).await.unwrap();
        assert_eq!(world.desktop.size(), size);
        let wait = async { while capture.next(Want::Changed).await.unwrap().size != size {} };
        timeout(SOON, wait).await.unwrap();
    }
    drop(capture);
    world.end().await;
}

#[tokio::test]
async fn one_that_is_killed_says_so_and_the_next_has_its_size() {
    let Some(mut world) = World::new(&[]).await else {
        return;
    };
    let size = Size::new(800, 600).unwrap();
    world.desktop.resize(size).await.unwrap();
    let mut capture = world.desktop.capture().await.unwrap();
    capture.next(Want::Now).await.unwrap();
    let sway = world.pid().await;
    let sway = rustix::process::Pid::from_raw(sway).unwrap();
    rustix::process::kill_process(sway, rustix::process::Signal::KILL).unwrap();
    let why = timeout(SOON, world.desktop.ended()).await.unwrap();
    assert_eq!(why.to_string(), "sway has ended by signal 9");
    let wait = async {
        loop {
            if let Err(why) = capture.next(Want::Changed).await {
                return why;
            }
        }
    };
    assert_eq!(timeout(SOON, wait).await.unwrap().kind(), ErrorKind::Ended);
    drop(capture);
    world.desktop = world.starter.start().await.unwrap();
    assert_eq!(world.desktop.size(), size);
    let mut capture = world.desktop.capture().await.unwrap();
    assert_eq!(capture.next(Want::Now).await.unwrap().size, size);
    drop(capture);
    world.end().await;
}

#[tokio::test]
async fn windows_are_told_of_given_the_keys_and_closed() {
    let titled = |title: &str, file: &str| {
        format!("foot -T '{title}' -a {file} sh -c 'stty -echo; cat > $XDG_RUNTIME_DIR/{file}'")
    };
    let (one, two) = (titled("first: one", "one"), titled("second", "two"));
    let Some(world) = World::new(&[&one, &two]).await else {
        return;
    };
    let windows = world.desktop.windows().unwrap();
    let wait = async {
        loop {
            let mut list = windows.list().await.unwrap();
            if list.len() == 2 {
                list.sort_by_key(|window| window.app_id.clone());
                return list;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let list = timeout(SOON, wait).await.expect("both are there");
    assert_eq!(list.iter().filter(|window| window.focused).count(), 1);
    for (window, title) in list.iter().zip(["first: one", "second"]) {
        assert_eq!(
            (window.title.as_str(), window.workspace.as_str()),
            (title, "1")
        );
        assert!(window.visible && !window.fullscreen && window.rectangle.width > 100);
    }
    for (window, text) in list.iter().zip(["Ab\n", "Zü\n"]) {
        windows.focus(window.id).await.unwrap();
        world.send(Input::Text(text.to_owned()));
        world.until_file(&window.app_id, text).await;
    }
    windows.close(list[0].id).await.unwrap();
    let wait = async {
        while windows.list().await.unwrap().len() > 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, wait).await.expect("it is closed");
    for id in [list[0].id, 0, u64::MAX] {
        let missing = windows.focus(id).await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound, "{id}");
    }
    world.end().await;
}

#[tokio::test]
async fn whatever_is_typed_arrives_exactly_also_as_shortcuts() {
    let typed = "foot sh -c 'stty -echo -isig; cat > $XDG_RUNTIME_DIR/typed'";
    let Some(world) = World::new(&[typed]).await else {
        return;
    };
    covered(&world).await;
    let before = world.until_it_reads("typed").await;
    let ascii: String = (' '..='~').collect();
    let line = format!("{ascii} ÄÖÜß éÉ ñ € 日本語 Привет 🦀 {ascii}\n");
    for _ in 0..3 {
        world.send(Input::Text(line.clone()));
    }
    let lines = before + &line.repeat(3);
    world.until_file("typed", &lines).await;
    // Control and a letter, by their keysyms: what a terminal makes of them.
    let (control, letter) = (Key::new(0, 0xffe3).unwrap(), Key::new(0, 0x62).unwrap());
    for (key, down) in [
        (control, true),
        (letter, true),
        (letter, false),
        (control, false),
    ] {
        world.send(Input::Key { key, down });
    }
    world.key(28, 0);
    let mut expected = lines + "\u{2}\n";
    world.until_file("typed", &expected).await;
    // A new place on the keyboard changes nothing about Shift: neither for what is typed with it
    // before, nor for one that is held.
    let shift = Key::new(42, 0).unwrap();
    for (text, holds) in [("Zø\n", false), ("Zœ\n", true)] {
        let key = |down| world.send(Input::Key { key: shift, down });
        if holds {
            key(true);
        }
        world.send(Input::Text(text.to_owned()));
        world.key(30, 0);
        if holds {
            key(false);
        }
        world.key(28, 0);
        expected += text;
        expected += if holds { "A\n" } else { "a\n" };
        world.until_file("typed", &expected).await;
    }
    world.end().await;
}
