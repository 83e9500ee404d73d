//! Engine processes: started under a supervisor that outlives nobody, watched,
//! stopped, and measured.
//!
//! Invariant: no engine process, nor anything it started, outlives the runner,
//! not even a runner that was killed with `SIGKILL`. See [`Supervisor`].

mod exit;
mod log;
mod running;
mod supervise;
mod supervisor;
mod tree;

pub use exit::Exit;
pub use log::LogBuffer;
pub use running::{ProcessSpec, Running};
pub(crate) use supervise::EXIT_CANNOT_START;
pub use supervisor::Supervisor;
pub(crate) use tree::{descendants, memory_of};
