//! Which program supervises engine processes.

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use super::supervise;

/// What a supervisor is called in a list of processes.
const NAME: &str = "helix-engine-supervisor";

/// The argument by which a program knows that it is to supervise.
const MARKER: &str = "supervise-engine";

/// The program that stands between the runner and each engine process.
///
/// A process that is killed cannot clean up, and the kernel's parent death
/// signal neither reaches grandchildren nor survives the thread that asked for
/// it. So each engine runs below a small supervisor process that holds the
/// reading end of a pipe from the runner and is *subreaper* of everything
/// below it. When the pipe closes (the runner stopped the engine, let go of it,
/// or is no more) the supervisor kills the whole tree, processes that made
/// themselves daemons included, and ends.
///
/// The supervisor has to be a program, for it must be small and must live on
/// while the runner does not. A program that embeds the runner can be its own
/// supervisor:
///
/// ```no_run
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     let supervisor = match helix_runner::Supervisor::this_program(std::env::args_os()) {
///         Ok(supervisor) => supervisor,
///         Err(exit_code) => return exit_code,
///     };
///     // … hand `supervisor` to `Runner::builder`.
///     ExitCode::SUCCESS
/// }
/// ```
///
/// Where `main` is not yours to begin (a Python interpreter, a test harness),
/// name a program that is one: [`Supervisor::program`] with the path of the
/// `helix-runner` daemon.
#[derive(Debug, Clone)]
pub struct Supervisor {
    program: PathBuf,
}

impl Supervisor {
    /// This very program. Must be the first thing that `main` does: a process
    /// that was started to supervise does so here, and the code with which it
    /// is to exit comes back as the error.
    ///
    /// # Errors
    ///
    /// The exit code of a process that was started to supervise.
    pub fn this_program(args: impl IntoIterator<Item = OsString>) -> Result<Self, ExitCode> {
        let args: Vec<OsString> = args.into_iter().skip(1).collect();
        match args.split_first() {
            Some((first, command)) if first == MARKER => Err(supervise::run(command)),
            // The link, not what it points to, so that an upgrade that replaces
            // the file does not matter.
            _ => Ok(Self {
                program: PathBuf::from("/proc/self/exe"),
            }),
        }
    }

    /// Another program that begins with [`Supervisor::this_program`], such as
    /// the `helix-runner` daemon.
    pub fn program(path: impl Into<PathBuf>) -> Self {
        Self {
            program: path.into(),
        }
    }

    /// A command that supervises; the engine's own command is to follow.
    pub(super) fn command(&self) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(&self.program);
        command.arg0(NAME).arg(MARKER);
        command
    }
}
