//! Tokens with which machines register themselves, as runners or as sandbox hosts.

use std::time::Duration;

use axum::extract::State;
use helix_proto::{
    JoinTokenId,
    fleet::{CreateJoinTokenRequest, CreatedJoinToken, JoinToken},
};
use http::StatusCode;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App,
    api::{Caller, Failure, Json, Path, access::AdminOnly, check},
    auth::secret,
};

/// How long a token works that says nothing about it.
const USUAL_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// Most machines that may use one token.
const MAX_USES: u32 = 10_000;

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(delete))
}

/// All join tokens, newest first.
#[utoipa::path(get, path = "/api/v1/join-tokens", tag = "runners",
    responses((status = 200, body = Vec<JoinToken>), (status = 401), (status = 403)),
    security(("session" = ["admin"]), ("api_key" = ["admin"])))]
async fn list(
    _: Caller<AdminOnly>,
    State(app): State<App>,
) -> Result<Json<Vec<JoinToken>>, Failure> {
    Ok(Json(app.store().join_tokens().await?))
}

/// Makes a join token; its secret is shown this once.
#[utoipa::path(post, path = "/api/v1/join-tokens", tag = "runners", request_body = CreateJoinTokenRequest,
    responses((status = 201, body = CreatedJoinToken), (status = 401), (status = 403), (status = 422)),
    security(("session" = ["admin"]), ("api_key" = ["admin"])))]
async fn create(
    _: Caller<AdminOnly>,
    State(app): State<App>,
    Json(request): Json<CreateJoinTokenRequest>,
) -> Result<(StatusCode, Json<CreatedJoinToken>), Failure> {
    let name = check::line("name", &request.name, 100)?;
    let max_uses = request.max_uses.unwrap_or(1);
    if !(1..=MAX_USES).contains(&max_uses) {
        return Err(Failure::invalid("max_uses", "must be 1 to 10,000"));
    }
    let foundation = app.foundation();
    let now_ms = foundation.clock.now_ms();
    let usual = now_ms.saturating_add(USUAL_LIFE.as_millis() as u64);
    let expires_at_ms = request.expires_at_ms.unwrap_or(usual);
    if expires_at_ms <= now_ms {
        return Err(Failure::invalid("expires_at_ms", "must be in the future"));
    }
    let minted = secret::mint(secret::JOIN_TOKEN);
    let join_token = JoinToken {
        id: foundation.ids.next(),
        name,
        role: request.role,
        uses: 0,
        max_uses,
        created_at_ms: now_ms,
        expires_at_ms,
    };
    app.store()
        .insert_join_token(&join_token, &minted.hash)
        .await?;
    let secret = minted.secret;
    Ok((
        StatusCode::CREATED,
        Json(CreatedJoinToken { join_token, secret }),
    ))
}

/// Deletes a join token; machines that used it stay.
#[utoipa::path(delete, path = "/api/v1/join-tokens/{id}", tag = "runners",
    params(("id" = JoinTokenId, Path, description = "The token")),
    responses((status = 204), (status = 401), (status = 403), (status = 404)),
    security(("session" = ["admin"]), ("api_key" = ["admin"])))]
async fn delete(
    _: Caller<AdminOnly>,
    State(app): State<App>,
    Path(id): Path<JoinTokenId>,
) -> Result<StatusCode, Failure> {
    if !app.store().delete_join_token(id).await? {
        return Err(Failure::not_found("join token"));
    }
    Ok(StatusCode::NO_CONTENT)
}
