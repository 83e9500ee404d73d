//! What happened in a thread.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{
    Content, Error, MAX_EVENT, MAX_NAME, PermissionAnswer, ToolCall, ToolUpdate, bounded,
    json_bytes,
};
use crate::TurnId;

/// Something that happened in a thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AgentEvent)]
pub struct Event {
    /// 1 for the first of the thread, then without gaps.
    pub seq: u64,
    /// When, by the host's clock.
    pub at_ms: u64,
    /// What.
    #[serde(flatten)]
    pub body: EventBody,
}

/// What can happen in a thread. Serialised with its kind as `type`.
///
/// A kind that is not known here is kept as it came ([`Self::Unknown`]): it is stored, counted
/// and shown to readers, who may know it. A kind that is known but cannot be read is an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AgentEventBody)]
#[serde(tag = "type", rename_all = "snake_case", remote = "Self")]
pub enum EventBody {
    /// Where the agent's process is.
    Agent {
        /// Where.
        phase: AgentPhase,
        /// For people: what is being done, or why it stopped.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        detail: String,
    },
    /// The agent has a session.
    Session {
        /// The agent's own id of it, with which it can be resumed.
        session: String,
        /// False: the agent knows nothing of what was said in this thread before.
        resumed: bool,
    },
    /// The modes that the agent has.
    Modes {
        /// The one it is in.
        current: String,
        /// All of them.
        available: Vec<Choice>,
    },
    /// The models that the agent can work with.
    Models {
        /// The one it works with.
        current: String,
        /// All of them.
        available: Vec<Choice>,
    },
    /// The commands that the agent has.
    Commands {
        /// All of them.
        available: Vec<AgentCommand>,
    },
    /// The agent has the prompt of a turn.
    TurnStarted {
        /// The turn.
        turn: TurnId,
    },
    /// More of what the agent says.
    Message {
        /// What is new.
        content: Content,
    },
    /// More of what the agent thinks.
    Thought {
        /// What is new.
        content: Content,
    },
    /// The agent calls a tool.
    ToolCall(Box<ToolCall>),
    /// A tool call changed.
    ToolUpdate(Box<ToolUpdate>),
    /// More output of a terminal that the agent opened.
    Terminal {
        /// Its id.
        terminal: String,
        /// What is new.
        output: String,
        /// Bytes before it that the host left out.
        #[serde(default)]
        omitted_bytes: u64,
    },
    /// The program in a terminal ended.
    TerminalEnded {
        /// Its id.
        terminal: String,
        /// What it exited with; absent if a signal ended it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<i32>,
    },
    /// What the agent plans; replaces what it planned before.
    Plan {
        /// All of it.
        entries: Vec<PlanEntry>,
    },
    /// The agent asks whether it may. The event's sequence number is the request's.
    PermissionRequested {
        /// What it wants to do.
        call: Box<ToolUpdate>,
        /// At least one.
        options: Vec<PermissionOption>,
    },
    /// A permission request is over.
    PermissionResolved {
        /// The sequence number of the request's event.
        request: u64,
        /// How.
        answer: PermissionAnswer,
    },
    /// What the conversation used.
    Usage {
        /// Tokens in the agent's context now.
        context_tokens: u64,
        /// How many can be.
        context_size: u64,
        /// What the thread cost so far, as the agent counts it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cost: Option<Cost>,
    },
    /// The agent gave the conversation a title.
    Title {
        /// It.
        title: String,
    },
    /// A turn is over. Of a turn that a host was sent, there is exactly one.
    TurnEnded {
        /// The turn.
        turn: TurnId,
        /// How.
        #[serde(flatten)]
        end: TurnEnd,
    },
    /// An editor in the sandbox wants something; the control plane decides.
    Wanted(Wanted),
    /// Something that people should know; also what came instead of an event that was beyond
    /// its bound.
    Notice {
        /// For people.
        text: String,
    },
    /// The thread is over, and nothing follows.
    Closed,
    /// A kind that is not known here, with all its fields.
    #[serde(untagged, skip_deserializing)]
    Unknown(Map<String, Value>),
}

/// All kinds of events that are known here.
const KINDS: &[&str] = &[
    "agent",
    "session",
    "modes",
    "models",
    "commands",
    "turn_started",
    "message",
    "thought",
    "tool_call",
    "tool_update",
    "terminal",
    "terminal_ended",
    "plan",
    "permission_requested",
    "permission_resolved",
    "usage",
    "title",
    "turn_ended",
    "wanted",
    "notice",
    "closed",
];

