//! Unmodified Python clients.

use std::{
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::OnceLock,
    time::Duration,
};

use crate::programs::{programs, root};

/// Runs a script of `tests/python` with the `openai` and `anthropic` packages, against a control
/// plane; its output must end with a line `ok`.
///
/// # Panics
/// When it fails, or takes longer than two minutes.
pub async fn run(script: &str, base_url: &str, api_key: &str, arguments: &[&str]) -> String {
    let mut command = tokio::process::Command::new(python());
    command
        .arg(root().join("tests/python").join(script))
        .args(arguments);
    command
        .env("OPENAI_BASE_URL", format!("{base_url}/v1"))
        .env("OPENAI_API_KEY", api_key)
        .env("ANTHROPIC_BASE_URL", base_url)
        .env("ANTHROPIC_API_KEY", api_key);
    command
        .env("NO_PROXY", "127.0.0.1")
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(120), command.output()).await;
    let Output {
        status,
        stdout,
        stderr,
    } = output.expect("it ends within two minutes").unwrap();
    let (said, errors) = (
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr),
    );
    assert!(
        status.success() && said.trim_end().ends_with("ok"),
        "{script}: {said}\n{errors}"
    );
    said.into_owned()
}

/// A Python with what `tests/python/requirements.txt` lists.
fn python() -> &'static PathBuf {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| std::env::var_os("HELIX_TEST_PYTHON").map_or_else(make, PathBuf::from))
}

fn make() -> PathBuf {
    let folder = programs().engines.with_file_name("python-by-hand");
    let python = folder.join("bin/python");
    if !python.exists() {
        let run =
            |command: &mut Command| assert!(command.status().unwrap().success(), "{command:?}");
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder));
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--requirement"]);
        run(pip.arg(root().join("tests/python/requirements.txt")));
    }
    python
}
