//! What changes below a path.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs,
    io::{self, PipeReader, Write as _},
    mem::MaybeUninit,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use helix_proto::{
    error::ErrorCode,
    sandbox::guest::{FileEvent, FileEventKind},
};
use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags},
    io::Errno,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{failed, path::encode, stream::Outgoing};
use crate::guest::failure::{Answer, Failed};

/// How many watches there are at once, and how many directories one has.
const MOST: usize = 16;
const DIRECTORIES: usize = 8192;
/// How many events are sent at once.
const BATCH: usize = 1024;
const BUFFER: usize = 64 * 1024;

/// The right to watch.
#[derive(Debug)]
pub(crate) struct Watches(Arc<Semaphore>);

impl Default for Watches {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST)))
    }
}

impl Watches {
    pub(super) fn enter(&self) -> Answer<OwnedSemaphorePermit> {
        self.0.clone().try_acquire_owned().map_err(|_| {
            Failed::new(
                ErrorCode::TooManyRequests,
                format!("{MOST} watches are open in this sandbox: close one first"),
            )
        })
    }
}

/// A path that is watched, with everything below it.
pub(super) struct Watch {
    inotify: OwnedFd,
    /// The directories by their number, and the path itself.
    known: HashMap<i32, PathBuf>,
    root: PathBuf,
    /// Ends when the reader has left.
    left: PipeReader,
    to: Outgoing,
}

impl Watch {
    pub(super) fn start(root: &Path, left: PipeReader, to: Outgoing) -> Answer<Self> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)
            .map_err(|error| failed("watch", root, &error.into()))?;
        let mut watch = Self {
            inotify,
            known: HashMap::new(),
            root: root.to_owned(),
            left,
            to,
        };
        watch
            .add(root)
            .map_err(|error| failed("watch", root, &error))?;
        let complete = watch.add_below(root, &mut |_| {});
        if complete {
            return Ok(watch);
        }
        Err(Failed::invalid(
            "path",
            format!(
                "{} has more than {DIRECTORIES} directories below it",
                root.display()
            ),
        ))
    }

    fn add(&mut self, path: &Path) -> io::Result<()> {
        let what = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MODIFY
            | WatchFlags::ATTRIB
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVE_SELF
            | WatchFlags::DONT_FOLLOW
            | WatchFlags::EXCL_UNLINK;
        let number = inotify::add_watch(&self.inotify, path, what)?;
        self.known.insert(number, path.to_owned());
        Ok(())
    }

    /// Watches the directories below `path`, and shows everything that is there. False
    /// where there are too many. What cannot be read, or has gone, is passed over: a user
    /// would not see changes in it either.
    fn add_below(&mut self, path: &Path, found: &mut dyn FnMut(&Path)) -> bool {
        let mut todo = vec![path.to_owned()];
        while let Some(directory) = todo.pop() {
            for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
                let path = entry.path();
                found(&path);
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    if self.known.len() >= DIRECTORIES {
                        return false;
                    }
                    if self.add(&path).is_ok() {
                        todo.push(path);
                    }
                }
            }
        }
        true
    }

    /// Sends events until the reader leaves, or the path is gone.
    pub(super) fn run(mut self) {
        loop {
            let ready = {
                let mut wait = [
                    PollFd::new(&self.inotify, PollFlags::IN),
                    PollFd::from_borrowed_fd(self.left.as_fd(), PollFlags::IN),
                ];
                match poll(&mut wait, None) {
                    Ok(_) => wait[1].revents().is_empty(),
                    Err(Errno::INTR) => continue,
                    Err(_) => false,
                }
            };
            if !ready {
                return;
            }
            let (events, gone) = self.read();
            if self.send(&events).is_err() || gone {
                return;
            }
        }
    }

    fn send(&mut self, events: &[FileEvent]) -> io::Result<()> {
        for event in events {
            serde_json::to_writer(&mut self.to, event)?;
            self.to.write_all(b"\n")?;
        }
        self.to.flush()
    }

    /// What happened, and whether the path itself is gone.
    fn read(&mut self) -> (Vec<FileEvent>, bool) {
        let mut buffer = vec![MaybeUninit::uninit(); BUFFER];
        let mut happened = Vec::new();
        if let Ok(inotify) = self.inotify.try_clone() {
            let mut reader = inotify::Reader::new(inotify, &mut buffer);
            while happened.len() < BATCH
                && let Ok(event) = reader.next()
            {
                let name = event
                    .file_name()
                    .map(|name| PathBuf::from(OsStr::from_bytes(name.to_bytes())));
                happened.push((event.wd(), event.events(), name));
                if reader.is_buffer_empty() {
                    break;
                }
            }
        }
        let mut events: Vec<FileEvent> = Vec::new();
        let mut gone = false;
        for (number, what, name) in happened {
            gone |= self.take(number, what, name.as_deref(), &mut events);
        }
        events.dedup();
        (events, gone)
    }

    /// Takes in one event of the kernel's.
    fn take(
        &mut self,
        number: i32,
        what: ReadFlags,
        name: Option<&Path>,
        events: &mut Vec<FileEvent>,
    ) -> bool {
        let mut tell = |kind, path: &Path| {
            events.push(FileEvent {
                kind,
                path: encode(path),
            })
        };
        if what.contains(ReadFlags::QUEUE_OVERFLOW) {
            tell(FileEventKind::Overflow, &self.root);
            return false;
        }
        let Some(directory) = self.known.get(&number) else {
            return false;
        };
        if what.contains(ReadFlags::IGNORED) {
            self.known.remove(&number);
            return false;
        }
        let path = name.map_or_else(|| directory.clone(), |name| directory.join(name));
        if what.intersects(ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF) {
            let gone = path == self.root;
            if gone {
                tell(FileEventKind::Removed, &path);
            }
            return gone;
        }
        if what.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO) {
            tell(FileEventKind::Created, &path);
            if what.contains(ReadFlags::ISDIR) {
                self.appeared(&path, &mut tell);
            }
        } else if what.intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM) {
            tell(FileEventKind::Removed, &path);
            if what.contains(ReadFlags::MOVED_FROM | ReadFlags::ISDIR) {
                self.forget(&path);
            }
        } else {
            tell(FileEventKind::Modified, &path);
        }
        false
    }

    /// A directory is new: what came into it before it was watched is new as well.
    fn appeared(&mut self, path: &Path, tell: &mut dyn FnMut(FileEventKind, &Path)) {
        let complete = self.known.len() < DIRECTORIES
            // It may have gone again.
            && (self.add(path).is_err()
                || self.add_below(path, &mut |path| tell(FileEventKind::Created, path)));
        if !complete {
            tell(FileEventKind::Overflow, path);
        }
    }

    fn forget(&mut self, path: &Path) {
        let below = self
            .known
            .iter()
            .filter(|(_, known)| known.starts_with(path));
        for number in below.map(|(number, _)| *number).collect::<Vec<_>>() {
            // It is forgotten whether the kernel still had it or not.
            let _ = inotify::remove_watch(&self.inotify, number);
            self.known.remove(&number);
        }
    }
}
