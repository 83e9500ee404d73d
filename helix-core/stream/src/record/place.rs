//! Where a recording goes: a new file below a folder, reached without a link.

use std::{
    fs::File,
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{CWD, Mode, OFlags, mkdirat, openat},
    io::Errno,
};

use crate::{Error, ErrorKind};

/// Bytes of a path at most.
const LONGEST: usize = 1_024;
/// Folders that a path goes through at most.
const DEEPEST: usize = 16;

/// A new file.
#[derive(Debug)]
pub struct Place {
    /// To be written to.
    pub file: File,
    /// Its name, from the root.
    pub path: PathBuf,
}

/// Makes a new file at `path` below a folder, and the folders on the way that are missing. No
/// link is followed on the way, whoever changes it meanwhile.
///
/// # Errors
///
/// [`ErrorKind::Invalid`] for a path that is absolute, leads up, or is too long;
/// [`ErrorKind::Conflict`] where something is there already or a link is on the way; what the
/// system says.
pub fn create(below: &Path, path: &str) -> Result<Place, Error> {
    let invalid = |why: &str| Error::new(ErrorKind::Invalid, format!("path: {why}"));
    if path.len() > LONGEST || path.contains('\0') {
        return Err(invalid("it is too long, or no path"));
    }
    let mut names = Vec::new();
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => names.push(name),
            Component::CurDir => {}
            _ => return Err(invalid("it is relative to the home, and leads nowhere up")),
        }
    }
    if path.ends_with('/') || names.len() > DEEPEST {
        return Err(invalid("it names no file, or one too deep"));
    }
    let file = names.pop().ok_or_else(|| invalid("it names no file"))?;
    let failed = |name: &Path, why: Errno| match why {
        Errno::EXIST => {
            let why = format!("{} is there already", name.display());
            Error::new(ErrorKind::Conflict, why)
        }
        Errno::LOOP | Errno::NOTDIR => {
            let why = format!("{} is no folder, or a link", name.display());
            Error::new(ErrorKind::Conflict, why)
        }
        why => Error::failed(format!("cannot write to {}", name.display()), why),
    };
    let directory = OFlags::DIRECTORY | OFlags::CLOEXEC;
    // The folder itself is the caller's, who may well have it behind a link.
    let mut at = openat(CWD, below, directory, Mode::empty()).map_err(|why| failed(below, why))?;
    for name in names {
        match mkdirat(&at, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(why) => return Err(failed(Path::new(name), why)),
        }
        let next = openat(&at, name, directory | OFlags::NOFOLLOW, Mode::empty());
        at = next.map_err(|why| failed(Path::new(name), why))?;
    }
    let new = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = openat(&at, file, new, Mode::from_raw_mode(0o644));
    let opened = opened.map_err(|why| failed(Path::new(file), why))?;
    Ok(Place {
        file: opened.into(),
        path: below.join(path),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_is_made_with_the_folders_on_its_way_and_never_one_that_is_there() {
        let home = tempfile::tempdir().unwrap();
        let place = create(home.path(), "a/./b/c.mp4").unwrap();
        assert_eq!(place.path, home.path().join("a/b/c.mp4"));
        assert!(home.path().join("a/b/c.mp4").is_file());
        let again = create(home.path(), "a/b/c.mp4").unwrap_err();
        assert_eq!(again.kind(), ErrorKind::Conflict);
        assert!(create(home.path(), "a/b/d.mp4").is_ok());
    }

    #[test]
    fn no_path_leads_out() {
        let (home, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        symlink(other.path(), home.path().join("link")).unwrap();
        symlink(other.path().join("x"), home.path().join("x")).unwrap();
        let long = "x".repeat(LONGEST + 1);
        let deep = "d/".repeat(DEEPEST + 1) + "x";
        for (path, kind) in [
            ("/etc/x", ErrorKind::Invalid),
            ("../x", ErrorKind::Invalid),
            ("a/../../x", ErrorKind::Invalid),
            ("", ErrorKind::Invalid),
            (".", ErrorKind::Invalid),
            ("a/", ErrorKind::Invalid),
            ("a\0b", ErrorKind::Invalid),
            (&long, ErrorKind::Invalid),
            (&deep, ErrorKind::Invalid),
            ("link/x", ErrorKind::Conflict),
            ("x", ErrorKind::Conflict),
        ] {
            let why = create(home.path(), path).unwrap_err();
            assert_eq!(why.kind(), kind, "{path:?}: {why}");
        }
        assert_eq!(std::fs::read_dir(other.path()).unwrap().count(), 0);
    }
}