impl Serialize for EventBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for EventBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = Map::deserialize(deserializer)?;
        match fields.get("type").and_then(Value::as_str) {
            None => Err(D::Error::custom("an event without a type")),
            Some(kind) if KINDS.contains(&kind) => {
                Self::deserialize(Value::Object(fields)).map_err(D::Error::custom)
            }
            Some(_) => Ok(Self::Unknown(fields)),
        }
    }
}

impl EventBody {
    /// Bytes of its JSON.
    pub fn bytes(&self) -> usize {
        json_bytes(self)
    }

    /// Whether it is within the bounds.
    ///
    /// # Errors
    /// It is beyond one of them.
    pub fn check(&self) -> Result<(), Error> {
        let id = match self {
            Self::Session { session, .. } => session,
            Self::Modes { current, .. } | Self::Models { current, .. } => current,
            Self::ToolCall(call) => &call.id,
            Self::ToolUpdate(update) => &update.id,
            Self::PermissionRequested { call, options } => {
                if options.is_empty() {
                    return Err(Error::Malformed(
                        "a permission request without an option".to_owned(),
                    ));
                }
                for option in options {
                    bounded("an option's id", option.id.len(), MAX_NAME)?;
                }
                &call.id
            }
            Self::Terminal { terminal, .. } | Self::TerminalEnded { terminal, .. } => terminal,
            _ => "",
        };
        bounded("an id", id.len(), MAX_NAME)?;
        bounded("an event", self.bytes(), MAX_EVENT)
    }
}

/// Where an agent's process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AgentPhase {
    /// It is being installed or started.
    Starting,
    /// It takes prompts.
    Ready,
    /// It does not run; the next prompt starts it.
    Stopped,
}

/// How a turn ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum TurnEnd {
    /// The agent said that it is done.
    Completed {
        /// Why it stopped.
        stop: StopReason,
    },
    /// It was cancelled.
    Cancelled,
    /// It ended otherwise.
    Failed {
        /// For people.
        reason: String,
    },
}

/// Why an agent stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// It has said all.
    EndTurn,
    /// The model's bound on tokens.
    MaxTokens,
    /// The agent's bound on requests to the model.
    MaxTurnRequests,
    /// It refused to go on.
    Refusal,
    /// What this version does not know.
    #[serde(other)]
    Other,
}

/// One of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AgentChoice)]
pub struct Choice {
    /// Its id.
    pub id: String,
    /// For people.
    pub name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A command that an agent has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgentCommand {
    /// What comes after the slash.
    pub name: String,
    /// For people.
    pub description: String,
    /// What can follow it, for people; absent if nothing can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// A part of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanEntry {
    /// For people.
    pub content: String,
    /// How much it matters.
    pub priority: PlanPriority,
    /// Where it is.
    pub status: PlanStatus,
}

/// How much a part of a plan matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlanPriority {
    /// Much.
    High,
    /// Some.
    Medium,
    /// Little.
    Low,
}

/// Where a part of a plan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlanStatus {
    /// It has not begun.
    Pending,
    /// It is being worked on.
    InProgress,
    /// It is done.
    Completed,
}

/// One of the answers to a permission request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PermissionOption {
    /// Its id.
    pub id: String,
    /// For people.
    pub name: String,
    /// What it means.
    pub kind: OptionKind,
}

/// What an answer to a permission request means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[schema(as = PermissionOptionKind)]
#[serde(rename_all = "snake_case")]
pub enum OptionKind {
    /// This time.
    AllowOnce,
    /// This and every other time.
    AllowAlways,
    /// Not this time.
    RejectOnce,
    /// Never.
    RejectAlways,
}

/// What something cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AgentCost)]
pub struct Cost {
    /// Millionths of the currency.
    pub micros: u64,
    /// ISO 4217.
    pub currency: String,
}

/// What an editor in the sandbox wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AgentWanted)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Wanted {
    /// That the agent is asked something: a prompt, to be queued as every other. It comes back as
    /// [`super::Command::Prompt`] or [`super::Command::Unwanted`], with this event's number.
    Prompt {
        /// What the agent is asked.
        content: Vec<Content>,
    },
    /// That a turn ends.
    Cancel {
        /// The turn.
        turn: TurnId,
    },
    /// That a permission request is answered.
    Answer {
        /// The sequence number of the request's event.
        request: u64,
        /// How.
        answer: PermissionAnswer,
    },
    /// Another mode of the agent.
    SetMode {
        /// One of those that the agent named.
        mode: String,
    },
    /// Another model for the agent.
    SetModel {
        /// One of those that the agent named.
        model: String,
    },
}
