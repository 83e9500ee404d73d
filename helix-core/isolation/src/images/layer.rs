//! One layer onto a tree, by the OCI image specification's
//! [layer format](https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md).

use std::{
    collections::HashSet,
    io::{self, Read},
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Component, Path, PathBuf},
};

use tar::{Entry, EntryType};

use super::{
    layout,
    tree::{About, Tree},
};
use crate::{Error, ErrorKind};

/// A name with this in front removes what has the rest of it as its name.
const WHITEOUT: &[u8] = b".wh.";
/// A file of this name removes everything that lower layers have in its directory.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Applies a layer's tar.
pub(super) fn apply(path: &Path, tree: &mut Tree) -> Result<(), Error> {
    let failed = |error| Error::io(path.display(), error);
    let mut archive = tar::Archive::new(layout::open(path).map_err(failed)?);
    // What this layer has brought, which no whiteout of its own removes.
    let mut brought = HashSet::new();
    for entry in archive.entries().map_err(failed)? {
        let mut entry = entry.map_err(|error| layout::not_a_tar(path, &error))?;
        let at = plain(&entry.path_bytes())?;
        one(&mut entry, &at, tree, &mut brought).map_err(|error| on_entry(&at, error))?;
    }
    Ok(())
}

fn on_entry(at: &Path, error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::InvalidInput {
        return Error::new(
            ErrorKind::Invalid,
            format!("the entry {}: {error}", at.display()),
        );
    }
    Error::io(format!("the entry {}", at.display()), error)
}

/// A path below the root, of plain names only.
fn plain(bytes: &[u8]) -> Result<PathBuf, Error> {
    let path = PathBuf::from(std::ffi::OsString::from_vec(bytes.to_vec()));
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => plain.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                let message = format!("the entry {} leaves the image", path.display());
                return Err(Error::new(ErrorKind::Invalid, message));
            }
        }
    }
    Ok(plain)
}

fn one(
    entry: &mut Entry<'_, impl Read>,
    at: &Path,
    tree: &mut Tree,
    brought: &mut HashSet<PathBuf>,
) -> io::Result<()> {
    let name = at.file_name().unwrap_or_default().as_bytes();
    let parent = at.parent().unwrap_or(Path::new(""));
    if name == OPAQUE {
        return tree.clear(parent, |path| brought.contains(path));
    }
    if let Some(hidden) = name.strip_prefix(WHITEOUT) {
        return tree.remove(&parent.join(std::ffi::OsStr::from_bytes(hidden)));
    }
    let about = about(entry)?;
    match entry.header().entry_type() {
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            tree.file(at, &about, entry)?;
        }
        EntryType::Directory => tree.directory(at, &about)?,
        EntryType::Symlink => tree.symlink(at, &about, &link(entry)?)?,
        EntryType::Link => tree.hard_link(at, &plain(&link(entry)?).map_err(inside)?)?,
        EntryType::Fifo => tree.fifo(at, &about)?,
        // Devices a sandbox makes itself; the rest describes other entries.
        _ => return Ok(()),
    }
    for part in at.ancestors() {
        brought.insert(part.to_owned());
    }
    Ok(())
}

fn inside(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}

fn link(entry: &Entry<'_, impl Read>) -> io::Result<Vec<u8>> {
    let target = entry.link_name_bytes().map(|target| target.into_owned());
    target.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a link to nothing"))
}

fn about(entry: &mut Entry<'_, impl Read>) -> io::Result<About> {
    let header = entry.header();
    let id = |id: io::Result<u64>| {
        let id = u32::try_from(id?).ok().filter(|id| *id < 65_536);
        id.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "an owner above 65535"))
    };
    let (uid, gid) = (id(header.uid())?, id(header.gid())?);
    let (mode, mtime) = (header.mode()? & 0o7777, header.mtime()?);
    let mut capability = None;
    if let Some(extensions) = entry.pax_extensions()? {
        for extension in extensions {
            let extension = extension?;
            if extension.key_bytes() == b"SCHILY.xattr.security.capability" {
                capability = Some(extension.value_bytes().to_vec());
            }
        }
    }
    Ok(About {
        uid,
        gid,
        mode,
        mtime,
        capability,
    })
}
