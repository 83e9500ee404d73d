//! Tools: functions, custom tools, and tools in namespaces.

use serde_json::{Value, json};

use crate::{Refused, chat};

/// Tools of a request at most, and of a choice among them.
const MOST: usize = 1_024;

/// What stands between a namespace and a tool's name.
const IN: &str = "__";

/// One tool as the model sees it.
#[derive(Debug, Clone)]
pub(super) struct Tool {
    /// What the model calls it.
    pub(super) known_as: String,
    /// What the client calls it.
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    /// Whether it takes a text, and not JSON.
    pub(super) custom: bool,
    function: Value,
}

/// What the model calls a tool.
pub(super) fn known_as(namespace: Option<&str>, name: &str) -> String {
    match namespace {
        None => name.to_owned(),
        Some(namespace) => format!("{namespace}{IN}{name}"),
    }
}

/// The tools that can be offered.
#[derive(Debug, Clone, Default)]
pub(super) struct Tools {
    tools: Vec<Tool>,
    /// As the client sent them, those alone that are offered.
    pub(super) offered: Vec<Value>,
}

impl Tools {
    pub(super) fn read(tools: Option<&Value>) -> Result<Self, Refused> {
        let mut read = Self::default();
        let tools = match tools {
            None | Some(Value::Null) => return Ok(read),
            Some(Value::Array(tools)) => tools,
            Some(_) => return Err(Refused::new("tools", "`tools` must be a list")),
        };
        for (at, tool) in tools.iter().enumerate() {
            let path = format!("tools[{at}]");
            let namespace = match tool["type"].as_str() {
                Some("namespace") => tool["name"].as_str(),
                _ => None,
            };
            let before = read.tools.len();
            match namespace {
                None => read.add(tool, None, &path)?,
                Some(_) => {
                    for (at, inner) in tool["tools"].as_array().into_iter().flatten().enumerate() {
                        read.add(inner, namespace, &format!("{path}.tools[{at}]"))?;
                    }
                }
            }
            if read.tools.len() > before {
                read.offered.push(tool.clone());
            }
        }
        Ok(read)
    }

    fn add(&mut self, tool: &Value, namespace: Option<&str>, path: &str) -> Result<(), Refused> {
        if self.tools.len() >= MOST {
            let message = format!("`tools` must name at most {MOST} tools");
            return Err(Refused::new("tools", message));
        }
        let custom = match tool["type"].as_str() {
            Some("function") => false,
            Some("custom") => true,
            _ => return Ok(()),
        };
        let Some(name) = tool["name"].as_str() else {
            let path = format!("{path}.name");
            let message = format!("`{path}` must be a string");
            return Err(Refused::new(path, message));
        };
        let known_as = known_as(namespace, name);
        let function = if custom {
            custom_function(&known_as, tool)
        } else {
            let none = json!({"type": "object", "properties": {}});
            let parameters = tool.get("parameters").filter(|it| it.is_object());
            let description = tool["description"].as_str();
            let mut made = chat::function(&known_as, description, parameters.unwrap_or(&none));
            if let Some(strict) = tool["strict"].as_bool() {
                made["function"]["strict"] = strict.into();
            }
            made
        };
        self.tools.push(Tool {
            known_as,
            name: name.to_owned(),
            namespace: namespace.map(ToOwned::to_owned),
            custom,
            function,
        });
        Ok(())
    }

    /// The tool that the model means.
    pub(super) fn find(&self, known_as: &str) -> Option<&Tool> {
        self.tools.iter().find(|it| it.known_as == known_as)
    }

    /// Which tools to offer as functions, and the choice among them.
    pub(super) fn choose(
        &self,
        choice: Option<&Value>,
    ) -> Result<(Vec<Value>, Option<Value>), Refused> {
        let functions = |may: &dyn Fn(&Tool) -> bool| -> Vec<Value> {
            let tools = self.tools.iter().filter(|tool| may(tool));
            tools.map(|tool| tool.function.clone()).collect()
        };
        let all = functions(&|_| true);
        let choice = match choice {
            None | Some(Value::Null) => return Ok((all, None)),
            Some(choice) => choice,
        };
        if matches!(choice.as_str(), Some("auto" | "none" | "required")) {
            return Ok((all, Some(choice.clone())));
        }
        let named = |tool: &Value| {
            let known_as = known_as(tool["namespace"].as_str(), tool["name"].as_str()?);
            self.find(&known_as).map(|it| it.known_as.clone())
        };
        match choice["type"].as_str() {
            Some("function" | "custom") => {
                if let Some(name) = named(choice) {
                    let choice = json!({"type": "function", "function": {"name": name}});
                    return Ok((all, Some(choice)));
                }
            }
            Some("allowed_tools") => {
                let allowed = choice["tools"].as_array().into_iter().flatten().take(MOST);
                let allowed: Vec<_> = allowed.filter_map(named).collect();
                if !allowed.is_empty() {
                    let some = functions(&|tool| allowed.contains(&tool.known_as));
                    let mode = choice["mode"].as_str().unwrap_or("auto");
                    return Ok((some, Some(mode.into())));
                }
            }
            _ => {}
        }
        let message = "`tool_choice` names no tool that can be offered to a model here: functions and custom tools of `tools` can";
        Err(Refused::new("tool_choice", message))
    }
}

/// A custom tool as a function with one text.
fn custom_function(name: &str, tool: &Value) -> Value {
    let mut description = tool["description"].as_str().unwrap_or_default().to_owned();
    if let Some(definition) = tool["format"]["definition"].as_str() {
        let syntax = tool["format"]["syntax"].as_str().unwrap_or("a");
        description.push_str("\n\n`input` must follow this ");
        description.push_str(syntax);
        description.push_str(" grammar:\n");
        description.push_str(definition);
    }
    let parameters = json!({
        "type": "object",
        "properties": {"input": {"type": "string"}},
        "required": ["input"],
        "additionalProperties": false,
    });
    chat::function(name, Some(&description), &parameters)
}
