//! Reads a request.

use serde_json::{Map, Value, json};

use super::{input, tools::Tools};
use crate::{
    Refused,
    chat::{self, Conversation, Upstream},
};

/// What refers to something that is stored, which nothing is here.
const STORED: [(&str, &str); 3] = [
    (
        "previous_response_id",
        "answers are not stored here: send the whole conversation as `input`",
    ),
    (
        "conversation",
        "conversations are not stored here: send the whole conversation as `input`",
    ),
    (
        "prompt",
        "prompts are not stored here: send `instructions` and `input`",
    ),
];

/// A request for a response.
#[derive(Debug, Clone)]
pub struct Request {
    model: String,
    stream: bool,
    conversation: Conversation,
    pub(super) tools: Tools,
    /// What is offered to the model of them, and the choice among it.
    chosen: (Vec<Value>, Option<Value>),
    /// Everything but the input.
    pub(super) body: Map<String, Value>,
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
            return Err(Refused::new("model", "`model` must be a string"));
        };
        let model = model.to_owned();
        for (field, why) in STORED {
            if body.get(field).is_some_and(|it| !it.is_null()) {
                return Err(Refused::new(field, format!("`{field}`: {why}")));
            }
        }
        if body.get("background") == Some(&Value::Bool(true)) {
            let message = "`background`: answers are not stored here: stream this one";
            return Err(Refused::new("background", message));
        }
        let input = body.remove("input");
        let conversation = conversation(body.get("instructions"), input.as_ref())?;
        let tools = Tools::read(body.get("tools"))?;
        Ok(Self {
            model,
            stream: body.get("stream") == Some(&Value::Bool(true)),
            conversation,
            chosen: tools.choose(body.get("tool_choice"))?,
            tools,
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

    /// The same as a chat completion that is streamed.
    pub fn into_chat(self, upstream: Upstream) -> Value {
        let format = self.response_format();
        let mut chat = chat::request(&self.model, self.conversation, upstream);
        let mut set = |name: &str, value: Option<&Value>| {
            if let Some(value) = value.filter(|it| !it.is_null()) {
                chat.insert(name.to_owned(), value.clone());
            }
        };
        set(
            chat::max_tokens(upstream),
            self.body.get("max_output_tokens"),
        );
        for same in ["temperature", "top_p", "seed"] {
            set(same, self.body.get(same));
        }
        let effort = self.body.get("reasoning").and_then(|it| it.get("effort"));
        set("reasoning_effort", effort);
        set("response_format", format.as_ref());
        let (functions, choice) = self.chosen;
        if !functions.is_empty() {
            set("tool_choice", choice.as_ref());
            set("parallel_tool_calls", self.body.get("parallel_tool_calls"));
            chat.insert("tools".to_owned(), functions.into());
        }
        chat.into()
    }

    fn response_format(&self) -> Option<Value> {
        let format = self.body.get("text")?.get("format")?;
        match format["type"].as_str()? {
            "json_object" => Some(json!({"type": "json_object"})),
            "json_schema" => {
                let mut schema = Map::new();
                for field in ["name", "description", "schema", "strict"] {
                    if let Some(value) = format.get(field).filter(|it| !it.is_null()) {
                        schema.insert(field.to_owned(), value.clone());
                    }
                }
                Some(json!({"type": "json_schema", "json_schema": schema}))
            }
            _ => None,
        }
    }
}

fn conversation(
    instructions: Option<&Value>,
    input: Option<&Value>,
) -> Result<Conversation, Refused> {
    let mut conversation = Conversation::default();
    match instructions {
        None | Some(Value::Null) => {}
        Some(Value::String(text)) => conversation.system(text),
        Some(_) => {
            let message = "`instructions` must be a string";
            return Err(Refused::new("instructions", message));
        }
    }
    match input {
        Some(Value::String(text)) => conversation.user(vec![chat::Part::Text(text.clone())]),
        Some(Value::Array(items)) if !items.is_empty() => {
            for (at, item) in items.iter().enumerate() {
                input::item(item, &format!("input[{at}]"), &mut conversation)?;
            }
        }
        _ => {
            let message = "`input` must be a string or a list of at least one item";
            return Err(Refused::new("input", message));
        }
    }
    Ok(conversation)
}
