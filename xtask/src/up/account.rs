//! The first admin, and an API key of theirs.

use std::{fs, io};

use anyhow::{Context as _, Result};
use helix_proto::auth::{
    CreateApiKeyRequest, CreatedApiKey, RegisterRequest, Scope, SignInRequest, User,
};
use serde::{Deserialize, Serialize};

use super::{
    api::Api,
    data::{Data, write_private},
};

/// What `dev.json` holds.
#[derive(Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) url: String,
    pub(crate) admin_email: String,
    pub(crate) admin_password: String,
    #[serde(default)]
    pub(crate) api_key: String,
}

/// The admin's account of this data folder, made on the first run. Written
/// before it is used, so that a run that was cut short can be taken up.
pub(crate) fn of_admin(api: &Api, data: &Data) -> Result<Account> {
    let mut account = match fs::read_to_string(data.account_file()) {
        Ok(text) => serde_json::from_str(&text)
            .with_context(|| format!("reading {}", data.account_file().display()))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Account {
            url: String::new(),
            admin_email: "admin@localhost".to_owned(),
            admin_password: random_password()?,
            api_key: String::new(),
        },
        Err(error) => return Err(error).context("reading the admin's account"),
    };
    account.url = api.url().to_owned();
    write_account(data, &account)?;
    let cookie = if api.auth_config()?.setup_required {
        account.api_key.clear();
        register(api, data, &account)?
    } else if works(api, &account.api_key) {
        return Ok(account);
    } else {
        sign_in(api, data, &account)?
    };
    let request = CreateApiKeyRequest {
        name: "cargo xtask up".to_owned(),
        scopes: vec![Scope::Inference, Scope::Sessions, Scope::Admin],
        expires_at_ms: None,
    };
    let created: CreatedApiKey = api.post_signed_in("/api/v1/api-keys", &cookie, &request)?;
    account.api_key = created.secret;
    write_account(data, &account)?;
    Ok(account)
}

fn register(api: &Api, data: &Data, account: &Account) -> Result<String> {
    let file = data.setup_link_file();
    let link = fs::read_to_string(&file)
        .with_context(|| format!("reading the one-time set-up link in {}", file.display()))?;
    let token = link
        .trim()
        .rsplit_once("token=")
        .context("the set-up link has no token")?
        .1;
    let request = RegisterRequest {
        email: account.admin_email.clone(),
        name: "Administrator".to_owned(),
        password: account.admin_password.clone(),
        setup_token: Some(token.to_owned()),
    };
    api.session_cookie("/api/v1/auth/register", &request)
}

/// A session of theirs, as a cookie.
pub(crate) fn sign_in(api: &Api, data: &Data, account: &Account) -> Result<String> {
    let request = SignInRequest {
        email: account.admin_email.clone(),
        password: account.admin_password.clone(),
    };
    api.session_cookie("/api/v1/auth/login", &request)
        .with_context(|| {
            format!(
                "the account in {} does not open this database: put the right password there, or \
             start with another --data",
                data.account_file().display()
            )
        })
}

fn works(api: &Api, key: &str) -> bool {
    !key.is_empty() && api.get_with::<User>("/api/v1/users/me", key).is_ok()
}

fn write_account(data: &Data, account: &Account) -> Result<()> {
    let text = serde_json::to_string_pretty(account).context("writing the admin's account")?;
    write_private(&data.account_file(), &(text + "\n"))
}

fn random_password() -> Result<String> {
    let mut bytes = [0_u8; 18];
    getrandom::fill(&mut bytes).context("asking the operating system for randomness")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
