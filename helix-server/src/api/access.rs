//! Who may call a route, as part of the type of its handler.
//!
//! ```text
//! async fn list(caller: Caller<AdminOnly>, …) -> Result<Json<…>, Failure>
//! ```
//!
//! The OpenAPI document repeats it (`security`), and a test walks every
//! documented route as every kind of caller to see that both agree.

use std::{future::Future, marker::PhantomData, ops::Deref};

use axum::extract::FromRequestParts;
use helix_proto::{
    RunnerId, SandboxHostId,
    auth::{Role, Scope},
};
use http::{Method, header, request::Parts};

use super::Failure;
use crate::{
    App,
    auth::{Credential, Identity, secret},
};

mod granted;
mod origin;

pub(crate) use granted::{Drive, InSandbox, InSession, Own, Read};
pub(crate) use origin::refuse_foreign_page;

/// The name of the cookie of a browser that is signed in by plain HTTP.
pub const COOKIE: &str = "helix_session";
/// Its name over HTTPS: no page on another host of the same site can set it.
const HOST_COOKIE: &str = "__Host-helix_session";

/// The name of the cookie of a browser that is signed in.
pub(crate) const fn cookie_name(https: bool) -> &'static str {
    if https { HOST_COOKIE } else { COOKIE }
}

/// A rule about who may call.
pub trait Access: Send + Sync + 'static {
    /// What is known about a caller that was let in.
    type Identity: Send;

    /// Lets the caller in, or says why not.
    fn admit(
        app: &App,
        parts: &Parts,
    ) -> impl Future<Output = Result<Self::Identity, Failure>> + Send;
}

/// A caller that the rule `A` let in.
#[derive(Debug)]
pub struct Caller<A: Access> {
    identity: A::Identity,
    rule: PhantomData<A>,
}

impl<A: Access> Deref for Caller<A> {
    type Target = A::Identity;

    fn deref(&self) -> &A::Identity {
        &self.identity
    }
}

impl<A: Access> FromRequestParts<App> for Caller<A> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        let identity = A::admit(app, parts).await?;
        Ok(Self {
            identity,
            rule: PhantomData,
        })
    }
}

/// Anyone. A page of another site may still not make a browser call it.
#[derive(Debug)]
pub struct Public;

/// Anyone with an account: signed in, or with a key of scope `admin`.
#[derive(Debug)]
pub struct Member;

/// As [`Member`], or with a key of scope `sessions`.
#[derive(Debug)]
pub struct SessionsKey;

/// An administrator: signed in, or with a key of scope `admin`.
#[derive(Debug)]
pub struct AdminOnly;

/// Anyone with an account: signed in, or with a key of scope `inference`.
#[derive(Debug)]
pub struct InferenceKey;

/// As [`InferenceKey`], or an agent with the key of its session. Keys of both kinds may also
/// come as `x-api-key`, as Anthropic's clients send them.
#[derive(Debug)]
pub struct ModelKey;

/// Anyone with an account: signed in, or with a key of scope `sandboxes` or `admin`.
#[derive(Debug)]
pub struct SandboxesKey;

/// A runner or a sandbox host, with its own credential.
#[derive(Debug)]
pub struct MachineCredential;

/// A sandbox host, with its own credential.
#[derive(Debug)]
pub struct HostCredential;

/// A machine, as its credential says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    /// A runner.
    Runner(RunnerId),
    /// A sandbox host.
    SandboxHost(SandboxHostId),
}

impl Machine {
    /// The machine behind a credential.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn identify(
        app: &App,
        credential: &str,
    ) -> Result<Option<Self>, crate::store::Error> {
        if let Some(runner) = app.auth().identify_runner(credential).await? {
            return Ok(Some(Self::Runner(runner)));
        }
        let host = app.auth().identify_sandbox_host(credential).await?;
        Ok(host.map(Self::SandboxHost))
    }
}

impl Access for Public {
    type Identity = ();

    async fn admit(app: &App, parts: &Parts) -> Result<(), Failure> {
        refuse_foreign_page(app, parts)
    }
}

impl Access for Member {
    type Identity = Identity;

    async fn admit(app: &App, parts: &Parts) -> Result<Identity, Failure> {
        user(app, parts, &[Scope::Admin]).await
    }
}

impl Access for SessionsKey {
    type Identity = Identity;

    async fn admit(app: &App, parts: &Parts) -> Result<Identity, Failure> {
        user(app, parts, &[Scope::Sessions, Scope::Admin]).await
    }
}

