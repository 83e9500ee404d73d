//! Anthropic's Messages API, answered by chat completions.

use axum::{
    Extension,
    extract::{DefaultBodyLimit, Request, State},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use helix_dialects::messages as dialect;
use helix_proto::RequestId;
use http::{HeaderName, HeaderValue};
use serde_json::json;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Caller, Failure,
    access::ModelKey,
    asked::Asked,
    body,
    translated::{self, Refusal},
};
use crate::App;

/// Who counted the tokens: `engine`, or nobody, and it is an `estimate`.
const COUNTED_BY: HeaderName = HeaderName::from_static("x-helix-counted-by");

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(messages))
        .routes(routes!(count_tokens))
        // Bounded by the options instead.
        .layer(DefaultBodyLimit::disable())
}

/// Answers a conversation by Anthropic's Messages API, whoever answers.
#[utoipa::path(post, path = "/v1/messages", tag = "anthropic", request_body = Object,
    responses((status = 200, body = Object), (status = 400), (status = 401), (status = 404), (status = 413), (status = 422), (status = 429), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["inference"]), ("session_key" = [])))]
async fn messages(
    caller: Caller<ModelKey>,
    State(app): State<App>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Result<Response, Failure> {
    let (asked, body) = read(&app, &caller, id, request).await?;
    let answered = answer(&app, asked, body).await;
    Ok(answered.unwrap_or_else(|refusal| refused(refusal, id)))
}

/// How many tokens a conversation has: as the engine counts that would answer it, if it runs and can
/// count, and about as many else. The header `x-helix-counted-by` says which: `engine` or `estimate`.
#[utoipa::path(post, path = "/v1/messages/count_tokens", tag = "anthropic", request_body = Object,
    responses((status = 200, body = Object), (status = 400), (status = 401), (status = 413), (status = 422)),
    security(("session" = ["member"]), ("api_key" = ["inference"]), ("session_key" = [])))]
async fn count_tokens(
    caller: Caller<ModelKey>,
    State(app): State<App>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Result<Response, Failure> {
    let (asked, body) = read(&app, &caller, id, request).await?;
    let counted = count(&app, &asked, body).await;
    Ok(counted.unwrap_or_else(|refusal| refused(refusal, id)))
}

async fn read(
    app: &App,
    caller: &Caller<ModelKey>,
    id: RequestId,
    request: Request,
) -> Result<(Asked, Bytes), Failure> {
    let (parts, body) = request.into_parts();
    let asked = Asked::read(app, caller, id, &parts.headers)?;
    let most = app.options().limits.inference_body_bytes;
    let body = body::read(app, &parts.headers, body, most).await?;
    Ok((asked, body))
}

async fn answer(app: &App, asked: Asked, body: Bytes) -> Result<Response, Refusal> {
    let request = dialect::Request::read(translated::read(body)?)?;
    request.require_limit()?;
    let upstream = app.inference().upstream(request.model(), asked.otherwise());
    let answer = dialect::Answer::new(&request, &translated::seed(&asked));
    let stream = request.stream();
    let chat = request.into_chat(upstream);
    translated::answer(app, asked, chat, answer, stream).await
}

async fn count(app: &App, asked: &Asked, body: Bytes) -> Result<Response, Refusal> {
    let request = dialect::Request::read(translated::read(body)?)?;
    let upstream = app.inference().upstream(request.model(), asked.otherwise());
    let chat = request.into_chat(upstream);
    let counted = app.inference().count_tokens(&chat, asked.otherwise()).await;
    let (tokens, by) = match counted {
        Some(tokens) => (tokens, "engine"),
        None => (dialect::estimate(&chat), "estimate"),
    };
    let by = [(COUNTED_BY, HeaderValue::from_static(by))];
    Ok((by, axum::Json(json!({"input_tokens": tokens}))).into_response())
}

/// An error in this API's shape.
fn refused(refusal: Refusal, id: RequestId) -> Response {
    let kind = dialect::error_kind(refusal.status.as_u16());
    let mut body = dialect::error(kind, &refusal.error.message);
    body["request_id"] = id.to_string().into();
    let response = (refusal.status, axum::Json(body)).into_response();
    translated::with_headers(response, refusal.retry_after)
}
