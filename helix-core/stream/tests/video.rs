//! The pattern, encoded by GStreamer, sent over a WebSocket, decoded, and its clock read: what a
//! viewer sees, and how old it is.
#![cfg(feature = "gstreamer")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{SinkExt as _, StreamExt as _};
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};
use helix_base::{SystemClock, TaskGroup};
use helix_proto::desktop::{Codec, Down, Frame, Greeting, Key, Size, Up};
use helix_stream::{
    Error,
    desktop::Desktop,
    encode::gstreamer::{self as encoders, GStreamer},
    pattern::{Pattern, read_block, read_clock},
    serve::{Media, Options, Starter},
};
use tokio::time::timeout;
use tokio_tungstenite::{connect_async, tungstenite::Message};

const SOON: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct One(Pattern);

#[async_trait]
impl Starter for One {
    fn size(&self) -> Size {
        self.0.size()
    }

    async fn start(&self) -> Result<Arc<dyn Desktop>, Error> {
        Ok(Arc::new(self.0.clone()))
    }
}

/// Decodes, one thread, one picture in and one out.
struct Decoder {
    pipeline: gst::Pipeline,
    source: AppSrc,
    sink: AppSink,
}

impl Drop for Decoder {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

impl Decoder {
    fn new() -> Self {
        let pipeline = gst::parse::launch(
            "appsrc name=source is-live=true format=time \
             caps=video/x-h264,stream-format=byte-stream,alignment=au \
             ! h264parse ! avdec_h264 max-threads=1 ! appsink name=sink sync=false",
        );
        let pipeline = pipeline.unwrap().downcast::<gst::Pipeline>().unwrap();
        let (source, sink) = (pipeline.by_name("source"), pipeline.by_name("sink"));
        pipeline.set_state(gst::State::Playing).unwrap();
        Self {
            source: source.unwrap().downcast().unwrap(),
            sink: sink.unwrap().downcast().unwrap(),
            pipeline,
        }
    }

    /// The luma of a picture, whose width is a multiple of four.
    fn decode(&self, frame: &Frame) -> Vec<u8> {
        let mut buffer = gst::Buffer::from_slice(frame.picture.clone());
        let at = gst::ClockTime::from_mseconds(u64::from(frame.sequence) * 17);
        buffer.get_mut().unwrap().set_pts(at);
        self.source.push_buffer(buffer).unwrap();
        let sample = self
            .sink
            .try_pull_sample(gst::ClockTime::from_seconds(5))
            .unwrap();
        let map = sample.buffer().unwrap().map_readable().unwrap();
        map[..frame.size.pixels()].to_vec()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_moves_is_seen_fresh_and_a_key_press_soon() {
    let size = Size::new(1280, 720).unwrap();
    let pattern = Pattern::new(size, Arc::new(SystemClock));
    let tasks = TaskGroup::new();
    let media = Media::start(
        Arc::new(One(pattern.clone())),
        Arc::new(GStreamer::new(&encoders::Options::default()).unwrap()),
        &Options::default(),
        Arc::new(SystemClock),
        &tasks,
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/desktop", listener.local_addr().unwrap());
    let router = media.router();
    let draining = tasks.draining_token().clone().cancelled_owned();
    tasks.spawn("server", async move {
        axum::serve(listener, router)
            .with_graceful_shutdown(draining)
            .await
    });
    let (mut socket, _) = connect_async(url).await.unwrap();
    let say = |message: Up| Message::Binary(message.encode().unwrap());
    let hello = Up::Hello(Greeting {
        looks_on: false,
        patches: false,
        size,
        codecs: vec![Codec::H264],
        name: "one".to_owned(),
    });
    socket.send(say(hello)).await.unwrap();
    pattern.set_moving(true);
    let decoder = Decoder::new();
    let (mut ages, mut white, mut pressed, mut changed) = (Vec::new(), None, false, false);
    let watch = async {
        while ages.len() < 120 || !changed {
            let Some(Ok(Message::Binary(message))) = socket.next().await else {
                continue;
            };
            let Down::Frame(frame) = Down::decode(message).unwrap() else {
                continue;
            };
            let luma = decoder.decode(&frame);
            let painted = read_clock(&luma, size).expect("a clock that adds up");
            ages.push(pattern.now().saturating_sub(painted));
            let (sequence, queue) = (frame.sequence, 0);
            socket
                .send(say(Up::Painted { sequence, queue }))
                .await
                .unwrap();
            let block = read_block(&luma, size);
            changed |= pressed && white != block;
            if ages.len() == 60 {
                white = block;
                pressed = true;
                let key = Key::new(30, 0).unwrap();
                socket.send(say(Up::Key { key, down: true })).await.unwrap();
            }
        }
    };
    let began = pattern.now();
    timeout(SOON, Box::pin(watch)).await.unwrap();
    let took = pattern.now() - began;
    ages.sort_unstable();
    let middle = ages[ages.len() / 2];
    let fps = ages.len() as f64 / took.as_secs_f64();
    println!(
        "age: p50 {middle:?}, worst {:?}; {fps:.0} fps",
        ages[ages.len() - 1]
    );
    tasks.shutdown(Duration::from_secs(5)).await;
}
