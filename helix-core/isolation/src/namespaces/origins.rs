//! What sandboxes and snapshots were made from: images that must stay.

use std::{fs, io, path::Path};

use helix_proto::{
    SnapshotId,
    sandbox::{
        Rootfs,
        host::{Origin, SandboxSpec},
    },
};

use super::{
    Backend, Options,
    launch::Layered,
    state::{LAYERS, Places, State, read_json, write_json},
};
use crate::Error;

/// The sandboxes, running or not, and the snapshots in a data directory that were made from the
/// content of an image, by their ids.
///
/// # Errors
///
/// Where the data directory cannot be read.
pub fn made_from(data_dir: &Path, digest: &str) -> Result<Vec<String>, Error> {
    let places = Places {
        data: data_dir.to_owned(),
    };
    let image = Options::new(data_dir)
        .images()
        .join(digest.replace(':', "-"));
    let uses = |layers: &[Layered]| {
        let mut lower = layers.iter().flat_map(|layer| &layer.lower);
        lower.any(|path| path.starts_with(&image))
    };
    let mut users = Vec::new();
    for id in names(&places.sandboxes(), "")? {
        let state: Option<State> = there(read_json(&places.state(&id)))?;
        users.extend(state.filter(|state| uses(&state.layers)).map(|_| id));
    }
    for id in names(&places.snapshots(), LAYERS)? {
        let layers: Option<Vec<Layered>> = there(read_json(&places.snapshot_layers(&id)))?;
        users.extend(layers.filter(|layers| uses(layers)).map(|_| id));
    }
    users.sort();
    Ok(users)
}

/// What is in a folder, without an ending, but for what is half made or half removed.
fn names(folder: &Path, ending: &str) -> Result<Vec<String>, Error> {
    let failed = |error| Error::io(folder.display(), error);
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        let name = name.to_str().and_then(|name| name.strip_suffix(ending));
        found.extend(
            name.filter(|name| !name.starts_with('.'))
                .map(str::to_owned),
        );
    }
    Ok(found)
}

/// What may have been removed meanwhile.
fn there<T>(read: io::Result<T>) -> Result<Option<T>, Error> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("reading what a sandbox was made from", error)),
    }
}

/// Keeps what a snapshot's sandbox was made from, before the snapshot is there.
pub(super) fn keep(places: &Places, id: SnapshotId, layers: &[Layered]) -> Result<(), Error> {
    let path = places.snapshot_layers(&id.to_string());
    write_json(&path, &layers).map_err(|error| Error::io(path.display(), error))
}

/// The layers of an image below the files that a sandbox starts with, whatever its name stands for
/// by now.
pub(super) fn layers(backend: &Backend, spec: &SandboxSpec) -> Result<Option<Vec<Layered>>, Error> {
    if spec.rootfs == Rootfs::Host {
        return Ok(None);
    }
    match spec.origin {
        None => Ok(None),
        Some(Origin::Sandbox(id)) => Ok(backend.get(id).map(|origin| origin.state().layers)),
        Some(Origin::Snapshot(id)) => {
            there(read_json(&backend.places.snapshot_layers(&id.to_string())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sandbox_that_does_not_run_and_a_snapshot_use_the_image_that_they_were_made_from() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places {
            data: folder.path().to_owned(),
        };
        let images = Options::new(folder.path()).images();
        let of = |digest: &str| {
            vec![Layered {
                at: "".into(),
                name: "root".into(),
                lower: vec![
                    places.host().join("x/root"),
                    images.join(digest).join("rootfs"),
                ],
            }]
        };
        assert!(made_from(folder.path(), "sha256:aa").unwrap().is_empty());
        places.check().unwrap();
        fs::create_dir(places.sandbox("sbx_1")).unwrap();
        let state = State {
            first_id: 1,
            layers: of("sha256-aa"),
            cgroups: None,
            process: None,
            paused: false,
            network: None,
        };
        write_json(&places.state("sbx_1"), &state).unwrap();
        let id = helix_proto::TypedId::from_parts(1, 1);
        keep(&places, id, &of("sha256-aa")).unwrap();
        fs::write(places.snapshot(&id.to_string()), "").unwrap();
        fs::create_dir(places.sandboxes().join(".gone-sbx_2")).unwrap();
        let users = made_from(folder.path(), "sha256:aa").unwrap();
        assert_eq!(users, ["sbx_1".to_owned(), id.to_string()]);
        assert!(made_from(folder.path(), "sha256:a").unwrap().is_empty());
        // What is left of a snapshot that is gone is removed.
        places.check().unwrap();
        assert_eq!(made_from(folder.path(), "sha256:aa").unwrap().len(), 2);
        fs::remove_file(places.snapshot(&id.to_string())).unwrap();
        places.check().unwrap();
        assert_eq!(made_from(folder.path(), "sha256:aa").unwrap(), ["sbx_1"]);
    }
}
