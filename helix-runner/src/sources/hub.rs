//! Repositories of a hub that speaks Hugging Face's API
//! (<https://huggingface.co/docs/hub/api>), kept as
//! `owner--name/COMMIT/file` below the runner's models folder.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use helix_base::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{Error, FolderLock, HubOptions, Tell, download::Download};

/// A listing longer than this is refused.
const MAX_LISTING_BYTES: usize = 16 << 20;
const LISTING_TIMEOUT: Duration = Duration::from_secs(30);
const PEEK_TIMEOUT: Duration = Duration::from_secs(120);

/// A repository and the revision that is wanted of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Repo {
    name: String,
    revision: String,
}

impl Repo {
    /// Takes `owner/name` (or a bare `name`, which old models have).
    pub(super) fn parse(name: &str, revision: Option<&str>) -> Result<Self, Error> {
        let parts: Vec<&str> = name.split('/').collect();
        let revision = revision.unwrap_or("main");
        if parts.len() > 2 || !parts.iter().all(|part| is_plain(part)) {
            return Err(Error::BadSource(format!(
                "`{name}` is not a repository: give `owner/name`"
            )));
        }
        if !revision.split('/').all(is_plain) {
            return Err(Error::BadSource(format!(
                "`{revision}` is not a branch, tag or commit"
            )));
        }
        Ok(Self {
            name: name.to_owned(),
            revision: revision.to_owned(),
        })
    }
}

impl fmt::Display for Repo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.name, self.revision)
    }
}

/// Whether a name can be part of a path and of a URL as it is.
fn is_plain(part: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-+ ".contains(c);
    !part.is_empty() && part.len() <= 200 && !part.starts_with('.') && part.chars().all(plain)
}

/// What a repository holds at one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Listing {
    pub(super) commit: String,
    pub(super) files: Vec<RemoteFile>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RemoteFile {
    pub(super) path: String,
    pub(super) size: Option<u64>,
    pub(super) sha256: Option<String>,
}

/// The parts of the hub's own answer that matter.
#[derive(Debug, Deserialize)]
struct ModelInfo {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Debug, Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    lfs: Option<Lfs>,
}

#[derive(Debug, Deserialize)]
struct Lfs {
    sha256: Option<String>,
    size: Option<u64>,
}

impl From<ModelInfo> for Listing {
    fn from(info: ModelInfo) -> Self {
        let file = |sibling: Sibling| {
            let (sha256, size) = sibling
                .lfs
                .map_or((None, None), |lfs| (lfs.sha256, lfs.size));
            RemoteFile {
                path: sibling.rfilename,
                size: size.or(sibling.size),
                sha256,
            }
        };
        // Names that could lead out of the folder are not ours to fetch.
        let files = info
            .siblings
            .into_iter()
            .filter(|file| file.rfilename.split('/').all(is_plain));
        Self {
            commit: info.sha,
            files: files.map(file).collect(),
        }
    }
}

/// Which files of a listing are wanted.
pub(super) type Select<'a> = &'a (dyn Fn(&Listing) -> Result<Vec<RemoteFile>, Error> + Send + Sync);

#[derive(Debug)]
pub(super) struct Hub {
    pub(super) options: HubOptions,
    folder: PathBuf,
    pub(super) client: reqwest::Client,
}

impl Hub {
    pub(super) const fn new(options: HubOptions, folder: PathBuf, client: reqwest::Client) -> Self {
        Self {
            options,
            folder,
            client,
        }
    }

    /// Brings the selected files here, and answers their paths in order.
    pub(super) async fn fetch(
        &self,
        repo: &Repo,
        select: Select<'_>,
        tell: Tell<'_>,
    ) -> Result<Vec<PathBuf>, Error> {
        let folder = self.folder.join(repo.name.replace('/', "--"));
        tokio::fs::create_dir_all(&folder)
            .await
            .map_err(Error::disk(&folder))?;
        let _lock = FolderLock::acquire(&folder)
            .await
            .map_err(Error::disk(&folder))?;
        let kept = folder.join(format!("{}.listing.json", repo.revision.replace('/', "--")));
        let (listing, offline) = match self.listing(repo).await {
            Ok(listing) => (listing, None),
            Err(error @ Error::Network { .. }) => match read_listing(&kept).await {
                Some(listing) => (listing, Some(error)),
                None => return Err(error),
            },
            Err(error) => return Err(error),
        };
        let files = select(&listing)?;
        let target = folder.join(&listing.commit);
        let download = Download {
            hub: self,
            repo,
            commit: &listing.commit,
            folder: &target,
        };
        if let Some(error) = offline {
            if !download.is_complete(&files).await {
                return Err(error);
            }
            tracing::warn!(%repo, %error, "the hub cannot be reached: using what was fetched before");
        }
        download.all(&files, tell).await?;
        write_listing(&kept, &listing).await?;
        Ok(files.iter().map(|file| target.join(&file.path)).collect())
    }

