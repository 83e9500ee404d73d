//! What the editor is told.

use std::collections::HashMap;

use agent_client_protocol::{
    Client, Error as AcpError, RequestCancellationHandle, UntypedMessage, v1::ConnectionTo,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Answer, Called, refusal};
use crate::{
    agents::editors::wire::Asked,
    editor::{
        desk::{Input, Output},
        view::Request,
    },
};

pub(super) type Connection = ConnectionTo<Client>;

/// The editor.
pub(super) struct Editor {
    /// Where its answers go.
    calls: mpsc::Sender<Called>,
    connection: Option<Connection>,
    last_call: u64,
    answers: HashMap<u64, Answer>,
    /// Requests that its user is asked for.
    asked: HashMap<Request, RequestCancellationHandle>,
}

impl Editor {
    pub(super) fn new(calls: mpsc::Sender<Called>) -> Self {
        Self {
            calls,
            connection: None,
            last_call: 0,
            answers: HashMap::new(),
            asked: HashMap::new(),
        }
    }

    /// It calls: the call's number.
    pub(super) fn called(&mut self, answer: Answer, connection: Connection) -> u64 {
        self.connection = Some(connection);
        self.last_call += 1;
        self.answers.insert(self.last_call, answer);
        self.last_call
    }

    /// Does what is to be done, or gives back what the host is to be told.
    pub(super) fn does(&mut self, output: Output) -> Option<Asked> {
        let done = match output {
            Output::Tell(asked) => return Some(asked),
            Output::Reply { call, result } => {
                let answer = self.answers.remove(&call);
                answer.map_or(Ok(()), |answer| answer(result.map_err(refusal)))
            }
            Output::Update { session, update } => {
                self.update(&json!({"sessionId": session.to_string(), "update": update}))
            }
            Output::Permit { request, params } => self.permit(request, &params),
            Output::Withdraw(request) => {
                let asked = self.asked.remove(&request);
                asked.map_or(Ok(()), |asked| asked.cancel())
            }
        };
        if let Err(error) = done {
            // It left: whatever it is told is lost with it.
            tracing::debug!(%error, "the editor takes nothing");
        }
        None
    }

    fn update(&self, params: &Value) -> Result<(), AcpError> {
        let Some(connection) = &self.connection else {
            return Ok(());
        };
        connection.send_notification(UntypedMessage::new("session/update", params)?)
    }

    /// Asks its user.
    fn permit(&mut self, request: Request, params: &Value) -> Result<(), AcpError> {
        let Some(connection) = &self.connection else {
            return Ok(());
        };
        let message = UntypedMessage::new("session/request_permission", params)?;
        let sent = connection.send_request(message);
        self.asked.insert(request, sent.cancellation_handle());
        let calls = self.calls.clone();
        connection.spawn(async move {
            let answer = sent.block_task().await.unwrap_or_default();
            // None is no answer: an editor says so when it stops asking, whyever.
            if let Some(option) = answer["outcome"]["optionId"].as_str() {
                let option = option.to_owned();
                let answered = Input::Answered { request, option };
                let _ = calls.send(Called::Said(answered)).await;
            }
            Ok(())
        })
    }
}
