//! One's own secrets, and which of them a sandbox is given.

use axum::extract::State;
use helix_proto::{
    SandboxId,
    page::Page,
    secret::{PutSecretRequest, SandboxSecrets, Secret},
};
use http::StatusCode;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Caller, Failure, Json, Path,
    access::{InSandbox, Member, Own},
};
use crate::App;

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(put, delete))
        .routes(routes!(given, give))
}

/// One's own secrets, by name, without their values.
#[utoipa::path(get, path = "/api/v1/secrets", tag = "secrets",
    responses((status = 200, body = Page<Secret>), (status = 401)),
    security(("session" = ["member"]), ("api_key" = ["admin"])))]
async fn list(
    caller: Caller<Member>,
    State(app): State<App>,
) -> Result<Json<Page<Secret>>, Failure> {
    let items = app.secrets().list(caller.user_id).await?;
    Ok(Json(Page {
        items,
        next_cursor: None,
    }))
}

/// Adds a secret, or changes one. Its value is not shown again, by anything.
#[utoipa::path(put, path = "/api/v1/secrets/{name}", tag = "secrets", request_body = PutSecretRequest,
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, body = Secret), (status = 401), (status = 409), (status = 422)),
    security(("session" = ["member"]), ("api_key" = ["admin"])))]
async fn put(
    caller: Caller<Member>,
    State(app): State<App>,
    Path(name): Path<String>,
    Json(request): Json<PutSecretRequest>,
) -> Result<Json<Secret>, Failure> {
    let secret = app.secrets().put(caller.user_id, &name, request).await?;
    let given_to = app.secrets().given_to(caller.user_id, &name).await?;
    app.agents().secrets_changed(&given_to).await;
    app.sandboxes().secrets_changed(given_to);
    Ok(Json(secret))
}

/// Deletes a secret, and takes it from the sandboxes that were given it. What has seen it
/// may still know it: revoke it where it came from.
#[utoipa::path(delete, path = "/api/v1/secrets/{name}", tag = "secrets",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 204), (status = 401), (status = 404)),
    security(("session" = ["member"]), ("api_key" = ["admin"])))]
async fn delete(
    caller: Caller<Member>,
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<StatusCode, Failure> {
    let given_to = app.secrets().delete(caller.user_id, &name).await?;
    app.agents().secrets_changed(&given_to).await;
    app.sandboxes().secrets_changed(given_to);
    Ok(StatusCode::NO_CONTENT)
}

/// Which secrets a sandbox of one's own is given.
#[utoipa::path(get, path = "/api/v1/sandboxes/{id}/secrets", tag = "sandboxes",
    params(("id" = SandboxId, Path, description = "The sandbox")),
    responses((status = 200, body = SandboxSecrets), (status = 401), (status = 403), (status = 404)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn given(
    caller: InSandbox<Own>,
    State(app): State<App>,
) -> Result<Json<SandboxSecrets>, Failure> {
    let names = app.sandboxes().secrets_of(&caller, caller.id).await?;
    Ok(Json(SandboxSecrets { names }))
}

/// Says which secrets a sandbox of one's own is given, instead of those before. One that
/// runs has them at once: git its passwords, and programs that start from then on their
/// variables.
#[utoipa::path(put, path = "/api/v1/sandboxes/{id}/secrets", tag = "sandboxes", request_body = SandboxSecrets,
    params(("id" = SandboxId, Path, description = "The sandbox")),
    responses((status = 200, body = SandboxSecrets), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422), (status = 502), (status = 503)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn give(
    caller: InSandbox<Own>,
    State(app): State<App>,
    Json(chosen): Json<SandboxSecrets>,
) -> Result<Json<SandboxSecrets>, Failure> {
    let id = caller.id;
    let sandboxes = app.sandboxes();
    sandboxes
        .choose_secrets(&caller, caller.id, &chosen.names)
        .await?;
    app.agents().secrets_changed(&[id]).await;
    let names = sandboxes.secrets_of(&caller, caller.id).await?;
    Ok(Json(SandboxSecrets { names }))
}
