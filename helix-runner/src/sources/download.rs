//! Files from a hub onto the disk, resumed where they were cut off.

use std::{
    io::{ErrorKind, SeekFrom},
    path::{Path, PathBuf},
};

use helix_base::{Backoff, BackoffPolicy, Retry as _};
use sha2::{Digest as _, Sha256};
use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _},
};

use super::{
    Error, Tell,
    hub::{Hub, RemoteFile, Repo},
};

pub(super) struct Download<'a> {
    pub(super) hub: &'a Hub,
    pub(super) repo: &'a Repo,
    pub(super) commit: &'a str,
    pub(super) folder: &'a Path,
}

/// A file of which a part is here.
struct Partial {
    file: File,
    path: PathBuf,
    have: u64,
    digest: Sha256,
}

impl Download<'_> {
    /// Whether all these files are here.
    pub(super) async fn is_complete(&self, files: &[RemoteFile]) -> bool {
        for file in files {
            if self.have(file).await.is_none() {
                return false;
            }
        }
        true
    }

    /// The size of a file that is here whole.
    async fn have(&self, file: &RemoteFile) -> Option<u64> {
        let meta = tokio::fs::metadata(self.folder.join(&file.path))
            .await
            .ok()?;
        file.size
            .is_none_or(|size| size == meta.len())
            .then_some(meta.len())
    }

    /// Brings all these files here.
    pub(super) async fn all(&self, files: &[RemoteFile], tell: Tell<'_>) -> Result<(), Error> {
        let total = files.iter().filter_map(|file| file.size).sum();
        let mut done = 0;
        let mut missing = Vec::new();
        for file in files {
            match self.have(file).await {
                Some(bytes) => done += bytes,
                None => missing.push(file),
            }
        }
        tell(done, total);
        self.check_room(&missing).await?;
        for file in missing {
            done += self.one(file, &|bytes| tell(done + bytes, total)).await?;
        }
        Ok(())
    }

    /// Refuses what would not fit, before the first byte.
    async fn check_room(&self, missing: &[&RemoteFile]) -> Result<(), Error> {
        let mut needed = 0;
        for file in missing {
            let partial = tokio::fs::metadata(self.partial_path(file))
                .await
                .map_or(0, |meta| meta.len());
            needed += file.size.unwrap_or(0).saturating_sub(partial);
        }
        if needed == 0 {
            return Ok(());
        }
        tokio::fs::create_dir_all(self.folder)
            .await
            .map_err(Error::disk(self.folder))?;
        let disk = rustix::fs::statvfs(self.folder)
            .map_err(|error| Error::disk(self.folder)(error.into()))?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let needed = needed.saturating_add(self.hub.options.keep_free_bytes);
        if free < needed {
            Err(self.disk_full(needed, free))
        } else {
            Ok(())
        }
    }

    fn disk_full(&self, needed: u64, free: u64) -> Error {
        Error::DiskFull {
            folder: self.folder.to_owned(),
            needed,
            free,
        }
    }

    fn partial_path(&self, file: &RemoteFile) -> PathBuf {
        self.folder.join(format!("{}.partial", file.path))
    }

    /// Brings one file here, and answers its size.
    async fn one(
        &self,
        file: &RemoteFile,
        tell: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<u64, Error> {
        let mut backoff = Backoff::new(BackoffPolicy::default());
        let mut partial = Partial::open(self.partial_path(file)).await?;
        loop {
            let before = partial.have;
            match self.attempt(file, &mut partial, tell).await {
                Ok(()) => break,
                Err(error @ Error::Network { .. }) if error.retryability().is_retryable() => {
                    if partial.have > before {
                        backoff.succeeded();
                    }
                    if backoff.attempts() >= self.hub.options.retries {
                        return Err(error);
                    }
                    let pause = backoff.next_delay(&mut rand::rng());
                    tracing::debug!(file = file.path, %error, ?pause, "download broke off, going on soon");
                    tokio::time::sleep(pause).await;
                }
                Err(error) => return Err(error),
            }
        }
        partial.finish(file, &self.folder.join(&file.path)).await
    }

    /// One request: goes on where the partial file ends.
    async fn attempt(
        &self,
        file: &RemoteFile,
        partial: &mut Partial,
        tell: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), Error> {
        if partial.have > 0 && file.size == Some(partial.have) {
            return Ok(());
        }
        let hub = self.hub;
        let url = hub.file_url(self.repo, self.commit, &file.path)?;
        let mut request = hub.authorized(hub.client.get(url));
        if partial.have > 0 {
            request = request.header(http::header::RANGE, format!("bytes={}-", partial.have));
        }
        let sent = tokio::time::timeout(hub.options.stall_timeout, request.send()).await;
        let response = sent
            .map_err(|_| hub.broken(&file.path, "no answer came"))?
            .map_err(|error| hub.network(&file.path, &error))?;
        let mut response = hub.accepted(&file.path, response)?;
        if !continues_at(&response, partial.have) {
            partial.start_over().await?;
            if response.status() == http::StatusCode::RANGE_NOT_SATISFIABLE {
                return Err(hub.broken(&file.path, "what was fetched before does not fit"));
            }
        }
        loop {
            let chunk = tokio::time::timeout(hub.options.stall_timeout, response.chunk()).await;
            let chunk = chunk
                .map_err(|_| hub.broken(&file.path, "no more bytes came"))?
                .map_err(|error| hub.network(&file.path, &error))?;
            let Some(chunk) = chunk else { break };
            if file
                .size
                .is_some_and(|size| partial.have + chunk.len() as u64 > size)
            {
                partial.start_over().await?;
                return Err(damaged(file, "it is longer than announced"));
            }
            partial
                .append(&chunk)
                .await
                .map_err(|error| match error.kind() {
                    ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                        self.disk_full(file.size.unwrap_or(0).saturating_sub(partial.have), 0)
                    }
                    _ => Error::disk(&partial.path)(error),
                })?;
            tell(partial.have);
        }
        match file.size {
            Some(size) if partial.have < size => Err(hub.broken(&file.path, "it broke off")),
            _ => Ok(()),
        }
    }
}

