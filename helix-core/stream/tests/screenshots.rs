//! Screenshots of a desktop that gives no picture.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_util::future::join_all;
use helix_base::{SystemClock, TaskGroup};
use helix_proto::desktop::Size;
use helix_stream::{
    Error, ErrorKind,
    capture::{Capture, Shot, Want},
    desktop::{Clipboard, Desktop},
    encode::raw::Raw,
    input::InputSink,
    pattern::Pattern,
    screenshot::Format,
    serve::{Media, Options, Starter},
};

/// How many are waited for now, and at the most.
#[derive(Debug, Default)]
struct Counts {
    now: AtomicUsize,
    most: AtomicUsize,
}

#[derive(Debug)]
struct Stuck {
    pattern: Pattern,
    counts: Arc<Counts>,
}

#[derive(Debug)]
struct Never(Arc<Counts>);

struct Waiting<'a>(&'a Counts);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl Capture for Never {
    async fn next(&mut self, _: Want) -> Result<Shot<'_>, Error> {
        let now = self.0.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.0.most.fetch_max(now, Ordering::Relaxed);
        let _waiting = Waiting(&self.0);
        std::future::pending().await
    }
}

#[async_trait]
impl Desktop for Stuck {
    fn size(&self) -> Size {
        self.pattern.size()
    }

    async fn capture(&self) -> Result<Box<dyn Capture>, Error> {
        Ok(Box::new(Never(self.counts.clone())))
    }

    fn input(&self) -> Arc<dyn InputSink> {
        self.pattern.input()
    }

    fn clipboard(&self) -> Option<Arc<dyn Clipboard>> {
        None
    }

    async fn resize(&self, size: Size) -> Result<(), Error> {
        self.pattern.resize(size).await
    }

    async fn ended(&self) -> Error {
        Desktop::ended(&self.pattern).await
    }
}

#[derive(Debug)]
struct One(Arc<Counts>);

#[async_trait]
impl Starter for One {
    fn size(&self) -> Size {
        Size::new(640, 360).unwrap()
    }

    async fn start(&self) -> Result<Arc<dyn Desktop>, Error> {
        let pattern = Pattern::new(self.size(), Arc::new(SystemClock));
        let counts = self.0.clone();
        Ok(Arc::new(Stuck { pattern, counts }))
    }
}

#[tokio::test(start_paused = true)]
async fn two_wait_at_once_and_all_are_told_in_the_end() {
    let (tasks, counts) = (TaskGroup::new(), Arc::new(Counts::default()));
    let starter = Arc::new(One(counts.clone()));
    let clock = Arc::new(SystemClock);
    let options = Options::default();
    let media = Media::start(starter, Arc::new(Raw), &options, clock, &tasks);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let others = counts.now.load(Ordering::Relaxed);
    let asked = join_all((0..5).map(|_| media.screenshot(Format::Png, 80, false)));
    let answers = tokio::time::timeout(Duration::from_secs(60), asked).await;
    for answer in answers.unwrap() {
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Timeout);
    }
    assert_eq!(counts.most.load(Ordering::Relaxed) - others, 2);
    tasks.shutdown(Duration::from_secs(5)).await;
}
