//! The protocol's words in those of agent sync.

use agent_client_protocol::v1::schema as acp;
use helix_proto::agents::{
    AgentCommand, Choice, Content, Cost, Diff, Location, OptionKind, PermissionOption, PlanEntry,
    PlanPriority, PlanStatus, ToolCall, ToolContent, ToolKind, ToolStatus, ToolUpdate,
};
use serde_json::Value;

use super::fit::cut;

/// Content, or what is said in its place.
pub(crate) fn content(block: &acp::ContentBlock) -> Result<Content, String> {
    Ok(match block {
        acp::ContentBlock::Text(text) => Content::text(&text.text),
        acp::ContentBlock::Image(image) => Content::Image {
            mime: image.mime_type.clone(),
            data: image.data.clone(),
        },
        acp::ContentBlock::Audio(audio) => Content::Audio {
            mime: audio.mime_type.clone(),
            data: audio.data.clone(),
        },
        acp::ContentBlock::ResourceLink(link) => Content::Link {
            uri: cut(&link.uri, 4 << 10),
            name: cut(&link.name, 1 << 10),
        },
        acp::ContentBlock::Resource(resource) => match &resource.resource {
            acp::EmbeddedResourceResource::TextResourceContents(text) => Content::Resource {
                uri: cut(&text.uri, 4 << 10),
                text: text.text.clone(),
            },
            acp::EmbeddedResourceResource::BlobResourceContents(blob) => Content::Link {
                uri: cut(&blob.uri, 4 << 10),
                name: cut(&blob.uri, 1 << 10),
            },
            _ => return Err(unknown()),
        },
        _ => return Err(unknown()),
    })
}

fn unknown() -> String {
    "the agent said something of a kind that is not known here".to_owned()
}

pub(super) fn tool_call(call: acp::ToolCall) -> ToolCall {
    ToolCall {
        id: call.tool_call_id.to_string(),
        title: call.title,
        kind: kind(call.kind),
        status: status(call.status),
        content: call.content.iter().filter_map(tool_content).collect(),
        locations: call.locations.iter().map(location).collect(),
        input: call.raw_input,
    }
}

pub(super) fn tool_update(update: acp::ToolCallUpdate) -> ToolUpdate {
    let fields = update.fields;
    let content = fields.content;
    let locations = fields.locations;
    ToolUpdate {
        id: update.tool_call_id.to_string(),
        title: fields.title,
        kind: fields.kind.map(kind),
        status: fields.status.map(status),
        content: content.map(|content| content.iter().filter_map(tool_content).collect()),
        locations: locations.map(|all| all.iter().map(location).collect()),
        input: fields.raw_input,
        output: fields.raw_output,
    }
}

fn tool_content(content: &acp::ToolCallContent) -> Option<ToolContent> {
    match content {
        acp::ToolCallContent::Content(inner) => Some(ToolContent::Content {
            content: self::content(&inner.content).unwrap_or_else(Content::text),
        }),
        acp::ToolCallContent::Diff(diff) => Some(ToolContent::Diff(Diff {
            path: diff.path.to_string_lossy().into_owned(),
            before: diff.old_text.clone(),
            after: diff.new_text.clone(),
            omitted_bytes: 0,
        })),
        acp::ToolCallContent::Terminal(terminal) => Some(ToolContent::Terminal {
            terminal: terminal.terminal_id.to_string(),
        }),
        _ => None,
    }
}

fn location(location: &acp::ToolCallLocation) -> Location {
    Location {
        path: cut(&location.path.to_string_lossy(), 4 << 10),
        line: location.line,
    }
}

fn kind(kind: acp::ToolKind) -> ToolKind {
    match kind {
        acp::ToolKind::Read => ToolKind::Read,
        acp::ToolKind::Edit => ToolKind::Edit,
        acp::ToolKind::Delete => ToolKind::Delete,
        acp::ToolKind::Move => ToolKind::Move,
        acp::ToolKind::Search => ToolKind::Search,
        acp::ToolKind::Execute => ToolKind::Execute,
        acp::ToolKind::Think => ToolKind::Think,
        acp::ToolKind::Fetch => ToolKind::Fetch,
        acp::ToolKind::SwitchMode => ToolKind::SwitchMode,
        _ => ToolKind::Other,
    }
}

