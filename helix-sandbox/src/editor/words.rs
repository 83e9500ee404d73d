//! The words of agent sync in those of the Agent Client Protocol, for editors.

use helix_proto::{
    TurnId,
    agents::{
        AgentCommand, Choice, Content, Cost, Diff, Location, OptionKind, PermissionOption,
        PlanEntry, StopReason, ToolCall, ToolContent, ToolKind, ToolStatus, ToolUpdate,
    },
};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// A word that both write in the same way.
fn word(word: &impl Serialize) -> Value {
    serde_json::to_value(word).unwrap_or_default()
}

pub(super) fn content(content: &Content) -> Value {
    match content {
        Content::Text { text } => json!({"type": "text", "text": text}),
        Content::Image { mime, data } => json!({"type": "image", "mimeType": mime, "data": data}),
        Content::Audio { mime, data } => json!({"type": "audio", "mimeType": mime, "data": data}),
        Content::Link { uri, name } => json!({"type": "resource_link", "uri": uri, "name": name}),
        Content::Resource { uri, text } => {
            json!({"type": "resource", "resource": {"uri": uri, "text": text}})
        }
    }
}

/// A piece of what somebody says.
pub(super) fn chunk(kind: &str, content: &Content) -> Value {
    json!({"sessionUpdate": kind, "content": self::content(content)})
}

/// A piece of what somebody asked.
pub(super) fn prompt(turn: TurnId, content: &Content) -> Value {
    let mut chunk = chunk("user_message_chunk", content);
    chunk["messageId"] = turn.to_string().into();
    chunk
}

pub(super) fn tool_call(call: &ToolCall) -> Value {
    let mut fields = Map::from_iter([
        ("sessionUpdate".to_owned(), "tool_call".into()),
        ("toolCallId".to_owned(), call.id.as_str().into()),
        ("title".to_owned(), call.title.as_str().into()),
        ("kind".to_owned(), kind(call.kind)),
        ("status".to_owned(), status(call.status)),
    ]);
    if !call.locations.is_empty() {
        fields.insert("locations".to_owned(), locations(&call.locations));
    }
    if let Some(input) = &call.input {
        fields.insert("rawInput".to_owned(), input.clone());
    }
    fields.into()
}

/// What changed of a call; its content is the caller's to add.
pub(super) fn tool_update(update: &ToolUpdate) -> Map<String, Value> {
    let mut fields = Map::from_iter([("toolCallId".to_owned(), update.id.as_str().into())]);
    let known = [
        ("title", update.title.as_deref().map(Value::from)),
        ("kind", update.kind.map(kind)),
        ("status", update.status.map(status)),
        ("locations", update.locations.as_deref().map(locations)),
        ("rawInput", update.input.clone()),
        ("rawOutput", update.output.clone()),
    ];
    for (name, value) in known {
        if let Some(value) = value {
            fields.insert(name.to_owned(), value);
        }
    }
    fields
}

fn kind(kind: ToolKind) -> Value {
    word(&kind)
}

pub(super) fn status(status: ToolStatus) -> Value {
    word(&status)
}

fn locations(locations: &[Location]) -> Value {
    let location = |place: &Location| match place.line {
        Some(line) => json!({"path": place.path, "line": line}),
        None => json!({"path": place.path}),
    };
    locations.iter().map(location).collect()
}

/// What a tool made. A terminal is the host's: its output, as far as it is known, is shown as
/// text, since an editor knows only terminals of its own.
pub(super) fn tool_content(content: &ToolContent, output: impl Fn(&str) -> String) -> Value {
    match content {
        ToolContent::Content { content } => {
            json!({"type": "content", "content": self::content(content)})
        }
        ToolContent::Diff(Diff {
            path,
            before,
            after,
            ..
        }) => {
            json!({"type": "diff", "path": path, "oldText": before, "newText": after})
        }
        ToolContent::Terminal { terminal } => {
            let text = format!("```\n{}\n```", output(terminal));
            json!({"type": "content", "content": {"type": "text", "text": text}})
        }
    }
}

/// That some of a change is not shown.
pub(super) fn left_out(content: &ToolContent) -> Option<Value> {
    match content {
        ToolContent::Diff(diff) if diff.omitted_bytes > 0 => {
            let text = format!(
                "({} bytes of this change are not shown)",
                diff.omitted_bytes
            );
            Some(json!({"type": "content", "content": {"type": "text", "text": text}}))
        }
        _ => None,
    }
}

pub(super) fn plan(entries: &[PlanEntry]) -> Value {
    let entry = |entry: &PlanEntry| {
        json!({
            "content": entry.content,
            "priority": word(&entry.priority),
            "status": word(&entry.status),
        })
    };
    let entries: Value = entries.iter().map(entry).collect();
    json!({"sessionUpdate": "plan", "entries": entries})
}

pub(super) fn commands(commands: &[AgentCommand]) -> Value {
    let command = |command: &AgentCommand| {
        let mut fields = json!({"name": command.name, "description": command.description});
        if let Some(hint) = &command.hint {
            fields["input"] = json!({"hint": hint});
        }
        fields
    };
    let commands: Value = commands.iter().map(command).collect();
    json!({"sessionUpdate": "available_commands_update", "availableCommands": commands})
}

pub(super) fn usage(used: u64, size: u64, cost: Option<&Cost>) -> Value {
    let mut fields = json!({"sessionUpdate": "usage_update", "used": used, "size": size});
    if let Some(cost) = cost {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a cost that large would be another problem"
        )]
        let amount = cost.micros as f64 / 1e6;
        fields["cost"] = json!({"amount": amount, "currency": cost.currency});
    }
    fields
}

pub(super) fn options(options: &[PermissionOption]) -> Value {
    let option = |option: &PermissionOption| {
        let kind: &OptionKind = &option.kind;
        json!({"optionId": option.id, "name": option.name, "kind": word(kind)})
    };
    options.iter().map(option).collect()
}

/// The modes that there are, as a session begins with them.
pub(super) fn modes(current: &str, available: &[Choice]) -> Value {
    let mode = |choice: &Choice| json!({"id": choice.id, "name": choice.name, "description": choice.description});
    let modes: Value = available.iter().map(mode).collect();
    json!({"currentModeId": current, "availableModes": modes})
}

/// The id of the option by which the model is chosen.
pub(super) const MODEL: &str = "model";

/// The models that there are, as an option of the session.
pub(super) fn models(current: &str, available: &[Choice]) -> Value {
    let model = |choice: &Choice| json!({"value": choice.id, "name": choice.name, "description": choice.description});
    let models: Value = available.iter().map(model).collect();
    json!([{
        "id": MODEL,
        "name": "Model",
        "category": "model",
        "type": "select",
        "currentValue": current,
        "options": models,
    }])
}

pub(super) fn stop(stop: StopReason) -> &'static str {
    match stop {
        StopReason::EndTurn | StopReason::Other => "end_turn",
        StopReason::MaxTokens => "max_tokens",
        StopReason::MaxTurnRequests => "max_turn_requests",
        StopReason::Refusal => "refusal",
    }
}
