//! Reads a request.

use serde_json::{Map, Value, json};

use super::blocks;
use crate::{
    Refused,
    chat::{self, Conversation, Upstream},
};

/// A request for a message, or for the number of its tokens.
#[derive(Debug, Clone)]
pub struct Request {
    model: String,
    stream: bool,
    thinking: bool,
    conversation: Conversation,
    tools: Vec<Value>,
    tool_choice: Option<Value>,
    /// Everything but the conversation.
    body: Map<String, Value>,
}

impl Request {
    /// Looks at a body. Fields that it does not know it passes over.
    ///
    /// # Errors
    /// When it is no request that can be translated.
    pub fn read(body: Value) -> Result<Self, Refused> {
        let Value::Object(mut body) = body else {
            return Err(Refused::no_object());
        };
        let Some(model) = body.get("model").and_then(Value::as_str) else {
            return Err(Refused::new("model", "model: a string is required"));
        };
        let model = model.to_owned();
        let (system, messages) = (body.remove("system"), body.remove("messages"));
        let thinking = body.get("thinking").and_then(|it| it["type"].as_str());
        Ok(Self {
            model,
            stream: body.get("stream") == Some(&Value::Bool(true)),
            thinking: matches!(thinking, Some("enabled" | "adaptive")),
            conversation: conversation(system.as_ref(), messages.as_ref())?,
            tools: tools(body.get("tools"))?,
            tool_choice: tool_choice(body.get("tool_choice"))?,
            body,
        })
    }

    /// The model that is asked for.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Whether the client wants events.
    pub const fn stream(&self) -> bool {
        self.stream
    }

    /// Whether the client wants to see what was thought.
    pub const fn thinking(&self) -> bool {
        self.thinking
    }

    /// Refuses what only a request for a message must have.
    ///
    /// # Errors
    /// When `max_tokens` is missing.
    pub fn require_limit(&self) -> Result<(), Refused> {
        match self.body.get("max_tokens").and_then(Value::as_u64) {
            Some(1..) => Ok(()),
            _ => Err(Refused::new(
                "max_tokens",
                "max_tokens: a number of at least 1 is required",
            )),
        }
    }

    /// The same as a chat completion that is streamed.
    pub fn into_chat(self, upstream: Upstream) -> Value {
        let format = self.response_format();
        let mut chat = chat::request(&self.model, self.conversation, upstream);
        let mut set = |name: &str, value: Option<&Value>| {
            if let Some(value) = value.filter(|it| !it.is_null()) {
                chat.insert(name.to_owned(), value.clone());
            }
        };
        set(chat::max_tokens(upstream), self.body.get("max_tokens"));
        set("temperature", self.body.get("temperature"));
        set("top_p", self.body.get("top_p"));
        let stop = self.body.get("stop_sequences");
        set("stop", stop.filter(|it| it != &&json!([])));
        if upstream == Upstream::Engine {
            set("top_k", self.body.get("top_k"));
        }
        set("response_format", format.as_ref());
        if !self.tools.is_empty() {
            set("tool_choice", self.tool_choice.as_ref());
            let choice = self.body.get("tool_choice").unwrap_or(&Value::Null);
            if choice["disable_parallel_tool_use"] == true {
                set("parallel_tool_calls", Some(&Value::Bool(false)));
            }
            chat.insert("tools".to_owned(), self.tools.into());
        }
        chat.into()
    }

    fn response_format(&self) -> Option<Value> {
        let format = self
            .body
            .get("output_config")
            .and_then(|it| it.get("format"))
            .or_else(|| self.body.get("output_format"))?;
        let schema = format.get("schema")?;
        let named = json!({"name": "output", "schema": schema, "strict": true});
        Some(json!({"type": "json_schema", "json_schema": named}))
    }
}

fn conversation(system: Option<&Value>, messages: Option<&Value>) -> Result<Conversation, Refused> {
    let mut conversation = Conversation::default();
    match system {
        None | Some(Value::Null) => {}
        Some(Value::String(text)) => conversation.system(text),
        Some(Value::Array(blocks)) => {
            for (at, block) in blocks.iter().enumerate() {
                let text = block["text"].as_str().ok_or_else(|| {
                    let param = format!("system.{at}.text");
                    let message = format!("{param}: a string is required");
                    Refused::new(param, message)
                })?;
                conversation.system(text);
            }
        }
        Some(_) => {
            let message = "system: must be a string or a list of text blocks";
            return Err(Refused::new("system", message));
        }
    }
    let Some(messages) = messages.and_then(Value::as_array) else {
        return Err(Refused::new("messages", "messages: a list is required"));
    };
    if messages.is_empty() {
        let message = "messages: at least one message is required";
        return Err(Refused::new("messages", message));
    }
    for (at, message) in messages.iter().enumerate() {
        let path = format!("messages.{at}");
        blocks::message(message, &path, &mut conversation)?;
    }
    Ok(conversation)
}

fn tools(tools: Option<&Value>) -> Result<Vec<Value>, Refused> {
    let tools = match tools {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(tools)) => tools,
        Some(_) => return Err(Refused::new("tools", "tools: must be a list")),
    };
    let mut functions = Vec::with_capacity(tools.len());
    for (at, tool) in tools.iter().enumerate() {
        let Some(schema) = tool.get("input_schema").filter(|it| it.is_object()) else {
            if tool.get("type").is_some_and(|it| it != "custom") {
                continue;
            }
            let param = format!("tools.{at}.input_schema");
            let message = format!("{param}: an object is required");
            return Err(Refused::new(param, message));
        };
        let Some(name) = tool["name"].as_str() else {
            let param = format!("tools.{at}.name");
            let message = format!("{param}: a string is required");
            return Err(Refused::new(param, message));
        };
        functions.push(chat::function(name, tool["description"].as_str(), schema));
    }
    Ok(functions)
}

fn tool_choice(choice: Option<&Value>) -> Result<Option<Value>, Refused> {
    let choice = match choice {
        None | Some(Value::Null) => return Ok(None),
        Some(choice) => choice,
    };
    let choice = match (choice["type"].as_str(), choice["name"].as_str()) {
        (Some("auto"), _) => "auto".into(),
        (Some("any"), _) => "required".into(),
        (Some("none"), _) => "none".into(),
        (Some("tool"), Some(name)) => json!({"type": "function", "function": {"name": name}}),
        _ => {
            let message =
                "tool_choice: must be of type `auto`, `any`, `none`, or `tool` with a `name`";
            return Err(Refused::new("tool_choice", message));
        }
    };
    Ok(Some(choice))
}
