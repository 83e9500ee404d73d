//! The host's own system as a sandbox's root, without its secrets.
//!
//! What a sandbox sees is a list of what is shown, not of what is hidden. The root is a
//! skeleton of directories that was made here, with a copy of what any user of the host
//! can read in `/etc`. On it, the directories that hold the system's programs ([`TREES`])
//! are the host's own, each under a mask: a layer with a whiteout for every entry that an
//! ordinary user of the host could not read. Root of a sandbox could, because the ids of
//! these mounts are mapped to its own.
//!
//! All of it is made when a backend is made and never changed after, because sandboxes
//! use it: what differs has another name.

mod accounts;
mod copy;
pub(super) mod image;
mod mask;

use std::{
    collections::HashSet,
    fs::{self, Permissions},
    io,
    os::unix::fs::{PermissionsExt as _, chown, symlink},
    path::{Path, PathBuf},
};

use super::launch::{Layered, own_ids};

/// What of the host is shown as it is, where it is a directory. The programs, and the
/// package managers' own records of them.
const TREES: [&str; 13] = [
    "usr",
    "bin",
    "sbin",
    "lib",
    "lib32",
    "lib64",
    "libx32",
    "opt",
    "nix",
    "var/lib/dpkg",
    "var/lib/apt",
    "var/lib/rpm",
    "var/lib/pacman",
];

/// What package managers expect to find, and is small enough to copy.
const COPIED: [&str; 8] = [
    "etc",
    "var/lib/pam",
    "var/lib/ucf",
    "var/lib/misc",
    "var/lib/python",
    "var/lib/sgml-base",
    "var/lib/xml-core",
    "var/lib/ca-certificates-java",
];

/// Directories that are there and empty: path, mode, owner.
const EMPTY: [(&str, u32, u32); 27] = [
    ("boot", 0o755, 0),
    ("dev", 0o755, 0),
    ("home", 0o755, 0),
    ("home/user", 0o755, accounts::USER_ID),
    ("media", 0o755, 0),
    ("mnt", 0o755, 0),
    ("opt", 0o755, 0),
    ("proc", 0o755, 0),
    ("root", 0o700, 0),
    ("run", 0o755, 0),
    ("srv", 0o755, 0),
    ("sys", 0o755, 0),
    ("tmp", 0o1777, 0),
    ("usr", 0o755, 0),
    ("var", 0o755, 0),
    ("var/cache", 0o755, 0),
    ("var/cache/apt", 0o755, 0),
    ("var/cache/apt/archives", 0o755, 0),
    ("var/cache/apt/archives/partial", 0o755, 0),
    ("var/cache/debconf", 0o755, 0),
    ("var/cache/ldconfig", 0o700, 0),
    ("var/lib", 0o755, 0),
    ("var/lib/docker", 0o710, 0),
    ("var/log", 0o755, 0),
    ("var/log/apt", 0o755, 0),
    ("var/spool", 0o755, 0),
    ("var/tmp", 0o1777, 0),
];

/// Changes when what is made here changes.
const VERSION: &str = "1";

/// The host's system as layers.
#[derive(Debug, Clone)]
pub(super) struct HostRoot {
    /// Where the skeleton and the masks are.
    pub(super) directory: PathBuf,
    pub(super) layers: Vec<Layered>,
}

impl HostRoot {
    /// Looks at the host, and makes what is not there yet below `place`. `hidden` is not
    /// shown whatever its permissions say.
    pub(super) fn make(host: &Path, place: &Path, hidden: &[PathBuf]) -> io::Result<Self> {
        let trees: Vec<&str> = TREES
            .into_iter()
            .filter(|tree| {
                fs::symlink_metadata(host.join(tree))
                    .is_ok_and(|about| about.is_dir() && copy::is_readable(&about))
            })
            .collect();
        let mut digest = mask::Digest::new(VERSION);
        let hidden: HashSet<&Path> = hidden.iter().map(PathBuf::as_path).collect();
        let mut masks = Vec::new();
        for tree in &trees {
            let mask = mask::Mask::of(&host.join(tree), &hidden)?;
            mask.digest(&mut digest);
            masks.push(mask);
        }
        for tree in COPIED {
            digest.tree(&host.join(tree))?;
        }
        let directory = place.join(digest.finish());
        if !directory.exists() {
            let temporary = tempfile::Builder::new().prefix(".new-").tempdir_in(place)?;
            fs::set_permissions(temporary.path(), Permissions::from_mode(0o700))?;
            skeleton(host, &temporary.path().join("root"), &trees)?;
            for (tree, mask) in trees.iter().zip(&masks) {
                mask.make(&temporary.path().join(name(tree)))?;
            }
            own_ids::give(temporary.path())?;
            fs::rename(temporary.path(), &directory)?;
        }
        let mut layers = vec![Layered {
            at: PathBuf::new(),
            name: "root".into(),
            lower: vec![directory.join("root")],
        }];
        for (tree, mask) in trees.iter().zip(&masks) {
            let mut lower = vec![host.join(tree)];
            if !mask.is_empty() {
                lower.insert(0, directory.join(name(tree)));
            }
            layers.push(Layered {
                at: PathBuf::from(tree),
                name: name(tree),
                lower,
            });
        }
        Ok(Self { directory, layers })
    }

    /// Removes what no sandbox uses any more.
    pub(super) fn tidy(place: &Path, used: &HashSet<PathBuf>) -> io::Result<()> {
        for entry in fs::read_dir(place)? {
            let path = entry?.path();
            if !used.contains(&path) {
                fs::remove_dir_all(&path)?;
            }
        }
        Ok(())
    }
}

fn name(tree: &str) -> String {
    tree.replace('/', "-")
}

fn skeleton(host: &Path, root: &Path, trees: &[&str]) -> io::Result<()> {
    fs::create_dir(root)?;
    fs::set_permissions(root, Permissions::from_mode(0o755))?;
    for (path, mode, owner) in EMPTY {
        let path = root.join(path);
        fs::create_dir(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
        chown(&path, Some(owner), Some(owner))?;
    }
    for tree in trees {
        fs::create_dir_all(root.join(tree))?;
    }
    symlink("/run", root.join("var/run"))?;
    symlink("/run/lock", root.join("var/lock"))?;
    // Such as /bin, where it is a part of /usr.
    for entry in fs::read_dir(host)? {
        let entry = entry?;
        if !entry.file_type()?.is_symlink() {
            continue;
        }
        let target = fs::read_link(entry.path())?;
        let inside = target.strip_prefix("/").unwrap_or(&target);
        if trees.iter().any(|tree| inside.starts_with(tree)) {
            symlink(&target, root.join(entry.file_name()))?;
        }
    }
    for tree in COPIED {
        copy::readable(&host.join(tree), &root.join(tree))?;
    }
    accounts::write(host, &root.join("etc"))
}
