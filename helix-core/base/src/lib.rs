//! What every part of Helix stands on: errors that say whether to retry, task
//! groups with one staged shutdown, the clock, secrets, backoff, certificates that
//! are renewed while they are in use, and the one factory for everything that dials
//! out.
//!
//! Nothing here reads the environment, installs a signal handler or keeps
//! process-wide state: two of anything can live in one process. What a daemon's `main`
//! sets for its whole process, or reads from it, is in [`daemon`], [`limits`] and
//! [`telemetry`].

pub mod backoff;
pub mod clock;
pub mod credential;
pub mod daemon;
pub mod limits;
pub mod millis;
pub mod outbound;
pub mod retry;
pub mod task;
pub mod telemetry;
pub mod tls;

pub use backoff::{Backoff, BackoffPolicy};
pub use clock::{Clock, Ids, ManualClock, SystemClock};
pub use outbound::{Outbound, OutboundOptions};
pub use retry::{Retry, Retryability};
pub use secrecy::{ExposeSecret, SecretString};
pub use task::{ShutdownReport, TaskGroup};
