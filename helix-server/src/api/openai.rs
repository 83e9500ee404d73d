//! OpenAI's API under `/v1`.

use axum::{
    Extension,
    extract::{DefaultBodyLimit, Request, State},
    response::{IntoResponse as _, Response},
};
use helix_dialects::messages;
use helix_proto::{
    ErrorCode, RequestId,
    openai::{ModelCard, ModelList, RequestBody},
};
use http::{HeaderMap, HeaderValue};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Caller, Failure, Json, Path,
    access::{InferenceKey, ModelKey},
    asked::{Asked, REQUEST_ID},
    body,
    translated::Refusal,
};
use crate::{
    App,
    auth::Identity,
    inference::{Endpoint, Error},
};

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

/// The models that can be asked; in Anthropic's shape for a client that sends `anthropic-version`.
#[utoipa::path(get, path = "/v1/models", tag = "openai",
    responses((status = 200, body = ModelList), (status = 401)),
    security(("session" = ["member"]), ("api_key" = ["inference"]), ("session_key" = [])))]
async fn models(_: Caller<ModelKey>, State(app): State<App>, headers: HeaderMap) -> Response {
    let data = cards(&app);
    if headers.contains_key(messages::VERSION) {
        let models = data.iter().map(|card| (&*card.id, card.created));
        return Json(messages::models(models)).into_response();
    }
    let object = "list".to_owned();
    Json(ModelList { object, data }).into_response()
}

/// One model that can be asked; in Anthropic's shape for a client that sends `anthropic-version`.
#[utoipa::path(get, path = "/v1/models/{*model}", tag = "openai",
    params(("model" = String, Path, description = "Its name, slashes included")),
    responses((status = 200, body = ModelCard), (status = 401), (status = 404)),
    security(("session" = ["member"]), ("api_key" = ["inference"]), ("session_key" = [])))]
async fn model(
    _: Caller<ModelKey>,
    State(app): State<App>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    let anthropic = headers.contains_key(messages::VERSION);
    match cards(&app).into_iter().find(|card| card.id == name) {
        Some(card) if anthropic => Json(messages::model(&card.id, card.created)).into_response(),
        Some(card) => Json(card).into_response(),
        None => {
            let available = app.inference().routes().available(&name);
            let model = name;
            let error = Error::UnknownModel { model, available };
            if anthropic {
                return Failure::new(ErrorCode::NotFound, error.to_string()).into_response();
            }
            refused(&error)
        }
    }
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
    let asked = Asked::read(app, caller, id, &parts.headers)?;
    let most = app.options().limits.inference_body_bytes;
    let body = match RequestBody::parse(body::read(app, &parts.headers, body, most).await?) {
        Ok(body) => asked.counted(body),
        Err(error) => return Ok(refused(&error.into())),
    };
    let mut response = match asked.open(app, path, body).await {
        Ok(opened) => {
            let mut response = Response::new(asked.passed(opened.body, &opened.headers));
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

/// An error in OpenAI's shape.
fn refused(error: &Error) -> Response {
    Refusal::from(error).into()
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
