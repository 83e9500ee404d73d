//! How a sandbox is given its secrets: those of its owner that the owner named, and only
//! into memory inside it.
//!
//! Variables go to what runs inside (`PUT /environment`), which has them for programs that
//! start from then on. Passwords of git servers go to git's own `credential-cache`, a
//! process of the sandbox's user, from which a helper in that user's git configuration
//! reads and which it never writes. So nothing of a secret is on the sandbox's disk, in
//! its description, in a snapshot or in a fork; when the sandbox stops it is gone, and
//! given again when it runs again.

use std::{sync::PoisonError, time::Duration};

use helix_base::ExposeSecret as _;
use helix_proto::{
    ErrorCode, SandboxId, UserId,
    sandbox::{SandboxState, guest::Environment},
    secret::SecretKind,
};

use super::{Client, Sandboxes, programs::Program};
use crate::{api::Failure, auth::Identity, secrets::Opened, store::sandboxes::StoredSandbox};

/// How long git may take to do what needs no network.
const SOON: Duration = Duration::from_secs(20);
/// How often giving is tried, and after which wait.
const TRIES: u32 = 3;
const TRY_AGAIN: Duration = Duration::from_secs(2);
/// git's cache of passwords, listening in a folder of its own into which only its user
/// sees. The shell is there for `$HOME`: nothing that anybody chose is in its words.
const STORE: &str = r#"exec git credential-cache --timeout 31536000 --socket "$HOME/.cache/helix-git/socket" store"#;
const FORGET: &str = r#"exec git credential-cache --socket "$HOME/.cache/helix-git/socket" exit"#;
/// How git asks it. It only reads: what a user types is kept by nobody, and a server that
/// says no makes it forget nothing.
const HELPER: &str = r#"!f() { test "$1" = get && exec git credential-cache --socket "$HOME/.cache/helix-git/socket" get; }; f"#;
/// Tells an earlier helper of ours from others.
const OURS: &str = "helix-git/socket";

impl Sandboxes {
    /// Which secrets a sandbox is given, by name.
    ///
    /// # Errors
    /// Not found, or another's.
    pub(crate) async fn secrets_of(
        &self,
        caller: &Identity,
        id: SandboxId,
    ) -> Result<Vec<String>, Failure> {
        self.own(caller, id).await?;
        let found = self.inner.store.secrets_of_sandbox(id).await?;
        Ok(found.into_iter().map(|it| it.shown.name).collect())
    }

    /// Has a sandbox be given these secrets and no others, from now on. One that runs has
    /// them when this returns.
    ///
    /// # Errors
    /// Not found, another's, a secret that is none, or a sandbox that cannot take them:
    /// it is given them when it runs again.
    pub(crate) async fn choose_secrets(
        &self,
        caller: &Identity,
        id: SandboxId,
        names: &[String],
    ) -> Result<(), Failure> {
        let sandbox = self.own(caller, id).await?;
        self.inner.secrets.check(sandbox.user_id, names).await?;
        self.set_secrets(id, sandbox.user_id, names).await
    }

    pub(super) async fn set_secrets(
        &self,
        id: SandboxId,
        user: UserId,
        names: &[String],
    ) -> Result<(), Failure> {
        let had = !self.inner.store.secrets_of_sandbox(id).await?.is_empty();
        self.inner
            .store
            .set_sandbox_secrets(id, user, names)
            .await?;
        tracing::info!(sandbox = %id, %user, secrets = names.join(","), "which secrets a sandbox is given was set");
        self.give_secrets(id, had).await
    }

    /// Gives sandboxes anew what they are to have, after a secret changed or is gone.
    pub(crate) fn secrets_changed(&self, sandboxes: Vec<SandboxId>) {
        for id in sandboxes {
            self.spawn_giving(id, true);
        }
    }

    /// A sandbox of the caller's own: secrets are nobody else's business, not an
    /// administrator's either.
    async fn own(&self, caller: &Identity, id: SandboxId) -> Result<StoredSandbox, Failure> {
        let sandbox = self.find(id).await?;
        if sandbox.user_id != caller.user_id {
            let why = "only who a sandbox belongs to says which secrets it is given";
            return Err(Failure::forbidden(why));
        }
        Ok(sandbox)
    }

