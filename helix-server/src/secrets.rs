//! Users' secrets: kept sealed, shown never, given to the sandboxes that their user names.
//!
//! How a sandbox is given them is in [`crate::sandboxes`]; here is what they are, and
//! [`Redactor`], which keeps them out of what is stored and shown.

use std::sync::Arc;

use helix_base::{Clock, ExposeSecret as _, SecretString};
use helix_proto::{
    SandboxId, UserId,
    secret::{PutSecretRequest, Secret, SecretKind},
};

use crate::{
    Foundation,
    api::Failure,
    seal::{self, Place, Seal},
    store::{Store, secrets::StoredSecret},
};

mod check;
mod redact;

pub use redact::{RedactedStream, Redactor};

/// Secrets of one user at most.
const MOST: u64 = 200;
/// Secrets of one sandbox at most.
pub(crate) const MOST_OF_SANDBOX: usize = 32;
/// How many of the last characters are a hint, and how long a value must be for one.
const HINT: usize = 4;
const HINTED: usize = 20;

/// Users' secrets. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Secrets {
    store: Store,
    seal: Seal,
    clock: Arc<dyn Clock>,
}

/// A secret with its value, for those who give it to a sandbox.
#[derive(Debug, Clone)]
pub(crate) struct Opened {
    pub(crate) kind: SecretKind,
    pub(crate) value: SecretString,
}

impl Secrets {
    pub(crate) fn new(foundation: &Foundation) -> Self {
        Self {
            store: foundation.store.clone(),
            seal: foundation.seal.clone(),
            clock: Arc::clone(&foundation.clock),
        }
    }

    /// A user's secrets, by name.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn list(&self, user: UserId) -> Result<Vec<Secret>, Failure> {
        let found = self.store.secrets(user).await?;
        Ok(found.into_iter().map(|it| it.shown).collect())
    }

    /// Adds a secret, or changes one.
    ///
    /// # Errors
    /// A value, name or kind that cannot be one, or too many.
    pub(crate) async fn put(
        &self,
        user: UserId,
        name: &str,
        request: PutSecretRequest,
    ) -> Result<Secret, Failure> {
        check::name("name", name)?;
        let kind = check::kind(request.kind)?;
        let value = SecretString::from(request.value);
        check::value(&kind, value.expose_secret())?;
        let owner = user.to_string();
        let sealed = self
            .seal
            .seal(place_of(&owner, name), value.expose_secret())?;
        let now_ms = self.clock.now_ms();
        let stored = StoredSecret {
            user_id: user,
            shown: Secret {
                name: name.to_owned(),
                kind,
                hint: hint(value.expose_secret()),
                created_at_ms: now_ms,
                updated_at_ms: now_ms,
            },
            sealed,
        };
        if !self.store.put_secret(&stored, MOST).await? {
            let why = format!("there are {MOST} secrets already: delete one first");
            return Err(Failure::conflict(why));
        }
        tracing::info!(%user, secret = name, kind = kind_name(&stored.shown.kind), "a secret was set");
        let found = self.store.secrets(user).await?.into_iter();
        let mut found = found.filter(|it| it.shown.name == name);
        let gone = || Failure::not_found("secret");
        Ok(found.next().ok_or_else(gone)?.shown)
    }

    /// Deletes a secret. The sandboxes that were given it.
    ///
    /// # Errors
    /// Not found.
    pub(crate) async fn delete(&self, user: UserId, name: &str) -> Result<Vec<SandboxId>, Failure> {
        let sandboxes = self.store.sandboxes_with_secret(user, name).await?;
        if !self.store.delete_secret(user, name).await? {
            return Err(Failure::not_found("secret"));
        }
        tracing::info!(%user, secret = name, "a secret was deleted");
        Ok(sandboxes)
    }

    /// The sandboxes that are given a secret.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn given_to(
        &self,
        user: UserId,
        name: &str,
    ) -> Result<Vec<SandboxId>, Failure> {
        Ok(self.store.sandboxes_with_secret(user, name).await?)
    }

    /// That a user has all of these secrets, and that they can be a sandbox's.
    ///
    /// # Errors
    /// The name that is none, two for one variable, or too many.
    pub(crate) async fn check(&self, user: UserId, names: &[String]) -> Result<(), Failure> {
        if names.is_empty() {
            return Ok(());
        }
        let known = self.list(user).await?;
        check::grants(&known, names)
    }

    /// The values that a sandbox is given.
    ///
    /// # Errors
    /// When the database cannot be asked, or one does not open.
    pub(crate) async fn of_sandbox(&self, sandbox: SandboxId) -> Result<Vec<Opened>, seal::Error> {
        let found = self.store.secrets_of_sandbox(sandbox).await?;
        let open = |stored: StoredSecret| {
            let user = stored.user_id.to_string();
            let value = self
                .seal
                .open(place_of(&user, &stored.shown.name), &stored.sealed)?;
            Ok(Opened {
                kind: stored.shown.kind,
                value,
            })
        };
        found.into_iter().map(open).collect()
    }

    /// What keeps the secrets that a sandbox is given out of what programs in it say.
    ///
    /// # Errors
    /// When the database cannot be asked, or a secret does not open.
    pub async fn redactor(&self, sandbox: SandboxId) -> Result<Redactor, seal::Error> {
        let opened = self.of_sandbox(sandbox).await?;
        let pair = |secret: &Opened| match &secret.kind {
            SecretKind::Git { username, .. } => (Some(username.clone()), secret.value.clone()),
            SecretKind::Environment { .. } => (None, secret.value.clone()),
        };
        let pairs: Vec<_> = opened.iter().map(pair).collect();
        Ok(Redactor::new(&pairs))
    }
}

/// The place of a user's secret.
const fn place_of<'a>(user: &'a str, name: &'a str) -> Place<'a> {
    Place {
        table: "user_secrets",
        id: user,
        name,
    }
}

impl From<seal::Error> for Failure {
    fn from(error: seal::Error) -> Self {
        match error {
            seal::Error::TooLong => Self::invalid("value", error.to_string()),
            seal::Error::Store(error) => error.into(),
            _ => Self::internal("opening a secret", &error),
        }
    }
}

const fn kind_name(kind: &SecretKind) -> &'static str {
    match kind {
        SecretKind::Git { .. } => "git",
        SecretKind::Environment { .. } => "environment",
    }
}

/// The last characters of a value that is long enough not to be known by them.
fn hint(value: &str) -> String {
    let count = value.chars().count();
    if count < HINTED {
        return String::new();
    }
    let hint: String = value.chars().skip(count - HINT).collect();
    if hint.chars().any(char::is_control) {
        return String::new();
    }
    hint
}
