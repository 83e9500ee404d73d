//! State in SQLite or PostgreSQL: one schema, one set of queries, one set of tests.
//!
//! Queries go through sqlx's `Any` driver with `$N` placeholders, which both
//! databases take, and keep to types that both have (`TEXT`, `BIGINT`).
//!
//! **Invariant:** a change of more than one row that belongs together is one
//! [`Transaction`]. SQLite has one writer at a time: writing transactions take
//! their lock when they begin, so that they wait for each other there and do
//! not fail half-way.

use std::{path::Path, sync::Arc, time::Duration};

use helix_base::{ExposeSecret as _, Retry, Retryability, SecretString};
use sqlx::{
    AnyConnection, AnyPool, ConnectOptions as _, Connection as _, Executor as _,
    any::{AnyConnectOptions, AnyPoolOptions},
};
use url::Url;

pub(crate) mod accounts;
pub(crate) mod agents;
mod credentials;
mod log;
pub mod models;
pub(crate) mod port_passes;
pub mod row;
pub mod runners;
pub mod sandbox_hosts;
pub mod sandboxes;
pub(crate) mod seal_keys;
pub(crate) mod secrets;
mod session_keys;
pub(crate) mod sessions;
pub(crate) mod shares;
pub mod snapshots;
pub(crate) mod turns;

pub use log::Logged;

