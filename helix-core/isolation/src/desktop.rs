//! A desktop of a sandbox's own, inside it.
//!
//! The guest ([`guest`](crate::guest)) starts the media program as the sandbox's user: it draws
//! the desktop, encodes it and serves whoever watches, on a socket that only the sandbox has.
//! The program is the host's, and is shown to the sandbox at [`PROGRAM`]; the libraries that it
//! needs, and what draws, are of the sandbox's own system. For the host, what it says is a
//! hostile sandbox's words: they are passed on and not read.
//!
//! [`Desktop`] starts it again when it breaks, a bounded number of times.

mod daemon;
mod routes;

pub(crate) use daemon::variables;
pub use daemon::{Desktop, on_this_system};
pub(crate) use routes::routes;

/// Where a sandbox finds the media program.
pub const PROGRAM: &str = "/run/helix/media";
