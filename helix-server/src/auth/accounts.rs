//! Registering, signing in and out, one-time links, API keys.

use std::{net::IpAddr, path::Path, time::Duration};

use helix_base::{ExposeSecret as _, SecretString};
use helix_proto::{
    ApiKeyId, ErrorCode, UserId,
    auth::{ApiKey, CreateApiKeyRequest, CreatedApiKey, Role, SignInLink, User},
};

use super::{Auth, Credential, Identity, password, secret};
use crate::{
    api::Failure,
    store::{self, accounts},
};

/// How long a browser stays signed in.
const SIGNED_IN: Duration = Duration::from_secs(30 * 24 * 3_600);
/// How long the set-up link works.
const SETUP: Duration = Duration::from_secs(30 * 24 * 3_600);
/// How long a sign-in link works.
const LINK: Duration = Duration::from_secs(3_600);
/// API keys of one user at most.
const KEYS: u64 = 100;
/// The file in the data directory that holds the set-up link.
pub(super) const SETUP_FILE: &str = "setup-link";

/// A user who has just signed in, and what the browser is to keep.
#[derive(Debug)]
pub(crate) struct SignedIn {
    pub(crate) user: User,
    pub(crate) cookie: SecretString,
    pub(crate) lasts: Duration,
}

/// What someone registers with, checked already.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) email: String,
    pub(crate) name: String,
    pub(crate) password: SecretString,
    pub(crate) setup_token: Option<SecretString>,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl From<password::Error> for Failure {
    fn from(error: password::Error) -> Self {
        match error {
            password::Error::Busy => Self::new(ErrorCode::Unavailable, error.to_string())
                .retry_after(Duration::from_secs(2)),
            password::Error::Hash(_) => Self::internal("checking a password", &error),
        }
    }
}

fn not_valid_link() -> Failure {
    Failure::unauthenticated(
        "the link is not valid, was used already or has expired: ask for a new one",
    )
}

impl Auth {
    /// When nobody has an account yet, makes a new set-up link, keeps it in the
    /// data directory for its owner's eyes, and says it.
    pub(crate) async fn prepare_setup(
        &self,
        public_url: &str,
    ) -> Result<Option<String>, crate::serve::Error> {
        let file = &self.inner.setup_file;
        let failed = |source| crate::serve::Error::DataDir {
            path: file.display().to_string(),
            source,
        };
        if !self.inner.store.has_no_user().await? {
            return match self.remove_setup_file().await {
                Ok(()) => Ok(None),
                Err(error) => Err(failed(error)),
            };
        }
        let minted = secret::mint(secret::LINK);
        let expires = self.inner.clock.now_ms() + millis(SETUP);
        self.inner
            .store
            .set_setup_link(&minted.hash, expires)
            .await?;
        let link = format!("{public_url}/setup?token={}", minted.secret);
        write_private(file, &format!("{link}\n"))
            .await
            .map_err(failed)?;
        Ok(Some(link))
    }

