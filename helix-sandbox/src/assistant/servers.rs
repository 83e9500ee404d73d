//! The tools of MCP servers that a session's client names: those of the sandbox's desktop, for one.
//!
//! Each is a program, which is started for the first turn, and again for one that finds it ended.

use std::{path::Path, process::Stdio, time::Duration};

use agent_client_protocol::v1::schema::{McpServer, McpServerStdio};
use futures_util::future::join_all;
use rmcp::{
    Peer, RoleClient, ServiceExt as _,
    model::{CallToolRequestParams, CallToolResult, ContentBlock, JsonObject, ResourceContents},
    service::RunningService,
    transport::TokioChildProcess,
};
use serde_json::{Value, json};
use tokio::{process::Command, sync::Mutex, time::timeout};

use super::{
    pictures::{LARGEST, Picture},
    tools::{cut, given},
};

/// Of one session, and the tools of one server.
const SERVERS: usize = 16;
const TOOLS: usize = 128;
/// How long a server may take to begin and to say what it has, and for one call.
const BEGIN: Duration = Duration::from_secs(20);
const CALL: Duration = Duration::from_secs(300);
/// What a server says of itself, and of a tool.
const INSTRUCTIONS: usize = 4 << 10;
const DESCRIPTION: usize = 4 << 10;
/// The longest name of a function that models' servers take.
const NAME: usize = 64;

/// The servers of a session.
#[derive(Debug, Default)]
pub(super) struct Servers {
    wanted: Vec<McpServerStdio>,
    /// Of each that is wanted, while it is there.
    there: Mutex<Vec<Option<Server>>>,
}

/// One that was started. It ends with this.
#[derive(Debug)]
struct Server {
    running: RunningService<RoleClient, ()>,
    instructions: Option<String>,
    tools: Vec<Theirs>,
}

/// What a turn has of them.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// The tools, and what their servers say of how to use them.
    pub(super) tools: Vec<Theirs>,
    pub(super) instructions: Vec<String>,
    /// Why some are not there.
    pub(super) missing: Vec<String>,
}

/// One tool.
#[derive(Debug, Clone)]
pub(super) struct Theirs {
    /// As the model calls it.
    pub(super) name: String,
    /// Whether it only looks, as its server says.
    pub(super) harmless: bool,
    server: String,
    tool: String,
    description: String,
    parameters: Value,
    peer: Peer<RoleClient>,
}

/// What a tool answered.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) text: String,
    pub(super) pictures: Vec<Picture>,
}

impl Servers {
    /// # Errors
    ///
    /// Too many, or one that is no program.
    pub(super) fn new(named: Vec<McpServer>) -> Result<Self, String> {
        if named.len() > SERVERS {
            return Err(format!("a session has {SERVERS} MCP servers at most"));
        }
        let program = |server| match server {
            McpServer::Stdio(program) => Ok(program),
            _ => Err("only MCP servers that are programs are known here".to_owned()),
        };
        let wanted = named.into_iter().map(program).collect::<Result<_, _>>()?;
        Ok(Self {
            wanted,
            there: Mutex::default(),
        })
    }

    /// What there is of them now; they are started where they are not there.
    pub(super) async fn gather(&self, directory: &Path) -> Gathered {
        let mut there = self.there.lock().await;
        there.resize_with(self.wanted.len(), || None);
        let starting = self.wanted.iter().zip(there.iter_mut());
        let starting = starting.map(async |(wanted, server)| {
            let ended = |server: &Server| server.running.is_transport_closed();
            if server.as_ref().is_none_or(ended) {
                *server = None;
                *server = Some(Server::start(wanted, directory).await?);
            }
            Ok::<_, String>(())
        });
        let mut gathered = Gathered::default();
        for started in join_all(starting).await {
            gathered.missing.extend(started.err());
        }
        for server in there.iter().flatten() {
            gathered.instructions.extend(server.instructions.clone());
            for tool in &server.tools {
                let twice = gathered.tools.iter().any(|other| other.name == tool.name);
                if !twice {
                    gathered.tools.push(tool.clone());
                }
            }
        }
        gathered
    }
}

impl Server {
    async fn start(wanted: &McpServerStdio, directory: &Path) -> Result<Self, String> {
        let why = |why: &dyn std::fmt::Display| {
            let name = cut(&wanted.name, NAME);
            format!("the MCP server {name} is not there: {why}")
        };
        let mut command = Command::new(&wanted.command);
        let variables = wanted.env.iter().map(|one| (&one.name, &one.value));
        command.args(&wanted.args).envs(variables);
        if directory.is_dir() {
            command.current_dir(directory);
        }
        // Standard output is the conversation with our own client.
        let process = TokioChildProcess::builder(command).stderr(Stdio::inherit());
        let (process, _) = process.spawn().map_err(|error| why(&error))?;
        let begun = timeout(BEGIN, async {
            let running = ().serve(process).await.map_err(|error| why(&error))?;
            let tools = running.list_all_tools().await;
            Ok::<_, String>((running, tools.map_err(|error| why(&error))?))
        });
        let (running, tools) = begun.await.map_err(|_| why(&"it does not answer"))??;
        let instructions = running.peer_info().and_then(|own| own.instructions.clone());
        let of = |tool| Theirs::new(&wanted.name, tool, running.peer());
        let tools = tools.into_iter().take(TOOLS).map(of).collect();
        Ok(Self {
            instructions: instructions.map(|text| cut(&text, INSTRUCTIONS)),
            tools,
            running,
        })
    }
}

