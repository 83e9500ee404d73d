//! Checks of what people ask about secrets.

use std::collections::BTreeSet;

use helix_proto::secret::{Secret, SecretKind};
use url::Url;

use super::MOST_OF_SANDBOX;
use crate::{api::Failure, seal};

/// The shortest value. A shorter one is found in text that has nothing to do with it.
const SHORTEST: usize = 8;

/// The name of a secret.
pub(super) fn name(field: &str, name: &str) -> Result<(), Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let starts = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if starts && name.len() <= 64 && name.chars().all(plain) {
        return Ok(());
    }
    let why =
        "must have 1 to 64 letters, digits, `_`, `-` and `.`, and begin with a letter or digit";
    Err(Failure::invalid(field, why))
}

/// What a secret is for; a server is tidied up.
pub(super) fn kind(kind: SecretKind) -> Result<SecretKind, Failure> {
    match kind {
        SecretKind::Git { host, username } => {
            let plain = |c: char| !c.is_control() && !c.is_whitespace();
            if username.is_empty() || username.len() > 255 || !username.chars().all(plain) {
                let why = "must have 1 to 255 bytes without blanks";
                return Err(Failure::invalid("kind.username", why));
            }
            let host = server(&host)?;
            Ok(SecretKind::Git { host, username })
        }
        SecretKind::Environment { variable } => {
            let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
            let plain = |c: char| letter(c) || c.is_ascii_digit();
            if !variable.starts_with(letter) || variable.len() > 128 || !variable.chars().all(plain)
            {
                let why = "must have 1 to 128 letters, digits and `_`, and not begin with a digit";
                return Err(Failure::invalid("kind.variable", why));
            }
            Ok(SecretKind::Environment { variable })
        }
    }
}

/// A git server as it is kept: in lower case, without what goes without saying.
fn server(host: &str) -> Result<String, Failure> {
    let bad = || {
        let why = "must be a server such as `github.com` or `git.example.com:8443`, with `http://` in front if it has no HTTPS";
        Failure::invalid("kind.host", why)
    };
    let host = host.trim();
    let plain = host.strip_prefix("http://");
    let named = plain
        .or_else(|| host.strip_prefix("https://"))
        .unwrap_or(host)
        .trim_end_matches('/');
    let scheme = if plain.is_some() { "http" } else { "https" };
    let odd = |c: char| c.is_control() || c.is_whitespace() || "/?#@\\".contains(c);
    if named.is_empty() || named.len() > 255 || named.contains(odd) {
        return Err(bad());
    }
    let url = Url::parse(&format!("{scheme}://{named}")).map_err(|_| bad())?;
    let name = url
        .host_str()
        .filter(|name| !name.is_empty())
        .ok_or_else(bad)?;
    let port = url
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    let scheme = if plain.is_some() { "http://" } else { "" };
    Ok(format!("{scheme}{name}{port}"))
}

/// The value of a secret.
pub(super) fn value(kind: &SecretKind, value: &str) -> Result<(), Failure> {
    if !(SHORTEST..=seal::LONGEST).contains(&value.len()) {
        let why = format!("must have {SHORTEST} to {} bytes", seal::LONGEST);
        return Err(Failure::invalid("value", why));
    }
    let bad = match kind {
        SecretKind::Git { .. } => value.contains(char::is_control),
        SecretKind::Environment { .. } => value.contains('\0'),
    };
    if bad {
        let why = "must have no zero byte, and for git be one line without control characters";
        return Err(Failure::invalid("value", why));
    }
    Ok(())
}

/// That a sandbox can be given these of the secrets that there are.
pub(super) fn grants(known: &[Secret], names: &[String]) -> Result<(), Failure> {
    if names.len() > MOST_OF_SANDBOX {
        let why = format!("must name at most {MOST_OF_SANDBOX}");
        return Err(Failure::invalid("secrets", why));
    }
    let mut taken = BTreeSet::new();
    for name in names {
        let secret = known.iter().find(|it| it.name == *name).ok_or_else(|| {
            let shown: String = name.chars().take(64).collect();
            Failure::invalid("secrets", format!("there is no secret {shown:?}"))
        })?;
        let serves = match &secret.kind {
            SecretKind::Git { host, .. } => format!("the git server {host}"),
            SecretKind::Environment { variable } => format!("the variable {variable}"),
        };
        if !taken.insert(serves.clone()) {
            let why = format!("must have one secret for {serves}");
            return Err(Failure::invalid("secrets", why));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(host: &str) -> Option<String> {
        let asked = SecretKind::Git {
            host: host.to_owned(),
            username: "x-access-token".to_owned(),
        };
        match kind(asked) {
            Ok(SecretKind::Git { host, .. }) => Some(host),
            _ => None,
        }
    }

    #[test]
    fn a_server_is_a_name_and_a_port() {
        assert_eq!(git("GitHub.com").as_deref(), Some("github.com"));
        assert_eq!(git("https://a.b:443/").as_deref(), Some("a.b"));
        assert_eq!(git("a.b:8443").as_deref(), Some("a.b:8443"));
        assert_eq!(
            git("http://10.0.0.1:3000").as_deref(),
            Some("http://10.0.0.1:3000")
        );
        for bad in [
            "", "https://", "a/b", "me@a", "a b", "ssh://a", "a\nb", "a:x",
        ] {
            assert_eq!(git(bad), None, "{bad}");
        }
    }

    #[test]
    fn names_and_variables_are_plain() {
        for good in ["github", "a.b-c_1", "9"] {
            assert!(name("name", good).is_ok(), "{good}");
        }
        for bad in ["", "-a", ".", "a/b", "ä", &"x".repeat(65)] {
            assert!(name("name", bad).is_err(), "{bad}");
        }
        let variable = |it: &str| {
            kind(SecretKind::Environment {
                variable: it.to_owned(),
            })
        };
        assert!(variable("ANTHROPIC_API_KEY").is_ok());
        for bad in ["", "1A", "A=B", "A B", "A\0"] {
            assert!(variable(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_sandbox_has_one_secret_for_each_purpose() {
        let secret = |name: &str, variable: &str| Secret {
            name: name.to_owned(),
            kind: SecretKind::Environment {
                variable: variable.to_owned(),
            },
            hint: String::new(),
            created_at_ms: 0,
            updated_at_ms: 0,
        };
        let known = [secret("a", "A"), secret("b", "B"), secret("other-a", "A")];
        let names = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        assert!(grants(&known, &names(&["a", "b"])).is_ok());
        for bad in [names(&["c"]), names(&["a", "a"]), names(&["a", "other-a"])] {
            assert!(grants(&known, &bad).is_err(), "{bad:?}");
        }
    }
}
