//! As much of a control plane as a runner needs: it registers, and it accepts
//! tunnels.

use std::{net::SocketAddr, time::Duration};

use axum::body::Body;
use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, Request, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use helix_base::TaskGroup;
use helix_proto::{
    RunnerId, TypedId as _,
    fleet::{CreatedRunner, JoinRequest},
};
use helix_tunnel::{AcceptOptions, Holder, Hub, HubEvent, REVDIAL_PATH, Upgrade};
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::soon;

pub(crate) const CREDENTIAL: &str = "hxr_of-the-test";
pub(crate) const JOIN_TOKEN: &str = "hxj_of-the-test";
const RUNNER: &str = "the runner";

pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    pub(crate) hub: Hub<String>,
    pub(crate) tasks: TaskGroup,
}

impl Site {
    pub(crate) async fn start() -> Self {
        let tasks = TaskGroup::new();
        let options = AcceptOptions {
            // A runner that was killed is gone at once.
            grace: Duration::from_millis(100),
            ..AcceptOptions::default()
        };
        let hub = Hub::new(options, &tasks);
        let router = Router::new()
            .route(REVDIAL_PATH, get(revdial))
            .route("/api/v1/runners/join", post(join))
            .with_state(hub.clone());
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
            .await
            .unwrap();
        let address = listener.local_addr().unwrap();
        tasks.spawn("serve", async move { axum::serve(listener, router).await });
        Self {
            address,
            hub,
            tasks,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until the runner is connected.
    pub(crate) async fn connected(&self) {
        let mut events = self.hub.subscribe();
        while self.hub.get(&RUNNER.to_owned()).is_none() {
            let event = soon("the runner", events.recv()).await.unwrap();
            assert!(matches!(
                event,
                HubEvent::Connected { .. } | HubEvent::Disconnected { .. }
            ));
        }
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: &Value) -> (StatusCode, Value) {
        let request = Request::builder()
            .method(method)
            .uri(format!("/runner/v1{path}"));
        let body = if body.is_null() {
            Body::empty()
        } else {
            Body::from(body.to_string())
        };
        let request = request
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)
            .unwrap();
        let answer = soon("an answer", self.hub.request(&RUNNER.to_owned(), request))
            .await
            .unwrap();
        let status = answer.status();
        let body = soon("the body", answer.into_body().collect())
            .await
            .unwrap()
            .to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        let (status, body) = self.send("GET", path, &Value::Null).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_value(body).unwrap()
    }
}

async fn revdial(State(hub): State<Hub<String>>, headers: HeaderMap, upgrade: Upgrade) -> Response {
    if headers
        .get(header::AUTHORIZATION)
        .is_none_or(|given| given != &format!("Bearer {CREDENTIAL}"))
    {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    upgrade.accept(&hub, Holder::new(RUNNER.to_owned(), CREDENTIAL), |_| {})
}

async fn join(Json(request): Json<JoinRequest>) -> Response {
    if request.token != JOIN_TOKEN {
        let error = helix_proto::ApiError::new(
            helix_proto::ErrorCode::Unauthenticated,
            "the join token is not valid",
        );
        let body = Json(helix_proto::error::ErrorEnvelope { error });
        return (StatusCode::UNAUTHORIZED, body).into_response();
    }
    let id = RunnerId::from_parts(1, 1);
    Json(CreatedRunner {
        id,
        name: request.name,
        credential: CREDENTIAL.to_owned(),
    })
    .into_response()
}
