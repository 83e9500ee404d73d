//! The contracts of [`Desktop`] and [`Capture`] as a kit of checks, one for each bullet that can
//! be seen from outside, to be run on every desktop, and on one that breaks a bullet and must
//! fail.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use helix_proto::desktop::{Clipboard as Content, Key, Size};
use tokio::time::timeout;

use crate::{
    ErrorKind,
    capture::{Capture, Want},
    desktop::Desktop,
    input::Input,
};

/// Until what must come has come.
const SOON: Duration = Duration::from_secs(10);
/// For what must not come.
const QUIET: Duration = Duration::from_millis(700);

/// A kind of desktop under test.
#[async_trait]
pub trait Subject: fmt::Debug + Send + Sync {
    /// A new one, of which the last is gone. It stands still; the key `KEY_A` changes what is
    /// to be seen, each time that it goes down and up.
    async fn desktop(&self) -> Arc<dyn Desktop>;

    /// Ends the one that was made last, as a failure would.
    async fn kill(&self);
}

/// How one check went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What the contract says.
    pub bullet: &'static str,
    /// What was seen instead, if anything.
    pub result: Result<(), String>,
}

type Outcomes = Result<(), String>;
type Running<'a> = Pin<Box<dyn Future<Output = Outcomes> + Send + 'a>>;
type Check = for<'a> fn(&'a dyn Subject, &'a Arc<dyn Desktop>) -> Running<'a>;

macro_rules! checks {
    ($($bullet:literal => $check:ident,)*) => {
        &[$(($bullet, |subject, desktop| Box::pin($check(subject, desktop)))),*]
    };
}

/// The bullets of the contracts.
const CHECKS: &[(&str, Check)] = checks! {
    "the first picture comes whether anything has changed or not" => first_picture,
    "where nothing changes, next waits" => still_waits,
    "dropping next loses no change" => dropped_next,
    "several captures do not disturb each other" => several_captures,
    "resize returns when the desktop has the size, and captures give pictures of it" => resize,
    "resizing to what it is does nothing" => resize_to_the_same,
    "what is put into the clipboard is not what was copied" => clipboard,
    "windows have numbers and bounded names, and one that is not there is said not to be" => windows,
    "a desktop that is gone says so, and everything else fails with that" => gone,
};

/// Runs every check on a kind of desktop, each on a new one.
pub async fn run(subject: &dyn Subject) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for (bullet, check) in CHECKS {
        let desktop = subject.desktop().await;
        let result = check(subject, &desktop).await;
        outcomes.push(Outcome { bullet, result });
    }
    outcomes
}

/// The bullets that do not hold, and what was seen instead.
pub fn broken(outcomes: &[Outcome]) -> Vec<String> {
    let broken = outcomes.iter().filter_map(|outcome| {
        let why = outcome.result.as_ref().err()?;
        Some(format!("{}: {why}", outcome.bullet))
    });
    broken.collect()
}

async fn capture(desktop: &Arc<dyn Desktop>) -> Result<Box<dyn Capture>, String> {
    let capture = desktop.capture().await;
    capture.map_err(|why| format!("no capture: {why}"))
}

/// The size of the next picture.
async fn next(capture: &mut dyn Capture, want: Want) -> Result<Size, String> {
    match timeout(SOON, capture.next(want)).await {
        Ok(Ok(shot)) => {
            let rows = usize::from(shot.size.height());
            let bytes = shot.stride * (rows - 1) + usize::from(shot.size.width()) * 4;
            if shot.pixels.len() < bytes {
                return Err(format!("{} bytes for {}", shot.pixels.len(), shot.size));
            }
            Ok(shot.size)
        }
        Ok(Err(why)) => Err(format!("no picture: {why}")),
        Err(_) => Err(format!("no picture ({want:?}) within 10 s")),
    }
}

/// A capture of a desktop that has given all that there was to give.
async fn settled(desktop: &Arc<dyn Desktop>) -> Result<Box<dyn Capture>, String> {
    let mut capture = capture(desktop).await?;
    for _ in 0..100 {
        match timeout(QUIET, capture.next(Want::Changed)).await {
            Ok(Ok(_)) => {}
            Ok(Err(why)) => return Err(format!("no picture: {why}")),
            Err(_) => return Ok(capture),
        }
    }
    Err("a hundred pictures of a desktop that stands still".to_owned())
}

fn change(desktop: &Arc<dyn Desktop>) -> Outcomes {
    let key = Key::new(30, 0).ok_or("no such key")?;
    for down in [true, false] {
        let sent = desktop.input().send(Input::Key { key, down });
        sent.map_err(|why| format!("a key is refused: {why}"))?;
    }
    Ok(())
}

async fn first_picture(_: &dyn Subject, desktop: &Arc<dyn Desktop>) -> Outcomes {
    drop(settled(desktop).await?);
    let size = next(&mut *capture(desktop).await?, Want::Changed).await?;
    same("the first picture", size, desktop.size())
}

