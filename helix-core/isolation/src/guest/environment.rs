//! Variables that a sandbox is given while it runs.

use axum::{Router, extract::State, routing::put};
use helix_proto::sandbox::guest::Environment;
use http::StatusCode;

use super::{
    Guest,
    failure::{Answer, Body},
    programs,
};

pub(crate) fn routes() -> Router<Guest> {
    Router::new().route("/environment", put(give))
}

async fn give(State(guest): State<Guest>, Body(given): Body<Environment>) -> Answer<StatusCode> {
    programs::check_place(&given.variables, None)?;
    guest.inner.programs.give(given.variables);
    Ok(StatusCode::NO_CONTENT)
}
