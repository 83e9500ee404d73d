//! What editors on a sandbox's desktop are told of the agent that works there.

use std::{collections::BTreeMap, sync::Arc};

use helix_isolation::{Environment, Error, ErrorKind, GuestClient};
use helix_proto::sandbox::guest::ExecRequest;

/// Settings of Zed: an agent that is the conversation that there is.
const ZED: &str = r#"// Made by Helix. The agent "Helix" is the one that works in this sandbox: its conversation
// is shown here and on the session's page alike.
{
  "agent_servers": {
    "Helix": {
      "type": "custom",
      "command": "/run/helix/helix-sandbox",
      "args": ["acp"],
      "env": {}
    }
  }
}
"#;

/// Writes its first argument to Zed's settings, unless there are some: those are the user's.
const WRITE: &str = r#"set -eC
file=${XDG_CONFIG_HOME:-$HOME/.config}/zed/settings.json
[ ! -e "$file" ] || exit 0
mkdir -p -- "${file%/*}"
printf %s "$1" > "$file""#;

/// Puts settings for editors into a sandbox that runs, for its unprivileged user.
///
/// # Errors
///
/// They cannot be written.
pub(crate) async fn put(environment: Arc<dyn Environment>) -> Result<(), Error> {
    let request = ExecRequest {
        command: ["sh", "-c", WRITE, "sh", ZED].map(str::to_owned).into(),
        env: BTreeMap::new(),
        cwd: Some("/".to_owned()),
        user: None,
        stdin: None,
        timeout_ms: Some(10_000),
        stream: false,
        background: false,
        waits: false,
    };
    let result = GuestClient::new(environment).exec(&request).await?;
    match result.exit.code {
        Some(0) => Ok(()),
        code => Err(Error::new(
            ErrorKind::Failed,
            format!("the settings of editors cannot be written: {code:?}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

    use super::*;

    #[test]
    fn settings_are_written_once_and_a_users_own_stay() {
        let home = tempfile::tempdir().unwrap();
        let write = || {
            let mut shell = Command::new("sh");
            let shell = shell.args(["-c", WRITE, "sh", ZED]);
            shell.env_clear().env("HOME", home.path());
            assert!(shell.status().unwrap().success());
        };
        write();
        let file = home.path().join(".config/zed/settings.json");
        let written = fs::read_to_string(&file).unwrap();
        let (_, json) = written.split_once("alike.\n").unwrap();
        let settings: serde_json::Value = serde_json::from_str(json).unwrap();
        let helix = &settings["agent_servers"]["Helix"];
        assert_eq!(helix["command"], helix_isolation::TOOLS);
        assert_eq!(helix["args"][0], "acp");
        fs::write(&file, "{}").unwrap();
        write();
        assert_eq!(fs::read_to_string(&file).unwrap(), "{}");
    }
}