fn same(what: &str, got: Size, expected: Size) -> Outcomes {
    if got == expected {
        return Ok(());
    }
    Err(format!("{what} is {got}, where {expected} was expected"))
}

async fn still_waits(_: &dyn Subject, desktop: &Arc<dyn Desktop>) -> Outcomes {
    settled(desktop).await.map(drop)
}

async fn dropped_next(_: &dyn Subject, desktop: &Arc<dyn Desktop>) -> Outcomes {
    let mut capture = settled(desktop).await?;
    // Dropped while it waits, and then nobody waits for a while.
    drop(timeout(Duration::from_millis(50), capture.next(Want::Changed)).await);
    change(desktop)?;
    tokio::time::sleep(QUIET).await;
    next(&mut *capture, Want::Changed).await.map(drop)
}

async fn several_captures(_: &dyn Subject, desktop: &Arc<dyn Desktop>) -> Outcomes {
    let (mut one, mut other) = (settled(desktop).await?, settled(desktop).await?);
    change(desktop)?;
    next(&mut *one, Want::Changed).await?;
    next(&mut *other, Want::Changed).await?;
    drop(other);
    next(&mut *one, Want::Now).await.map(drop)
}

async fn resize(_: &dyn Subject, desktop: &Arc<dyn Desktop>) -> Outcomes {
    let mut capture = settled(desktop).await?;
    for (width, height) in [(1_366, 768), (320, 240)] {
        let size = Size::new(width, height).ok_or("no such size")?;
        let resized = desktop.resize(size).await;
        resized.map_err(|why| format!("cannot become {size}: {why}"))?;
        same("the desktop", desktop.size(), size)?;
        same(
            "a picture of now",
            next(&mut *capture, Want::Now).await?,
            size,
        )?;
    }
    Ok(())
}

async fn resize_to_the_same(_: &dyn Subject, desktop: &Arc<dyn Desktop>) -> Outcomes {
    let mut capture = settled(desktop).await?;
    let resized = desktop.resize(desktop.size()).await;
    resized.map_err(|why| format!("is refused: {why}"))?;
    match timeout(QUIET, capture.next(Want::Changed)).await {
        Ok(_) => Err("a picture came".to_owned()),
        Err(_) => Ok(()),
    }
}

async fn clipboard(_: &dyn Subject, desktop: &Arc<dyn Desktop>) -> Outcomes {
    let Some(clipboard) = desktop.clipboard() else {
        return Ok(());
    };
    let put = clipboard.put(Content::Text("put".to_owned())).await;
    put.map_err(|why| format!("is refused: {why}"))?;
    match timeout(QUIET, clipboard.copied()).await {
        Ok(copied) => Err(format!("{copied:?} was copied")),
        Err(_) => Ok(()),
    }
}

async fn windows(_: &dyn Subject, desktop: &Arc<dyn Desktop>) -> Outcomes {
    // A desktop may have none to tell of.
    let Some(windows) = desktop.windows() else {
        return Ok(());
    };
    let list = windows.list().await;
    let list = list.map_err(|why| format!("no list: {why}"))?;
    let mut numbers: Vec<_> = list.iter().map(|window| window.id).collect();
    numbers.sort_unstable();
    numbers.dedup();
    if numbers.len() != list.len() || list.len() > 1_000 {
        return Err(format!(
            "{} numbers for {} windows",
            numbers.len(),
            list.len()
        ));
    }
    let names = list
        .iter()
        .flat_map(|window| [&window.title, &window.app_id]);
    for name in names {
        if name.chars().count() > 1_000 || name.chars().any(char::is_control) {
            return Err(format!("a window is called {name:?}"));
        }
    }
    for outcome in [windows.focus(u64::MAX).await, windows.close(u64::MAX).await] {
        match outcome.map_err(|why| why.kind()) {
            Err(ErrorKind::NotFound) => {}
            other => return Err(format!("{other:?} for a window that is not there")),
        }
    }
    Ok(())
}

async fn gone(subject: &dyn Subject, desktop: &Arc<dyn Desktop>) -> Outcomes {
    let mut capture = settled(desktop).await?;
    subject.kill().await;
    let ended = timeout(SOON, desktop.ended()).await;
    let why = ended.map_err(|_| "nothing is said for 10 s")?;
    let kinds = [
        ("ended", why.kind()),
        ("a capture that was open", {
            let next = timeout(SOON, capture.next(Want::Now)).await;
            let next = next.map_err(|_| "a capture waits for ever")?;
            next.err().map_or(ErrorKind::Failed, |why| why.kind())
        }),
        (
            "a new capture",
            match desktop.capture().await {
                Ok(_) => ErrorKind::Failed,
                Err(why) => why.kind(),
            },
        ),
    ];
    match kinds.iter().find(|(_, kind)| *kind != ErrorKind::Ended) {
        None => Ok(()),
        Some((what, kind)) => Err(format!("{what} says {kind:?}")),
    }
}
