//! What the agent asks.

use agent_client_protocol::v1::schema::RequestPermissionRequest;
use helix_agent::host::Fact;
use helix_proto::agents::MAX_NAME;
use serde_json::Value;

use super::{Acp, Out, calls::Call, fit, map, rpc};

const METHOD_NOT_FOUND: i64 = -32_601;
const INVALID_PARAMS: i64 = -32_602;

impl Acp {
    pub(super) fn request(&mut self, id: &Value, method: &str, params: Value) -> Vec<Out> {
        // An id is kept, and given back as it is: it has a bound, as everything.
        if id.to_string().len() > MAX_NAME {
            return vec![refuse(
                &Value::Null,
                INVALID_PARAMS,
                "an id beyond all bounds",
            )];
        }
        if method == "session/request_permission" {
            return permission(id, params);
        }
        match Call::read(id, method, params) {
            Some(Ok(call)) => vec![Out::Call(call)],
            Some(Err(why)) => vec![refuse(id, INVALID_PARAMS, &why)],
            None => vec![refuse(id, METHOD_NOT_FOUND, "there is no such method")],
        }
    }

    pub(super) fn notification(&mut self, method: &str, params: Value) -> Vec<Out> {
        match method {
            "session/update" => self.update(params),
            // The agent takes back what it asked.
            "$/cancel_request" => match params.get("requestId") {
                Some(id) => vec![Out::Fact(Fact::Withdrew {
                    key: id.to_string(),
                })],
                None => Vec::new(),
            },
            _ => Vec::new(),
        }
    }
}

fn permission(id: &Value, params: Value) -> Vec<Out> {
    let asked: RequestPermissionRequest = match serde_json::from_value(params) {
        Ok(asked) => asked,
        Err(error) => return vec![refuse(id, INVALID_PARAMS, &error.to_string())],
    };
    let mut call = map::tool_update(asked.tool_call);
    fit::update(&mut call);
    let options = asked.options.iter().map(map::permission_option);
    vec![Out::Fact(Fact::Asked {
        key: id.to_string(),
        call: Box::new(call),
        options: options.collect(),
    })]
}

fn refuse(id: &Value, code: i64, why: &str) -> Out {
    Out::Send(rpc::refusal(id, code, why))
}
