//! Checks of what people ask of git. None of it may look like an option.

use helix_proto::sandbox::git::GitCloneRequest;
use url::Url;

use crate::api::Failure;

/// The longest path and address.
const LONGEST: usize = 4_096;
/// How git reaches a repository. Its other ways run programs.
const SCHEMES: [&str; 5] = ["https", "http", "ssh", "git", "file"];

/// A clone, as it is to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Clone {
    pub(super) url: String,
    pub(super) branch: Option<String>,
    pub(super) directory: String,
}

pub(super) fn clone(request: &GitCloneRequest) -> Result<Clone, Failure> {
    let url = url(&request.url)?;
    let branch = request.branch.as_deref().map(|name| branch("branch", name));
    let named = match &request.directory {
        Some(directory) => directory.clone(),
        None => named_after(&url).ok_or_else(|| {
            Failure::invalid("directory", "is needed: the address has no name to take")
        })?,
    };
    Ok(Clone {
        branch: branch.transpose()?,
        directory: directory(&named)?,
        url,
    })
}

fn url(text: &str) -> Result<String, Failure> {
    let invalid = |why: &str| Err(Failure::invalid("url", why));
    let text = text.trim();
    if text.is_empty() || text.len() > LONGEST || text.starts_with('-') {
        return invalid("must have 1 to 4,096 bytes, and not begin with `-`");
    }
    if text.contains(|c: char| c.is_control() || c.is_whitespace()) {
        return invalid("must have no blanks and no control characters");
    }
    if !text.contains("://") {
        // `user@host:path`, as ssh has it.
        let parts = text.split_once(':');
        let ssh = parts.is_some_and(|(host, path)| {
            let host = host.rsplit('@').next().unwrap_or_default();
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            !host.is_empty()
                && host.chars().all(plain)
                && !host.starts_with('-')
                && !path.is_empty()
                && !path.starts_with(['-', ':'])
        });
        if ssh {
            return Ok(text.to_owned());
        }
        return invalid("must be an address such as `https://github.com/helix/helix.git`");
    }
    let Ok(url) = Url::parse(text) else {
        return invalid("must be an address such as `https://github.com/helix/helix.git`");
    };
    if !SCHEMES.contains(&url.scheme()) {
        return invalid("must begin with `https://`, `http://`, `ssh://`, `git://` or `file://`");
    }
    if url.host_str().is_some_and(|host| host.starts_with('-')) {
        return invalid("must name a server");
    }
    if url.password().is_some() || (!url.username().is_empty() && url.scheme() != "ssh") {
        return invalid("must have no password in it: add it as a secret for this server");
    }
    Ok(text.to_owned())
}

/// What the directory is called that git makes of an address.
fn named_after(url: &str) -> Option<String> {
    let path = url.trim_end_matches('/');
    let name = path.rsplit(['/', ':']).next()?;
    let name = name.strip_suffix(".git").unwrap_or(name);
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    let good = !name.is_empty() && !name.starts_with(['.', '-']) && name.chars().all(plain);
    good.then(|| name.to_owned())
}

/// A directory of the sandbox.
pub(super) fn directory(text: &str) -> Result<String, Failure> {
    let text = text.strip_prefix("~/").unwrap_or(text);
    let text = if text == "~" { "." } else { text };
    path("directory", text)?;
    Ok(text.to_owned())
}

/// A path.
pub(super) fn path(field: &str, text: &str) -> Result<(), Failure> {
    let good = !text.is_empty()
        && text.len() <= LONGEST
        && !text.starts_with('-')
        && !text.contains(char::is_control);
    if good {
        return Ok(());
    }
    let why = "must be a path of 1 to 4,096 bytes that does not begin with `-`";
    Err(Failure::invalid(field, why))
}

/// The name of a branch, as git allows them (`git check-ref-format`).
pub(super) fn branch(field: &str, name: &str) -> Result<String, Failure> {
    let odd = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    let good = name.len() <= 255
        && name != "@"
        && !name.starts_with('-')
        && !name.ends_with('.')
        && !name.contains(odd)
        && !name.contains("..")
        && !name.contains("@{")
        && name.split('/').all(part);
    if good {
        return Ok(name.to_owned());
    }
    Err(Failure::invalid(field, "must be the name of a branch"))
}

/// The name of a remote.
pub(super) fn remote(name: &str) -> Result<String, Failure> {
    branch("remote", name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(url: &str) -> GitCloneRequest {
        GitCloneRequest {
            url: url.to_owned(),
            branch: None,
            directory: None,
            stream: false,
        }
    }

    #[test]
    fn the_directory_is_named_after_the_repository() {
        for (url, name) in [
            ("https://github.com/helix/helix.git", "helix"),
            ("https://example.com:8443/a/b/", "b"),
            ("git@github.com:helix/web.git", "web"),
            ("ssh://git@host:2222/~/x.git", "x"),
            ("file:///srv/bare.git", "bare"),
        ] {
            assert_eq!(clone(&asked(url)).unwrap().directory, name, "{url}");
        }
        for url in [
            "https://github.com",
            "https://a/..",
            "https://a/.git",
            "host:..",
        ] {
            let said = clone(&asked(url)).map_err(|it| it.error().field.clone());
            assert!(said.is_err() || url == "https://github.com", "{url}");
        }
    }

    #[test]
    fn addresses_that_run_programs_or_carry_passwords_are_refused() {
        for bad in [
            "",
            "-x",
            "--upload-pack=touch x",
            "ext::sh -c id",
            "ext::sh",
            "fd::3",
            "transport::https://a",
            "https://me:secret@github.com/a",
            "https://token@github.com/a",
            "ftp://a/b",
            "/etc/passwd",
            "../x",
            "-oProxyCommand=x:y",
            "a@-oProxyCommand:x",
            "host:-x",
            "https://a/b c",
            "https://a/b\nc",
            "ssh://-oProxyCommand=x/y",
        ] {
            assert!(clone(&asked(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_that_git_would_take_for_something_else_are_refused() {
        for good in ["main", "feature/x-1", "ünïcode", "v1.0", "a@b"] {
            assert!(branch("branch", good).is_ok(), "{good}");
        }
        for bad in [
            "", "-f", "--force", "a b", "a..b", "a:b", "x.lock", ".a", "a/", "/a", "a//b", "@",
            "a@{1}", "a~1", "HEAD^", "a\0",
        ] {
            assert!(branch("branch", bad).is_err(), "{bad}");
        }
        for bad in ["", "-C", "a\0b", "a\nb"] {
            assert!(directory(bad).is_err(), "{bad}");
        }
        assert_eq!(directory("~/code").unwrap(), "code");
        assert_eq!(directory("~").unwrap(), ".");
    }
}
