//! Servers in sandboxes as origins of their own, for browsers.
//!
//! A request whose `Host` is below the option `ports_domain` comes here, and to nothing
//! else of the control plane. It needs a cookie of that origin alone, which opens one
//! port of one sandbox for one sign-in:
//!
//! 1. A browser without it is sent to the control plane's own page, with a random
//!    *state* that it keeps in a cookie here.
//! 2. That page, as whoever is signed in there, asks for a token for this port and state,
//!    good once and for a minute, and goes back with it ([`entry`]).
//! 3. Whoever has both, token and state, gets the cookie: a token that leaks is worth
//!    nothing in another browser, and nobody can be made to enter as someone else.
//!
//! Every request is checked again: the cookie, the sign-in behind it, and whether its user
//! may use the sandbox.

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use helix_tunnel::Lane;
use http::{Method, request::Parts};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    headers,
    relay::{Asked, Relay},
    websocket,
};
use crate::{
    App,
    api::{Failure, finish},
    auth::{Identity, secret},
    sandboxes::origins::{Aim, PortOrigin, PortOrigins},
    sharing::Right,
};

mod browser;
pub(super) mod cookies;
mod entry;
mod host;
mod page;

/// Paths that begin so are never the server's.
const OURS: &str = "/.helix/";
/// Where a browser comes with a token.
const ENTER: &str = "/.helix/enter";

/// The routes of these files.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(entry::open))
}

/// Takes what is for servers in sandboxes, before anything of the control plane sees it.
pub(crate) async fn dispatch(State(app): State<App>, request: Request, next: Next) -> Response {
    let Some(origins) = app.sandboxes().origins() else {
        return next.run(request).await;
    };
    let named = host::named(request.uri(), request.headers());
    match named.map(|host| host.map_or(Aim::ControlPlane, |host| origins.aim(&host))) {
        Ok(Aim::ControlPlane) => next.run(request).await,
        Ok(Aim::Port(at)) => Visit::new(&app, origins, at).serve(request).await,
        Ok(Aim::Nothing) => page::plain(&Failure::not_found("address of a server in a sandbox")),
        Err(why) => page::plain(&Failure::bad_request(why)),
    }
}

/// A request for a server.
struct Visit<'a> {
    app: &'a App,
    origins: &'a PortOrigins,
    at: PortOrigin,
}

impl<'a> Visit<'a> {
    const fn new(app: &'a App, origins: &'a PortOrigins, at: PortOrigin) -> Self {
        Self { app, origins, at }
    }

    async fn serve(&self, request: Request) -> Response {
        let begun = self.app.foundation().clock.now();
        let navigates = browser::navigates(request.method(), request.headers());
        let answer = match self.answer(request, navigates).await {
            Ok(answer) if navigates => page::instead_of(answer, &self.back()).await,
            Ok(answer) => answer,
            Err(failure) if navigates => page::failed(&failure, &self.back()),
            Err(failure) => page::plain(&failure),
        };
        finish::count(self.app, "ports_domain", answer.status(), begun);
        answer
    }

    /// The control plane's own page of the sandbox's ports.
    fn back(&self) -> String {
        let public = &self.app.foundation().public_url;
        format!("{public}/sandboxes/{}/ports", self.at.sandbox)
    }

    async fn answer(&self, request: Request, navigates: bool) -> Result<Response, Failure> {
        let (parts, body) = request.into_parts();
        let identity = self.identify(&parts).await?;
        let path = parts.uri.path();
        if path == ENTER {
            return entry::enter(self, &parts, identity.is_some()).await;
        }
        if path.starts_with(OURS) {
            return Err(Failure::not_found("page"));
        }
        let Some(identity) = identity else {
            if navigates {
                return Ok(entry::begin(self, &parts));
            }
            let why = "open the port's own address in the browser first";
            return Err(Failure::unauthenticated(why));
        };
        browser::check(&self.origins.url(self.at), &parts)?;
        self.relay(&identity, Request::from_parts(parts, body))
            .await
    }

    /// Who has come.
    async fn identify(&self, parts: &Parts) -> Result<Option<Identity>, Failure> {
        let https = self.origins.is_https();
        let now_ms = self.app.foundation().clock.now_ms();
        for cookie in cookies::values(&parts.headers, cookies::PASS, https) {
            let hash = secret::hash(cookie);
            let store = self.app.store();
            if let Some(sign_in) = store.port_cookie(&hash, self.at, now_ms).await?
                && let Some(found) = self.app.auth().identify_sign_in_hash(sign_in).await?
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    async fn relay(&self, identity: &Identity, request: Request) -> Result<Response, Failure> {
        let found = self
            .app
            .sharing()
            .sandbox(identity, self.at.sandbox)
            .await?;
        found.grant.require(Right::Drive)?;
        let relay = Relay::to_origin(self.app.clone(), self.at, request);
        let url = self.origins.url(self.at);
        let headers = headers::to_origin(&relay.parts.headers, self.at, &url);
        if relay.is_websocket() {
            return websocket::connect(relay, &found, Lane::Control, headers).await;
        }
        if relay.parts.method == Method::CONNECT || !relay.parts.uri.path().starts_with('/') {
            return Err(Failure::bad_request("this is no proxy"));
        }
        let asked = Asked::Origin(self.at);
        relay.pass_on(&found, Lane::Control, asked, headers).await
    }
}
