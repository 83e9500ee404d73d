//! The host's own resolvers.

use std::{path::PathBuf, time::SystemTime};

use hickory_proto::{
    op::ResponseCode,
    rr::{Name, Record, RecordType},
};
use hickory_resolver::{
    TokioResolver,
    config::{ResolveHosts, ServerOrderingStrategy},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    system_conf::parse_resolv_conf,
};
use tokio::sync::Mutex;

use crate::{Error, ErrorKind};

/// Asks the resolvers that a file in the form of `/etc/resolv.conf` names, and reads it
/// again when it changes. Nothing is kept: the host's resolver has a cache if it wants one.
#[derive(Debug)]
pub struct Upstream {
    path: PathBuf,
    loaded: Mutex<Option<Loaded>>,
}

#[derive(Clone)]
struct Loaded {
    stamp: Stamp,
    resolver: TokioResolver,
    search: Vec<Name>,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = formatter.debug_struct("Loaded");
        debug
            .field("stamp", &self.stamp)
            .field("search", &self.search)
            .finish_non_exhaustive()
    }
}

/// Tells one state of the file from another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

/// What the host's resolvers said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Records, with the aliases on the way.
    Records(Vec<Record>),
    /// None, with the code that says why.
    Nothing(ResponseCode),
}

impl Upstream {
    /// Upstream by this file.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            loaded: Mutex::default(),
        }
    }

    /// The search domains, as they are now; none where the file cannot be read.
    pub async fn search_domains(&self) -> Vec<String> {
        let names = self.search().await;
        names.iter().map(super::decision::plain).collect()
    }

    pub(super) async fn search(&self) -> Vec<Name> {
        self.load()
            .await
            .map(|loaded| loaded.search)
            .unwrap_or_default()
    }

    /// Asks for the records of a name.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read, or no resolver answers.
    pub async fn lookup(&self, name: &Name, kind: RecordType) -> Result<Found, Error> {
        let loaded = self.load().await?;
        match loaded.resolver.lookup(name.clone(), kind).await {
            Ok(lookup) => Ok(Found::Records(lookup.answers().to_vec())),
            Err(NetError::Dns(DnsError::NoRecordsFound(none))) => {
                Ok(Found::Nothing(none.response_code))
            }
            Err(NetError::Dns(DnsError::ResponseCode(code))) => Ok(Found::Nothing(code)),
            Err(error) => {
                let message = format!("no resolver of {} answers: {error}", self.path.display());
                Err(Error::new(ErrorKind::Timeout, message))
            }
        }
    }

    async fn load(&self) -> Result<Loaded, Error> {
        let unread = |error| Error::io(format!("cannot read {}", self.path.display()), error);
        let metadata = tokio::fs::metadata(&self.path).await.map_err(unread)?;
        let stamp = Stamp {
            modified: metadata.modified().ok(),
            length: metadata.len(),
            inode: std::os::unix::fs::MetadataExt::ino(&metadata),
        };
        let mut loaded = self.loaded.lock().await;
        if let Some(loaded) = loaded.as_ref().filter(|loaded| loaded.stamp == stamp) {
            return Ok(loaded.clone());
        }
        let text = tokio::fs::read(&self.path).await.map_err(unread)?;
        let fresh = build(&text, stamp).map_err(|error| {
            let message = format!("cannot use {}: {error}", self.path.display());
            Error::new(ErrorKind::Failed, message)
        })?;
        *loaded = Some(fresh.clone());
        Ok(fresh)
    }
}

fn build(text: &[u8], stamp: Stamp) -> Result<Loaded, NetError> {
    let (config, mut options) = parse_resolv_conf(text)?;
    options.cache_size = 0;
    options.edns0 = true;
    options.use_hosts_file = ResolveHosts::Never;
    // The order of the file has a meaning, as everywhere else on the host.
    options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
    options.num_concurrent_reqs = 1;
    options.max_active_requests = 1_024;
    let search = config.search().to_vec();
    let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let resolver = builder.with_options(options).build()?;
    Ok(Loaded {
        stamp,
        resolver,
        search,
    })
}
