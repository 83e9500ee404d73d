//! The web app.

use axum::extract::Request;

use crate::api::Failure;

/// For every path that is no route of the API.
pub(crate) async fn serve(_request: Request) -> Failure {
    Failure::not_found("page")
}
