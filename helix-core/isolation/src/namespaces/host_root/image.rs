//! An image as a sandbox's root: under a layer with what every sandbox has.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use super::accounts;
use crate::namespaces::launch::{Layered, own_ids};

/// What an image need not have and a sandbox does: path, mode, owner.
const DIRECTORIES: [(&str, u32, u32); 10] = [
    ("dev", 0o755, 0),
    ("etc", 0o755, 0),
    ("home", 0o755, 0),
    ("home/user", 0o755, accounts::USER_ID),
    ("proc", 0o755, 0),
    ("root", 0o700, 0),
    ("run", 0o755, 0),
    ("sys", 0o755, 0),
    ("tmp", 0o1777, 0),
    ("var", 0o755, 0),
];

/// What process 1 writes, whatever the image says.
const HIDDEN: [&str; 3] = ["hostname", "hosts", "resolv.conf"];

/// The layers of a sandbox from the image whose files are below `root`. The layer above
/// them is made below `place` if it is not there yet.
pub(in crate::namespaces) fn layers(
    place: &Path,
    digest: &str,
    root: &Path,
) -> io::Result<Vec<Layered>> {
    let directory = place.join(format!("image-{}", digest.replace(':', "-")));
    if !directory.exists() {
        let temporary = tempfile::Builder::new().prefix(".new-").tempdir_in(place)?;
        make(root, &temporary.path().join("root"))?;
        own_ids::give(temporary.path())?;
        match fs::rename(temporary.path(), &directory) {
            // Another create made the same.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            result => result?,
        }
    }
    Ok(vec![Layered {
        at: PathBuf::new(),
        name: "root".into(),
        lower: vec![directory.join("root"), root.to_owned()],
    }])
}

fn make(image: &Path, layer: &Path) -> io::Result<()> {
    fs::create_dir(layer)?;
    fs::set_permissions(layer, Permissions::from_mode(0o755))?;
    for (path, mode, owner) in DIRECTORIES {
        let path = layer.join(path);
        fs::create_dir(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
        chown(&path, Some(owner), Some(owner))?;
    }
    let etc = layer.join("etc");
    for name in HIDDEN {
        // A whiteout can stand on nothing, too.
        let kind = FileType::CharacterDevice;
        mknodat(CWD, etc.join(name), kind, Mode::empty(), makedev(0, 0))?;
    }
    accounts::add_user(image, &etc)
}
