//! One's own account and API keys.

use axum::extract::State;
use helix_proto::{
    ApiKeyId,
    auth::{
        ApiKey, ChangePasswordRequest, CreateApiKeyRequest, CreatedApiKey, UpdateUserRequest, User,
    },
    page::Page,
};
use http::StatusCode;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Caller, Failure, Json, Path, access::Member, check, client::ClientAddress};
use crate::{App, auth::Credential};

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(me, update_me))
        .routes(routes!(change_password))
        .routes(routes!(list_keys, create_key))
        .routes(routes!(delete_key))
}

/// One's own account.
#[utoipa::path(get, path = "/api/v1/users/me", tag = "users",
    responses((status = 200, body = User), (status = 401)),
    security(("session" = ["member"]), ("api_key" = ["admin"])))]
async fn me(caller: Caller<Member>, State(app): State<App>) -> Result<Json<User>, Failure> {
    app.auth().user(caller.user_id).await.map(Json)
}

/// Changes one's own account.
#[utoipa::path(patch, path = "/api/v1/users/me", tag = "users", request_body = UpdateUserRequest,
    responses((status = 200, body = User), (status = 401), (status = 422)),
    security(("session" = ["member"]), ("api_key" = ["admin"])))]
async fn update_me(
    caller: Caller<Member>,
    State(app): State<App>,
    Json(request): Json<UpdateUserRequest>,
) -> Result<Json<User>, Failure> {
    if let Some(name) = &request.name {
        app.auth()
            .rename(caller.user_id, &check::line("name", name, 100)?)
            .await?;
    }
    app.auth().user(caller.user_id).await.map(Json)
}

/// Changes one's own password; other browsers are signed out.
#[utoipa::path(post, path = "/api/v1/users/me/password", tag = "users", request_body = ChangePasswordRequest,
    responses((status = 204), (status = 401), (status = 422), (status = 429)),
    security(("session" = ["member"]), ("api_key" = ["admin"])))]
async fn change_password(
    caller: Caller<Member>,
    State(app): State<App>,
    ClientAddress(address): ClientAddress,
    Json(request): Json<ChangePasswordRequest>,
) -> Result<StatusCode, Failure> {
    check::password("new_password", &request.new_password)?;
    let (current, new) = (request.current_password.into(), request.new_password.into());
    app.auth()
        .change_password(&caller, current, new, address)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// One's own API keys, newest first.
#[utoipa::path(get, path = "/api/v1/api-keys", tag = "api-keys",
    responses((status = 200, body = Page<ApiKey>), (status = 401)),
    security(("session" = ["member"]), ("api_key" = ["admin"])))]
async fn list_keys(
    caller: Caller<Member>,
    State(app): State<App>,
) -> Result<Json<Page<ApiKey>>, Failure> {
    let items = app.auth().api_keys(caller.user_id).await?;
    Ok(Json(Page {
        items,
        next_cursor: None,
    }))
}

/// Makes an API key; its secret is shown this once.
#[utoipa::path(post, path = "/api/v1/api-keys", tag = "api-keys", request_body = CreateApiKeyRequest,
    responses((status = 201, body = CreatedApiKey), (status = 401), (status = 409), (status = 422)),
    security(("session" = ["member"]), ("api_key" = ["admin"])))]
async fn create_key(
    caller: Caller<Member>,
    State(app): State<App>,
    Json(mut request): Json<CreateApiKeyRequest>,
) -> Result<(StatusCode, Json<CreatedApiKey>), Failure> {
    request.name = check::line("name", &request.name, 100)?;
    request.scopes.sort_unstable();
    request.scopes.dedup();
    if request.scopes.is_empty() {
        return Err(Failure::invalid("scopes", "must name at least one scope"));
    }
    if let Credential::ApiKey {
        expires_at_ms: Some(mine),
        ..
    } = caller.credential
        && request.expires_at_ms.is_none_or(|at| at > mine)
    {
        return Err(Failure::invalid(
            "expires_at_ms",
            "a key that expires cannot make one that lasts longer",
        ));
    }
    if request
        .expires_at_ms
        .is_some_and(|at| at <= app.foundation().clock.now_ms())
    {
        return Err(Failure::invalid("expires_at_ms", "must be in the future"));
    }
    let created = app.auth().make_api_key(caller.user_id, request).await?;
    Ok((StatusCode::CREATED, Json(created)))
}

/// Deletes one of one's own API keys; it stops working at once.
#[utoipa::path(delete, path = "/api/v1/api-keys/{id}", tag = "api-keys",
    params(("id" = ApiKeyId, Path, description = "The key")),
    responses((status = 204), (status = 401), (status = 404)),
    security(("session" = ["member"]), ("api_key" = ["admin"])))]
async fn delete_key(
    caller: Caller<Member>,
    State(app): State<App>,
    Path(id): Path<ApiKeyId>,
) -> Result<StatusCode, Failure> {
    app.auth().delete_api_key(caller.user_id, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
