//! What a host keeps of its threads, on its disk: one file for each, readable by the host alone.
//!
//! A file is a row of frames: the length of what follows and its checksum, four bytes each,
//! least first, then JSON. The first frame is a thread as a whole, the others are changes to it.
//! A commit is one frame, and on the disk when it returns; a frame that is not whole is what was
//! being written when the machine stopped: it was not acknowledged to anybody, and is dropped.
//! A file that is mostly past is written anew.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, BufReader, Read, Write as _},
    os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use helix_agent::host::{Change, Saved};
use helix_proto::ThreadId;
use serde::{Deserialize, Serialize};

use crate::Error;

/// A frame's head: length and checksum.
const HEAD: usize = 8;

/// No frame is longer: a thread's events and two prompts, and what was read of an agent at once.
const LONGEST: usize = 128 << 20;

/// A file shorter than this is not written anew.
const SHORT: u64 = 4 << 20;

/// A file is written anew when it is so many times longer than what is kept.
const PAST: u64 = 4;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Frame<T, C> {
    Thread(T),
    Changes(C),
}

/// The folder of the journals.
#[derive(Debug, Clone)]
pub(crate) struct Journals {
    folder: PathBuf,
}

impl Journals {
    /// Makes the folder if need be. Blocks.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub(crate) fn open(data_dir: &Path) -> Result<Self, Error> {
        let folder = data_dir.join("threads");
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder);
        match made {
            Ok(()) => Ok(Self { folder }),
            Err(source) => Err(Error::Data {
                path: folder,
                source,
            }),
        }
    }

    /// Where something else about a thread is kept.
    pub(crate) fn beside(&self, thread: ThreadId, what: &str) -> PathBuf {
        self.folder.join(format!("{thread}.{what}"))
    }

    /// Every thread that is kept, with its journal. One that cannot be read is left out, with
    /// an error in the log: the control plane hears that it is not here. Blocks.
    ///
    /// # Errors
    ///
    /// The folder cannot be read.
    pub(crate) fn restore(&self) -> Result<Vec<(Saved, Journal)>, Error> {
        let broken = |source| Error::Data {
            path: self.folder.clone(),
            source,
        };
        let mut threads = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(broken)? {
            let path = entry.map_err(broken)?.path();
            if path.extension().is_none_or(|end| end != "journal") {
                continue;
            }
            match Journal::restore(&path) {
                Ok(Some(restored)) => threads.push(restored),
                // Begun, and not one commit made.
                Ok(None) => drop(fs::remove_file(&path)),
                Err(error) => {
                    tracing::error!(path = %path.display(), %error, "a thread cannot be read");
                }
            }
        }
        Ok(threads)
    }

    /// The journal of a thread that begins; whatever is there by its id goes with the first
    /// commit. Nothing is written yet.
    pub(crate) fn begin(&self, thread: ThreadId) -> Journal {
        Journal {
            path: self.beside(thread, "journal"),
            file: None,
            length: 0,
        }
    }
}

/// What is to be written.
#[derive(Debug)]
pub(crate) enum Commit {
    /// What changed.
    Changes(Vec<Change>),
    /// The thread as it is now.
    Whole(Box<Saved>),
    /// That there is no thread any more.
    Removed,
}

/// The journal of one thread.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    /// None where the next commit writes everything: at the beginning, and after a failure that
    /// leaves what is on the disk unknown.
    file: Option<File>,
    /// Of what was committed.
    length: u64,
}

