//! The images of a host.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use helix_base::Clock;
use helix_proto::sandbox::host::HostImage;
use rustix::fs::FlockOperation;

use super::{
    DockerImage,
    data::{CHAINS, CONFIGS, Data, LAYERS, Layer, RECORDS, SPLIT, hex},
};
use crate::{Error, ErrorKind, images::Index};

/// How often, and how often in all, it is looked again whether a lock was let go.
const LOCK_AGAIN: Duration = Duration::from_millis(50);
const LOCK_TRIES: u32 = 20;

/// Docker images for the sandboxes of a host, below one folder.
///
/// # Contract
///
/// - An import is there whole, or not at all, whenever the process or machine stops.
/// - Two processes may use one folder: imports and removals are made one after the other.
/// - An image whose files a sandbox or a snapshot may need cannot be removed. One that lost
///   its name to another goes when nothing needs it.
/// - Images and layers are known by their digests: what is the same is kept once.
#[derive(Debug, Clone)]
pub struct DockerImages {
    folder: PathBuf,
}

/// Held while images come and go.
#[derive(Debug)]
pub(crate) struct Importing {
    store: DockerImages,
    _lock: File,
}

impl DockerImages {
    /// The images below `folder`, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// Where the folder cannot be made.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, Error> {
        let store = Self {
            folder: folder.into(),
        };
        let private = |path: &Path| {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
            made.map_err(|error| Error::io(path.display(), error))
        };
        private(&store.folder)?;
        private(&store.users())?;
        for folder in [CONFIGS, CHAINS, LAYERS] {
            let path = store.data().join(folder);
            fs::create_dir_all(&path).map_err(|error| Error::io(path.display(), error))?;
        }
        Ok(store)
    }

    /// The images, sorted by name.
    ///
    /// # Errors
    ///
    /// Where the list cannot be read.
    pub fn list(&self) -> Result<Vec<HostImage>, Error> {
        Ok(Index::read(&self.folder)?.into_images())
    }

    /// Removes a name, and the image's files with its last name.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] where there is no such name, [`ErrorKind::Conflict`] where
    /// sandboxes or snapshots need the image, or an import is under way.
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        let importing = self.importing()?;
        let mut index = Index::lock(&self.folder)?;
        let images = Index::read(&self.folder)?.into_images();
        let Some(image) = images.iter().find(|image| image.name == name) else {
            let message = format!("no Docker image is called {name:?}");
            return Err(Error::new(ErrorKind::NotFound, message));
        };
        let is_last = !images
            .iter()
            .any(|other| other.digest == image.digest && other.name != name);
        let users = self.users_of(&image.digest)?;
        if is_last && !users.is_empty() {
            let message = format!(
                "{name} is in use by {}: delete them first",
                users.join(", ")
            );
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        index.take(name)?;
        importing.sweep(&index)
    }

    /// Keeps others from changing what is there, until it is dropped. Blocks, for up to a second.
    pub(crate) fn importing(&self) -> Result<Importing, Error> {
        let path = self.folder.join(".importing");
        let lock = File::create(&path).map_err(|error| Error::io(path.display(), error))?;
        let mut tries = 0..LOCK_TRIES;
        while rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            // A program that this process is starting has a lock that was let go until it runs.
            if tries.next().is_some() {
                std::thread::sleep(LOCK_AGAIN);
                continue;
            }
            let message = "another process imports or removes a Docker image: try again";
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        Ok(Importing {
            store: self.clone(),
            _lock: lock,
        })
    }

    /// What is shown to sandboxes.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The images for a sandbox that starts. They stay until it is forgotten, and so do
    /// those that it had before.
    pub(crate) fn offer(&self, user: &str) -> Result<Vec<DockerImage>, Error> {
        let index = Index::lock(&self.folder)?;
        let mut images: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for image in index.into_images() {
            images.entry(image.digest).or_default().push(image.name);
        }
        let mut used = self.used(user)?;
        let before = used.len();
        used.extend(images.keys().cloned());
        if used.len() > before {
            self.uses(user, &used)?;
        }
        let image = |(id, names)| DockerImage { id, names };
        Ok(images.into_iter().map(image).collect())
    }

    /// A copy of a sandbox's disk needs what the sandbox does.
    pub(crate) fn share(&self, from: &str, to: &str) -> Result<(), Error> {
        let _index = Index::lock(&self.folder)?;
        let used = self.used(from)?;
        if used.is_empty() {
            return Ok(());
        }
        self.uses(to, &used)
    }

    /// A sandbox or snapshot is gone. Idempotent.
    pub(crate) fn forget(&self, user: &str) -> Result<(), Error> {
        let path = self.users().join(user);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result.map_err(|error| Error::io(path.display(), error)),
        }
    }

    /// Forgets all that do not exist, and removes what nothing needs any more.
    pub(crate) fn tidy(&self, exists: impl Fn(&str) -> bool) -> Result<(), Error> {
        for user in self.all_users()? {
            if !exists(&user) {
                self.forget(&user)?;
            }
        }
        match self.importing() {
            Ok(importing) => importing.sweep(&Index::lock(&self.folder)?),
            // Who imports does it in the end.
            Err(_) => Ok(()),
        }
    }

    fn users(&self) -> PathBuf {
        self.folder.join("users")
    }

    fn all_users(&self) -> Result<Vec<String>, Error> {
        let place = self.users();
        let failed = |error| Error::io(place.display(), error);
        let mut all = Vec::new();
        for entry in fs::read_dir(&place).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            all.push(name.to_string_lossy().into_owned());
        }
        all.sort();
        Ok(all)
    }

    /// The images that a sandbox or snapshot needs, by their ids.
    fn used(&self, user: &str) -> Result<BTreeSet<String>, Error> {
        let path = self.users().join(user);
        let read = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
            Err(error) => Err(error),
        };
        read.map_err(|error| Error::io(path.display(), error))
    }

    fn uses(&self, user: &str, ids: &BTreeSet<String>) -> Result<(), Error> {
        let path = self.users().join(user);
        let new = self.folder.join(".new-user");
        let text = serde_json::to_vec(ids).map_err(io::Error::from);
        text.and_then(|text| fs::write(&new, text))
            .and_then(|()| fs::rename(&new, &path))
            .map_err(|error| Error::io(path.display(), error))
    }

    fn users_of(&self, id: &str) -> Result<Vec<String>, Error> {
        let mut users = self.all_users()?;
        let mut failed = Ok(());
        users.retain(|user| match self.used(user) {
            Ok(used) => used.contains(id),
            Err(error) => {
                failed = Err(error);
                true
            }
        });
        failed.map(|()| users)
    }
}

