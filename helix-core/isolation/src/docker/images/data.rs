//! A Docker daemon's data: where it keeps images and their layers.
//!
//! What is read is as a sandbox may have left it: no link is followed, and everything is
//! bounded and checked before it becomes a part of a path.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _},
    os::fd::{AsRawFd as _, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Images by id: their configurations.
pub(super) const CONFIGS: &str = "image/overlay2/imagedb/content/sha256";
/// Layers by chain: which files they are.
pub(super) const CHAINS: &str = "image/overlay2/layerdb/sha256";
/// Which names images have.
pub(super) const NAMES: &str = "image/overlay2/repositories.json";
/// The layers' files.
pub(super) const LAYERS: &str = "overlay2";
/// Short names for layers, which fit into the options of a mount.
pub(super) const LINKS: &str = "overlay2/l";
/// What is kept of a chain besides how to make the layer's tar again.
pub(super) const RECORDS: [&str; 4] = ["cache-id", "diff", "parent", "size"];
/// How to make the layer's tar again.
pub(super) const SPLIT: &str = "tar-split.json.gz";

/// The longest record that is read.
const LONGEST: u64 = 64 << 20;
/// Layers of one image.
const MOST_LAYERS: usize = 512;

/// The data of a Docker daemon with the storage driver `overlay2`.
#[derive(Debug)]
pub(crate) struct Data {
    root: OwnedFd,
}

/// A layer of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layer {
    /// The digest of its chain, without `sha256:`.
    pub(super) chain: String,
    /// What its directory is called.
    pub(super) folder: String,
    /// Its short name.
    pub(super) link: String,
    /// The bytes of its files.
    pub(super) bytes: u64,
}

/// Which names images have, by repository and name.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Names {
    #[serde(default)]
    pub(super) repositories: BTreeMap<String, BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Config {
    rootfs: Rootfs,
}

#[derive(Deserialize)]
struct Rootfs {
    #[serde(default)]
    diff_ids: Vec<String>,
}

impl Data {
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            root: openat(CWD, root, flags, Mode::empty())?,
        })
    }

    /// A directory below another that is open.
    pub(crate) fn below(root: &OwnedFd, path: &str) -> io::Result<Self> {
        Ok(Self {
            root: resolve(root, path, OFlags::PATH | OFlags::DIRECTORY)?,
        })
    }

    /// The configuration of an image: it is the one that its id says.
    pub(super) fn config(&self, id: &str) -> io::Result<Vec<u8>> {
        let hex = hex(id)?;
        let text = self.read(&format!("{CONFIGS}/{hex}"))?;
        if digest(&text) != hex {
            return Err(broken(id, "its configuration is not what its id says"));
        }
        Ok(text)
    }

    /// The layers of an image, the lowest first.
    pub(super) fn layers(&self, id: &str) -> io::Result<Vec<Layer>> {
        let config: Config = serde_json::from_slice(&self.config(id)?)?;
        let diffs = config.rootfs.diff_ids;
        if diffs.len() > MOST_LAYERS {
            return Err(broken(id, "it has too many layers"));
        }
        chains(&diffs)
            .iter()
            .map(|chain| self.layer(chain))
            .collect()
    }

    /// The id of the image that has a name.
    pub(super) fn named(&self, name: &str) -> io::Result<Option<String>> {
        let names: Names = serde_json::from_slice(&self.read(NAMES)?)?;
        let mut all = names.repositories.into_values();
        Ok(all.find_map(|mut known| known.remove(name)))
    }

    fn layer(&self, chain: &str) -> io::Result<Layer> {
        let chain = hex(chain)?.to_owned();
        let folder = self.word(&format!("{CHAINS}/{chain}/cache-id"))?;
        let link = self.word(&format!("{LAYERS}/{folder}/link"))?;
        let bytes = self.word(&format!("{CHAINS}/{chain}/size"))?;
        Ok(Layer {
            bytes: bytes.parse().map_err(io::Error::other)?,
            chain,
            folder,
            link,
        })
    }

    /// A record that is one word.
    fn word(&self, path: &str) -> io::Result<String> {
        let word = String::from_utf8_lossy(&self.read(path)?).trim().to_owned();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if (1..=100).contains(&word.len()) && word.bytes().all(plain) {
            return Ok(word);
        }
        Err(broken(path, "it is not one word"))
    }

    pub(super) fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let file = resolve(&self.root, path, flags).map_err(|error| named(path, &error))?;
        let about = fstat(&file)?;
        if FileType::from_raw_mode(about.st_mode) != FileType::RegularFile {
            return Err(broken(path, "it is not a file"));
        }
        let mut text = Vec::new();
        File::from(file).take(LONGEST + 1).read_to_end(&mut text)?;
        if text.len() as u64 > LONGEST {
            return Err(broken(path, "it is too long"));
        }
        Ok(text)
    }

    pub(super) fn has(&self, path: &str) -> bool {
        resolve(&self.root, path, OFlags::PATH).is_ok()
    }

    /// A directory, for a program that is given a path, and what keeps that path.
    pub(super) fn directory(&self, path: &str) -> io::Result<(OwnedFd, PathBuf)> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let fd = resolve(&self.root, path, flags).map_err(|error| named(path, &error))?;
        let path = format!("/proc/{}/fd/{}", std::process::id(), fd.as_raw_fd());
        Ok((fd, path.into()))
    }
}

/// The digests of chains of layers, by those of the layers
/// ([how](https://github.com/opencontainers/image-spec/blob/v1.1.0/config.md#layer-chainid)).
fn chains(diffs: &[String]) -> Vec<String> {
    let mut chains: Vec<String> = Vec::new();
    for diff in diffs {
        let chain = match chains.last() {
            None => diff.clone(),
            Some(below) => format!("sha256:{}", digest(format!("{below} {diff}").as_bytes())),
        };
        chains.push(chain);
    }
    chains
}

fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The digits of a digest.
pub(super) fn hex(digest: &str) -> io::Result<&str> {
    let digits = digest.strip_prefix("sha256:").unwrap_or_default();
    if digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(digits);
    }
    Err(broken(digest, "it is no digest"))
}

fn resolve(root: &OwnedFd, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let flags = flags | OFlags::CLOEXEC;
    openat2(root, path, flags, Mode::empty(), how).map_err(Into::into)
}

fn named(path: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{path}: {error}"))
}

fn broken(what: &str, why: &str) -> io::Error {
    let what: String = what.chars().take(200).collect();
    io::Error::new(io::ErrorKind::InvalidData, format!("{what}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_a_digest_of_the_chain_below_and_the_layer() {
        let diffs = ["sha256:a".to_owned(), "sha256:b".to_owned()];
        let of_both = format!("sha256:{}", digest(b"sha256:a sha256:b"));
        assert_eq!(chains(&diffs), ["sha256:a".to_owned(), of_both]);
        assert_eq!(chains(&[]), Vec::<String>::new());
    }

    #[test]
    fn nothing_outside_of_the_data_is_read() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("secret"), "secret").unwrap();
        std::fs::create_dir(place.path().join("data")).unwrap();
        let link = place.path().join("data/link");
        std::os::unix::fs::symlink("../secret", link).unwrap();
        let data = Data::open(&place.path().join("data")).unwrap();
        for path in ["../secret", "link", "/etc/passwd", "."] {
            assert!(data.read(path).is_err(), "{path}");
        }
        assert!(data.config("sha256:../../../secret").is_err());
    }
}