/// Migrations, the same for both databases.
static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// How long a query waits for a connection, and an SQLite writer for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// What went wrong with the database.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No connection became free, or the database does not answer.
    #[error("the database is not reachable or too busy: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// The database's disk is full.
    #[error("the database's disk is full: make room on it")]
    Full(#[source] sqlx::Error),
    /// A row with the same unique value is there already.
    #[error("there is one already")]
    Duplicate(#[source] sqlx::Error),
    /// A stored value cannot be read.
    #[error("the stored {column} cannot be read: {reason}")]
    Corrupt {
        /// Where it is.
        column: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The URL names no database that is known here, or cannot be used.
    #[error("the database URL cannot be used: {0}")]
    Url(String),
    /// The schema could not be brought up to date.
    #[error("the database schema could not be brought up to date: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// Anything else the database said.
    #[error("the database refused a query: {0}")]
    Query(#[source] sqlx::Error),
    /// What was to be stored with others was not, for all of them.
    #[error("{0}")]
    Together(Arc<Self>),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if let sqlx::Error::Database(database) = &error {
            let code = database.code();
            // SQLite's primary result code is the low byte of the extended one.
            let sqlite = code.as_deref().and_then(|code| code.parse::<u32>().ok());
            return match (code.as_deref(), sqlite.map(|code| code & 0xff)) {
                // PostgreSQL: disk_full; SQLite: SQLITE_FULL.
                (Some("53100"), _) | (_, Some(13)) => Self::Full(error),
                _ if database.is_unique_violation() => Self::Duplicate(error),
                // SQLite: SQLITE_BUSY, SQLITE_LOCKED. PostgreSQL: deadlock,
                // serialization failure, too many connections, shutting down.
                (_, Some(5 | 6)) | (Some("40P01" | "40001" | "53300" | "57P01" | "57P03"), _) => {
                    Self::Unavailable(error)
                }
                _ => Self::Query(error),
            };
        }
        match error {
            sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::Io(_)
            | sqlx::Error::WorkerCrashed => Self::Unavailable(error),
            _ => Self::Query(error),
        }
    }
}

impl Retry for Error {
    fn retryability(&self) -> Retryability {
        match self {
            Self::Unavailable(_) => Retryability::After(Duration::from_secs(1)),
            Self::Full(_) => Retryability::Transient,
            Self::Together(error) => error.retryability(),
            _ => Retryability::Permanent,
        }
    }
}

/// Which database it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file, in this process.
    Sqlite,
    /// A server, perhaps shared with other control planes.
    Postgres,
}

impl Kind {
    /// The name people know.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// A transaction: rolled back if dropped before [`Transaction::commit`].
/// Queries take `&mut *transaction`.
pub type Transaction = sqlx::Transaction<'static, sqlx::Any>;

/// The database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pool: AnyPool,
    kind: Kind,
}

impl Store {
    /// Opens the database, makes it if it is an SQLite file that is not there
    /// yet, and brings its schema up to date.
    ///
    /// # Errors
    /// When the URL cannot be used, the database does not answer, or a
    /// migration fails.
    pub async fn open(url: &SecretString, connections: u32) -> Result<Self, Error> {
        install_drivers();
        let url = Url::parse(url.expose_secret()).map_err(|error| Error::Url(error.to_string()))?;
        let kind = match url.scheme() {
            "sqlite" => Kind::Sqlite,
            "postgres" | "postgresql" => Kind::Postgres,
            other => {
                return Err(Error::Url(format!(
                    "scheme `{other}` is not known: use `sqlite://` or `postgres://`"
                )));
            }
        };
        let options = AnyConnectOptions::from_url(&url).map_err(Error::from)?;
        let pool = AnyPoolOptions::new()
            .max_connections(connections.max(1))
            .acquire_timeout(PATIENCE)
            .after_connect(move |connection, _| Box::pin(prepare(connection, kind)))
            .after_release(move |connection, _| Box::pin(is_usable(connection, kind)))
            .connect_with(options)
            .await?;
        MIGRATIONS.run(&pool).await?;
        Ok(Self { pool, kind })
    }

    /// The URL of the SQLite file that is used when no URL is configured.
    ///
    /// # Errors
    /// When the folder's path cannot be made absolute or put into a URL.
    pub fn default_url(data_dir: &Path) -> Result<SecretString, Error> {
        let unusable = || Error::Url(format!("`{}` is not a usable folder", data_dir.display()));
        let file = std::path::absolute(data_dir)
            .map_err(|_| unusable())?
            .join("helix.db");
        let url = Url::from_file_path(file).map_err(|()| unusable())?;
        Ok(format!("sqlite://{}?mode=rwc", url.path()).into())
    }

    /// Which database it is.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// For a single query. Several that belong together go through
    /// [`Self::begin`] or [`Self::snapshot`].
    pub const fn pool(&self) -> &AnyPool {
        &self.pool
    }

    /// Begins a transaction that may write.
    ///
    /// # Errors
    /// When no connection is free, or (SQLite) another writer takes too long.
    pub async fn begin(&self) -> Result<Transaction, Error> {
        Ok(match self.kind {
            Kind::Sqlite => self.pool.begin_with("BEGIN IMMEDIATE").await?,
            Kind::Postgres => self.pool.begin().await?,
        })
    }

    /// Begins a transaction that reads one state of the whole database.
    ///
    /// # Errors
    /// When no connection is free.
    pub async fn snapshot(&self) -> Result<Transaction, Error> {
        Ok(match self.kind {
            // Without a write, a deferred transaction is a snapshot.
            Kind::Sqlite => self.pool.begin().await?,
            Kind::Postgres => {
                self.pool
                    .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                    .await?
            }
        })
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), Error> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }

    /// Waits for queries in progress and closes all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// `Any` looks its drivers up in a list of the process. It holds no state: to
/// find the list installed already, by another control plane in this process
/// or by whoever embeds it, is no fault.
fn install_drivers() {
    let _ = sqlx::any::install_drivers(&[sqlx::sqlite::any::DRIVER, sqlx::postgres::any::DRIVER]);
}

/// What each connection is told first.
async fn prepare(connection: &mut AnyConnection, kind: Kind) -> Result<(), sqlx::Error> {
    if kind == Kind::Sqlite {
        connection.execute("PRAGMA busy_timeout = 10000").await?;
        connection.execute("PRAGMA journal_mode = WAL").await?;
        connection.execute("PRAGMA synchronous = NORMAL").await?;
        connection.execute("PRAGMA foreign_keys = ON").await?;
    }
    Ok(())
}

/// Whether a transaction can begin on a connection that comes back. SQLite ends
/// one by itself when the disk is full; the driver, which counts them, does not
/// hear of it, and would begin none on that connection ever again.
async fn is_usable(connection: &mut AnyConnection, kind: Kind) -> Result<bool, sqlx::Error> {
    if kind != Kind::Sqlite {
        return Ok(true);
    }
    match connection.begin_with("BEGIN").await {
        Ok(transaction) => transaction.rollback().await.map(|()| true),
        Err(_) => Ok(false),
    }
}
