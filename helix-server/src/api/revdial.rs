//! Where machines dial in.

use axum::{extract::State, response::Response};
use helix_tunnel::{Holder, Upgrade};
use http::{HeaderMap, header};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Caller,
    access::{Machine, MachineCredential},
};
use crate::{App, auth::secret, machines::check_again};

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(revdial))
}

/// Where a runner or a sandbox host dials in: becomes a tunnel over which it is asked.
#[utoipa::path(get, path = "/api/v1/revdial", tag = "runners",
    responses((status = 101), (status = 401), (status = 426)),
    security(("runner" = []), ("sandbox_host" = [])))]
async fn revdial(
    caller: Caller<MachineCredential>,
    State(app): State<App>,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Response {
    let machine = *caller;
    let sent = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    // A link goes on only with the credential that it began with.
    let hash = secret::hash(&sent);
    let tasks = app.foundation().tasks.clone();
    let valid = {
        let app = app.clone();
        async move {
            let (_, credential) = sent.split_once(' ').unwrap_or_default();
            let known = Machine::identify(&app, credential.trim()).await?;
            Ok(known == Some(machine))
        }
    };
    match machine {
        Machine::Runner(id) => {
            let hub = app.fleet().hub().clone();
            upgrade.accept(&hub, Holder::new(id, hash), move |tunnel| {
                app.fleet().attach(id, &tunnel);
                check_again(&tasks, tunnel, valid);
            })
        }
        Machine::SandboxHost(id) => {
            let hub = app.sandboxes().hub().clone();
            upgrade.accept(&hub, Holder::new(id, hash), move |tunnel| {
                app.sandboxes().attach(id, &tunnel);
                check_again(&tasks, tunnel, valid);
            })
        }
    }
}
