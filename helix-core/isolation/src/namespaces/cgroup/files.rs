//! The files that control groups are made of.

use std::{
    fmt::Display,
    io,
    os::unix::fs::chown,
    path::{Path, PathBuf},
};

/// Makes a control group, unless it is there.
pub(super) fn directory(path: &Path) -> io::Result<()> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result.map_err(|error| named(path, &error)),
    }
}

/// Gives a control group to `owner`, with those of `parts` that this kernel has.
pub(super) fn give(path: &Path, parts: &[&str], owner: u32) -> io::Result<()> {
    chown(path, Some(owner), Some(owner)).map_err(|error| named(path, &error))?;
    for part in parts {
        let path = path.join(part);
        match chown(&path, Some(owner), Some(owner)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => result.map_err(|error| named(&path, &error))?,
        }
    }
    Ok(())
}

/// Removes a control group with those below it. Fails while a process is in one.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    for child in children(path) {
        remove(&child)?;
    }
    match std::fs::remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Adds the processes in a control group and in those below it.
pub(super) fn collect(path: &Path, found: &mut Vec<i32>) {
    if let Ok(text) = std::fs::read_to_string(path.join("cgroup.procs")) {
        found.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
    }
    for child in children(path) {
        collect(&child, found);
    }
}

fn children(path: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

pub(super) fn write(path: &Path, value: impl Display) -> io::Result<()> {
    std::fs::write(path, format!("{value}")).map_err(|error| named(path, &error))
}

pub(super) fn write_if_there(path: &Path, value: impl Display) -> io::Result<()> {
    if path.exists() {
        write(path, value)
    } else {
        Ok(())
    }
}

pub(super) fn read(path: &Path) -> io::Result<String> {
    std::fs::read_to_string(path).map_err(|error| named(path, &error))
}

pub(super) fn number(path: &Path) -> io::Result<u64> {
    read(path)?.trim().parse().map_err(io::Error::other)
}

/// The number that follows `key` on a line of its own.
pub(super) fn value_of(path: &Path, key: &str) -> io::Result<u64> {
    read(path)?
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.parse().ok())
        .ok_or_else(|| io::Error::other(format!("{} has no {key}", path.display())))
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
