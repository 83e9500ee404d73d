//! The HTTP surface: REST under `/api/v1`, OpenAI's and Anthropic's APIs under `/v1`.
//!
//! **Invariants.** A route is added by `OpenApiRouter::routes` only, so that the
//! OpenAPI document and the routes cannot differ. A handler takes a
//! [`Caller`], whose type says who may call it. An error is
//! answered as a [`Failure`], in the one envelope (or OpenAI's or Anthropic's shape on `/v1`).

use axum::{Extension, Router, middleware};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        Components,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_axum::router::OpenApiRouter;

use crate::App;

pub mod access;
mod agent_sync;
mod agents;
mod asked;
mod auth;
mod body;
pub(crate) mod check;
pub(crate) mod client;
mod document;
mod events;
pub mod extract;
pub mod failure;
mod finish;
mod live;
mod messages;
mod meter;
mod model_usage;
mod models;
mod openai;
mod queue;
mod responses;
mod revdial;
mod runners;
mod sandbox_hosts;
mod sandboxes;
mod secrets;
mod sessions;
mod shares;
pub(crate) mod streams;
mod system;
mod translated;
mod turns;
mod users;

pub use access::Caller;
pub use extract::{Json, Path, Query};
pub use failure::Failure;

/// The largest body of a route that names no bound of its own.
const BODY_BYTES: usize = 1 << 20;

#[derive(OpenApi)]
#[openapi(
    info(title = "Helix", description = "The control plane's API. Errors of `/api/v1` are `ErrorEnvelope`; errors of `/v1` are in the shape of the API that was asked."),
    components(schemas(
        helix_proto::error::ErrorEnvelope,
        helix_proto::live::ClientMessage,
        helix_proto::sandbox::git::GitCloneEvent,
        helix_proto::sandbox::guest::TerminalCommand,
    )),
    modifiers(&Credentials),
)]
struct Document;

/// How callers prove who they are.
struct Credentials;

impl Modify for Credentials {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let cookie = ApiKeyValue::with_description(
            access::COOKIE,
            "Set by signing in; over HTTPS its name begins with `__Host-`. Requests that change something also need `Sec-Fetch-Site` or `Origin`, as browsers send them.",
        );
        let bearer = |what: &str| {
            let scheme = HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .description(Some(what))
                .build();
            SecurityScheme::Http(scheme)
        };
        let components = document.components.get_or_insert_with(Components::new);
        components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
        components.add_security_scheme("api_key", bearer("An API key, `hx_…`, of the named scope"));
        let agent = bearer("The key of a session, `hxa_…`, which its agent has");
        components.add_security_scheme("session_key", agent);
        components.add_security_scheme("runner", bearer("A runner's credential, `hxr_…`"));
        let host = bearer("A sandbox host's credential, `hxs_…`");
        components.add_security_scheme("sandbox_host", host);
    }
}

/// All routes with their documentation.
fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(system::routes())
        .merge(auth::routes())
        .merge(users::routes())
        .merge(sessions::routes())
        .merge(shares::routes())
        .merge(turns::routes())
        .merge(events::routes())
        .merge(model_usage::routes())
        .merge(live::routes())
        .merge(models::routes())
        .merge(runners::routes())
        .merge(sandbox_hosts::routes())
        .merge(sandboxes::routes())
        .merge(agents::routes())
        .merge(agent_sync::routes())
        .merge(secrets::routes())
        .merge(revdial::routes())
        .merge(queue::routes())
        .merge(openai::routes())
        .merge(responses::routes())
        .merge(messages::routes())
}

/// The OpenAPI document.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = routes().split_for_parts().1;
    document::name_operations(&mut document);
    document::plain_paths(&mut document);
    document
}

/// Everything that is served: the API, and the web app for all other paths.
pub fn router(app: &App) -> Router {
    let (router, _) = routes().split_for_parts();
    router
        .method_not_allowed_fallback(system::method_not_allowed)
        .fallback_service(crate::web::router(app))
        .layer(Extension(extract::MostBytes(BODY_BYTES)))
        .layer(middleware::from_fn_with_state(app.clone(), finish::finish))
        .layer(middleware::from_fn_with_state(
            app.clone(),
            sandboxes::origins::dispatch,
        ))
        .with_state(app.clone())
}
