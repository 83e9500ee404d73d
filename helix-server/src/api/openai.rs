//! OpenAI's API under `/v1`.

use utoipa_axum::router::OpenApiRouter;

use crate::App;

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
}
