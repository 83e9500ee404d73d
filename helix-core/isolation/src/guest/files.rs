//! Files, as a user of the sandbox sees them.

mod archive;
mod content;
mod path;
mod routes;
mod stream;
mod unpack;
mod watch;

use std::{
    collections::BinaryHeap,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use helix_proto::{
    error::ErrorCode,
    sandbox::guest::{FileEntry, FileList},
};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use self::path::entry;
use super::failure::{Answer, Failed};

pub(crate) use self::{routes::routes, watch::Watches};

/// How many entries a list has at most, and among how many they are looked for.
const LIST: usize = 10_000;
const LOOK: usize = 1_000_000;

/// A call on a path that failed.
fn failed(what: &str, path: &Path, error: &io::Error) -> Failed {
    Failed::io(format!("cannot {what} {}", path.display()), error)
}

fn stat(path: &Path) -> Answer<FileEntry> {
    let metadata = fs::symlink_metadata(path).map_err(|error| failed("look at", path, &error))?;
    Ok(entry(path, &metadata))
}

fn list(path: &Path) -> Answer<FileList> {
    let cannot = |error: &io::Error| failed("list", path, error);
    let mut names: BinaryHeap<OsString> = BinaryHeap::new();
    let mut truncated = false;
    for (seen, found) in fs::read_dir(path)
        .map_err(|error| cannot(&error))?
        .enumerate()
    {
        if seen >= LOOK {
            truncated = true;
            break;
        }
        names.push(found.map_err(|error| cannot(&error))?.file_name());
        if names.len() > LIST {
            names.pop();
            truncated = true;
        }
    }
    let entries = names
        .into_sorted_vec()
        .into_iter()
        // What has gone since is not there.
        .filter_map(|name| stat(&path.join(name)).ok())
        .collect();
    Ok(FileList { entries, truncated })
}

fn make_directory(path: &Path, parents: bool) -> Answer<FileEntry> {
    let made = if parents {
        fs::create_dir_all(path)
    } else {
        fs::create_dir(path)
    };
    made.map_err(|error| failed("make the directory", path, &error))?;
    stat(path)
}

fn rename(from: &Path, to: &Path, overwrite: bool) -> Answer<FileEntry> {
    let flags = if overwrite {
        RenameFlags::empty()
    } else {
        RenameFlags::NOREPLACE
    };
    renameat_with(CWD, from, CWD, to, flags).map_err(|error| {
        let what = format!("cannot move {} to {}", from.display(), to.display());
        match error {
            rustix::io::Errno::XDEV => Failed::new(
                ErrorCode::Invalid,
                format!("{what}: it is another file system: copy it and remove the old one"),
            ),
            rustix::io::Errno::EXIST if !overwrite => Failed::new(
                ErrorCode::Conflict,
                format!("{what}: something is there already: ask to overwrite it"),
            ),
            error => Failed::io(what, &error.into()),
        }
    })?;
    stat(to)
}

fn remove(path: &Path, recursive: bool) -> Answer<()> {
    if path.parent().is_none() {
        return Err(Failed::invalid(
            "path",
            "the root directory cannot be removed",
        ));
    }
    let cannot = |error: io::Error| failed("remove", path, &error);
    let directory = fs::symlink_metadata(path).map_err(cannot)?.is_dir();
    let removed = match (directory, recursive) {
        (true, true) => fs::remove_dir_all(path),
        (true, false) => fs::remove_dir(path),
        (false, _) => fs::remove_file(path),
    };
    removed.map_err(|error| match error.kind() {
        io::ErrorKind::DirectoryNotEmpty => Failed::new(
            ErrorCode::Conflict,
            format!(
                "{} is not empty: ask to remove it recursively",
                path.display()
            ),
        ),
        _ => failed("remove", path, &error),
    })
}

/// What a request names: a path of a user.
#[derive(Debug, Clone)]
struct Target {
    user: Option<String>,
    path: PathBuf,
}
