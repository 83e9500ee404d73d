//! Who may do what in a session, and in the sandbox that its agent works in.
//!
//! **Invariants.** This is the one place that says it: routes ask for a [`Right`] in their type
//! (`api::access`), and what outlives its request asks again (`Sharing::holds`). What somebody
//! may do in a sandbox of another's is what they may do in the sessions there. For whoever may do
//! nothing, there is no such thing.

use std::sync::Arc;

use helix_base::{Clock, Ids};
use helix_proto::{
    ErrorCode, SandboxId, SessionId, ShareId, UserId,
    auth::Role,
    share::{CreatedShare, SessionShare, ShareRight, SharedWith},
};

use crate::{
    Foundation,
    api::Failure,
    auth::{Identity, secret},
    events::{Bus, Notice, Topic},
    store::{
        self, Store,
        sandboxes::StoredSandbox,
        shares::{NewShare, Taken, With},
    },
};

mod within;

pub(crate) use within::readable;

/// The most shares of a session.
const MOST_SHARES: u64 = 50;
/// The most people who may take one link.
const MOST_PEOPLE: u64 = 200;

/// What somebody may do; each has those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// To see it.
    Read,
    /// To have it do things.
    Drive,
    /// Everything.
    Own,
}

impl From<ShareRight> for Right {
    fn from(right: ShareRight) -> Self {
        match right {
            ShareRight::Read => Self::Read,
            ShareRight::Drive => Self::Drive,
        }
    }
}

/// What a right is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum In {
    Session(SessionId),
    Sandbox(SandboxId),
}

/// That somebody has a right, as of when it was looked up.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    identity: Identity,
    within: In,
    right: Right,
}

impl Grant {
    /// Who has it.
    pub(crate) const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Which.
    pub(crate) const fn right(&self) -> Right {
        self.right
    }

    /// That it is enough.
    ///
    /// # Errors
    /// Forbidden, if it is not.
    pub(crate) fn require(&self, right: Right) -> Result<(), Failure> {
        if self.right >= right {
            return Ok(());
        }
        Err(Failure::forbidden(match right {
            Right::Own => "this is for the owner alone: it is shared with you",
            _ => "it is shared with you to read, not to drive",
        }))
    }
}

/// What somebody found of a session.
#[derive(Debug, Clone)]
pub(crate) struct SessionGrant {
    pub(crate) grant: Grant,
    /// Whose the session is.
    pub(crate) owner: UserId,
}

/// What somebody found of a sandbox.
#[derive(Debug, Clone)]
pub(crate) struct SandboxGrant {
    pub(crate) grant: Grant,
    pub(crate) sandbox: StoredSandbox,
    /// Below which directories somebody may read who may only read.
    pub(crate) directories: Vec<String>,
}

/// Who may do what. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sharing {
    store: Store,
    clock: Arc<dyn Clock>,
    ids: Ids,
    bus: Arc<dyn Bus>,
    public_url: Arc<str>,
}

impl Sharing {
    pub(crate) fn new(foundation: &Foundation) -> Self {
        Self {
            store: foundation.store.clone(),
            clock: Arc::clone(&foundation.clock),
            ids: foundation.ids.clone(),
            bus: Arc::clone(&foundation.bus),
            public_url: Arc::clone(&foundation.public_url),
        }
    }

    /// What somebody may do in a session.
    ///
    /// # Errors
    /// Not found, where that is nothing.
    pub(crate) async fn session(
        &self,
        identity: &Identity,
        id: SessionId,
    ) -> Result<SessionGrant, Failure> {
        let now_ms = self.clock.now_ms();
        let found = self.store.session_standing(identity.user_id, id, now_ms);
        let missing = || Failure::not_found("session");
        let (owner, shared) = found.await?.ok_or_else(missing)?;
        let right = match shared {
            _ if owner == identity.user_id => Right::Own,
            Some(shared) => shared.into(),
            None => return Err(missing()),
        };
        let grant = Grant {
            identity: identity.clone(),
            within: In::Session(id),
            right,
        };
        Ok(SessionGrant { grant, owner })
    }

