//! What an image is made of: an OCI layout, what `docker save` writes, or one tar.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use serde::{Deserialize, de::DeserializeOwned};

use super::digest_of;
use crate::{Error, ErrorKind};

/// Indexes within indexes, at most.
const DEPTH: usize = 4;
/// A manifest, index or configuration, at most.
const LONGEST_DOCUMENT: u64 = 8 << 20;
/// Layers, at most: overlays of others end far below.
const MOST_LAYERS: usize = 512;

/// An image before it is unpacked.
#[derive(Debug)]
pub(super) struct Source {
    /// Of its manifest, or of its tar.
    pub(super) digest: String,
    /// Lowest first.
    pub(super) layers: Vec<Layer>,
}

/// One tar of a source.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) path: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    #[serde(default)]
    platform: Option<Platform>,
}

#[derive(Debug, Deserialize)]
struct Platform {
    architecture: String,
    os: String,
}

/// An index or a manifest: one has `manifests`, the other `layers`.
#[derive(Debug, Deserialize)]
struct Document {
    #[serde(default)]
    manifests: Vec<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    layers: Vec<String>,
}

fn invalid(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, what)
}

/// Finds out what `from` is. Tars of layouts are taken apart in `work`.
pub(super) fn read(from: &Path, work: &Path, step: &mut dyn FnMut(&str)) -> Result<Source, Error> {
    let about = fs::metadata(from).map_err(|error| Error::io(from.display(), error))?;
    if about.is_dir() {
        return of_folder(from, None);
    }
    step("reading");
    let folder = work.join("layout");
    if takes_apart(from, &folder)? {
        return of_folder(&folder, Some(from));
    }
    let layer = Layer {
        path: from.to_owned(),
    };
    Ok(Source {
        digest: digest_of(from)?,
        layers: vec![layer],
    })
}

/// Opens a tar, compressed or not.
pub(super) fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    let mut magic = [0; 4];
    let count = File::open(path)?.read(&mut magic)?;
    let file = io::BufReader::with_capacity(1 << 17, File::open(path)?);
    match &magic[..count] {
        [0x1f, 0x8b, ..] => Ok(Box::new(MultiGzDecoder::new(file))),
        [0x28, 0xb5, 0x2f, 0xfd] => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "compressed with zstd, which is not supported: compress with gzip, or not at all",
        )),
        _ => Ok(Box::new(file)),
    }
}

/// What reading a tar's entries failed with.
pub(super) fn not_a_tar(path: &Path, error: &io::Error) -> Error {
    invalid(format!(
        "{} is no tar, or a damaged one: {error}",
        path.display()
    ))
}

/// Takes the tar of a layout apart; false for a tar of anything else. Only plain files, by
/// the names that layouts have, are taken.
fn takes_apart(tar: &Path, folder: &Path) -> Result<bool, Error> {
    let failed = |error| Error::io(tar.display(), error);
    let mut archive = tar::Archive::new(open(tar).map_err(failed)?);
    let mut layout = false;
    for (number, entry) in archive.entries().map_err(failed)?.enumerate() {
        let mut entry = entry.map_err(|error| not_a_tar(tar, &error))?;
        let path = entry.path().map_err(failed)?.into_owned();
        let path: PathBuf = path
            .components()
            .skip_while(|part| part.as_os_str() == ".")
            .collect();
        layout |= path == Path::new("oci-layout") || path == Path::new("manifest.json");
        // Layouts begin with one of these within a few entries, root file systems with neither.
        let known = layout
            || ["blobs", "index.json", "repositories"]
                .iter()
                .any(|name| path.starts_with(name))
            || is_saved_layer(&path);
        if !known && number > 0 {
            return Ok(false);
        }
        if entry.header().entry_type().is_file() && known {
            // `unpack_in` refuses what would land outside.
            fs::create_dir_all(folder).map_err(failed)?;
            if !entry.unpack_in(folder).map_err(failed)? {
                return Err(invalid(format!("{} leaves the layout", path.display())));
            }
        }
    }
    Ok(layout)
}

