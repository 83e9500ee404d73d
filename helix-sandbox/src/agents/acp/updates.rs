//! What the agent says by itself.

use agent_client_protocol::v1::schema::{
    ContentBlock, SessionConfigKind, SessionConfigOption, SessionConfigOptionCategory,
    SessionNotification, SessionUpdate,
};
use helix_proto::agents::{Content, EventBody};
use serde_json::{Value, json};

use super::{Acp, ModelBy, Out, Stage, fit, map};

impl Acp {
    pub(super) fn update(&mut self, params: Value) -> Vec<Out> {
        let notification: SessionNotification = match serde_json::from_value(params) {
            Ok(notification) => notification,
            Err(error) => {
                // A kind that is not known here, or a known one that is wrong: nothing to show.
                tracing::debug!(%error, "an agent's update is not understood");
                return Vec::new();
            }
        };
        // Of another session, such as a part of the work that the agent gave away.
        let is_this = self
            .session
            .as_deref()
            .is_none_or(|session| session == &*notification.session_id.0);
        if !is_this {
            return Vec::new();
        }
        let repeats = self.stage != Stage::Ready;
        match notification.update {
            SessionUpdate::AvailableCommandsUpdate(update) => {
                let mut available = update
                    .available_commands
                    .into_iter()
                    .map(map::command)
                    .collect();
                fit::list(&mut available, |available| EventBody::Commands {
                    available,
                })
            }
            SessionUpdate::CurrentModeUpdate(update) => vec![Out::say(EventBody::Modes {
                current: update.current_mode_id.to_string(),
                available: self.modes.clone(),
            })],
            SessionUpdate::ConfigOptionUpdate(update) => {
                self.config_options(&update.config_options)
            }
            SessionUpdate::SessionInfoUpdate(update) => match update.title.value() {
                Some(title) => vec![Out::say(EventBody::Title {
                    title: fit::cut(title, 1 << 10),
                })],
                None => Vec::new(),
            },
            SessionUpdate::UsageUpdate(update) => vec![Out::say(EventBody::Usage {
                context_tokens: update.used,
                context_size: update.size,
                cost: update.cost.as_ref().map(map::cost),
            })],
            // What was said before, repeated while its session is loaded.
            _ if repeats => Vec::new(),
            SessionUpdate::AgentMessageChunk(chunk) => {
                says(&chunk.content, |content| EventBody::Message { content })
            }
            SessionUpdate::AgentThoughtChunk(chunk) => {
                says(&chunk.content, |content| EventBody::Thought { content })
            }
            SessionUpdate::ToolCall(call) => {
                let mut call = map::tool_call(call);
                fit::call(&mut call);
                vec![Out::say(EventBody::ToolCall(Box::new(call)))]
            }
            SessionUpdate::ToolCallUpdate(update) => {
                let mut update = map::tool_update(update);
                fit::update(&mut update);
                vec![Out::say(EventBody::ToolUpdate(Box::new(update)))]
            }
            SessionUpdate::Plan(plan) => {
                let mut entries = plan.entries.iter().map(map::plan_entry).collect();
                fit::list(&mut entries, |entries| EventBody::Plan { entries })
            }
            SessionUpdate::Notice(notice) => {
                let text = match notice.description {
                    Some(description) => format!("{}: {description}", notice.title),
                    None => notice.title,
                };
                vec![Out::notice(fit::cut(&text, 16 << 10))]
            }
            _ => Vec::new(),
        }
    }

    /// Models are told of; the other options are the agent's own.
    pub(super) fn config_options(&mut self, options: &[SessionConfigOption]) -> Vec<Out> {
        let model = options
            .iter()
            .find(|option| matches!(option.category, Some(SessionConfigOptionCategory::Model)));
        let Some(option) = model else {
            return Vec::new();
        };
        let SessionConfigKind::Select(select) = &option.kind else {
            return Vec::new();
        };
        self.model_by = ModelBy::Option(option.id.to_string());
        self.models = map::select_options(&select.options);
        let current = select.current_value.to_string();
        let mut available = self.models.clone();
        fit::list(&mut available, |available| EventBody::Models {
            current: current.clone(),
            available,
        })
    }

    /// A prompt's content as this agent takes it, and what had to be left out.
    pub(super) fn prompt(&self, content: &[Content]) -> (Vec<Value>, Vec<&'static str>) {
        let (mut blocks, mut left_out) = (Vec::new(), Vec::new());
        for content in content {
            let block = match content {
                Content::Text { text } => json!({"type": "text", "text": text}),
                Content::Image { mime, data } if self.prompts.images => {
                    json!({"type": "image", "mimeType": mime, "data": data})
                }
                Content::Audio { mime, data } if self.prompts.audio => {
                    json!({"type": "audio", "mimeType": mime, "data": data})
                }
                Content::Image { .. } => {
                    left_out.push("the agent takes no pictures: one of the prompt was left out");
                    continue;
                }
                Content::Audio { .. } => {
                    left_out.push("the agent takes no sound: some of the prompt was left out");
                    continue;
                }
                Content::Link { uri, name } => {
                    json!({"type": "resource_link", "uri": uri, "name": name})
                }
                Content::Resource { uri, text } if self.prompts.resources => {
                    json!({"type": "resource", "resource": {"uri": uri, "text": text}})
                }
                Content::Resource { uri, text } => {
                    json!({"type": "text", "text": format!("{uri}:\n{text}")})
                }
            };
            blocks.push(block);
        }
        (blocks, left_out)
    }
}

/// What is new of what it says: a text in pieces, if need be.
fn says(block: &ContentBlock, event: impl Fn(Content) -> EventBody) -> Vec<Out> {
    let content = match map::content(block) {
        Ok(content) => content,
        Err(why) => return vec![Out::notice(why)],
    };
    let Content::Text { text } = content else {
        let event = event(content);
        return match fit::check(&event) {
            Ok(()) => vec![Out::say(event)],
            Err(why) => vec![Out::notice(why)],
        };
    };
    let pieces = fit::pieces(&text).into_iter();
    pieces
        .map(|piece| Out::say(event(Content::text(piece))))
        .collect()
}