    /// What somebody may do in a sandbox, deleted or not. Administrators may everything.
    ///
    /// # Errors
    /// Not found, where that is nothing.
    pub(crate) async fn sandbox(
        &self,
        identity: &Identity,
        id: SandboxId,
    ) -> Result<SandboxGrant, Failure> {
        let missing = || Failure::not_found("sandbox");
        let sandbox = self.store.sandbox(id).await?.ok_or_else(missing)?;
        let (user, owner) = (identity.user_id, sandbox.user_id);
        let own = owner == user || identity.role == Role::Admin;
        let shared = if own {
            Vec::new()
        } else {
            let now_ms = self.clock.now_ms();
            self.store.sandbox_standing(user, id, owner, now_ms).await?
        };
        let right = match shared.iter().map(|(right, _)| *right).max() {
            _ if own => Right::Own,
            Some(right) => right.into(),
            None => return Err(missing()),
        };
        let grant = Grant {
            identity: identity.clone(),
            within: In::Sandbox(id),
            right,
        };
        Ok(SandboxGrant {
            grant,
            sandbox,
            directories: shared.into_iter().map(|(_, directory)| directory).collect(),
        })
    }

    /// Whether a right is still the same. While the database does not answer it is.
    pub(crate) async fn holds(&self, grant: &Grant) -> bool {
        self.right_now(grant).await == Some(grant.right)
    }

    /// Whether somebody who had a right has any. While the database does not answer they do.
    pub(crate) async fn sees(&self, grant: &Grant) -> bool {
        self.right_now(grant).await.is_some()
    }

    async fn right_now(&self, grant: &Grant) -> Option<Right> {
        if grant.right == Right::Own {
            // That changes with the sign-in alone.
            return Some(Right::Own);
        }
        let now = match grant.within {
            In::Session(id) => {
                let found = self.session(&grant.identity, id).await;
                found.map(|found| found.grant)
            }
            In::Sandbox(id) => {
                let found = self.sandbox(&grant.identity, id).await;
                found.map(|found| found.grant)
            }
        };
        match now {
            Ok(now) => Some(now.right),
            Err(failure) if failure.error().code == ErrorCode::NotFound => None,
            Err(_) => Some(grant.right),
        }
    }

    /// How sessions of others are shared with a user.
    pub(crate) async fn with(
        &self,
        user: UserId,
    ) -> Result<Vec<(SessionId, SharedWith)>, store::Error> {
        self.store.shared_with(user, self.clock.now_ms()).await
    }

    /// How a session of another's is shared with somebody.
    pub(crate) async fn shown(&self, found: &SessionGrant) -> Result<Option<SharedWith>, Failure> {
        let right = match found.grant.right {
            Right::Own => return Ok(None),
            Right::Drive => ShareRight::Drive,
            Right::Read => ShareRight::Read,
        };
        let owner = self.store.account(found.owner).await?;
        let owner = owner.map(|owner| owner.user.name).unwrap_or_default();
        Ok(Some(SharedWith { right, owner }))
    }

    /// The shares of a session.
    pub(crate) async fn list(&self, id: SessionId) -> Result<Vec<SessionShare>, store::Error> {
        self.store.shares(id).await
    }

