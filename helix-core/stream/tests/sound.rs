//! Sound, from a program that plays it to a viewer's ear.
#![cfg(feature = "pulse")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{f64::consts::TAU, path::Path, process::Stdio, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};
use helix_base::{SystemClock, TaskGroup};
use helix_proto::desktop::{Audio, Codec, Down, Greeting, NoticeCode, Size, Up};
use helix_stream::{
    Error,
    desktop::Desktop,
    encode::raw::Raw,
    pattern::Pattern,
    serve::{Media, Options, Starter},
    sound::{
        Sound,
        gstreamer::{GStreamerSound, Source},
        pulse::{self, Pulse},
    },
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, process::Command, time::timeout};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

const SOON: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Sounding {
    sound: Arc<dyn Sound>,
}

#[async_trait]
impl Starter for Sounding {
    fn size(&self) -> Size {
        Size::new(64, 48).unwrap()
    }

    async fn start(&self) -> Result<Arc<dyn Desktop>, Error> {
        Ok(Arc::new(Pattern::new(self.size(), Arc::new(SystemClock))))
    }

    fn sound(&self) -> Option<Arc<dyn Sound>> {
        Some(self.sound.clone())
    }
}

/// A viewer of a desktop that is served with this sound.
struct Ear {
    tasks: TaskGroup,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Ear {
    async fn of(sound: Arc<dyn Sound>, tasks: TaskGroup) -> Self {
        let media = Media::start(
            Arc::new(Sounding { sound }),
            Arc::new(Raw),
            &Options::default(),
            Arc::new(SystemClock),
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
        let (socket, _) = connect_async(url).await.unwrap();
        let mut ear = Self { tasks, socket };
        let greeting = Greeting {
            looks_on: false,
            patches: false,
            size: Size::new(64, 48).unwrap(),
            codecs: vec![Codec::H264],
            name: "ear".to_owned(),
        };
        ear.say(Up::Hello(greeting)).await;
        let Down::Hello(hello) = ear.hear().await else {
            panic!("no Hello");
        };
        assert!(hello.flags.audio);
        ear
    }

    async fn say(&mut self, message: Up) {
        let message = Message::Binary(message.encode().unwrap());
        self.socket.send(message).await.unwrap();
    }

    async fn hear(&mut self) -> Down {
        loop {
            let message = timeout(SOON, self.socket.next()).await;
            match message.expect("a message").unwrap().unwrap() {
                Message::Binary(message) => return Down::decode(message).unwrap(),
                Message::Close(frame) => panic!("{frame:?}"),
                _ => {}
            }
        }
    }

    async fn piece(&mut self) -> Audio {
        loop {
            match self.hear().await {
                Down::Audio(audio) => return audio,
                Down::Notice(notice) if notice.code == NoticeCode::NoSound => panic!("{notice:?}"),
                _ => {}
            }
        }
    }

    /// Whether no sound comes for a while.
    async fn is_quiet(&mut self) -> bool {
        timeout(Duration::from_millis(700), self.piece())
            .await
            .is_err()
    }

    async fn end(self) {
        drop(self.socket);
        let report = self.tasks.shutdown(Duration::from_secs(5)).await;
        assert_eq!(report.aborted, Vec::<&str>::new());
    }
}

/// What Opus decodes to, of the left channel.
fn decoded(pieces: &[Bytes]) -> Vec<f64> {
    let opus = gst::Caps::builder("audio/x-opus")
        .field("channel-mapping-family", 0_i32)
        .field("channels", 2_i32)
        .field("rate", 48_000_i32)
        .build();
    let source = AppSrc::builder()
        .caps(&opus)
        .format(gst::Format::Time)
        .build();
    let decoder = gst::ElementFactory::make("opusdec").build().unwrap();
    let raw = gst::Caps::builder("audio/x-raw")
        .field("format", "S16LE")
        .field("rate", 48_000_i32)
        .field("channels", 2_i32)
        .build();
    let sink = AppSink::builder().caps(&raw).sync(false).build();
    let pipeline = gst::Pipeline::new();
    let parts = [source.upcast_ref(), &decoder, sink.upcast_ref()];
    pipeline.add_many(parts).unwrap();
    gst::Element::link_many(parts).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    for (at, piece) in (0_u64..).zip(pieces) {
        let mut buffer = gst::Buffer::from_slice(piece.clone());
        buffer
            .get_mut()
            .unwrap()
            .set_pts(gst::ClockTime::from_mseconds(at * 20));
        source.push_buffer(buffer).unwrap();
    }
    source.end_of_stream().unwrap();
    let mut left = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        let map = sample.buffer().unwrap().map_readable().unwrap();
        left.extend(
            map.chunks_exact(4)
                .map(|both| f64::from(i16::from_le_bytes([both[0], both[1]])) / 32_768.0),
        );
    }
    pipeline.set_state(gst::State::Null).unwrap();
    left
}

/// The share of a sound's power that is at a frequency (Goertzel's algorithm).
fn share(samples: &[f64], hertz: f64) -> f64 {
    let step = TAU * hertz / 48_000.0;
    let (mut one, mut two) = (0.0, 0.0);
    for sample in samples {
        let next = sample + 2.0 * step.cos() * one - two;
        (two, one) = (one, next);
    }
    let at = one * one + two * two - 2.0 * step.cos() * one * two;
    let all: f64 = samples.iter().map(|sample| sample * sample).sum();
    2.0 * at / (all * samples.len() as f64)
}

async fn heard(ear: &mut Ear, pieces: usize) -> Vec<f64> {
    let mut heard = Vec::new();
    let mut last = None;
    while heard.len() < pieces {
        let piece = ear.piece().await;
        assert!(last.is_none_or(|last| piece.sequence == last + 1));
        last = Some(piece.sequence);
        heard.push(piece.opus);
    }
    let samples = decoded(&heard);
    // A whole number of pieces, without what the encoder begins with.
    samples[samples.len() - (pieces - 10) * 960..].to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tone_is_heard_by_who_listens_and_by_nobody_else() {
    let sound = GStreamerSound::new(Source::Tone { hertz: 450.0 }, Arc::new(SystemClock));
    let mut ear = Ear::of(Arc::new(sound.unwrap()), TaskGroup::new()).await;
    assert!(ear.is_quiet().await);
    ear.say(Up::Audio(true)).await;
    let samples = heard(&mut ear, 60).await;
    assert!(share(&samples, 450.0) > 0.95, "{}", share(&samples, 450.0));
    assert!(share(&samples, 900.0) < 0.01);
    ear.say(Up::Audio(false)).await;
    while timeout(Duration::from_millis(200), ear.piece())
        .await
        .is_ok()
    {}
    assert!(ear.is_quiet().await);
    ear.end().await;
}

fn runs(pulse: &Path) -> bool {
    let mark = pulse.display().to_string();
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        line.starts_with("pulseaudio") && line.contains(&mark)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_program_plays_is_heard_and_the_server_is_there_only_meanwhile() {
    if !Path::new("/usr/bin/pulseaudio").exists() {
        println!("skipped: there is no pulseaudio");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let tasks = TaskGroup::new();
    let options = pulse::Options {
        program: "pulseaudio".into(),
        runtime_dir: place.path().to_owned(),
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
    };
    let pulse = Arc::new(Pulse::prepare(options, Arc::new(SystemClock), &tasks).unwrap());
    let server = pulse.server();
    let mut ear = Ear::of(pulse, tasks).await;
    assert!(!runs(place.path()), "before anybody wants sound");
    ear.say(Up::Audio(true)).await;
    // A second may pass until the silence at the beginning is found out.
    while timeout(Duration::from_millis(500), ear.piece())
        .await
        .is_ok()
    {}
    assert!(ear.is_quiet().await, "silence is sent");
    assert!(runs(place.path()), "while somebody listens");

    for hertz in [1_000.0, 2_500.0] {
        let mut player = Command::new("pacat")
            .args(["--raw", "--rate=48000", "--channels=2", "--format=s16le"])
            .env("PULSE_SERVER", &server)
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let wave: Vec<u8> = (0..96_000)
            .flat_map(|at| {
                let value = (TAU * hertz * f64::from(at) / 48_000.0).sin();
                let sample = ((value * 16_000.0) as i16).to_le_bytes();
                [sample, sample].concat()
            })
            .collect();
        let mut input = player.stdin.take().unwrap();
        let (_, samples) = tokio::join!(
            async {
                input.write_all(&wave).await.unwrap();
                drop(input);
            },
            heard(&mut ear, 60)
        );
        assert!(share(&samples, hertz) > 0.9, "{}", share(&samples, hertz));
        assert!(player.wait().await.unwrap().success());
        while timeout(Duration::from_millis(500), ear.piece())
            .await
            .is_ok()
        {}
    }

    // Killed, it is started again for who listens.
    let killed = Command::new("pkill")
        .args([
            "-KILL",
            "-f",
            &format!("^pulseaudio.*{}", place.path().display()),
        ])
        .status()
        .await
        .unwrap();
    assert!(killed.success());
    let told = async {
        while !matches!(ear.hear().await, Down::Notice(notice) if notice.code == NoticeCode::NoSound)
        {
        }
    };
    timeout(SOON, told).await.expect("a notice");
    let again = async {
        while !runs(place.path()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, again).await.expect("it is started again");

    ear.say(Up::Audio(false)).await;
    let ended = async {
        while runs(place.path()) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(SOON, ended).await.expect("it ends by itself");
    ear.end().await;
}