    pub(super) async fn listing(&self, repo: &Repo) -> Result<Listing, Error> {
        let path = format!(
            "api/models/{}/revision/{}?blobs=true",
            repo.name, repo.revision
        );
        let url = self.url(&path)?;
        let what = repo.to_string();
        let request = self.authorized(self.client.get(url));
        let response = request.timeout(LISTING_TIMEOUT).send().await;
        let response = response.map_err(|error| self.network(&what, &error))?;
        let response = self.accepted(&what, response)?;
        let body = limited_body(response)
            .await
            .map_err(|why| self.broken(&what, why))?;
        let info: ModelInfo = serde_json::from_slice(&body)
            .map_err(|error| self.broken(&what, format!("its listing cannot be read: {error}")))?;
        if is_plain(&info.sha) {
            Ok(info.into())
        } else {
            Err(self.broken(&what, "its listing names no commit"))
        }
    }

    /// The first bytes of a file, or all of it if it has no more.
    pub(super) async fn peek(
        &self,
        repo: &Repo,
        listing: &Listing,
        file: &RemoteFile,
        bytes: u64,
    ) -> Result<Vec<u8>, Error> {
        let url = self.file_url(repo, &listing.commit, &file.path)?;
        let range = format!("bytes=0-{}", bytes.saturating_sub(1));
        let request = self.client.get(url).header(http::header::RANGE, range);
        let response = self.authorized(request).timeout(PEEK_TIMEOUT).send().await;
        let response = response.map_err(|error| self.network(&file.path, &error))?;
        let mut response = self.accepted(&file.path, response)?;
        let mut prefix = Vec::new();
        // A hub that knows no ranges sends everything; the rest is not read.
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.network(&file.path, &error))?
        {
            prefix.extend_from_slice(&chunk);
            if prefix.len() as u64 >= bytes {
                break;
            }
        }
        prefix.truncate(usize::try_from(bytes).unwrap_or(usize::MAX));
        Ok(prefix)
    }

    pub(super) fn file_url(&self, repo: &Repo, commit: &str, path: &str) -> Result<Url, Error> {
        self.url(&format!("{}/resolve/{commit}/{path}", repo.name))
    }

    fn url(&self, path: &str) -> Result<Url, Error> {
        let base = self.options.endpoint.as_str().trim_end_matches('/');
        Url::parse(&format!("{base}/{path}"))
            .map_err(|error| Error::BadSource(format!("cannot make a URL for {path}: {error}")))
    }

    pub(super) fn authorized(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.options.token {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        }
    }

    /// Turns an answer that is no success into its error.
    pub(super) fn accepted(
        &self,
        what: &str,
        response: reqwest::Response,
    ) -> Result<reqwest::Response, Error> {
        match response.status().as_u16() {
            200..300 | 416 => Ok(response),
            401 | 403 => Err(Error::Refused(what.to_owned())),
            404 | 410 => Err(Error::Missing(format!("{what} is not on {}", self.host()))),
            status => Err(self.broken(what, format!("it answered with status {status}"))),
        }
    }

    pub(super) fn network(&self, what: &str, error: &reqwest::Error) -> Error {
        let why = if error.is_timeout() {
            "it took too long"
        } else if error.is_connect() {
            "it cannot be reached"
        } else {
            "the connection broke"
        };
        self.broken(what, why)
    }

    pub(super) fn broken(&self, what: &str, why: impl Into<String>) -> Error {
        Error::Network {
            what: what.to_owned(),
            host: self.host().to_owned(),
            why: why.into(),
        }
    }

    fn host(&self) -> &str {
        self.options.endpoint.host_str().unwrap_or("the hub")
    }
}

async fn limited_body(mut response: reqwest::Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|_| "the connection broke".to_owned())?
    {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_LISTING_BYTES {
            return Err("its listing is longer than 16 MiB".to_owned());
        }
    }
    Ok(body)
}

async fn read_listing(path: &Path) -> Option<Listing> {
    serde_json::from_slice(&tokio::fs::read(path).await.ok()?).ok()
}

async fn write_listing(path: &Path, listing: &Listing) -> Result<(), Error> {
    let json = serde_json::to_vec(listing).map_err(|error| Error::Disk {
        path: path.to_owned(),
        source: error.into(),
    })?;
    tokio::fs::write(path, json)
        .await
        .map_err(Error::disk(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in ["../x", "a/b/c", "a/..", "", "a/", "https://x", "a b/%2e"] {
            assert!(Repo::parse(name, None).is_err(), "{name}");
        }
        assert!(Repo::parse("o/m", Some("refs/../x")).is_err());
        assert!(Repo::parse("Qwen/Qwen2.5-0.5B", Some("refs/pr/1")).is_ok());
    }

    #[test]
    fn a_listing_leaves_out_files_that_would_land_elsewhere() {
        let json = r#"{"sha":"abc","siblings":[{"rfilename":"../../x"},{"rfilename":"/etc/x"},
            {"rfilename":"m.gguf","size":5,"lfs":{"sha256":"ff","size":7}}]}"#;
        let listing = Listing::from(serde_json::from_str::<ModelInfo>(json).unwrap());
        let file = RemoteFile {
            path: "m.gguf".to_owned(),
            size: Some(7),
            sha256: Some("ff".to_owned()),
        };
        assert_eq!(listing.files, [file]);
    }
}
