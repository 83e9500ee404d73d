//! How an engine process ended.

use std::fmt;

/// How an engine process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// There was no process to end: the engine is someone else's server.
    NoProcess,
}

impl Exit {
    /// Shells' convention, which the supervisor follows too: 128 and the
    /// signal's number stand for an end by that signal.
    pub(crate) const fn from_shell_code(code: i32) -> Self {
        if code > 128 && code <= 128 + 64 {
            Self::Signal(code - 128)
        } else {
            Self::Code(code)
        }
    }

    /// Whether it was killed in a way that the kernel uses when memory runs out.
    pub(crate) const fn is_sigkill(self) -> bool {
        matches!(self, Self::Signal(9))
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal(signal) => write!(f, "was ended by signal {signal}"),
            Self::NoProcess => f.write_str("was let go"),
        }
    }
}