impl Theirs {
    fn new(server: &str, tool: rmcp::model::Tool, peer: &Peer<RoleClient>) -> Self {
        let annotations = tool.annotations.unwrap_or_default();
        Self {
            name: name(server, &tool.name),
            harmless: annotations.read_only_hint == Some(true),
            server: cut(server, NAME),
            description: cut(&tool.description.unwrap_or_default(), DESCRIPTION),
            parameters: Value::Object((*tool.input_schema).clone()),
            tool: tool.name.into_owned(),
            peer: peer.clone(),
        }
    }

    /// As the model is told of it.
    pub(super) fn offered(&self) -> Value {
        json!({"type": "function", "function": {
            "name": self.name,
            "description": self.description,
            "parameters": self.parameters,
        }})
    }

    /// What a call does, for people.
    pub(super) fn shown(&self, arguments: &JsonObject) -> String {
        let fields = arguments.iter().map(|(name, value)| match value {
            Value::String(text) => format!(" {name}: {text}"),
            value => format!(" {name}: {value}"),
        });
        let fields: Vec<_> = fields.collect();
        let (server, tool) = (&self.server, &self.tool);
        cut(&format!("{server}: {tool}{}", fields.join(",")), 300)
    }

    /// Calls it.
    ///
    /// # Errors
    ///
    /// What went wrong, for the model.
    pub(super) async fn call(&self, arguments: JsonObject) -> Result<Told, String> {
        let asked = CallToolRequestParams::new(self.tool.clone()).with_arguments(arguments);
        let answer = timeout(CALL, self.peer.call_tool(asked)).await;
        let answer = answer.map_err(|_| format!("it took more than {} s", CALL.as_secs()))?;
        told(answer.map_err(|error| error.to_string())?)
    }
}

/// A name that models' servers take, and that says whose tool it is.
fn name(server: &str, tool: &str) -> String {
    let plain = |one: char| {
        if one.is_ascii_alphanumeric() || one == '-' {
            one
        } else {
            '_'
        }
    };
    let whole = format!("{server}_{tool}");
    whole.chars().map(plain).take(NAME).collect()
}

fn told(result: CallToolResult) -> Result<Told, String> {
    let (mut texts, mut pictures) = (Vec::new(), Vec::new());
    for block in result.content {
        match block {
            ContentBlock::Text(text) => texts.push(text.text),
            ContentBlock::Image(image) if image.data.len() > LARGEST => {
                texts.push("(a picture that is too large to be shown)".to_owned());
            }
            ContentBlock::Image(image) => {
                texts.push("(a picture, which follows)".to_owned());
                pictures.push(Picture {
                    mime: image.mime_type,
                    data: image.data,
                });
            }
            ContentBlock::Resource(resource) => match resource.resource {
                ResourceContents::TextResourceContents { text, .. } => texts.push(text),
                _ => texts.push("(a file that is no text)".to_owned()),
            },
            ContentBlock::ResourceLink(link) => texts.push(link.uri),
            _ => texts.push("(something that is neither text nor a picture)".to_owned()),
        }
    }
    if texts.is_empty()
        && let Some(value) = result.structured_content
    {
        texts.push(value.to_string());
    }
    let text = given(&texts.join("\n"));
    if result.is_error == Some(true) {
        return Err(text);
    }
    Ok(Told { text, pictures })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_such_that_models_servers_take_them() {
        assert_eq!(name("desktop", "focus_window"), "desktop_focus_window");
        assert_eq!(name("My files", "read/all"), "My_files_read_all");
        assert_eq!(name(&"x".repeat(90), "tool").len(), NAME);
    }

    #[test]
    fn answers_are_text_and_pictures_and_errors_are_errors() {
        let picture = ContentBlock::image("AAAA", "image/png");
        let result = CallToolResult::success(vec![ContentBlock::text("seen"), picture]);
        let answer = told(result).unwrap();
        assert_eq!(answer.text, "seen\n(a picture, which follows)");
        assert_eq!(answer.pictures[0].data, "AAAA");
        let large = ContentBlock::image("A".repeat(LARGEST + 1), "image/png");
        assert!(
            told(CallToolResult::success(vec![large]))
                .unwrap()
                .pictures
                .is_empty()
        );
        let error = CallToolResult::error(vec![ContentBlock::text("no desktop")]);
        assert_eq!(told(error).unwrap_err(), "no desktop");
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_named() {
        let wanted = McpServerStdio::new("desktop", "/nowhere/at/all");
        let servers = Servers::new(vec![McpServer::Stdio(wanted)]).unwrap();
        let gathered = servers.gather(Path::new("/")).await;
        assert!(gathered.tools.is_empty());
        let [why] = &gathered.missing[..] else {
            panic!("{gathered:?}")
        };
        assert!(
            why.starts_with("the MCP server desktop is not there"),
            "{why}"
        );
    }
}