/// `docker save` before OCI: folders and documents named by 64 hexadecimal digits.
fn is_saved_layer(path: &Path) -> bool {
    let first = path.components().next();
    let first = first.map(|part| part.as_os_str().to_string_lossy().into_owned());
    first.is_some_and(|first| {
        let name = first.strip_suffix(".json").unwrap_or(&first);
        name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

fn of_folder(folder: &Path, tar: Option<&Path>) -> Result<Source, Error> {
    if folder.join("index.json").exists() {
        return of_layout(folder);
    }
    let manifest = folder.join("manifest.json");
    let Some(tar) = tar.filter(|_| manifest.exists()) else {
        return Err(invalid(
            "neither an OCI image layout, nor what `docker save` writes, nor a tar of a root file \
             system",
        ));
    };
    let images: Vec<Saved> = document(&manifest)?;
    let [image] = images.as_slice() else {
        return Err(invalid(format!(
            "{} images in one tar: save one",
            images.len()
        )));
    };
    let layers = image.layers.iter().map(|name| {
        let path = folder.join(name);
        let inside = Path::new(name)
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)));
        if inside {
            Ok(Layer { path })
        } else {
            Err(invalid(format!("{name} leaves the layout")))
        }
    });
    Ok(Source {
        digest: digest_of(tar)?,
        layers: layers.collect::<Result<_, _>>()?,
    })
}

fn of_layout(folder: &Path) -> Result<Source, Error> {
    let mut at: Document = document(&folder.join("index.json"))?;
    let mut digest = None;
    for _ in 0..DEPTH {
        if at.manifests.is_empty() {
            break;
        }
        let chosen = choose(&at.manifests)?.digest.clone();
        at = document(&blob(folder, &chosen)?)?;
        digest = Some(chosen);
    }
    let digest = digest.ok_or_else(|| invalid("the layout's index names no image"))?;
    if at.layers.is_empty() || at.layers.len() > MOST_LAYERS {
        return Err(invalid(format!(
            "an image of {} layers; 1 to {MOST_LAYERS} can be imported",
            at.layers.len()
        )));
    }
    let layers = at.layers.iter().map(|layer| {
        if layer.media_type.contains("zstd") {
            return Err(invalid(
                "a layer is compressed with zstd; gzip and none are supported",
            ));
        }
        Ok(Layer {
            path: blob(folder, &layer.digest)?,
        })
    });
    Ok(Source {
        digest,
        layers: layers.collect::<Result<_, _>>()?,
    })
}

/// The one for this machine, or the only one.
fn choose(manifests: &[Descriptor]) -> Result<&Descriptor, Error> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let fits = |descriptor: &&Descriptor| {
        let platform = descriptor.platform.as_ref();
        platform.is_some_and(|it| it.os == "linux" && it.architecture == architecture)
    };
    if let Some(fitting) = manifests.iter().find(fits) {
        return Ok(fitting);
    }
    match manifests {
        [only] if only.platform.is_none() => Ok(only),
        _ => Err(invalid(format!(
            "none of the images is for linux/{architecture}"
        ))),
    }
}

/// A blob's path, once its content is what its digest says.
fn blob(folder: &Path, digest: &str) -> Result<PathBuf, Error> {
    let hex = digest.strip_prefix("sha256:").unwrap_or_default();
    if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(invalid(format!("{digest:?} is no sha256 digest")));
    }
    let path = folder.join("blobs/sha256").join(hex);
    let is = digest_of(&path)?;
    if is != digest {
        return Err(invalid(format!("the blob {digest} is damaged: it is {is}")));
    }
    Ok(path)
}

fn document<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let failed = |error| Error::io(path.display(), error);
    let mut text = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(LONGEST_DOCUMENT)
        .read_to_end(&mut text)
        .map_err(failed)?;
    serde_json::from_slice(&text)
        .map_err(|why| invalid(format!("{} cannot be read: {why}", path.display())))
}
