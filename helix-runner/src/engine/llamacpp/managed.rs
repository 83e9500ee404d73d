//! The managed server: the real llama.cpp server from the Python package
//! `xllamacpp`, in a virtual environment of the runner's own.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::Command,
};

use super::ManagedOptions;

/// Starts the server; the arguments are those of `llama-server`.
const SCRIPT: &str = include_str!("serve.py");

/// No step of an installation takes longer.
const STEP_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// The managed server's place on this machine.
#[derive(Debug, Clone)]
pub struct Managed {
    options: ManagedOptions,
    folder: PathBuf,
}

/// The managed server could not be installed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Its folder could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Folder {
        /// What could not be written.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program could not be started.
    #[error(
        "cannot run {program}: {source}; install Python 3 with its venv module (Debian: apt-get install python3-venv)"
    )]
    Program {
        /// Which.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// A step failed.
    #[error("{step} failed: {last_words}")]
    Step {
        /// Which.
        step: &'static str,
        /// What the program said last.
        last_words: String,
    },
    /// A step took too long.
    #[error("{step} took longer than 30 minutes")]
    TooLong {
        /// Which.
        step: &'static str,
    },
}

impl helix_base::Retry for Error {
    fn retryability(&self) -> helix_base::Retryability {
        match self {
            // Mostly the network.
            Self::Step { .. } | Self::TooLong { .. } => helix_base::Retryability::Transient,
            Self::Folder { .. } | Self::Program { .. } => helix_base::Retryability::Permanent,
        }
    }
}

/// The arguments of Python before those of `llama-server`.
pub(super) fn args() -> Vec<OsString> {
    // Python's `-I` would hide a package path that the operator set on purpose.
    ["-u", "-c", SCRIPT].map(OsString::from).to_vec()
}

impl Managed {
    /// The managed server where the options say, else below `data_dir`, which
    /// need not exist.
    pub fn new(options: ManagedOptions, data_dir: &Path) -> Self {
        let own = || data_dir.join("engines/llamacpp");
        let folder = options.folder.clone().unwrap_or_else(own);
        Self { options, folder }
    }

    /// The package that is, or would be, installed.
    pub fn package(&self) -> &str {
        &self.options.package
    }

    /// Its Python, if the wanted version is installed.
    pub fn python(&self) -> Option<PathBuf> {
        let installed = std::fs::read_to_string(self.marker()).ok()?;
        let python = self.folder.join("venv/bin/python");
        (installed.trim() == self.options.package && python.exists()).then_some(python)
    }

    fn marker(&self) -> PathBuf {
        self.folder.join("installed")
    }

    /// Installs it, unless the wanted version is there already. `tell` hears
    /// what is being done. An installation that was cut off is begun anew; two
    /// at once wait for each other.
    ///
    /// # Errors
    ///
    /// When Python or the network does not do its part; the message has the
    /// last words of who failed.
    pub async fn install(&self, tell: &(dyn Fn(&str) + Send + Sync)) -> Result<PathBuf, Error> {
        let folder = |source| Error::Folder {
            path: self.folder.clone(),
            source,
        };
        tokio::fs::create_dir_all(&self.folder)
            .await
            .map_err(folder)?;
        let lock = crate::sources::FolderLock::acquire(&self.folder)
            .await
            .map_err(folder)?;
        let python = self.folder.join("venv/bin/python");
        if self.python().is_none() {
            tell("making a Python environment");
            let mut make = Command::new(&self.options.python);
            make.args(["-m", "venv", "--clear"])
                .arg(self.folder.join("venv"));
            run("making the Python environment", make, tell).await?;
            tell(&format!("installing {}", self.options.package));
            let mut pip = Command::new(&python);
            pip.args([
                "-m",
                "pip",
                "install",
                "--disable-pip-version-check",
                "--no-input",
            ]);
            pip.args(&self.options.pip_args).arg(&self.options.package);
            run("pip install", pip, tell).await?;
            tokio::fs::write(self.marker(), &self.options.package)
                .await
                .map_err(folder)?;
        }
        drop(lock);
        Ok(python)
    }
}

async fn run(
    step: &'static str,
    mut command: Command,
    tell: &(dyn Fn(&str) + Send + Sync),
) -> Result<(), Error> {
    let program = command
        .as_std()
        .get_program()
        .to_string_lossy()
        .into_owned();
    let broken = |source| Error::Program {
        program: program.clone(),
        source,
    };
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(broken)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let all = async {
        let (_, last_words) = tokio::join!(follow(stdout, tell), follow(stderr, tell));
        child.wait().await.map(|status| (status, last_words))
    };
    let ended = tokio::time::timeout(STEP_TIMEOUT, all).await;
    let (status, last_words) = ended
        .map_err(|_| Error::TooLong { step })?
        .map_err(broken)?;
    if status.success() {
        Ok(())
    } else {
        Err(Error::Step { step, last_words })
    }
}

/// Tells every line, and keeps the last one.
async fn follow(
    reader: Option<impl AsyncRead + Unpin>,
    tell: &(dyn Fn(&str) + Send + Sync),
) -> String {
    let Some(reader) = reader else {
        return String::new();
    };
    let mut lines = BufReader::new(reader).lines();
    let mut last = String::new();
    while let Ok(Some(line)) = lines.next_line().await {
        if !line.trim().is_empty() {
            tell(&line);
            last = line;
        }
    }
    last
}
