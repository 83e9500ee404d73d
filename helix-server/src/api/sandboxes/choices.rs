//! What a new sandbox can be made of.

use axum::extract::State;
use helix_proto::sandbox::choices::SandboxChoices;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App,
    api::{Caller, Json, access::SandboxesKey},
};

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(choices))
}

/// What a new sandbox can be made of: hosts, by name, and their images.
#[utoipa::path(get, path = "/api/v1/sandbox-choices", tag = "sandboxes",
    responses((status = 200, body = SandboxChoices), (status = 401)),
    security(("session" = ["member"]), ("api_key" = ["sandboxes"])))]
async fn choices(_: Caller<SandboxesKey>, State(app): State<App>) -> Json<SandboxChoices> {
    Json(app.sandboxes().choices())
}