    /// Removes the file with the set-up link, if it is there.
    async fn remove_setup_file(&self) -> std::io::Result<()> {
        match tokio::fs::remove_file(&self.inner.setup_file).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether the set-up link is still to be used.
    pub(crate) async fn setup_required(&self) -> Result<bool, store::Error> {
        self.inner.store.has_no_user().await
    }

    fn admit(&self, account: Option<&str>, address: IpAddr) -> Result<(), Failure> {
        let now = self.inner.clock.now();
        self.inner
            .attempts
            .admit(account, address, now)
            .map_err(|wait| {
                Failure::too_many(
                    "too many attempts to sign in: wait before the next one",
                    wait,
                )
            })
    }

    /// Makes an account and signs in. With the token of the set-up link, and as
    /// the first user, the account is an administrator's.
    pub(crate) async fn register(
        &self,
        registration: Registration,
        registration_open: bool,
        address: IpAddr,
    ) -> Result<SignedIn, Failure> {
        self.admit(None, address)?;
        let inner = &*self.inner;
        let now_ms = inner.clock.now_ms();
        let setup = registration
            .setup_token
            .as_ref()
            .map(|token| secret::hash(token.expose_secret()));
        match &setup {
            Some(hash) if !inner.store.is_setup_link(hash, now_ms).await? => {
                return Err(not_valid_link());
            }
            None if !registration_open => {
                return Err(Failure::forbidden(
                    "registration is closed: an administrator can open it with the option `registration_open`",
                ));
            }
            None if inner.store.has_no_user().await? => {
                return Err(Failure::forbidden(
                    "the first account is made with the set-up link, which the control plane logged and wrote to its data directory",
                ));
            }
            _ => {}
        }
        let password_hash = inner.passwords.hash(registration.password).await?;
        let role = if setup.is_some() {
            Role::Admin
        } else {
            Role::Member
        };
        let user = User {
            id: inner.ids.next(),
            email: registration.email,
            name: registration.name,
            role,
            created_at_ms: now_ms,
        };
        let mut transaction = inner.store.begin().await?;
        if let Some(hash) = &setup
            && accounts::use_link(&mut transaction, hash, now_ms).await? != Some(None)
        {
            return Err(not_valid_link());
        }
        match accounts::insert_user(&mut transaction, &user, &password_hash).await {
            Err(store::Error::Duplicate(_)) => {
                return Err(Failure::conflict(
                    "this email address has an account already: sign in",
                ));
            }
            other => other?,
        }
        let signed_in = self.sign_in_within(transaction, user).await?;
        if setup.is_some()
            && let Err(error) = self.remove_setup_file().await
        {
            let file = self.inner.setup_file.display();
            tracing::warn!(%error, %file, "the set-up link was used, but its file cannot be removed");
        }
        Ok(signed_in)
    }

    /// Signs in with a password.
    pub(crate) async fn sign_in(
        &self,
        email: &str,
        password: SecretString,
        address: IpAddr,
    ) -> Result<SignedIn, Failure> {
        self.admit(Some(email), address)?;
        let account = self.inner.store.account_by_email(email).await?;
        let hash = account
            .as_ref()
            .map(|account| account.password_hash.clone());
        let right = self.inner.passwords.verify(password, hash).await?;
        let Some(account) = account.filter(|_| right) else {
            return Err(Failure::unauthenticated(
                "the email address or the password is not right",
            ));
        };
        self.inner.attempts.succeeded(email);
        self.sign_in_within(self.inner.store.begin().await?, account.user)
            .await
    }

    /// Signs in with a one-time link.
    pub(crate) async fn redeem_link(
        &self,
        token: &str,
        address: IpAddr,
    ) -> Result<SignedIn, Failure> {
        self.admit(None, address)?;
        let now_ms = self.inner.clock.now_ms();
        let mut transaction = self.inner.store.begin().await?;
        let used = accounts::use_link(&mut transaction, &secret::hash(token), now_ms).await?;
        // A set-up link signs nobody in: dropping the transaction keeps it.
        let Some(Some(user)) = used else {
            return Err(not_valid_link());
        };
        let account = accounts::account_within(&mut transaction, user).await?;
        let account = account.ok_or_else(not_valid_link)?;
        self.sign_in_within(transaction, account.user).await
    }

    async fn sign_in_within(
        &self,
        mut transaction: store::Transaction,
        user: User,
    ) -> Result<SignedIn, Failure> {
        let minted = secret::mint(secret::SIGN_IN);
        let now_ms = self.inner.clock.now_ms();
        accounts::insert_sign_in(
            &mut transaction,
            user.id,
            &minted.hash,
            now_ms,
            now_ms + millis(SIGNED_IN),
        )
        .await?;
        transaction.commit().await?;
        Ok(SignedIn {
            user,
            cookie: minted.secret.into(),
            lasts: SIGNED_IN,
        })
    }

    /// Signs a browser out.
    pub(crate) async fn sign_out(&self, token_hash: &str) -> Result<(), Failure> {
        self.inner.store.remove_sign_in(token_hash).await?;
        self.forget(token_hash);
        Ok(())
    }

    /// Makes a link with which the user can sign in once.
    pub(crate) async fn make_link(
        &self,
        user: UserId,
        public_url: &str,
    ) -> Result<SignInLink, Failure> {
        let minted = secret::mint(secret::LINK);
        let now_ms = self.inner.clock.now_ms();
        let expires_at_ms = now_ms + millis(LINK);
        self.inner
            .store
            .add_sign_in_link(&minted.hash, user, now_ms, expires_at_ms)
            .await?;
        Ok(SignInLink {
            url: format!("{public_url}/link?token={}", minted.secret),
            expires_at_ms,
        })
    }

    /// The account of a user.
    pub(crate) async fn user(&self, id: UserId) -> Result<User, Failure> {
        let account = self.inner.store.account(id).await?;
        Ok(account.ok_or_else(|| Failure::not_found("user"))?.user)
    }

    /// Changes what a user is called.
    pub(crate) async fn rename(&self, id: UserId, name: &str) -> Result<(), Failure> {
        Ok(self.inner.store.rename_user(id, name).await?)
    }

    /// Changes a password, and signs the user's other browsers out.
    pub(crate) async fn change_password(
        &self,
        caller: &Identity,
        current: SecretString,
        new: SecretString,
        address: IpAddr,
    ) -> Result<(), Failure> {
        let inner = &*self.inner;
        let account = inner.store.account(caller.user_id).await?;
        let account = account.ok_or_else(|| Failure::not_found("user"))?;
        self.admit(Some(&account.user.email), address)?;
        if !inner
            .passwords
            .verify(current, Some(account.password_hash))
            .await?
        {
            return Err(Failure::invalid(
                "current_password",
                "this is not the password",
            ));
        }
        inner.attempts.succeeded(&account.user.email);
        let hash = inner.passwords.hash(new).await?;
        let keep = match &caller.credential {
            Credential::SignIn { .. } => Some(&*caller.secret_hash),
            Credential::ApiKey { .. } | Credential::SessionKey { .. } => None,
        };
        inner
            .store
            .change_password(caller.user_id, &hash, keep)
            .await?;
        self.forget_user(caller.user_id);
        Ok(())
    }

    /// The keys of a user.
    pub(crate) async fn api_keys(&self, user: UserId) -> Result<Vec<ApiKey>, Failure> {
        Ok(self.inner.store.api_keys(user).await?)
    }

    /// Makes an API key, from a request that was checked already.
    pub(crate) async fn make_api_key(
        &self,
        user: UserId,
        request: CreateApiKeyRequest,
    ) -> Result<CreatedApiKey, Failure> {
        let minted = secret::mint(secret::API_KEY);
        let api_key = ApiKey {
            id: self.inner.ids.next(),
            name: request.name,
            hint: minted.hint,
            scopes: request.scopes,
            created_at_ms: self.inner.clock.now_ms(),
            last_used_at_ms: None,
            expires_at_ms: request.expires_at_ms,
        };
        if !self
            .inner
            .store
            .add_api_key(user, &api_key, &minted.hash, KEYS)
            .await?
        {
            return Err(Failure::conflict(format!(
                "you have {KEYS} API keys: delete one first"
            )));
        }
        Ok(CreatedApiKey {
            api_key,
            secret: minted.secret,
        })
    }

    /// Deletes an API key of a user.
    pub(crate) async fn delete_api_key(&self, user: UserId, id: ApiKeyId) -> Result<(), Failure> {
        if !self.inner.store.remove_api_key(user, id).await? {
            return Err(Failure::not_found("API key"));
        }
        self.forget_key(id);
        Ok(())
    }
}

/// Writes a file that only its owner can read.
async fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use tokio::io::AsyncWriteExt as _;
    let mut options = tokio::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(path).await?;
    // The file may be an old one with other permissions.
    let owner_only = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    file.set_permissions(owner_only).await?;
    file.write_all(text.as_bytes()).await?;
    file.flush().await
}
