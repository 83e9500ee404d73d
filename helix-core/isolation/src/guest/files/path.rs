//! Names of files as they come and as they are shown.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, Metadata},
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
};

use helix_proto::sandbox::guest::{FileEntry, FileKind};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};

use crate::guest::{
    failure::{Answer, Failed},
    users::User,
};

/// The longest path that Linux takes.
const LONGEST: usize = 4096;

/// Everything but what no URL, query or shell gives a meaning.
const NOT_PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// A path from bytes that were decoded already. Relative ones are resolved by [`under_home`].
pub(super) fn from_bytes(field: &str, bytes: Vec<u8>) -> Answer<PathBuf> {
    if bytes.is_empty() {
        return Err(Failed::invalid(
            field,
            format!("the parameter {field:?} is missing or empty"),
        ));
    }
    if bytes.len() > LONGEST || bytes.contains(&0) {
        return Err(Failed::invalid(
            field,
            format!("a path has at most {LONGEST} bytes, and none of them is zero"),
        ));
    }
    Ok(PathBuf::from(OsString::from_vec(bytes)))
}

/// A percent-encoded path.
pub(super) fn decode(field: &str, text: &str) -> Answer<PathBuf> {
    from_bytes(field, percent_decode(text.as_bytes()).collect())
}

pub(super) fn encode(path: &Path) -> String {
    percent_encode(path.as_os_str().as_bytes(), NOT_PLAIN).to_string()
}

/// A path as it is for `user`.
pub(super) fn under_home(user: &User, path: &Path) -> PathBuf {
    user.home.join(path)
}

/// What is at `path`.
pub(super) fn entry(path: &Path, metadata: &Metadata) -> FileEntry {
    let kind = match metadata.file_type() {
        kind if kind.is_file() => FileKind::File,
        kind if kind.is_dir() => FileKind::Directory,
        kind if kind.is_symlink() => FileKind::Symlink,
        _ => FileKind::Other,
    };
    let name = path.file_name().unwrap_or(OsStr::new("/"));
    let target = (kind == FileKind::Symlink)
        .then(|| fs::read_link(path).ok())
        .flatten();
    let modified = metadata.mtime() * 1000 + metadata.mtime_nsec() / 1_000_000;
    FileEntry {
        name: name.to_string_lossy().into_owned(),
        path: encode(path),
        kind,
        size_bytes: metadata.len(),
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
        modified_at_ms: u64::try_from(modified).unwrap_or_default(),
        target: target.map(|target| target.to_string_lossy().into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_name_survives_being_shown(bytes in prop::collection::vec(1_u8.., 1..50)) {
            let path = from_bytes("path", bytes).unwrap();
            prop_assert_eq!(decode("path", &encode(&path)).unwrap(), path);
        }
    }

    #[test]
    fn plain_names_stay_readable() {
        assert_eq!(
            encode(Path::new("/home/user/a-b_c.d~")),
            "/home/user/a-b_c.d~"
        );
        assert!(decode("path", "").is_err());
        assert!(decode("path", "a%00").is_err());
        assert!(decode("path", &"x".repeat(LONGEST + 1)).is_err());
    }
}
