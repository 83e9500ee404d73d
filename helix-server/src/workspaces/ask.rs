//! One run of git in a sandbox.

use std::{collections::BTreeMap, time::Duration};

use helix_proto::SandboxId;

use crate::{
    api::Failure,
    sandboxes::{
        Client,
        programs::{Ended, Program},
    },
};

/// How long git may take for what needs no network, and for what does.
pub(super) const LOCAL: Duration = Duration::from_secs(60);
pub(super) const NETWORK: Duration = Duration::from_secs(30 * 60);
/// The most that is read of what it writes.
pub(super) const MOST: usize = 1 << 20;
/// How many of its last characters a message has.
const SAID: usize = 600;

/// Git in a sandbox.
#[derive(Debug, Clone)]
pub(super) struct Git {
    client: Client,
    id: SandboxId,
    directory: Option<String>,
    variables: BTreeMap<String, String>,
}

impl Git {
    pub(super) fn new(client: Client, id: SandboxId) -> Self {
        let variables = [
            // Messages are compared, and read by programs.
            ("LC_ALL", "C.UTF-8"),
            // Nobody is there to be asked.
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_ASKPASS", "true"),
            ("SSH_ASKPASS", "true"),
            ("GIT_EDITOR", "false"),
            // Who only looks takes no lock from who works.
            ("GIT_OPTIONAL_LOCKS", "0"),
            // A path is a path, whatever is in it.
            ("GIT_LITERAL_PATHSPECS", "1"),
        ];
        Self {
            client,
            id,
            directory: None,
            variables: variables
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        }
    }

    /// The same in another directory: from the user's home on.
    pub(super) fn within(self, directory: Option<String>) -> Self {
        Self { directory, ..self }
    }

    /// The same with another variable.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Runs it to its end, whatever that is.
    pub(super) async fn ask(
        &self,
        arguments: &[&str],
        stdin: String,
        within: Duration,
        heard: impl FnMut(&str),
    ) -> Result<Ended, Failure> {
        let command = ["git"].iter().chain(arguments);
        let program = Program {
            command: command.map(|it| (*it).to_owned()).collect(),
            env: self.variables.clone(),
            cwd: self.directory.clone(),
            stdin,
            timeout: within,
            most: MOST,
        };
        Ok(self.client.run(self.id, program, heard).await?)
    }

    /// Runs it, and takes any end but a good one for an error.
    pub(super) async fn run(
        &self,
        arguments: &[&str],
        stdin: String,
        within: Duration,
        heard: impl FnMut(&str),
    ) -> Result<Ended, Failure> {
        let ended = self.ask(arguments, stdin, within, heard).await?;
        if ended.code == Some(0) || ended.truncated {
            return Ok(ended);
        }
        Err(failed(&ended, within))
    }

    /// Runs what needs no network.
    pub(super) async fn local(&self, arguments: &[&str]) -> Result<Ended, Failure> {
        self.run(arguments, String::new(), LOCAL, |_| ()).await
    }

    /// What it answers in one line.
    pub(super) async fn text(&self, arguments: &[&str]) -> Result<String, Failure> {
        let ended = self.local(arguments).await?;
        Ok(String::from_utf8_lossy(&ended.stdout)
            .trim_end_matches('\n')
            .to_owned())
    }
}

/// Why git did not do it, in its own words where it has some.
pub(super) fn failed(ended: &Ended, within: Duration) -> Failure {
    if ended.timed_out {
        let why = format!("git did not end within {} s", within.as_secs());
        return Failure::conflict(why);
    }
    let said = plain(&ended.stderr);
    if said.contains("not a git repository") {
        return Failure::not_found("git repository");
    }
    let refused = [
        "could not read Username",
        "Authentication failed",
        "Permission denied",
    ];
    if refused.iter().any(|words| said.contains(words)) {
        let why = format!(
            "the git server wants a password, or another one: add it as a secret for this server, and give it to the sandbox. Git said: {said}"
        );
        return Failure::conflict(why);
    }
    let why = match (said.is_empty(), ended.code) {
        (false, _) => format!("git refused: {said}"),
        (true, Some(code)) => format!("git ended with code {code}, and without a word"),
        (true, None) => "git was killed".to_owned(),
    };
    Failure::conflict(why)
}

/// The end of what was said: in a line, without control characters, and without what went
/// on before it failed.
fn plain(said: &str) -> String {
    let is_progress = |line: &&str| line.contains("% (") || line.trim().is_empty();
    let lines = said.split(['\n', '\r']).filter(|line| !is_progress(line));
    let line = lines.map(str::trim).collect::<Vec<_>>().join(" ");
    let line: Vec<char> = line.chars().filter(|it| !it.is_control()).collect();
    line[line.len().saturating_sub(SAID)..].iter().collect()
}

#[cfg(test)]
mod tests {
    use helix_proto::ErrorCode;

    use super::*;

    fn told(stderr: &str) -> Failure {
        let ended = Ended {
            code: Some(128),
            stderr: stderr.to_owned(),
            ..Ended::default()
        };
        failed(&ended, LOCAL)
    }

    #[test]
    fn a_failure_says_what_git_said_and_what_to_do() {
        let none = told("fatal: not a git repository (or any of the parent directories): .git\n");
        assert_eq!(none.error().code, ErrorCode::NotFound);
        let password =
            told("fatal: could not read Username for 'https://x': terminal prompts disabled\n");
        assert!(password.error().message.contains("as a secret"));
        let other = told("Receiving objects:  50% (1/2)\rerror: a\u{1b}[31m\nfatal: b\n");
        assert_eq!(other.error().message, "git refused: error: a[31m fatal: b");
        assert!(told("").error().message.contains("code 128"));
        assert!(told(&"x".repeat(9_999)).error().message.len() < 700);
    }
}
