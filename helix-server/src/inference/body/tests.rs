use futures_util::StreamExt as _;
use helix_base::ManualClock;
use helix_proto::TypedId as _;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::*;

const PATIENCE: Patience = Patience {
    client: Duration::from_secs(60),
    upstream: Duration::from_secs(300),
};

/// Notes how the place was freed.
#[derive(Debug)]
struct Place(mpsc::UnboundedSender<End>);

impl Hold for Place {
    fn ended(&mut self, how: End) {
        let _ = self.0.send(how);
    }
}

struct Scene {
    clock: ManualClock,
    watch: Arc<Watch>,
    body: BodyStream,
    upstream: mpsc::Sender<Result<&'static str, &'static str>>,
    freed: mpsc::UnboundedReceiver<End>,
}

fn scene(events: bool) -> Scene {
    let clock = ManualClock::new(0);
    let watch = Watch::new(Arc::new(clock.clone()), PATIENCE);
    let (upstream, chunks) = mpsc::channel(1);
    let (place, freed) = mpsc::unbounded_channel();
    let frames = ReceiverStream::new(chunks).map(|chunk: Result<&'static str, &'static str>| {
        chunk
            .map(|text| Frame::data(Bytes::from(text)))
            .map_err(BoxError::from)
    });
    let body = watch.relay(Answer {
        id: RequestId::from_parts(1, 1),
        upstream: StreamBody::new(frames).boxed_unsync(),
        events,
        who: "model `tiny`".into(),
        hold: Box::new(Place(place)),
    });
    Scene {
        clock,
        watch,
        body,
        upstream,
        freed,
    }
}

#[tokio::test]
async fn bytes_are_passed_on_and_the_place_is_freed_at_the_end() {
    let mut scene = scene(true);
    scene.upstream.send(Ok("data: 1\n\n")).await.unwrap();
    assert_eq!(scene.body.next().await.unwrap().unwrap(), "data: 1\n\n");
    assert!(scene.freed.try_recv().is_err());
    drop(scene.upstream);
    assert!(scene.body.next().await.is_none());
    assert_eq!(scene.freed.recv().await, Some(End::Complete));
    drop(scene.body);
    assert!(scene.freed.recv().await.is_none(), "freed once only");
    assert!(lock(&scene.watch.relays).is_empty());
}

#[tokio::test]
async fn an_upstream_that_breaks_off_leaves_an_error_event_and_a_proper_end() {
    let mut scene = scene(true);
    scene.upstream.send(Ok("data: 1\n\ndata: 2")).await.unwrap();
    assert_eq!(scene.body.next().await.unwrap().unwrap(), "data: 1\n\n");
    scene.upstream.send(Err("connection reset")).await.unwrap();
    let last = scene.body.next().await.unwrap().unwrap();
    let json = last.strip_prefix(b"data: ").unwrap();
    let error: helix_proto::openai::ErrorBody = serde_json::from_slice(json).unwrap();
    assert_eq!(error.error.code.as_deref(), Some("upstream_cut"));
    assert!(error.error.message.contains("model `tiny`"), "{error:?}");
    assert!(
        error.error.message.contains("connection reset"),
        "{error:?}"
    );
    assert!(scene.body.next().await.is_none());
    assert_eq!(scene.freed.recv().await, Some(End::Broken));
}

#[tokio::test]
async fn a_plain_answer_that_breaks_off_is_an_error_and_never_a_short_body() {
    let mut scene = scene(false);
    scene.upstream.send(Ok("{\"half")).await.unwrap();
    assert_eq!(scene.body.next().await.unwrap().unwrap(), "{\"half");
    scene.upstream.send(Err("connection reset")).await.unwrap();
    assert!(matches!(
        scene.body.next().await,
        Some(Err(Error::Cut { .. }))
    ));
}

#[tokio::test]
async fn a_client_that_leaves_frees_the_place_and_closes_the_upstream() {
    let mut scene = scene(true);
    drop(scene.body);
    assert_eq!(scene.freed.recv().await, Some(End::Left));
    scene.upstream.closed().await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_loses_its_place_after_a_while() {
    let mut scene = scene(true);
    scene.upstream.send(Ok("data: 1\n\n")).await.unwrap();
    scene.body.next().await.unwrap().unwrap();
    scene.upstream.send(Ok("data: 2\n\n")).await.unwrap();
    assert!(
        scene.upstream.try_send(Ok("data: 3\n\n")).is_err(),
        "nothing is read ahead"
    );
    scene.clock.advance(PATIENCE.client);
    scene.watch.look(scene.clock.now());
    assert!(scene.freed.try_recv().is_err(), "not yet");
    scene.clock.advance(Duration::from_secs(1));
    scene.watch.look(scene.clock.now());
    assert_eq!(scene.freed.recv().await, Some(End::Left));
    scene.upstream.closed().await;
    let told = scene.body.next().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&told).contains("client_stalled"));
}

#[tokio::test]
async fn an_upstream_that_says_nothing_is_given_up_and_the_waiting_client_is_told() {
    let mut scene = scene(true);
    let (told, mut events) = mpsc::channel(1);
    let tasks = TaskGroup::new();
    tasks.spawn("client", async move {
        let _ = told.send(scene.body.next().await).await;
    });
    // Let the client begin to wait.
    while lock(&scene.watch.relays).values().all(|relay| {
        relay
            .upgrade()
            .is_none_or(|relay| lock(&relay.state).waits == Waits::Client)
    }) {
        tokio::task::yield_now().await;
    }
    scene
        .clock
        .advance(PATIENCE.upstream + Duration::from_secs(1));
    scene.watch.look(scene.clock.now());
    let event = events.recv().await.unwrap().unwrap().unwrap();
    assert!(String::from_utf8_lossy(&event).contains("upstream_timeout"));
    assert_eq!(scene.freed.recv().await, Some(End::Broken));
}

#[tokio::test]
async fn an_answer_that_is_ended_by_an_administrator_says_so() {
    let mut scene = scene(true);
    let reason = || Error::Cancelled {
        reason: "by an administrator".into(),
    };
    assert!(scene.watch.end(RequestId::from_parts(1, 1), reason()));
    assert!(
        !scene.watch.end(RequestId::from_parts(1, 1), reason()),
        "once only"
    );
    assert!(
        !scene.watch.end(RequestId::from_parts(2, 2), reason()),
        "no such request"
    );
    let event = scene.body.next().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&event).contains("by an administrator"));
    assert!(scene.body.next().await.is_none());
    assert_eq!(scene.freed.recv().await, Some(End::Left));
}