impl Access for AdminOnly {
    type Identity = Identity;

    async fn admit(app: &App, parts: &Parts) -> Result<Identity, Failure> {
        let identity = user(app, parts, &[Scope::Admin]).await?;
        match identity.role {
            Role::Admin => Ok(identity),
            Role::Member => Err(Failure::forbidden("only administrators may do this")),
        }
    }
}

impl Access for InferenceKey {
    type Identity = Identity;

    async fn admit(app: &App, parts: &Parts) -> Result<Identity, Failure> {
        user(app, parts, &[Scope::Inference]).await
    }
}

impl Access for ModelKey {
    type Identity = Identity;

    async fn admit(app: &App, parts: &Parts) -> Result<Identity, Failure> {
        let Some(key) = bearer(parts).or_else(|| x_api_key(parts)) else {
            return user(app, parts, &[Scope::Inference]).await;
        };
        if !key.starts_with(secret::SESSION_KEY) {
            return key_owner(app, key, &[Scope::Inference]).await;
        }
        let identity = app.auth().identify_session_key(key).await?;
        identity.ok_or_else(|| {
            Failure::unauthenticated("the session's key is not valid, or its session has ended")
        })
    }
}

impl Access for SandboxesKey {
    type Identity = Identity;

    async fn admit(app: &App, parts: &Parts) -> Result<Identity, Failure> {
        user(app, parts, &[Scope::Sandboxes, Scope::Admin]).await
    }
}

impl Access for MachineCredential {
    type Identity = Machine;

    async fn admit(app: &App, parts: &Parts) -> Result<Machine, Failure> {
        let credential = bearer(parts).ok_or_else(|| {
            Failure::unauthenticated(
                "send the machine's credential as `Authorization: Bearer hxr_…` or `hxs_…`",
            )
        })?;
        Machine::identify(app, credential).await?.ok_or_else(|| {
            Failure::unauthenticated(
                "the machine's credential is not valid, or was revoked: ask an administrator for a new one",
            )
        })
    }
}

impl Access for HostCredential {
    type Identity = SandboxHostId;

    async fn admit(app: &App, parts: &Parts) -> Result<SandboxHostId, Failure> {
        match MachineCredential::admit(app, parts).await? {
            Machine::SandboxHost(host) => Ok(host),
            Machine::Runner(_) => Err(Failure::forbidden("this is for sandbox hosts")),
        }
    }
}

/// A user with a cookie, or with a key that has one of `scopes`.
async fn user(app: &App, parts: &Parts, scopes: &[Scope]) -> Result<Identity, Failure> {
    if let Some(key) = bearer(parts) {
        return key_owner(app, key, scopes).await;
    }
    let name = cookie_name(app.options().is_https());
    let token = cookie(parts, name).ok_or_else(|| {
        Failure::unauthenticated("sign in, or send an API key as `Authorization: Bearer hx_…`")
    })?;
    let identity = app
        .auth()
        .identify_sign_in(token)
        .await?
        .ok_or_else(|| Failure::unauthenticated("the sign-in has ended: sign in again"))?;
    origin::require_own_page(app, parts)?;
    Ok(identity)
}

/// The user of an API key that has one of `scopes`.
async fn key_owner(app: &App, key: &str, scopes: &[Scope]) -> Result<Identity, Failure> {
    if key.starts_with(secret::SESSION_KEY) {
        return Err(Failure::forbidden(
            "the key of a session is for asking models, and for nothing else",
        ));
    }
    let identity = app.auth().identify_key(key).await?.ok_or_else(|| {
        Failure::unauthenticated("the API key is not valid, has expired or was deleted")
    })?;
    match &identity.credential {
        Credential::ApiKey { scopes: has, .. } if scopes.iter().any(|s| has.contains(s)) => {
            Ok(identity)
        }
        _ => Err(Failure::forbidden(
            "the API key has no scope that allows this",
        )),
    }
}

/// The credential as Anthropic's clients send it.
fn x_api_key(parts: &Parts) -> Option<&str> {
    parts.headers.get("x-api-key")?.to_str().ok().map(str::trim)
}

/// The credential of `Authorization: Bearer`.
fn bearer(parts: &Parts) -> Option<&str> {
    let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credential) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| credential.trim())
}

/// The value of a cookie.
fn cookie<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    parts
        .headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

/// Whether the request cannot change anything. A WebSocket can.
fn only_reads(parts: &Parts) -> bool {
    matches!(parts.method, Method::GET | Method::HEAD)
        && !parts.headers.contains_key(header::UPGRADE)
}
