//! Sessions with an agent in a sandbox, and the catalogue of agents.
//!
//! Everything that a page shows of an agent (its queue, the turn in flight, what it says and does)
//! is folded from the entries in the session's log, in order: [`crate::agents::Entry`].

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    SandboxId, ThreadId, TurnId,
    agents::{AgentPhase, Content, HeldBecause, QueuedPrompt},
    sandbox::{CreateSandboxRequest, SandboxPhase},
};

/// The agent of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionAgent {
    /// Its name in the catalogue.
    pub agent: String,
    /// Its title there, for people.
    pub title: String,
    /// The sandbox that it works in.
    pub sandbox_id: SandboxId,
    /// Where in the sandbox it begins.
    pub directory: String,
    /// Whether the sandbox was made for this session, and is deleted with it.
    pub owns_sandbox: bool,
}

/// Starts a session with an agent. Exactly one of `sandbox_id` and `sandbox` is given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateSessionAgent {
    /// Its name in the catalogue.
    pub agent: String,
    /// The sandbox that it works in: one of one's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox_id: Option<SandboxId>,
    /// A sandbox that is made for this session, and deleted with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<CreateSandboxRequest>,
    /// An absolute path in the sandbox; the home of its user if absent. At most 1,024 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// Cloned into the directory first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<SessionRepository>,
    /// The model that the agent's calls go to; the session's if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

/// A git repository that an agent works on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionRepository {
    /// Where it is.
    pub url: String,
    /// What to check out; its default branch if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
}

/// Asks an agent something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PromptRequest {
    /// What; 3 MiB at most, pictures included.
    pub content: Vec<Content>,
    /// Whether the turn in flight stops, and the agent is asked this next; else it waits in the
    /// queue.
    #[serde(default)]
    pub steer: bool,
    /// A number of the client's own choosing: a second request with the same one queues nothing.
    /// At most 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// A prompt was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PromptAccepted {
    /// The turn that it becomes.
    pub turn_id: TurnId,
}

/// Another wording of a prompt in the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditPromptRequest {
    /// What the agent is asked instead.
    pub content: Vec<Content>,
}

/// Another place for a prompt in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MovePromptRequest {
    /// How many prompts are to be before it.
    pub position: u32,
}

/// Sets an agent's mode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetModeRequest {
    /// The id of one that the agent named.
    pub mode: String,
}

/// Sets the model that an agent works with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetAgentModelRequest {
    /// The id of one that the agent named.
    pub model: String,
}

/// Has a session go on with another agent, another model, or both. At least one is needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChooseAgentRequest {
    /// One of the catalogue; the one that there is if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The model that it asks; the one that there is if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

/// A session's agent as of now, for programs; a page folds the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionAgentState {
    /// Where the agent's process is, as its host last said; absent before the first prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<AgentPhase>,
    /// The turn in flight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<AgentTurn>,
    /// The prompts that wait, first the next.
    pub queue: Vec<QueuedPrompt>,
    /// Why the queue waits for somebody to release it, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<HeldBecause>,
    /// The requests for a permission that are open.
    pub permissions: Vec<OpenPermission>,
    /// Whether the host of the sandbox is connected for agents.
    pub host_connected: bool,
    /// Where the sandbox is in its life; absent once it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox_phase: Option<SandboxPhase>,
}

/// The turn in flight of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgentTurn {
    /// Which.
    pub id: TurnId,
    /// Where it is.
    pub state: AgentTurnState,
}

/// Where the turn in flight of an agent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AgentTurnState {
    /// The host was told, and the agent has not taken the prompt yet.
    Dispatched,
    /// The agent is at it.
    Running,
    /// The agent waits for a permission.
    AwaitingPermission,
}

/// A request for a permission that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OpenPermission {
    /// The thread that it is in.
    pub thread: ThreadId,
    /// The sequence number of its event there.
    pub request: u64,
}

/// Which API of models an agent speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ModelApi {
    /// OpenAI's chat completions.
    ChatCompletions,
    /// OpenAI's Responses.
    Responses,
    /// Anthropic's Messages.
    Messages,
    /// None of the control plane's: it has models of its own.
    None,
}

/// An agent of the catalogue, as everybody sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CatalogueAgent {
    /// Its name.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// What it is.
    pub description: String,
    /// Which API of models it speaks.
    pub model_api: ModelApi,
    /// Whether it is installed into a sandbox when it is first used there.
    pub installs: bool,
    /// Whether it is there from the start.
    pub built_in: bool,
    /// Whether sessions can be started with it.
    pub enabled: bool,
}

/// An agent of the catalogue, as administrators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CatalogueAgentDetails {
    /// What everybody sees.
    #[serde(flatten)]
    pub agent: CatalogueAgent,
    /// How it runs.
    #[serde(flatten)]
    pub program: AgentProgram,
}

/// How an agent is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgentProgram {
    /// Program and arguments. 1 to 64, of 4,096 bytes at most each.
    pub command: Vec<String>,
    /// Lines of a shell that install it, run as the sandbox's user where the program is missing. At
    /// most 64, of 4,096 bytes at most each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub install: Vec<String>,
    /// Its environment, besides that of the sandbox. At most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<AgentVariable>,
}

/// A variable of an agent's environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentVariable {
    /// Its name.
    pub name: String,
    /// Its value, in which `{HELIX_API}` is where models are asked in the sandbox,
    /// `{HELIX_API_KEY}` the session's key, and `{HELIX_MODEL}` the session's model. At most 16 KiB.
    pub value: String,
}

/// Puts an agent into the catalogue, or another in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PutAgentRequest {
    /// 1 to 100 characters.
    pub title: String,
    /// At most 1,000 characters.
    #[serde(default)]
    pub description: String,
    /// Which API of models it speaks.
    pub model_api: ModelApi,
    /// Whether sessions can be started with it.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// How it runs.
    #[serde(flatten)]
    pub program: AgentProgram,
}

const fn yes() -> bool {
    true
}
