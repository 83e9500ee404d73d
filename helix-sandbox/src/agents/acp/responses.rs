//! What the agent answers.

use agent_client_protocol::v1::schema::{
    InitializeResponse, LoadSessionResponse, NewSessionResponse, PromptResponse,
    SetSessionConfigOptionResponse, StopReason as AcpStop,
};
use helix_agent::host::Fact;
use helix_proto::agents::{EventBody, StopReason, TurnEnd};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Acp, ModelBy, Out, Pending, Prompts, Stage, map, rpc::Refused};

/// The version of the protocol that is spoken.
const VERSION: u16 = 1;

/// What agents answer that want somebody to sign in.
const AUTH_REQUIRED: i64 = -32_000;

impl Acp {
    pub(super) fn initialize(&mut self) -> Out {
        let params = json!({
            "protocolVersion": VERSION,
            "clientCapabilities": {
                "fs": {"readTextFile": true, "writeTextFile": true},
                "terminal": true,
                "session": {"notices": {}},
            },
            "clientInfo": {
                "name": "helix",
                "title": "Helix",
                "version": env!("CARGO_PKG_VERSION"),
            },
        });
        self.ask("initialize", Pending::Initialize, params)
    }

    pub(super) fn response(&mut self, id: &Value, result: Result<Value, Refused>) -> Vec<Out> {
        let pending = id.as_u64().and_then(|id| self.pending.remove(&id));
        let Some(pending) = pending else {
            // Nobody asked, or it was answered.
            return Vec::new();
        };
        match (pending, result) {
            (Pending::Initialize, Ok(result)) => self.initialized(result),
            (Pending::Initialize, Err(refused)) => {
                broken(format!("the agent does not begin: {}", refused.why()))
            }
            (Pending::New, Ok(result)) => self.begun(result),
            (Pending::New, Err(refused)) => broken(self.no_session(&refused)),
            (Pending::Load | Pending::Resume, Ok(result)) => self.resumed(result),
            (Pending::Load | Pending::Resume, Err(refused)) => {
                let why = refused.why();
                self.session = None;
                vec![
                    Out::notice(format!(
                        "the agent cannot go on with its session, and knows nothing of what was said before: {why}"
                    )),
                    self.new_session(),
                ]
            }
            (Pending::Prompt(turn), result) => {
                let end = self.turn_end(result);
                if self.turn == Some(turn) {
                    self.turn = None;
                    self.cancelling = false;
                }
                vec![Out::Fact(Fact::Done { turn, end })]
            }
            (Pending::SetMode(mode), Ok(_)) => {
                vec![Out::say(EventBody::Modes {
                    current: mode,
                    available: self.modes.clone(),
                })]
            }
            (Pending::SetMode(_), Err(refused)) => {
                vec![Out::notice(format!(
                    "the mode was not set: {}",
                    refused.why()
                ))]
            }
            (Pending::SetModel(model), Ok(result)) => self.model_was_set(model, result),
            (Pending::SetModel(_), Err(refused)) => {
                vec![Out::notice(format!(
                    "the model was not set: {}",
                    refused.why()
                ))]
            }
        }
    }

    fn initialized(&mut self, result: Value) -> Vec<Out> {
        // The version first: the rest of another one may be anything.
        let version = result.get("protocolVersion").and_then(Value::as_u64);
        if version != Some(VERSION.into()) {
            let theirs = version.map_or_else(|| "none".to_owned(), |version| version.to_string());
            return broken(format!(
                "the agent speaks version {theirs} of the Agent Client Protocol, and not {VERSION}"
            ));
        }
        let answer: InitializeResponse = match read(result) {
            Ok(answer) => answer,
            Err(why) => return broken(format!("the agent answers something else: {why}")),
        };
        let can = answer.agent_capabilities;
        self.loads = can.load_session;
        self.resumes = can.session_capabilities.resume.is_some();
        self.prompts = Prompts {
            images: can.prompt_capabilities.image,
            audio: can.prompt_capabilities.audio,
            resources: can.prompt_capabilities.embedded_context,
        };
        self.stage = Stage::Opening;
        let Some(session) = self.session.clone() else {
            return vec![self.new_session()];
        };
        // Both go on with what was said; loading repeats it besides.
        let (method, pending) = match (self.resumes, self.loads) {
            (true, _) => ("session/resume", Pending::Resume),
            (false, true) => ("session/load", Pending::Load),
            (false, false) => {
                self.session = None;
                let text = "the agent keeps no sessions: it knows nothing of what was said before";
                return vec![Out::notice(text), self.new_session()];
            }
        };
        let mut params = self.place();
        params["sessionId"] = session.into();
        vec![self.ask(method, pending, params)]
    }