    /// Shares a session: with the account of an email address, or by a link.
    ///
    /// # Errors
    /// No such account, one's own, one that has a share already, or too many shares.
    pub(crate) async fn add(
        &self,
        session: &SessionGrant,
        id: SessionId,
        right: ShareRight,
        email: Option<&str>,
        ttl_ms: Option<u64>,
    ) -> Result<CreatedShare, Failure> {
        let now_ms = self.clock.now_ms();
        let token = secret::mint(secret::SHARE);
        let with = match email {
            None => With::Link(&token.hash),
            Some(email) => {
                let account = self.store.account_by_email(email).await?;
                let missing = || Failure::invalid("email", "nobody here has this address");
                let user = account.ok_or_else(missing)?.user.id;
                if user == session.owner {
                    return Err(Failure::invalid("email", "the session is theirs already"));
                }
                With::User(user)
            }
        };
        let new = NewShare {
            id: self.ids.next(),
            session: id,
            right,
            with,
            expires_at_ms: ttl_ms.map(|ttl| now_ms.saturating_add(ttl)),
        };
        let added = self.store.add_share(new, MOST_SHARES, now_ms).await;
        let share = match added {
            Ok(Some(share)) => share,
            Ok(None) => {
                let why = format!("the session has {MOST_SHARES} shares: end some");
                return Err(Failure::conflict(why));
            }
            Err(store::Error::Duplicate(_)) => {
                let why = "the session is shared with them already: change that";
                return Err(Failure::conflict(why));
            }
            Err(error) => return Err(error.into()),
        };
        tracing::info!(session = %id, share = %share.id, ?right, link = share.is_link, by = %session.owner, "a session is shared");
        self.tell(&share);
        let url = match with {
            With::User(_) => None,
            With::Link(_) => Some(format!("{}/shared/{}", self.public_url, token.secret)),
        };
        Ok(CreatedShare { share, url })
    }

    /// Changes a share.
    ///
    /// # Errors
    /// Not found.
    pub(crate) async fn change(
        &self,
        session: SessionId,
        id: ShareId,
        right: Option<ShareRight>,
        ttl_ms: Option<Option<u64>>,
    ) -> Result<SessionShare, Failure> {
        let now_ms = self.clock.now_ms();
        let expires = ttl_ms.map(|ttl| ttl.map(|ttl| now_ms.saturating_add(ttl)));
        let changed = self.store.update_share(session, id, right, expires).await?;
        let share = changed.ok_or_else(|| Failure::not_found("share"))?;
        tracing::info!(%session, share = %id, right = ?share.right, "a share of a session was changed");
        self.tell(&share);
        Ok(share)
    }

    /// Ends a share, and what is open by it.
    ///
    /// # Errors
    /// Not found.
    pub(crate) async fn revoke(&self, session: SessionId, id: ShareId) -> Result<(), Failure> {
        let removed = self.store.remove_share(session, id).await?;
        let share = removed.ok_or_else(|| Failure::not_found("share"))?;
        tracing::info!(%session, share = %id, "a share of a session was ended");
        self.tell(&share);
        Ok(())
    }

    /// Takes a link.
    ///
    /// # Errors
    /// Not found, or as many took it as may.
    pub(crate) async fn take(
        &self,
        identity: &Identity,
        token: &str,
    ) -> Result<SessionId, Failure> {
        let (user, hash) = (identity.user_id, secret::hash(token));
        let now_ms = self.clock.now_ms();
        let taken = self.store.take_share(user, &hash, MOST_PEOPLE, now_ms);
        match taken.await? {
            Taken::Joined(session) => {
                tracing::info!(%session, %user, "a link to a session was taken");
                self.bus.publish(Topic::User(user), Notice::SharesChanged);
                Ok(session)
            }
            Taken::Own(session) => Ok(session),
            Taken::Missing => Err(Failure::not_found("shared session")),
            Taken::Full => Err(Failure::conflict(format!(
                "{MOST_PEOPLE} people took this link already: ask for another one"
            ))),
        }
    }

    /// Has a session that is shared with a user be theirs to see no more.
    pub(crate) async fn leave(&self, user: UserId, session: SessionId) -> Result<(), Failure> {
        self.store.leave_session(user, session).await?;
        self.bus.publish(Topic::User(user), Notice::SharesChanged);
        Ok(())
    }

    /// Tells those whom a session was shared with that it is gone.
    pub(crate) fn over(&self, shares: &[SessionShare]) {
        shares.iter().for_each(|share| self.tell(share));
    }

    /// Tells those whom a share is with.
    fn tell(&self, share: &SessionShare) {
        for person in &share.people {
            let them = Topic::User(person.user_id);
            self.bus.publish(them, Notice::SharesChanged);
        }
    }
}
