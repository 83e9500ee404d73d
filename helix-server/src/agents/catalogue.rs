//! The catalogue of agents: what comes with the control plane, and what administrators make of it.

use helix_proto::session::{
    AgentProgram, AgentVariable, CatalogueAgent, CatalogueAgentDetails, ModelApi,
};

use super::Agents;
use crate::{
    api::Failure,
    store::{self},
};

/// Bytes of the JSON of how an agent is started, at most: it is sealed with the session's key.
pub(crate) const PROGRAM_BYTES: usize = 32 << 10;

struct BuiltIn {
    name: &'static str,
    title: &'static str,
    description: &'static str,
    model_api: ModelApi,
    command: &'static [&'static str],
    install: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
}

/// How an npm package is installed for the user of a sandbox.
macro_rules! npm {
    ($packages:literal) => {
        concat!("npm install --global --prefix \"$HOME/.local\" ", $packages)
    };
}

const OPENCODE_CONFIG: &str = concat!(
    r#"{"provider":{"helix":{"npm":"@ai-sdk/openai-compatible","name":"Helix","#,
    r#""options":{"baseURL":"{HELIX_API}/v1","apiKey":"{HELIX_API_KEY}"},"#,
    r#""models":{"{HELIX_MODEL}":{}}}},"model":"helix/{HELIX_MODEL}","enabled_providers":["helix"],"autoupdate":false,"#,
    r#""permission":{"edit":"ask","bash":"ask","webfetch":"ask"}}"#
);

const BUILT_IN: &[BuiltIn] = &[
    BuiltIn {
        name: "helix",
        title: "Helix",
        description: "The built-in agent: a shell and files. Needs nothing installed.",
        model_api: ModelApi::ChatCompletions,
        command: &["helix-sandbox", "agent"],
        install: &[],
        environment: &[
            ("HELIX_API", "{HELIX_API}"),
            ("HELIX_API_KEY", "{HELIX_API_KEY}"),
            ("HELIX_MODEL", "{HELIX_MODEL}"),
        ],
    },
    BuiltIn {
        name: "opencode",
        title: "opencode",
        description: "The open-source coding agent of opencode.ai.",
        model_api: ModelApi::ChatCompletions,
        command: &["opencode", "acp"],
        // Its program comes by its installation script, which newer npm runs for those that are named.
        install: &[npm!("--allow-scripts=opencode-ai opencode-ai")],
        environment: &[("OPENCODE_CONFIG_CONTENT", OPENCODE_CONFIG)],
    },
    BuiltIn {
        name: "qwen-code",
        title: "Qwen Code",
        description: "Alibaba's coding agent for the terminal.",
        model_api: ModelApi::ChatCompletions,
        command: &["qwen", "--auth-type", "openai", "--acp"],
        install: &[npm!("@qwen-code/qwen-code")],
        environment: &[
            ("OPENAI_BASE_URL", "{HELIX_API}/v1"),
            ("OPENAI_API_KEY", "{HELIX_API_KEY}"),
            ("OPENAI_MODEL", "{HELIX_MODEL}"),
        ],
    },
    BuiltIn {
        name: "codex",
        title: "Codex",
        description: "OpenAI's coding agent.",
        model_api: ModelApi::Responses,
        command: &[
            "codex-acp",
            "-c",
            "model_provider=\"helix\"",
            "-c",
            "model_providers.helix.name=\"Helix\"",
            "-c",
            "model_providers.helix.base_url=\"{HELIX_API}/v1\"",
            "-c",
            "model_providers.helix.env_key=\"HELIX_API_KEY\"",
            "-c",
            "model_providers.helix.wire_api=\"responses\"",
            "-c",
            "model=\"{HELIX_MODEL}\"",
            // The sandbox is the sandbox.
            "-c",
            "sandbox_mode=\"danger-full-access\"",
        ],
        install: &[npm!("@zed-industries/codex-acp")],
        environment: &[("HELIX_API_KEY", "{HELIX_API_KEY}")],
    },
    BuiltIn {
        name: "claude-code",
        title: "Claude Code",
        description: "Anthropic's coding agent.",
        model_api: ModelApi::Messages,
        command: &["claude-code-acp"],
        install: &[npm!("@zed-industries/claude-code-acp")],
        environment: &[
            ("ANTHROPIC_BASE_URL", "{HELIX_API}"),
            ("ANTHROPIC_API_KEY", "{HELIX_API_KEY}"),
            ("ANTHROPIC_MODEL", "{HELIX_MODEL}"),
            ("ANTHROPIC_SMALL_FAST_MODEL", "{HELIX_MODEL}"),
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
            ("IS_SANDBOX", "1"),
        ],
    },
    BuiltIn {
        name: "gemini-cli",
        title: "Gemini CLI",
        description: "Google's coding agent. It asks Google's models: its user signs in there.",
        model_api: ModelApi::None,
        command: &["gemini", "--acp"],
        install: &[npm!("@google/gemini-cli")],
        environment: &[],
    },
    BuiltIn {
        name: "goose",
        title: "Goose",
        description: "Block's open-source agent.",
        model_api: ModelApi::ChatCompletions,
        command: &["goose", "acp"],
        install: &[
            "curl -fsSL https://github.com/block/goose/releases/download/stable/download_cli.sh | CONFIGURE=false bash",
        ],
        environment: &[
            ("GOOSE_PROVIDER", "openai"),
            ("GOOSE_MODEL", "{HELIX_MODEL}"),
            ("OPENAI_HOST", "{HELIX_API}"),
            ("OPENAI_API_KEY", "{HELIX_API_KEY}"),
        ],
    },
];