fn status(status: acp::ToolCallStatus) -> ToolStatus {
    match status {
        acp::ToolCallStatus::InProgress => ToolStatus::InProgress,
        acp::ToolCallStatus::Completed => ToolStatus::Completed,
        acp::ToolCallStatus::Failed => ToolStatus::Failed,
        _ => ToolStatus::Pending,
    }
}

pub(super) fn permission_option(option: &acp::PermissionOption) -> PermissionOption {
    let kind = match option.kind {
        acp::PermissionOptionKind::AllowOnce => OptionKind::AllowOnce,
        acp::PermissionOptionKind::AllowAlways => OptionKind::AllowAlways,
        acp::PermissionOptionKind::RejectAlways => OptionKind::RejectAlways,
        // What is not known is no leave.
        _ => OptionKind::RejectOnce,
    };
    PermissionOption {
        id: option.option_id.to_string(),
        name: cut(&option.name, 1 << 10),
        kind,
    }
}

pub(super) fn plan_entry(entry: &acp::PlanEntry) -> PlanEntry {
    PlanEntry {
        content: cut(&entry.content, 4 << 10),
        priority: match entry.priority {
            acp::PlanEntryPriority::High => PlanPriority::High,
            acp::PlanEntryPriority::Low => PlanPriority::Low,
            _ => PlanPriority::Medium,
        },
        status: match entry.status {
            acp::PlanEntryStatus::InProgress => PlanStatus::InProgress,
            acp::PlanEntryStatus::Completed => PlanStatus::Completed,
            _ => PlanStatus::Pending,
        },
    }
}

pub(super) fn command(command: acp::AvailableCommand) -> AgentCommand {
    AgentCommand {
        name: cut(&command.name, 256),
        description: cut(&command.description, 1 << 10),
        hint: command.input.and_then(|input| match input {
            acp::AvailableCommandInput::Unstructured(input) => Some(cut(&input.hint, 1 << 10)),
            _ => None,
        }),
    }
}

pub(super) fn modes(modes: &acp::SessionModeState) -> Vec<Choice> {
    let available = modes.available_modes.iter().take(256);
    let choice = |mode: &acp::SessionMode| Choice {
        id: cut(&mode.id.0, 256),
        name: cut(&mode.name, 256),
        description: mode.description.as_deref().map(|text| cut(text, 1 << 10)),
    };
    available.map(choice).collect()
}

pub(super) fn select_options(options: &acp::SessionConfigSelectOptions) -> Vec<Choice> {
    let choice = |option: &acp::SessionConfigSelectOption| Choice {
        id: option.value.to_string(),
        name: cut(&option.name, 256),
        description: option.description.as_deref().map(|text| cut(text, 1 << 10)),
    };
    match options {
        acp::SessionConfigSelectOptions::Ungrouped(options) => options.iter().map(choice).collect(),
        acp::SessionConfigSelectOptions::Grouped(groups) => {
            let options = groups.iter().flat_map(|group| &group.options);
            options.map(choice).collect()
        }
        _ => Vec::new(),
    }
}

/// Models as agents name them that know no options: the current one, and all.
pub(super) fn models(models: &Value) -> Option<(String, Vec<Choice>)> {
    let current = models.get("currentModelId")?.as_str()?.to_owned();
    let available = models.get("availableModels")?.as_array()?.iter().take(256);
    let choice = |model: &Value| {
        let text = |name: &str| Some(cut(model.get(name)?.as_str()?, 256));
        let id = text("modelId")?;
        Some(Choice {
            name: text("name").unwrap_or_else(|| id.clone()),
            id,
            description: text("description"),
        })
    };
    Some((current, available.filter_map(choice).collect()))
}

pub(super) fn cost(cost: &acp::Cost) -> Cost {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast of a float saturates, and what is not a cost is none"
    )]
    let micros = (cost.amount * 1e6).round() as u64;
    Cost {
        micros,
        currency: cut(&cost.currency, 16),
    }
}
