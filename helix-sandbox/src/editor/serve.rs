//! The editor's side: its calls, in the order in which they come, and what it is told.

mod editor;

use std::{path::PathBuf, time::Duration};

use agent_client_protocol::{
    Agent, ConnectTo, Error as AcpError,
    v1::{
        Responder,
        schema::{
            CancelNotification, InitializeRequest, InitializeResponse, ListSessionsRequest,
            LoadSessionRequest, NewSessionRequest, PromptRequest, ResumeSessionRequest,
            SetSessionConfigOptionRequest, SetSessionModeRequest,
        },
    },
};
use helix_proto::agents::Content;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior},
};

use self::editor::{Connection, Editor};
use super::{
    desk::{Ask, Desk, Input},
    link::{self, Heard},
    words,
};
use crate::{Error, agents::content};

/// Calls of the editor that are not taken yet, at most: it waits.
const CALLS: usize = 256;
/// How often it is looked whether something waits for too long.
const LOOK: Duration = Duration::from_secs(1);

/// Answers a request of the editor.
type Answer = Box<dyn FnOnce(Result<Value, AcpError>) -> Result<(), AcpError> + Send>;

/// What comes from the editor.
enum Called {
    /// A request.
    Asked(Ask, Answer, Connection),
    /// Anything else.
    Said(Input),
}

/// Until the editor leaves.
pub(crate) async fn serve(
    socket: PathBuf,
    editor: impl ConnectTo<Agent> + 'static,
) -> Result<(), Error> {
    let (calls, called) = mpsc::channel(CALLS);
    let (to, heard) = link::channel();
    let editor = agent(calls.clone(), editor);
    tokio::select! {
        served = editor => served.map_err(|error| Error::Editor(error.to_string())),
        () = link::keep(socket, to) => Ok(()),
        () = attend(called, heard, calls) => Ok(()),
    }
}

/// Reads what the editor calls.
async fn agent(
    calls: mpsc::Sender<Called>,
    editor: impl ConnectTo<Agent> + 'static,
) -> Result<(), AcpError> {
    macro_rules! to {
        ($ask:expr) => {{
            let calls = calls.clone();
            async move |asked, responder: Responder<_>, cx: Connection| {
                let ask = $ask;
                let answer: Answer =
                    Box::new(move |result| responder.respond_with_result(result.and_then(read)));
                match ask(&asked) {
                    // Where nobody takes calls any more, the editor is about to be left.
                    Ok(ask) => drop(calls.send(Called::Asked(ask, answer, cx)).await),
                    Err(error) => answer(Err(error))?,
                }
                Ok(())
            }
        }};
    }
    let cancels = calls.clone();
    Agent
        .v1()
        .name("helix")
        .on_receive_request(
            async move |_: InitializeRequest, responder, _cx| {
                responder.respond_with_result(read::<InitializeResponse>(abilities()))
            },
            agent_client_protocol::on_receive_request!(),
        )
        .on_receive_request(
            to!(|_: &NewSessionRequest| Ok::<_, AcpError>(Ask::New)),
            agent_client_protocol::on_receive_request!(),
        )
        .on_receive_request(
            to!(|asked: &LoadSessionRequest| {
                let session = asked.session_id.to_string();
                Ok::<_, AcpError>(Ask::Load { session })
            }),
            agent_client_protocol::on_receive_request!(),
        )
        .on_receive_request(
            to!(|asked: &ResumeSessionRequest| {
                let session = asked.session_id.to_string();
                Ok::<_, AcpError>(Ask::Resume { session })
            }),
            agent_client_protocol::on_receive_request!(),
        )
        .on_receive_request(
            to!(|_: &ListSessionsRequest| Ok::<_, AcpError>(Ask::List)),
            agent_client_protocol::on_receive_request!(),
        )
        .on_receive_request(to!(prompt), agent_client_protocol::on_receive_request!())
        .on_receive_request(
            to!(|asked: &SetSessionModeRequest| {
                Ok::<_, AcpError>(Ask::SetMode {
                    session: asked.session_id.to_string(),
                    mode: asked.mode_id.to_string(),
                })
            }),
            agent_client_protocol::on_receive_request!(),
        )
        .on_receive_request(
            to!(set_option),
            agent_client_protocol::on_receive_request!(),
        )
        .on_receive_notification(
            async move |asked: CancelNotification, _cx| {
                let session = asked.session_id.to_string();
                let _ = cancels
                    .send(Called::Said(Input::Cancelled { session }))
                    .await;
                Ok(())
            },
            agent_client_protocol::on_receive_notification!(),
        )
        .connect_to(editor)
        .await
}

fn prompt(asked: &PromptRequest) -> Result<Ask, AcpError> {
    let blocks = asked.prompt.iter();
    let content: Result<Vec<Content>, _> = blocks.map(content).collect();
    Ok(Ask::Prompt {
        session: asked.session_id.to_string(),
        content: content
            .map_err(|_| refusal("the prompt has content of a kind that is not known here"))?,
    })
}

fn set_option(asked: &SetSessionConfigOptionRequest) -> Result<Ask, AcpError> {
    // By its JSON: how a value is written there has changed.
    let fields = serde_json::to_value(asked).unwrap_or_default();
    match (fields["configId"].as_str(), fields["value"].as_str()) {
        (Some(words::MODEL), Some(model)) => Ok(Ask::SetModel {
            session: asked.session_id.to_string(),
            model: model.to_owned(),
        }),
        _ => Err(refusal("there is no such option")),
    }
}

/// What an editor can ask.
fn abilities() -> Value {
    json!({
        "protocolVersion": 1,
        "agentCapabilities": {
            "loadSession": true,
            "promptCapabilities": {"image": true, "audio": true, "embeddedContext": true},
            "sessionCapabilities": {"list": {}, "resume": {}},
        },
        "agentInfo": {
            "name": "helix",
            "title": "Helix",
            "version": env!("CARGO_PKG_VERSION"),
        },
    })
}

/// An error that says why, to whoever asked.
fn refusal(why: impl Into<String>) -> AcpError {
    AcpError::new(-32_603, why)
}

fn read<T: DeserializeOwned>(answer: Value) -> Result<T, AcpError> {
    serde_json::from_value(answer).map_err(|error| refusal(error.to_string()))
}

/// Has the desk hear everything, and does what it says.
async fn attend(
    mut called: mpsc::Receiver<Called>,
    mut heard: mpsc::Receiver<Heard>,
    calls: mpsc::Sender<Called>,
) {
    let began = Instant::now();
    let mut desk = Desk::new(format!("{:016x}", rand::random::<u64>()));
    let mut editor = Editor::new(calls);
    let mut host: Option<mpsc::Sender<_>> = None;
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let input = tokio::select! {
            called = called.recv() => match called {
                Some(Called::Asked(ask, answer, connection)) => {
                    let call = editor.called(answer, connection);
                    Input::Called { call, ask }
                }
                Some(Called::Said(input)) => input,
                None => return,
            },
            heard = heard.recv() => match heard {
                Some(Heard::Connected(to)) => {
                    host = Some(to);
                    Input::Connected
                }
                Some(Heard::Told(told)) => Input::Told(*told),
                Some(Heard::Disconnected) => {
                    host = None;
                    Input::Disconnected
                }
                None => return,
            },
            _ = look.tick(), if desk.is_waiting() => Input::Tick,
        };
        for output in desk.on(input, began.elapsed()) {
            if let Some(asked) = editor.does(output)
                && host
                    .as_ref()
                    .is_some_and(|host| host.try_send(asked).is_err())
            {
                // The connection is given up, and everything said again on the next.
                host = None;
            }
        }
    }
}
