//! All routes of a guest.

use axum::{Router, extract::DefaultBodyLimit, response::IntoResponse as _};
use helix_proto::error::ErrorCode;

use super::{Guest, calls, environment, exec, failure::Failed, files, forwards, ports, terminals};

/// The most that a JSON body may have.
const JSON_BYTES: usize = 4 << 20;

/// The routes of a guest, as [`helix_proto::sandbox::guest`] lists them.
pub fn router(guest: Guest) -> Router {
    Router::new()
        .merge(exec::routes())
        .merge(terminals::routes())
        .merge(environment::routes())
        .merge(files::routes())
        .merge(ports::routes())
        .merge(calls::routes())
        .merge(forwards::routes())
        .merge(crate::desktop::routes())
        .merge(crate::docker::routes(guest.docker().cloned()))
        .fallback(async || Failed::not_found("the sandbox has no such route").into_response())
        .method_not_allowed_fallback(async || {
            Failed::new(
                ErrorCode::BadRequest,
                "this route does not take this method",
            )
            .into_response()
        })
        .layer(DefaultBodyLimit::max(JSON_BYTES))
        .with_state(guest)
}
