//! What prompts, messages and tool calls are made of.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A piece of a prompt, of a message, or of what a tool gave back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AgentContent)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Content {
    /// Text, mostly Markdown. Of messages and thoughts, each piece is what is new.
    Text {
        /// The text.
        text: String,
    },
    /// A picture.
    Image {
        /// Its type.
        mime: String,
        /// Base 64.
        data: String,
    },
    /// Sound.
    Audio {
        /// Its type.
        mime: String,
        /// Base 64.
        data: String,
    },
    /// Something to be found elsewhere.
    Link {
        /// Where.
        uri: String,
        /// For people.
        name: String,
    },
    /// A file or the like, with its text.
    Resource {
        /// Where it is from.
        uri: String,
        /// Its text.
        text: String,
    },
}

impl Content {
    /// A piece of text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into() }
    }
}

/// What kind of thing a tool does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToolKind {
    /// Reads.
    Read,
    /// Changes files.
    Edit,
    /// Removes files.
    Delete,
    /// Moves files.
    Move,
    /// Searches.
    Search,
    /// Runs programs.
    Execute,
    /// Thinks.
    Think,
    /// Fetches from elsewhere.
    Fetch,
    /// Changes the agent's mode.
    SwitchMode,
    /// Anything else, also what this version does not know.
    #[default]
    #[serde(other)]
    Other,
}

/// Where a tool call is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToolStatus {
    /// It has not begun: it is being written, or waits for permission.
    #[default]
    Pending,
    /// It runs.
    InProgress,
    /// It is done.
    Completed,
    /// It went wrong.
    Failed,
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ToolCall {
    /// The agent's own id of it. One that was there before gives way to this.
    pub id: String,
    /// For people.
    pub title: String,
    /// What kind of thing it does.
    #[serde(default)]
    pub kind: ToolKind,
    /// Where it is.
    #[serde(default)]
    pub status: ToolStatus,
    /// What it made so far.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub content: Vec<ToolContent>,
    /// The files that it works on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locations: Vec<Location>,
    /// What the tool was given, as the agent says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
}

/// What changed of a tool call: what is absent stays, what is there replaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ToolUpdate {
    /// The agent's own id of the call; one that is not known begins a call.
    pub id: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What kind of thing it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ToolKind>,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ToolStatus>,
    /// All that it made so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Vec<ToolContent>>,
    /// All files that it works on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locations: Option<Vec<Location>>,
    /// What the tool was given, as the agent says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    /// What the tool gave back, as the agent says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
}

/// What a tool call made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToolContent {
    /// Text and the like.
    Content {
        /// It.
        content: Content,
    },
    /// A change to a file.
    Diff(Diff),
    /// A terminal, whose output comes by [`super::EventBody::Terminal`].
    Terminal {
        /// Its id.
        terminal: String,
    },
}

/// A change to a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AgentDiff)]
pub struct Diff {
    /// An absolute path in the sandbox.
    pub path: String,
    /// What it was; absent for a new file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What it is.
    pub after: String,
    /// Bytes that the host left out of both, since the change was beyond the bound of an event.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub omitted_bytes: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ToolLocation)]
pub struct Location {
    /// An absolute path in the sandbox.
    pub path: String,
    /// From 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}