fn details(built_in: &BuiltIn) -> CatalogueAgentDetails {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let variable = |(name, value): &(&str, &str)| AgentVariable {
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    };
    CatalogueAgentDetails {
        agent: CatalogueAgent {
            installs: !built_in.install.is_empty(),
            name: built_in.name.to_owned(),
            title: built_in.title.to_owned(),
            description: built_in.description.to_owned(),
            model_api: built_in.model_api,
            built_in: true,
            enabled: true,
        },
        program: AgentProgram {
            command: owned(built_in.command),
            install: owned(built_in.install),
            environment: built_in.environment.iter().map(variable).collect(),
        },
    }
}

/// The agents that come with the control plane.
pub(super) fn built_in() -> impl Iterator<Item = CatalogueAgentDetails> {
    BUILT_IN.iter().map(details)
}

impl Agents {
    /// The catalogue, by name; for administrators with how each is started.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn catalogue(&self) -> Result<Vec<CatalogueAgentDetails>, store::Error> {
        self.inner.store.catalogue().await
    }

    /// One agent of the catalogue.
    ///
    /// # Errors
    /// Not found.
    pub(crate) async fn catalogue_agent(
        &self,
        name: &str,
    ) -> Result<CatalogueAgentDetails, Failure> {
        let found = self.inner.store.catalogue_agent(name).await?;
        found.ok_or_else(|| Failure::not_found("agent"))
    }

    /// Puts an agent into the catalogue, or another in its place. Threads that there are go on with
    /// what they began with.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn put_catalogue_agent(
        &self,
        details: &CatalogueAgentDetails,
    ) -> Result<CatalogueAgentDetails, Failure> {
        self.inner.store.put_catalogue_agent(details).await?;
        self.catalogue_agent(&details.agent.name).await
    }

    /// Removes an agent from the catalogue; a built-in one is as it came again.
    ///
    /// # Errors
    /// Not found.
    pub(crate) async fn remove_catalogue_agent(&self, name: &str) -> Result<(), Failure> {
        if let Some(details) = built_in().find(|details| details.agent.name == name) {
            self.inner
                .store
                .seed_catalogue_agent(&details, true)
                .await?;
            return Ok(());
        }
        if self.inner.store.remove_catalogue_agent(name).await? {
            Ok(())
        } else {
            Err(Failure::not_found("agent"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_with_the_control_plane_is_within_the_bounds_and_unique() {
        let mut names = std::collections::BTreeSet::new();
        for details in built_in() {
            let text = serde_json::to_string(&details.program).unwrap();
            assert!(text.len() <= PROGRAM_BYTES);
            assert!(!details.program.command.is_empty());
            assert!(names.insert(details.agent.name));
        }
    }

    #[test]
    fn the_settings_of_opencode_are_json() {
        serde_json::from_str::<serde_json::Value>(OPENCODE_CONFIG).unwrap();
    }
}
