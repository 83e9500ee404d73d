//! Cookies at the origin of a server in a sandbox: ours, and the server's own.

use http::{HeaderMap, HeaderValue, header};

/// What opens the server, for this browser.
pub(super) const PASS: &str = "helix_port";
/// What this browser has that may use a token.
pub(super) const STATE: &str = "helix_port_state";

/// Before the names of cookies that a browser takes over HTTPS from their own host only.
const OF_ITS_HOST: &str = "__Host-";
/// Names of cookies that begin so are ours.
const OURS: &str = "helix_";
/// Values of one name that are looked at.
const MOST: usize = 8;

/// A cookie of ours: for this host alone, and for nobody's script.
pub(super) fn set(name: &str, value: &str, seconds: u64, https: bool) -> HeaderValue {
    let (prefix, secure) = if https {
        (OF_ITS_HOST, "; Secure")
    } else {
        ("", "")
    };
    let text = format!(
        "{prefix}{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}"
    );
    // Base64 and decimal digits are always valid in a header.
    let mut value = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

/// The values of a cookie of ours: a page elsewhere may have added others.
pub(super) fn values<'a>(headers: &'a HeaderMap, name: &str, https: bool) -> Vec<&'a str> {
    let prefix = if https { OF_ITS_HOST } else { "" };
    let name = format!("{prefix}{name}");
    pairs(headers)
        .filter_map(|pair| pair.split_once('='))
        .filter_map(|(key, value)| (key == name).then_some(value))
        .take(MOST)
        .collect()
}

/// The cookies of a request without ours.
pub(in super::super) fn of_the_server(headers: &HeaderMap) -> Option<HeaderValue> {
    let kept: Vec<_> = pairs(headers).filter(|pair| !is_ours(pair)).collect();
    let cookie = HeaderValue::from_str(&kept.join("; ")).ok()?;
    (!kept.is_empty()).then_some(cookie)
}

/// A cookie that a server sets, for its own host and under a name that is not ours.
pub(in super::super) fn for_this_host(cookie: &HeaderValue) -> Option<HeaderValue> {
    let text = cookie.to_str().ok()?;
    if is_ours(text.split(';').next().unwrap_or_default()) {
        return None;
    }
    let of_domain = |part: &&str| {
        let name = part.split('=').next().unwrap_or_default();
        name.trim().eq_ignore_ascii_case("domain")
    };
    let parts = text.split(';').enumerate();
    let kept: Vec<_> = parts
        .filter(|(at, part)| *at == 0 || !of_domain(part))
        .map(|(_, part)| part)
        .collect();
    HeaderValue::from_str(&kept.join(";")).ok()
}

fn pairs(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(header::COOKIE)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
}

/// Whether a pair has a name that is ours, in whichever case: browsers compare the prefix
/// in any.
fn is_ours(pair: &str) -> bool {
    // One without a name is sent as its value alone, which may look like another.
    let name = pair.trim_start_matches(['=', ' ', '\t']);
    let name = name.split('=').next().unwrap_or_default();
    let name = name.trim().to_ascii_lowercase();
    let bare = name.strip_prefix("__host-").unwrap_or(&name);
    bare.starts_with(OURS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_are_found_by_their_whole_name_among_all_that_came() {
        let mut headers = HeaderMap::new();
        for value in [
            "a=b; helix_port=1",
            "xhelix_port=2;helix_port=3",
            "helix_port",
        ] {
            headers.append(header::COOKIE, HeaderValue::from_static(value));
        }
        assert_eq!(values(&headers, PASS, false), ["1", "3"]);
        assert!(values(&headers, PASS, true).is_empty());
        let set = set(PASS, "1", 60, true);
        let text = set.to_str().unwrap();
        assert!(text.starts_with("__Host-helix_port=1; Path=/; HttpOnly"));
        assert!(text.ends_with("; Secure") && !text.contains("Domain"));
    }

    #[test]
    fn a_cookie_that_has_no_name_is_not_taken_for_ours_nor_passed_off_as_it() {
        // A browser sends `=helix_port=x` without its name as `helix_port=x`.
        let nameless = HeaderValue::from_static("=helix_port=mine; Path=/");
        assert_eq!(for_this_host(&nameless), None);
        let plain = HeaderValue::from_static("a=helix_port=x");
        assert_eq!(for_this_host(&plain), Some(plain));
    }
}