impl Partial {
    /// Opens what there is, and reads it into the checksum.
    async fn open(path: PathBuf) -> Result<Self, Error> {
        if let Some(parent) = path.parent() {
            tokio::fs::create_dir_all(parent)
                .await
                .map_err(Error::disk(parent))?;
        }
        let open = async {
            let mut options = File::options();
            let mut file = options
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .await?;
            let (mut have, mut digest) = (0, Sha256::new());
            let mut chunk = vec![0; 256 * 1024];
            loop {
                let count = file.read(&mut chunk).await?;
                if count == 0 {
                    return Ok((file, have, digest));
                }
                digest.update(&chunk[..count]);
                have += count as u64;
            }
        };
        let (file, have, digest) = open.await.map_err(Error::disk(&path))?;
        Ok(Self {
            file,
            path,
            have,
            digest,
        })
    }

    async fn append(&mut self, chunk: &[u8]) -> std::io::Result<()> {
        self.file.write_all(chunk).await?;
        self.digest.update(chunk);
        self.have += chunk.len() as u64;
        Ok(())
    }

    async fn start_over(&mut self) -> Result<(), Error> {
        let empty = async {
            self.file.set_len(0).await?;
            self.file.seek(SeekFrom::Start(0)).await
        };
        empty.await.map_err(Error::disk(&self.path))?;
        self.have = 0;
        self.digest = Sha256::new();
        Ok(())
    }

    /// Checks the whole, and gives it its name.
    async fn finish(mut self, file: &RemoteFile, target: &Path) -> Result<u64, Error> {
        let digest: String = self
            .digest
            .finalize_reset()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        if let Some(announced) = file
            .sha256
            .as_ref()
            .filter(|announced| !announced.eq_ignore_ascii_case(&digest))
        {
            self.start_over().await?;
            return Err(damaged(
                file,
                &format!("its checksum is {digest} and should be {announced}"),
            ));
        }
        let keep = async {
            self.file.flush().await?;
            self.file.sync_all().await?;
            tokio::fs::rename(&self.path, target).await
        };
        keep.await.map_err(Error::disk(target))?;
        Ok(self.have)
    }
}

fn damaged(file: &RemoteFile, why: &str) -> Error {
    Error::Damaged {
        file: file.path.clone(),
        why: why.to_owned(),
    }
}

/// Whether an answer begins with the byte after the first `have`.
fn continues_at(response: &reqwest::Response, have: u64) -> bool {
    if have == 0 {
        return response.status() != http::StatusCode::RANGE_NOT_SATISFIABLE;
    }
    let range = response.headers().get(http::header::CONTENT_RANGE);
    let start = range.and_then(|range| {
        range
            .to_str()
            .ok()?
            .strip_prefix("bytes ")?
            .split('-')
            .next()?
            .parse()
            .ok()
    });
    response.status() == http::StatusCode::PARTIAL_CONTENT && start == Some(have)
}