impl Journal {
    fn restore(path: &Path) -> io::Result<Option<(Saved, Self)>> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let whole = file.metadata()?.len();
        let mut frames = Frames {
            reader: BufReader::new(&file),
            length: 0,
        };
        let mut kept = None;
        while let Some(frame) = frames.next()? {
            match frame {
                Frame::Thread(saved) => kept = Some(saved),
                Frame::Changes(changes) => {
                    for change in &changes {
                        Saved::apply(&mut kept, change);
                    }
                }
            }
        }
        let length = frames.length;
        if length < whole {
            tracing::warn!(path = %path.display(), bytes = whole - length, "what was not written to its end is dropped");
            file.set_len(length)?;
        }
        let journal = Self {
            path: path.to_owned(),
            file: Some(file),
            length,
        };
        Ok(kept.map(|kept: Saved| (kept, journal)))
    }

    /// What is to be written for changes, after which the thread is `saved`; none where it is
    /// removed.
    pub(crate) fn commit_of(&self, changes: Vec<Change>, saved: Option<&Saved>) -> Commit {
        let Some(saved) = saved else {
            return Commit::Removed;
        };
        let kept = u64::try_from(saved.unacknowledged_bytes()).unwrap_or(u64::MAX);
        let is_past = self.length > SHORT && self.length / PAST > kept;
        if self.file.is_none() || is_past {
            Commit::Whole(Box::new(saved.clone()))
        } else {
            Commit::Changes(changes)
        }
    }

    /// Commits: it is on the disk when this returns. Where it fails, what is to be written is to
    /// be asked for again, and nothing else may be committed first. Blocks.
    ///
    /// # Errors
    ///
    /// The disk is full or broken.
    pub(crate) fn commit(&mut self, commit: &Commit) -> io::Result<()> {
        match commit {
            Commit::Removed => self.remove(),
            Commit::Whole(saved) => self.write_anew(saved),
            Commit::Changes(changes) => self.append(changes),
        }
    }

    fn append(&mut self, changes: &[Change]) -> io::Result<()> {
        let Some(file) = &self.file else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let frame = frame(&Frame::<&Saved, _>::Changes(changes))?;
        if let Err(error) = file.write_all_at(&frame, self.length) {
            // What of it was written is not read: where it cannot be cut off either, all is
            // written anew.
            if file.set_len(self.length).is_err() {
                self.file = None;
            }
            return Err(error);
        }
        if let Err(error) = file.sync_data() {
            // Nobody can say what is on the disk now.
            self.file = None;
            return Err(error);
        }
        self.length += frame.len() as u64;
        Ok(())
    }

    fn write_anew(&mut self, saved: &Saved) -> io::Result<()> {
        let fresh = self.path.with_extension("new");
        let frame = frame(&Frame::<_, &[Change]>::Thread(saved))?;
        let written = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)
            .and_then(|mut file| {
                file.write_all(&frame)?;
                file.sync_all()?;
                Ok(file)
            });
        let file = match written {
            Ok(file) => file,
            Err(error) => {
                // It takes space that others may wait for.
                let _ = fs::remove_file(&fresh);
                return Err(error);
            }
        };
        fs::rename(&fresh, &self.path)?;
        self.file = Some(file);
        self.length = frame.len() as u64;
        sync_folder(&self.path).inspect_err(|_| self.file = None)
    }

    fn remove(&mut self) -> io::Result<()> {
        self.file = None;
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => sync_folder(&self.path),
        }
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent()
        .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn frame(frame: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; HEAD];
    serde_json::to_writer(&mut bytes, frame)?;
    let payload = &bytes[HEAD..];
    let length = u32::try_from(payload.len())
        .ok()
        .filter(|_| payload.len() <= LONGEST)
        .ok_or_else(|| io::Error::other("a commit beyond all bounds"))?;
    let sum = crc32fast::hash(payload);
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    bytes[4..HEAD].copy_from_slice(&sum.to_le_bytes());
    Ok(bytes)
}

/// Frames as they are read, to the first that is not whole.
struct Frames<R> {
    reader: R,
    /// Of the whole frames so far.
    length: u64,
}

impl<R: Read> Frames<R> {
    fn next(&mut self) -> io::Result<Option<Frame<Saved, Vec<Change>>>> {
        let Some(head) = self.exactly::<HEAD>()? else {
            return Ok(None);
        };
        let [a, b, c, d, sum @ ..] = head;
        let length = u32::from_le_bytes([a, b, c, d]);
        let sum = u32::from_le_bytes(sum);
        if length == 0 || length as usize > LONGEST {
            return Ok(None);
        }
        let mut payload = Vec::new();
        let read = (&mut self.reader)
            .take(length.into())
            .read_to_end(&mut payload)?;
        if read < length as usize || crc32fast::hash(&payload) != sum {
            return Ok(None);
        }
        self.length += (HEAD + read) as u64;
        // What was written whole and cannot be read is no torn end.
        Ok(Some(serde_json::from_slice(&payload)?))
    }

    fn exactly<const N: usize>(&mut self) -> io::Result<Option<[u8; N]>> {
        let mut bytes = [0; N];
        match self.reader.read_exact(&mut bytes) {
            Ok(()) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