    fn new_session(&mut self) -> Out {
        let params = self.place();
        self.ask("session/new", Pending::New, params)
    }

    fn place(&self) -> Value {
        let mut servers = Vec::new();
        if self.desktop {
            servers.push(json!({
                "name": "desktop", "command": "/run/helix/media", "args": ["mcp"], "env": [],
            }));
        }
        json!({"cwd": self.directory, "mcpServers": servers})
    }

    fn no_session(&self, refused: &Refused) -> String {
        let why = refused.why();
        if refused.code == AUTH_REQUIRED {
            return format!("the agent wants somebody to sign in, or a key: {why}");
        }
        format!("the agent begins no session: {why}")
    }

    fn begun(&mut self, result: Value) -> Vec<Out> {
        let models = result.get("models").cloned();
        match read::<NewSessionResponse>(result) {
            Ok(answer) => {
                let session = answer.session_id.to_string();
                self.session = Some(session);
                self.ready(false, answer.modes, answer.config_options, models.as_ref())
            }
            Err(why) => broken(format!("the agent begins no session: {why}")),
        }
    }

    fn resumed(&mut self, result: Value) -> Vec<Out> {
        let models = result.get("models").cloned();
        // Agents answer null here, too.
        let answer = if result.is_null() {
            LoadSessionResponse::default()
        } else {
            read(result).unwrap_or_default()
        };
        self.ready(true, answer.modes, answer.config_options, models.as_ref())
    }

    fn ready(
        &mut self,
        resumed: bool,
        modes: Option<agent_client_protocol::v1::schema::SessionModeState>,
        options: Option<Vec<agent_client_protocol::v1::schema::SessionConfigOption>>,
        models: Option<&Value>,
    ) -> Vec<Out> {
        self.stage = Stage::Ready;
        let session = self.session.clone().unwrap_or_default();
        let mut out = vec![Out::Fact(Fact::Ready { session, resumed })];
        if let Some(modes) = modes {
            self.modes = map::modes(&modes);
            out.push(Out::say(EventBody::Modes {
                current: modes.current_mode_id.to_string(),
                available: self.modes.clone(),
            }));
        }
        out.extend(self.config_options(&options.unwrap_or_default()));
        if self.model_by == ModelBy::Nothing
            && let Some((current, available)) = models.and_then(map::models)
        {
            self.model_by = ModelBy::Method;
            self.models.clone_from(&available);
            out.push(Out::say(EventBody::Models { current, available }));
        }
        out
    }

    fn model_was_set(&mut self, model: String, result: Value) -> Vec<Out> {
        if let Ok(answer) = read::<SetSessionConfigOptionResponse>(result) {
            return self.config_options(&answer.config_options);
        }
        let available = self.models.clone();
        vec![Out::say(EventBody::Models {
            current: model,
            available,
        })]
    }

    fn turn_end(&self, result: Result<Value, Refused>) -> TurnEnd {
        match result {
            Err(_) if self.cancelling => TurnEnd::Cancelled,
            Err(refused) => TurnEnd::Failed {
                reason: refused.why(),
            },
            Ok(result) => match read::<PromptResponse>(result) {
                Ok(answer) => end(answer.stop_reason),
                Err(why) => TurnEnd::Failed {
                    reason: format!("the agent ended the turn in an unknown way: {why}"),
                },
            },
        }
    }
}

fn end(stop: AcpStop) -> TurnEnd {
    let stop = match stop {
        AcpStop::Cancelled => return TurnEnd::Cancelled,
        AcpStop::EndTurn => StopReason::EndTurn,
        AcpStop::MaxTokens => StopReason::MaxTokens,
        AcpStop::MaxTurnRequests => StopReason::MaxTurnRequests,
        AcpStop::Refusal => StopReason::Refusal,
        _ => StopReason::Other,
    };
    TurnEnd::Completed { stop }
}

fn broken(why: String) -> Vec<Out> {
    vec![Out::Broken(why)]
}

fn read<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| error.to_string())
}
