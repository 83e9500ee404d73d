//! Where the daemons and the engine are.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The programs under test, built once for all tests of a process.
#[derive(Debug)]
pub struct Programs {
    /// The control plane.
    pub server: PathBuf,
    /// The runner.
    pub runner: PathBuf,
    /// The sandbox host.
    pub sandbox: PathBuf,
    /// The project's own commands.
    pub xtask: PathBuf,
    /// Where the managed llama.cpp server is installed.
    pub engines: PathBuf,
}

/// The programs: those that `cargo xtask test` built, else built now.
///
/// # Panics
/// When they cannot be built, or the engine cannot be installed.
pub fn programs() -> &'static Programs {
    static PROGRAMS: OnceLock<Programs> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let named = |name: &str| std::env::var_os(format!("HELIX_TEST_{name}")).map(PathBuf::from);
        let given = named("HELIX_SERVER")
            .zip(named("HELIX_RUNNER"))
            .zip(named("XTASK"))
            .zip(named("HELIX_SANDBOX"));
        let given = given.map(|(((s, r), x), h)| (s, r, x, h));
        let (server, runner, xtask, sandbox) = given.unwrap_or_else(build);
        let tools = server
            .parent()
            .and_then(Path::parent)
            .unwrap()
            .join("tools/runner");
        let mut install = Command::new(&runner);
        install
            .args(["engine", "install", "llamacpp", "--data-dir"])
            .arg(&tools);
        succeed(&mut install);
        let engines = tools.join("engines");
        Programs {
            server,
            runner,
            sandbox,
            xtask,
            engines,
        }
    })
}

fn build() -> (PathBuf, PathBuf, PathBuf, PathBuf) {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "build",
        "--locked",
        "-p",
        "helix-server",
        "-p",
        "helix-runner",
        "-p",
        "helix-sandbox",
        "-p",
        "helix-media",
        "-p",
        "xtask",
    ]);
    succeed(cargo.args(["--bins"]).current_dir(root()));
    // This program is in target/debug/deps.
    let here = std::env::current_exe().unwrap();
    let folder = here.parent().and_then(Path::parent).unwrap();
    (
        folder.join("helix-server"),
        folder.join("helix-runner"),
        folder.join("xtask"),
        folder.join("helix-sandbox"),
    )
}

fn succeed(command: &mut Command) {
    let status = command.status();
    assert!(
        status.as_ref().is_ok_and(std::process::ExitStatus::success),
        "{command:?}: {status:?}"
    );
}

/// The repository's root.
///
/// # Panics
/// Never: this crate is in a folder of it.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The demo model's weights.
pub fn tiny_model() -> PathBuf {
    root().join("models/tiny.gguf")
}
