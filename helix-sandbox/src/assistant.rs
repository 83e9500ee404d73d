//! The built-in agent: an agent on standard input and output that speaks ACP, has a shell, files
//! and the tools of MCP servers (the sandbox's desktop is one), and asks a model by chat completions.
//! It runs inside a sandbox, where it needs nothing but itself.
//!
//! Before it writes a file or runs a program it asks, unless its mode says otherwise. What was
//! said in a session is kept in a folder, so that another process goes on with it.

mod memory;
mod model;
mod pictures;
mod servers;
mod session;
mod tools;
mod turn;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use agent_client_protocol::{
    Agent, Error as AcpError, Stdio,
    v1::schema::{
        CancelNotification, InitializeRequest, InitializeResponse, McpServer, NewSessionRequest,
        NewSessionResponse, PromptRequest, PromptResponse, ResumeSessionRequest,
        ResumeSessionResponse, SetSessionModeRequest, SetSessionModeResponse,
    },
};
use helix_base::{Outbound, OutboundOptions, SecretString};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use url::Url;

use self::{memory::Memory, model::Model, servers::Servers, session::Session};
use crate::Error;

/// What the built-in agent is told.
#[derive(Debug)]
pub struct AssistantOptions {
    /// Where chat completions are: the base, below which is `/v1/chat/completions`.
    pub api: Url,
    /// The key for it.
    pub key: SecretString,
    /// The model that is asked.
    pub model: String,
    /// Proxies and certificates.
    pub outbound: OutboundOptions,
    /// Where sessions are kept.
    pub folder: PathBuf,
}

/// Sessions at a time.
const SESSIONS: usize = 64;

#[derive(Debug)]
struct Assistant {
    model: Model,
    memory: Memory,
    sessions: Mutex<HashMap<String, Arc<Session>>>,
}

/// Speaks on this process' standard input and output until they end.
///
/// # Errors
///
/// The options cannot be used, or the streams break.
pub async fn assist(options: AssistantOptions) -> Result<(), Error> {
    let outbound = Outbound::new(&options.outbound)?;
    let assistant = Arc::new(Assistant {
        model: Model::new(&options, outbound)?,
        memory: Memory::at(options.folder),
        sessions: Mutex::default(),
    });
    let (opening, resuming, prompting, cancelling, setting) = (
        Arc::clone(&assistant),
        Arc::clone(&assistant),
        Arc::clone(&assistant),
        Arc::clone(&assistant),
        Arc::clone(&assistant),
    );
    let served = Agent
        .v1()
        .name("helix")
        .on_receive_request(
            async move |asked: InitializeRequest, responder, _cx| {
                assistant.met(&asked);
                responder.respond(answer::<InitializeResponse>(json!({
                    "protocolVersion": 1,
                    "agentCapabilities": {
                        "promptCapabilities": {"image": true, "embeddedContext": true},
                        "sessionCapabilities": {"resume": {}},
                    },
                    "agentInfo": {
                        "name": "helix",
                        "title": "Helix",
                        "version": env!("CARGO_PKG_VERSION"),
                    },
                }))?)
            },
            agent_client_protocol::on_receive_request!(),
        )
        .on_receive_request(
            async move |asked: NewSessionRequest, responder, _cx| {
                responder.respond_with_result(opening.open(asked.cwd, asked.mcp_servers))
            },
            agent_client_protocol::on_receive_request!(),
        )
        .on_receive_request(
            async move |asked: ResumeSessionRequest, responder, _cx| {
                let id = &asked.session_id.0;
                let resumed = resuming.resume(id, asked.cwd, asked.mcp_servers);
                responder.respond_with_result(resumed)
            },
            agent_client_protocol::on_receive_request!(),
        )
        .on_receive_request(
            async move |asked: SetSessionModeRequest, responder, _cx| {
                let set = setting.find(&asked.session_id.0).and_then(|session| {
                    session.set_mode(&asked.mode_id.0)?;
                    Ok(SetSessionModeResponse::new())
                });
                responder.respond_with_result(set)
            },
            agent_client_protocol::on_receive_request!(),
        )
        .on_receive_request(
            async move |asked: PromptRequest, responder, cx| {
                let session = match prompting.find(&asked.session_id.0) {
                    Ok(session) => session,
                    Err(error) => return responder.respond_with_error(error),
                };
                let (assistant, turns) = (Arc::clone(&prompting), cx.clone());
                // Whatever else comes meanwhile is read.
                cx.spawn(async move {
                    let ended = turn::run(&assistant, &session, &turns, &asked.prompt).await;
                    responder.respond_with_result(ended.map(PromptResponse::new))
                })
            },
            agent_client_protocol::on_receive_request!(),
        )
        .on_receive_notification(
            async move |asked: CancelNotification, _cx| {
                if let Ok(session) = cancelling.find(&asked.session_id.0) {
                    session.cancel();
                }
                Ok(())
            },
            agent_client_protocol::on_receive_notification!(),
        )
        .connect_to(Stdio::new())
        .await;
    served.map_err(|error| Error::Assistant(error.to_string()))
}

impl Assistant {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn met(&self, client: &InitializeRequest) {
        tracing::debug!(
            terminal = client.client_capabilities.terminal,
            "a client is there"
        );
        self.memory.offer_shell(client.client_capabilities.terminal);
    }

    fn open(
        &self,
        directory: PathBuf,
        servers: Vec<McpServer>,
    ) -> Result<NewSessionResponse, AcpError> {
        let id = format!("helix-{:032x}", rand::random::<u128>());
        let servers = Servers::new(servers).map_err(failed)?;
        self.keep(Session::new(id.clone(), directory, servers, Vec::new()))?;
        answer(json!({"sessionId": id, "modes": session::modes()}))
    }

    fn resume(
        &self,
        id: &str,
        directory: PathBuf,
        servers: Vec<McpServer>,
    ) -> Result<ResumeSessionResponse, AcpError> {
        let said = self.memory.read(id).map_err(failed)?;
        let servers = Servers::new(servers).map_err(failed)?;
        self.keep(Session::new(id.to_owned(), directory, servers, said))?;
        answer(json!({"modes": session::modes()}))
    }

    fn keep(&self, session: Session) -> Result<(), AcpError> {
        let mut sessions = self.lock();
        if sessions.len() >= SESSIONS {
            return Err(failed(format!("there are {SESSIONS} sessions already")));
        }
        sessions.insert(session.id.clone(), Arc::new(session));
        Ok(())
    }

    fn find(&self, id: &str) -> Result<Arc<Session>, AcpError> {
        let found = self.lock().get(id).cloned();
        found.ok_or_else(|| failed(format!("there is no session {id}")))
    }
}

/// An error that says why, to whoever asked.
fn failed(why: impl Into<String>) -> AcpError {
    AcpError::internal_error().data(Value::String(why.into()))
}

fn answer<T: DeserializeOwned>(answer: Value) -> Result<T, AcpError> {
    serde_json::from_value(answer).map_err(|error| failed(error.to_string()))
}