impl Importing {
    /// Takes images out of a daemon's data, by these names. Blocks for as long as copying
    /// their layers takes.
    pub(crate) fn add(
        &self,
        from: &Data,
        names: &[String],
        clock: &dyn Clock,
    ) -> Result<Vec<HostImage>, Error> {
        let failed = |error| Error::io("taking the image over", error);
        let mut images = Vec::new();
        for name in names {
            let Some(id) = from.named(name).map_err(failed)? else {
                let message = format!("the daemon that loaded {name} does not know it");
                return Err(Error::new(ErrorKind::Failed, message));
            };
            let layers = self.copy(from, &id).map_err(failed)?;
            images.push(HostImage {
                name: name.clone(),
                digest: id,
                size_bytes: layers.iter().map(|layer| layer.bytes).sum(),
                created_at_ms: clock.now_ms(),
            });
        }
        let mut index = Index::lock(&self.store.folder)?;
        for image in &images {
            index.put(image.clone())?;
        }
        self.sweep(&index)?;
        Ok(images)
    }

    /// Copies an image, its configuration last.
    fn copy(&self, from: &Data, id: &str) -> io::Result<Vec<Layer>> {
        let to = self.store.data();
        let config = to.join(CONFIGS).join(hex(id)?);
        if config.exists() {
            return Data::open(&to)?.layers(id);
        }
        let layers = from.layers(id)?;
        for layer in &layers {
            let chain = to.join(CHAINS).join(&layer.chain);
            if !chain.exists() {
                copy_layer(from, layer, &to, &chain)?;
            }
        }
        rustix::fs::syncfs(File::open(&to)?)?;
        fs::write(config, from.config(id)?)?;
        Ok(layers)
    }

    /// Removes what no image that has a name or a user needs.
    fn sweep(&self, index: &Index) -> Result<(), Error> {
        let mut ids: BTreeSet<String> = BTreeSet::new();
        for user in self.store.all_users()? {
            ids.extend(self.store.used(&user)?);
        }
        ids.extend(index.digests().map(str::to_owned));
        self.sweep_but(&ids)
            .map_err(|error| Error::io("removing what no Docker image needs", error))
    }

    fn sweep_but(&self, ids: &BTreeSet<String>) -> io::Result<()> {
        let place = self.store.data();
        let data = Data::open(&place)?;
        let (mut configs, mut chains, mut folders) =
            (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for id in ids {
            configs.insert(hex(id)?.to_owned());
            for layer in data.layers(id)? {
                chains.insert(layer.chain);
                folders.insert(layer.folder);
            }
        }
        for (folder, needed) in [(CONFIGS, configs), (CHAINS, chains), (LAYERS, folders)] {
            for entry in fs::read_dir(place.join(folder))? {
                let entry = entry?;
                if needed.contains(&*entry.file_name().to_string_lossy()) {
                    continue;
                }
                match entry.file_type()?.is_dir() {
                    true => fs::remove_dir_all(entry.path())?,
                    false => fs::remove_file(entry.path())?,
                }
            }
        }
        Ok(())
    }
}

/// Files, owners, modes, times and attributes are kept, holes stay holes.
fn copy_layer(from: &Data, layer: &Layer, to: &Path, chain: &Path) -> io::Result<()> {
    let (_open, source) = from.directory(&format!("{LAYERS}/{}", layer.folder))?;
    let folder = to.join(LAYERS).join(&layer.folder);
    if folder.exists() {
        // Of an import that was cut.
        fs::remove_dir_all(&folder)?;
    }
    let output = Command::new("cp")
        .args(["--archive", "--reflink=auto", "--no-target-directory", "--"])
        .arg(source.join("."))
        .arg(&folder)
        .stdin(Stdio::null())
        .output()?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("cp: {}", why.trim())));
    }
    let new = chain.with_extension("new");
    fs::create_dir_all(&new)?;
    for record in RECORDS.into_iter().chain([SPLIT]) {
        let path = format!("{CHAINS}/{}/{record}", layer.chain);
        if from.has(&path) {
            fs::write(new.join(record), from.read(&path)?)?;
        }
    }
    fs::rename(new, chain)
}
