//! OpenAI's Responses API, answered by chat completions.

use axum::{
    Extension,
    extract::{DefaultBodyLimit, Request, State},
    response::Response,
};
use bytes::Bytes;
use helix_dialects::responses as dialect;
use helix_proto::RequestId;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Caller, Failure,
    access::ModelKey,
    asked::Asked,
    body,
    translated::{self, Refusal},
};
use crate::App;

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(responses))
        // Bounded by the options instead.
        .layer(DefaultBodyLimit::disable())
}

/// Answers a conversation by OpenAI's Responses API, whoever answers: nothing is stored.
#[utoipa::path(post, path = "/v1/responses", tag = "openai", request_body = Object,
    responses((status = 200, body = Object), (status = 400), (status = 401), (status = 404), (status = 413), (status = 422), (status = 429), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["inference"]), ("session_key" = [])))]
async fn responses(
    caller: Caller<ModelKey>,
    State(app): State<App>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    let asked = Asked::read(&app, &caller, id, &parts.headers)?;
    let most = app.options().limits.inference_body_bytes;
    let body = body::read(&app, &parts.headers, body, most).await?;
    Ok(answer(&app, asked, body)
        .await
        .unwrap_or_else(Response::from))
}

async fn answer(app: &App, asked: Asked, body: Bytes) -> Result<Response, Refusal> {
    let request = dialect::Request::read(translated::read(body)?)?;
    let upstream = app.inference().upstream(request.model(), asked.otherwise());
    let now_s = app.foundation().clock.now_ms() / 1_000;
    let answer = dialect::Answer::new(&request, &translated::seed(&asked), now_s);
    let stream = request.stream();
    let chat = request.into_chat(upstream);
    translated::answer(app, asked, chat, answer, stream).await
}
