//! In a sandbox, before its daemon starts: images that are shown become the daemon's.

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt as _, symlink},
    path::Path,
};

use super::{
    DockerImage,
    data::{CHAINS, CONFIGS, Data, LAYERS, LINKS, Layer, NAMES, Names, RECORDS, SPLIT, hex},
};

/// Says which images a daemon was given: what it removed since is not given again.
const GIVEN: &str = "helix-given.json";

/// Puts images into a daemon's data, those that it was not given before. `shown` is where
/// their files are, and stay.
pub(crate) fn give(images: &[DockerImage], shown: &Path, data: &Path) -> io::Result<()> {
    let mut given: BTreeSet<String> = read_json(&data.join(GIVEN))?.unwrap_or_default();
    let new: Vec<_> = images
        .iter()
        .filter(|image| !given.contains(&image.id))
        .collect();
    if new.is_empty() {
        return Ok(());
    }
    let source = Data::open(shown)?;
    for folder in [CONFIGS, CHAINS, LINKS] {
        directory(&data.join(folder))?;
    }
    for image in &new {
        let mut below = Vec::new();
        for layer in source.layers(&image.id)? {
            files_into(shown, &layer, &below, data)?;
            records_into(&source, shown, &layer, data)?;
            below.insert(0, format!("l/{}", layer.link));
        }
        let config = source.config(&image.id)?;
        replace(&data.join(CONFIGS).join(hex(&image.id)?), &config)?;
        given.insert(image.id.clone());
    }
    name(&new, &data.join(NAMES))?;
    replace(&data.join(GIVEN), &serde_json::to_vec(&given)?)
}

/// The directory of a layer is the daemon's own, which writes there when something stands
/// on the layer; its files are a link. `below` are the short names of the layers below it,
/// the uppermost first.
fn files_into(shown: &Path, layer: &Layer, below: &[String], data: &Path) -> io::Result<()> {
    let folder = data.join(LAYERS).join(&layer.folder);
    if folder.join("link").exists() {
        return Ok(());
    }
    directory(&folder.join("work"))?;
    let files = shown.join(LAYERS).join(&layer.folder).join("diff");
    link(&files, &folder.join("diff"))?;
    let short = Path::new("..").join(&layer.folder).join("diff");
    link(&short, &data.join(LINKS).join(&layer.link))?;
    if !below.is_empty() {
        replace(&folder.join("lower"), below.join(":").as_bytes())?;
    }
    replace(&folder.join("committed"), b"")?;
    // The last: it says that all of it is there.
    replace(&folder.join("link"), layer.link.as_bytes())
}

/// What is kept of a layer, if the daemon does not have the same one by itself.
fn records_into(source: &Data, shown: &Path, layer: &Layer, data: &Path) -> io::Result<()> {
    let chain = data.join(CHAINS).join(&layer.chain);
    if chain.exists() {
        return Ok(());
    }
    let new = chain.with_extension("new");
    remove(&new)?;
    directory(&new)?;
    let from = format!("{CHAINS}/{}", layer.chain);
    for record in RECORDS {
        let path = format!("{from}/{record}");
        if source.has(&path) {
            fs::write(new.join(record), source.read(&path)?)?;
        }
    }
    link(&shown.join(&from).join(SPLIT), &new.join(SPLIT))?;
    fs::rename(new, chain)
}

/// Gives names to images; a name that the daemon has already stays as it is.
fn name(images: &[&DockerImage], path: &Path) -> io::Result<()> {
    let mut all: Names = read_json(path)?.unwrap_or_default();
    for image in images {
        for name in &image.names {
            let known = all.repositories.entry(repository(name).to_owned());
            let known = known.or_default().entry(name.clone());
            known.or_insert_with(|| image.id.clone());
        }
    }
    replace(path, &serde_json::to_vec(&all)?)
}

/// A name without its tag.
fn repository(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o710).create(path)
}

fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let new = path.with_extension("helix-new");
    fs::write(&new, content)?;
    fs::rename(new, path)
}

fn link(target: &Path, at: &Path) -> io::Result<()> {
    match symlink(target, at) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
