//! Sockets, TLS, staged shutdown.

use std::{net::SocketAddr, sync::Arc};

use helix_base::{Clock, Ids, Outbound, ShutdownReport, SystemClock, TaskGroup};
use tokio::net::TcpListener;

use crate::{
    App, Foundation, Options, api,
    events::LocalBus,
    metrics::Metrics,
    seal::{self, Seal},
    store::{self, Store},
};

mod accept;
mod tls;

pub(crate) use accept::Peer;

/// Why a control plane does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The keys that secrets are sealed with.
    #[error(transparent)]
    Seal(#[from] seal::Error),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The certificate or its key.
    #[error(transparent)]
    Tls(#[from] helix_base::tls::Error),
    /// How to dial out.
    #[error("the outbound options cannot be used: {0}")]
    Outbound(#[from] helix_base::outbound::Error),
    /// The data directory.
    #[error("the data directory `{path}` cannot be used: {source}")]
    DataDir {
        /// Which directory.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// An option has a value that cannot work.
    #[error("option `{option}`: {reason}")]
    Option {
        /// Which option.
        option: String,
        /// What is wrong, and what to do.
        reason: String,
    },
}

/// A control plane that listens, and serves once [`Server::run`] is called.
pub struct Server {
    app: App,
    listener: TcpListener,
    tls: Option<Arc<tls::Tls>>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let listening = self.app.foundation().listening;
        f.debug_struct("Server")
            .field("listening", &listening)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Opens the database, listens, and starts every part.
    ///
    /// # Errors
    /// When an option cannot work, the database does not answer or the address
    /// is taken.
    pub async fn build(options: Options) -> Result<Self, Error> {
        Self::build_with(options, Arc::new(SystemClock)).await
    }

    /// As [`Self::build`], with a clock of one's own.
    ///
    /// # Errors
    /// As [`Self::build`].
    pub async fn build_with(options: Options, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let tls = options.tls.as_ref().map(tls::Tls::new).transpose()?;
        let store = open_store(&options).await?;
        let seal = Seal::start(&options, &store, clock.now_ms()).await?;
        let address = options.listen;
        let listening_failed = |source| Error::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listening_failed)?;
        let listening = listener.local_addr().map_err(listening_failed)?;
        let app = App::start(Foundation {
            store,
            seal,
            ids: Ids::new(Arc::clone(&clock)),
            bus: Arc::new(LocalBus::default()),
            tasks: TaskGroup::new(),
            outbound: Outbound::new(&options.outbound)?,
            metrics: Metrics::default(),
            listening,
            public_url: options.public_url_at(listening).into(),
            started_at_ms: clock.now_ms(),
            clock,
            options: Arc::new(options),
        })
        .await?;
        Ok(Self {
            app,
            listener,
            tls: tls.map(Arc::new),
        })
    }

    /// The handle on what runs.
    pub fn app(&self) -> App {
        self.app.clone()
    }

    /// Serves until `stop` ends, then shuts down in stages within the budget
    /// of the options: nothing new is accepted, live streams are told to end,
    /// requests in flight are finished, then cancelled.
    pub async fn run(self, stop: impl Future<Output = ()>) -> ShutdownReport {
        let Self { app, listener, tls } = self;
        let foundation = app.foundation().clone();
        if let Some(tls) = tls.clone() {
            let draining = foundation.tasks.draining_token().clone();
            foundation.tasks.spawn("watch the TLS files", async move {
                draining.run_until_cancelled(tls.watch()).await
            });
        }
        let accept = accept::Accept::new(&foundation, api::router(&app), tls);
        foundation
            .tasks
            .spawn("accept connections", accept.run(listener));
        stop.await;
        tracing::info!("shutting down");
        let report = foundation
            .tasks
            .shutdown(foundation.options.shutdown_budget)
            .await;
        foundation.store.close().await;
        report
    }
}

pub(crate) async fn open_store(options: &Options) -> Result<Store, Error> {
    let data_dir = &options.data_dir;
    // What is in it is for the control plane's own eyes.
    let made = tokio::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data_dir)
        .await;
    made.map_err(|source| Error::DataDir {
        path: data_dir.display().to_string(),
        source,
    })?;
    let url = match &options.database_url {
        Some(url) => url.clone(),
        None => Store::default_url(data_dir)?,
    };
    Ok(Store::open(&url, options.database_connections).await?)
}
