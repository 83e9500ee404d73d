//! Who may do what in a session or in a sandbox, as part of the type of a route's handler.
//!
//! ```text
//! async fn interrupt(caller: InSession<Drive>, …) -> Result<…, Failure>
//! ```
//!
//! It is said before anything else of the request is read: what is not there for the caller is
//! not found, whatever is wrong with the request.

use std::{fmt, marker::PhantomData, ops::Deref, str::FromStr};

use axum::extract::{FromRequestParts, RawPathParams};
use helix_proto::{SandboxId, SessionId, UserId};
use http::request::Parts;

use super::{Access, SandboxesKey, SessionsKey};
use crate::{
    App,
    api::Failure,
    auth::Identity,
    sharing::{Grant, Right, SandboxGrant, SessionGrant},
};

/// What a route needs somebody to have.
pub(crate) trait Needs: fmt::Debug + Send + Sync + 'static {
    const RIGHT: Right;
}

/// To see it.
#[derive(Debug)]
pub(crate) struct Read;
/// To have it do things.
#[derive(Debug)]
pub(crate) struct Drive;
/// To own it.
#[derive(Debug)]
pub(crate) struct Own;

impl Needs for Read {
    const RIGHT: Right = Right::Read;
}

impl Needs for Drive {
    const RIGHT: Right = Right::Drive;
}

impl Needs for Own {
    const RIGHT: Right = Right::Own;
}

/// A caller who has the right `N` in the session that the path names.
#[derive(Debug)]
pub(crate) struct InSession<N: Needs> {
    pub(crate) id: SessionId,
    pub(crate) found: SessionGrant,
    needs: PhantomData<N>,
}

impl<N: Needs> InSession<N> {
    /// Whose the session is, and on whose account things happen in it.
    pub(crate) const fn owner(&self) -> UserId {
        self.found.owner
    }
}

impl<N: Needs> Deref for InSession<N> {
    type Target = Identity;

    fn deref(&self) -> &Identity {
        self.found.grant.identity()
    }
}

impl<N: Needs> FromRequestParts<App> for InSession<N> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        let identity = SessionsKey::admit(app, parts).await?;
        let id = named(parts, app, "session").await?;
        let found = app.sharing().session(&identity, id).await?;
        found.grant.require(N::RIGHT)?;
        Ok(Self {
            id,
            found,
            needs: PhantomData,
        })
    }
}

/// A caller whom the rule `A` let in, who has the right `N` in the sandbox that the path names.
#[derive(Debug)]
pub(crate) struct InSandbox<N: Needs, A = SandboxesKey> {
    pub(crate) id: SandboxId,
    pub(crate) found: SandboxGrant,
    needs: PhantomData<(N, A)>,
}

impl<N: Needs, A> InSandbox<N, A> {
    /// The right, for what outlives the request.
    pub(crate) const fn grant(&self) -> &Grant {
        &self.found.grant
    }
}

impl<N: Needs, A> Deref for InSandbox<N, A> {
    type Target = Identity;

    fn deref(&self) -> &Identity {
        self.found.grant.identity()
    }
}

impl<N: Needs, A: Access<Identity = Identity>> FromRequestParts<App> for InSandbox<N, A> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        let identity = A::admit(app, parts).await?;
        let id = named(parts, app, "sandbox").await?;
        let found = app.sharing().sandbox(&identity, id).await?;
        found.grant.require(N::RIGHT)?;
        Ok(Self {
            id,
            found,
            needs: PhantomData,
        })
    }
}

/// What `{id}` of the path names. What cannot be parsed names nothing.
async fn named<T: FromStr>(parts: &mut Parts, app: &App, what: &str) -> Result<T, Failure> {
    let missing = || Failure::not_found(what);
    let params = RawPathParams::from_request_parts(parts, app).await;
    let params = params.map_err(|_| missing())?;
    let id = params.iter().find(|(name, _)| *name == "id");
    let (_, id) = id.ok_or_else(missing)?;
    id.parse().map_err(|_| missing())
}
