//! OpenAI's API under `/v1`.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    body::Body,
    extract::{DefaultBodyLimit, Request, State},
    response::{IntoResponse as _, Response},
};
use helix_proto::{
    RequestId,
    openai::{ModelCard, ModelList, RequestBody},
    queue::Priority,
    session::ModelUsage,
};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Caller, Failure, Json, Path,
    access::{InferenceKey, ModelKey},
    body,
};
use crate::{
    App,
    auth::{Credential, Identity},
    inference::{Endpoint, Error, Job},
};

/// How urgent a request is: `low`, `normal` or `high`.
const PRIORITY: &str = "x-helix-priority";

/// How long a request may wait for an instance, in milliseconds.
const TIMEOUT: &str = "x-helix-timeout-ms";

/// The id under which the control plane knows a request.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-helix-request-id");

/// The longest wait that can be asked for.
const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(models))
        .routes(routes!(model))
        .routes(routes!(chat_completions))
        .routes(routes!(completions))
        .routes(routes!(embeddings))
        // Bounded by the options instead.
        .layer(DefaultBodyLimit::disable())
}

/// The models that can be asked.
#[utoipa::path(get, path = "/v1/models", tag = "openai",
    responses((status = 200, body = ModelList), (status = 401)),
    security(("session" = ["member"]), ("api_key" = ["inference"]), ("session_key" = [])))]
async fn models(_: Caller<ModelKey>, State(app): State<App>) -> Json<ModelList> {
    Json(ModelList {
        object: "list".to_owned(),
        data: cards(&app),
    })
}

/// One model that can be asked.
#[utoipa::path(get, path = "/v1/models/{*model}", tag = "openai",
    params(("model" = String, Path, description = "Its name, slashes included")),
    responses((status = 200, body = ModelCard), (status = 401), (status = 404)),
    security(("session" = ["member"]), ("api_key" = ["inference"]), ("session_key" = [])))]
async fn model(
    _: Caller<ModelKey>,
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<ModelCard>, Response> {
    let card = cards(&app).into_iter().find(|card| card.id == name);
    card.map(Json).ok_or_else(|| {
        let available = app.inference().routes().available(&name);
        refused(&Error::UnknownModel {
            model: name,
            available,
        })
    })
}

/// Answers a conversation. Everything but `model` and `stream` passes through
/// to the engine or provider as it came.
#[utoipa::path(post, path = "/v1/chat/completions", tag = "openai", request_body = Object,
    responses((status = 200, body = Object), (status = 400), (status = 401), (status = 404), (status = 413), (status = 422), (status = 429), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["inference"]), ("session_key" = [])))]
async fn chat_completions(
    caller: Caller<ModelKey>,
    State(app): State<App>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Result<Response, Failure> {
    answer(&app, &caller, id, Endpoint::ChatCompletions, request).await
}

/// Continues a text.
#[utoipa::path(post, path = "/v1/completions", tag = "openai", request_body = Object,
    responses((status = 200, body = Object), (status = 400), (status = 401), (status = 404), (status = 413), (status = 422), (status = 429), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["inference"])))]
async fn completions(
    caller: Caller<InferenceKey>,
    State(app): State<App>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Result<Response, Failure> {
    answer(&app, &caller, id, Endpoint::Completions, request).await
}

/// Turns texts into vectors.
#[utoipa::path(post, path = "/v1/embeddings", tag = "openai", request_body = Object,
    responses((status = 200, body = Object), (status = 400), (status = 401), (status = 404), (status = 413), (status = 422), (status = 429), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["inference"])))]
async fn embeddings(
    caller: Caller<InferenceKey>,
    State(app): State<App>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Result<Response, Failure> {
    answer(&app, &caller, id, Endpoint::Embeddings, request).await
}

async fn answer(
    app: &App,
    caller: &Identity,
    id: RequestId,
    path: Endpoint,
    request: Request,
) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    let priority = priority(&parts.headers)?;
    let deadline = timeout(&parts.headers)?.unwrap_or(app.options().queue.deadline);
    let most = app.options().limits.inference_body_bytes;
    let body = match RequestBody::parse(body::read(app, &parts.headers, body, most).await?) {
        Ok(body) => body,
        Err(error) => return Ok(refused(&error.into())),
    };
    let job = Job {
        request_id: id,
        user_id: Some(caller.user_id),
        path,
        body,
        otherwise: own_model(app, caller),
        priority,
        deadline,
        waiting: None,
    };
    let mut response = match app.inference().open(job).await {
        Ok(opened) => {
            let mut response = Response::new(Body::new(opened.body));
            *response.status_mut() = opened.status;
            *response.headers_mut() = opened.headers;
            response
        }
        Err(error) => refused(&error),
    };
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    Ok(response)
}

/// The model of the session whose key the caller has; counts the request for it.
fn own_model(app: &App, caller: &Identity) -> Option<Arc<str>> {
    let Credential::SessionKey { session, model } = &caller.credential else {
        return None;
    };
    let usage = ModelUsage {
        requests: 1,
        ..ModelUsage::default()
    };
    app.session_keys().count(*session, &usage);
    Some(Arc::clone(model))
}

/// An error in OpenAI's shape.
fn refused(error: &Error) -> Response {
    let mut response = (error.status(), axum::Json(error.to_openai())).into_response();
    if let Some(after) = error.retry_after() {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    response
}

fn priority(headers: &HeaderMap) -> Result<Priority, Failure> {
    match headers.get(PRIORITY).map(HeaderValue::as_bytes) {
        None | Some(b"normal") => Ok(Priority::Normal),
        Some(b"low") => Ok(Priority::Low),
        Some(b"high") => Ok(Priority::High),
        Some(_) => Err(Failure::invalid(
            PRIORITY,
            "must be `low`, `normal` or `high`",
        )),
    }
}

fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Failure> {
    let Some(value) = headers.get(TIMEOUT) else {
        return Ok(None);
    };
    let timeout = value
        .to_str()
        .ok()
        .and_then(|it| it.parse().ok())
        .map(Duration::from_millis);
    match timeout {
        Some(timeout) if (Duration::from_millis(1)..=MAX_TIMEOUT).contains(&timeout) => {
            Ok(Some(timeout))
        }
        _ => Err(Failure::invalid(
            TIMEOUT,
            "must be 1 to 86,400,000 milliseconds",
        )),
    }
}

fn cards(app: &App) -> Vec<ModelCard> {
    let routes = app.inference().routes();
    let card = |id: String, created_at_ms: u64, owned_by: &str| ModelCard {
        id,
        object: "model".to_owned(),
        created: created_at_ms / 1_000,
        owned_by: owned_by.to_owned(),
    };
    let own = routes.models();
    let own = own
        .iter()
        .map(|it| card(it.name.clone(), it.created_at_ms, "helix"));
    let started = app.foundation().started_at_ms;
    let theirs = routes.providers().iter().flat_map(|provider| {
        let models = provider.listed().into_iter();
        models
            .map(|id| card(id, started, provider.name()))
            .collect::<Vec<_>>()
    });
    own.chain(theirs).collect()
}