    /// Takes note of how a sandbox is: one that begins to run is given its secrets.
    pub(super) fn now_is(&self, sandbox: &StoredSandbox) {
        let (id, given) = (sandbox.id(), &self.inner.given);
        let mut given = given.lock().unwrap_or_else(PoisonError::into_inner);
        match sandbox.state {
            SandboxState::Running if given.insert(id) => self.spawn_giving(id, false),
            // Its processes are still there.
            SandboxState::Running | SandboxState::Paused => {}
            _ => {
                given.remove(&id);
            }
        }
    }

    /// Takes note that a sandbox has none of its secrets any more, or is to have them anew.
    pub(super) fn forget_given(&self, id: SandboxId) {
        let given = &self.inner.given;
        given
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id);
    }

    fn spawn_giving(&self, id: SandboxId, had: bool) {
        let this = self.clone();
        self.inner
            .tasks
            .spawn("give a sandbox its secrets", async move {
                for _ in 0..TRIES {
                    let Err(failure) = this.give_secrets(id, had).await else {
                        return;
                    };
                    let error = &failure.error().message;
                    tracing::warn!(sandbox = %id, error, "a sandbox was not given its secrets");
                    // What the sandbox lacks it will lack in a moment, too.
                    if failure.error().code == ErrorCode::Conflict {
                        return;
                    }
                    tokio::time::sleep(TRY_AGAIN).await;
                }
            });
    }

    /// Gives a sandbox that runs its secrets, and takes back what it `had` before.
    ///
    /// # Errors
    /// When it cannot be asked, or lacks what takes them.
    pub(crate) async fn give_secrets(&self, id: SandboxId, had: bool) -> Result<(), Failure> {
        let _turn = self.inner.giving.take(id).await;
        let Some(sandbox) = self.inner.store.sandbox(id).await? else {
            return Ok(());
        };
        if sandbox.state != SandboxState::Running {
            return Ok(());
        }
        let client = self.client(sandbox.host_id)?;
        let secrets = self.inner.secrets.of_sandbox(id).await?;
        if secrets.is_empty() && !had {
            return Ok(());
        }
        client.give(id, &variables(&secrets)).await?;
        if had {
            // That the cache does not run is as good.
            client.run(id, shell(FORGET, String::new()), |_| ()).await?;
        }
        give_git(&client, id, &secrets).await
    }
}

fn variables(secrets: &[Opened]) -> Environment {
    let variable = |secret: &Opened| match &secret.kind {
        SecretKind::Environment { variable } => {
            Some((variable.clone(), secret.value.expose_secret().to_owned()))
        }
        SecretKind::Git { .. } => None,
    };
    Environment {
        variables: secrets.iter().filter_map(variable).collect(),
    }
}

/// Has git's cache have these passwords too, and git ask it.
async fn give_git(client: &Client, id: SandboxId, secrets: &[Opened]) -> Result<(), Failure> {
    let mut passwords = secrets.iter().filter_map(credential).peekable();
    if passwords.peek().is_none() {
        return Ok(());
    }
    let set = [
        "git",
        "config",
        "--global",
        "--replace-all",
        "credential.helper",
        HELPER,
        OURS,
    ];
    checked(client, id, program(&set, String::new())).await?;
    for credential in passwords {
        checked(client, id, shell(STORE, credential)).await?;
    }
    Ok(())
}

fn shell(script: &str, stdin: String) -> Program {
    program(&["sh", "-c", script], stdin)
}

/// A program in the user's home.
fn program(command: &[&str], stdin: String) -> Program {
    Program {
        command: command.iter().map(|it| (*it).to_owned()).collect(),
        stdin,
        timeout: SOON,
        most: 64 << 10,
        ..Program::default()
    }
}

async fn checked(client: &Client, id: SandboxId, program: Program) -> Result<(), Failure> {
    let ended = client.run(id, program, |_| ()).await?;
    if ended.code == Some(0) {
        return Ok(());
    }
    let plain = ended.stderr.trim().chars().filter(|it| !it.is_control());
    let said: String = plain.take(300).collect();
    let why = format!("git in the sandbox did not take its passwords: {said}");
    Err(Failure::conflict(why))
}

/// A password as git's helpers are told it. None of its parts has a line's end in it.
fn credential(secret: &Opened) -> Option<String> {
    let SecretKind::Git { host, username } = &secret.kind else {
        return None;
    };
    let (protocol, host) = host
        .strip_prefix("http://")
        .map_or(("https", host.as_str()), |host| ("http", host));
    let password = secret.value.expose_secret();
    Some(format!(
        "protocol={protocol}\nhost={host}\nusername={username}\npassword={password}\n\n"
    ))
}
