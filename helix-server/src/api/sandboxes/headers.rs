//! What crosses between people and sandboxes in headers.
//!
//! **Invariants.** What runs in a sandbox never sees a credential of the control plane.
//! What comes out of a sandbox never acts on the control plane's origin: a browser that
//! shows it does so as an origin of its own, and keeps no cookie of it.

mod origin;

pub(super) use origin::{from_origin, to_origin};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

/// For what may be shown as a page: it runs, but as nobody.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "sandbox allow-scripts allow-forms allow-modals allow-popups allow-downloads",
);

/// For everything else: it does nothing.
const DATA_POLICY: HeaderValue = HeaderValue::from_static("sandbox; default-src 'none'");

/// Of a request that is about the sandbox, and not for a server in it.
const ASKED: [HeaderName; 6] = [
    header::ACCEPT,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::RANGE,
];

/// Of the answer to one.
const ANSWERED: [HeaderName; 7] = [
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::ACCEPT_RANGES,
    header::ETAG,
    header::LAST_MODIFIED,
    header::RETRY_AFTER,
    header::ALLOW,
];

/// Kinds of content that such an answer may have: none that a browser would run.
const CONTENT: [&str; 9] = [
    "application/json",
    "application/x-ndjson",
    "application/octet-stream",
    "application/x-tar",
    "text/event-stream",
    "text/plain;charset=utf-8",
    "image/png",
    "image/jpeg",
    "image/webp",
];

/// What a request for a server in the sandbox does not bring along: what is about the
/// connection (RFC 9110, section 7.6.1), credentials of the control plane, and where
/// the page is that it comes from.
const NOT_TO_PORTS: [HeaderName; 15] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::HOST,
    header::EXPECT,
    header::COOKIE,
    header::AUTHORIZATION,
    header::ORIGIN,
    header::REFERER,
    header::FORWARDED,
    HeaderName::from_static("keep-alive"),
];

/// What an answer of a server in the sandbox does not bring along: what is about the
/// connection, and what changes how a browser treats the control plane's origin.
const NOT_FROM_PORTS: [HeaderName; 17] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::TRAILER,
    header::UPGRADE,
    header::SET_COOKIE,
    header::WWW_AUTHENTICATE,
    header::PROXY_AUTHENTICATE,
    header::STRICT_TRANSPORT_SECURITY,
    header::PUBLIC_KEY_PINS,
    header::ALT_SVC,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("clear-site-data"),
    HeaderName::from_static("service-worker-allowed"),
    HeaderName::from_static("reporting-endpoints"),
    HeaderName::from_static("report-to"),
    HeaderName::from_static("nel"),
    HeaderName::from_static("speculation-rules"),
];

/// The headers of a request about the sandbox.
pub(super) fn asked(headers: &HeaderMap) -> HeaderMap {
    picked(headers, &ASKED)
}

fn picked(headers: &HeaderMap, names: &[HeaderName]) -> HeaderMap {
    let found = names
        .iter()
        .filter_map(|name| Some((name, headers.get(name)?)));
    found
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The status and headers of the answer to one. That the guest knows nobody is no
/// statement about the caller's own credential.
pub(super) fn answered(status: StatusCode, headers: &HeaderMap) -> (StatusCode, HeaderMap) {
    let mut kept = picked(headers, &ANSWERED);
    let content = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(|value| value.split(';').next().unwrap_or_default().trim());
    if let Some(content) = content {
        let known = CONTENT.iter().find(|known| {
            let known = known.split(';').next().unwrap_or_default();
            content.eq_ignore_ascii_case(known)
        });
        let shown = known.unwrap_or(&"application/octet-stream");
        kept.insert(header::CONTENT_TYPE, HeaderValue::from_static(shown));
    }
    kept.insert(header::CONTENT_SECURITY_POLICY, DATA_POLICY);
    let status = match status {
        StatusCode::UNAUTHORIZED => StatusCode::BAD_GATEWAY,
        // It leads nowhere.
        StatusCode::NOT_MODIFIED => status,
        status if status.is_redirection() => StatusCode::BAD_GATEWAY,
        status => status,
    };
    (status, kept)
}

/// The headers of a request for a server in the sandbox, which is told under which
/// prefix people see it.
pub(super) fn to_port(headers: &HeaderMap, prefix: &str) -> HeaderMap {
    let named = named_by_connection(headers);
    let mut kept = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let forwarded = name.as_str().starts_with("x-forwarded-");
        if !forwarded && !NOT_TO_PORTS.contains(name) && !named.contains(name) {
            kept.append(name.clone(), value.clone());
        }
    }
    if let Ok(prefix) = HeaderValue::from_str(prefix) {
        kept.insert(HeaderName::from_static("x-forwarded-prefix"), prefix);
    }
    kept
}

/// The headers of the answer of a server in the sandbox.
pub(super) fn from_port(headers: &HeaderMap, prefix: &str) -> HeaderMap {
    let named = named_by_connection(headers);
    let mut kept = HeaderMap::with_capacity(headers.len() + 1);
    for (name, value) in headers {
        let cross_origin = name.as_str().starts_with("access-control-");
        if !cross_origin && !NOT_FROM_PORTS.contains(name) && !named.contains(name) {
            kept.append(name.clone(), value.clone());
        }
    }
    if let Some(location) = kept.get(header::LOCATION) {
        let own = location.to_str().ok().filter(|to| is_absolute_path(to));
        let own = own.and_then(|to| HeaderValue::from_str(&format!("{prefix}{to}")).ok());
        if let Some(own) = own {
            kept.insert(header::LOCATION, own);
        }
    }
    // Beside what the server says itself: a browser keeps to all of them.
    kept.append(header::CONTENT_SECURITY_POLICY, PAGE_POLICY);
    kept
}

fn is_absolute_path(location: &str) -> bool {
    location.starts_with('/') && !location.starts_with("//") && !location.starts_with("/\\")
}

/// Headers that are about the connection because it says so.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(header::CONNECTION).iter();
    let names = values.filter_map(|value| value.to_str().ok());
    names
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            let name = HeaderName::from_static(name);
            map.append(name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn a_server_in_the_sandbox_sees_no_credential_of_the_control_plane() {
        let kept = to_port(
            &map(&[
                ("cookie", "helix_session=hxc_secret"),
                ("authorization", "Bearer hx_secret"),
                ("proxy-authorization", "Basic x"),
                ("origin", "https://helix.example"),
                ("referer", "https://helix.example/sandboxes"),
                ("x-forwarded-for", "10.0.0.1"),
                ("connection", "keep-alive, x-hop"),
                ("x-hop", "1"),
                ("x-own", "kept"),
            ]),
            "/p",
        );
        assert_eq!(
            kept,
            map(&[("x-own", "kept"), ("x-forwarded-prefix", "/p")])
        );
        let asked = asked(&map(&[
            ("cookie", "helix_session=hxc_secret"),
            ("authorization", "Bearer hx_secret"),
            ("content-type", "application/json"),
        ]));
        assert_eq!(asked, map(&[("content-type", "application/json")]));
    }

    #[test]
    fn a_page_out_of_a_sandbox_is_an_origin_of_its_own_and_sets_nothing() {
        let kept = from_port(
            &map(&[
                ("set-cookie", "helix_session=mine"),
                ("clear-site-data", "\"*\""),
                ("service-worker-allowed", "/"),
                ("strict-transport-security", "max-age=1"),
                ("www-authenticate", "Basic"),
                ("access-control-allow-origin", "*"),
                ("content-security-policy", "script-src 'self'"),
                ("content-type", "text/html"),
            ]),
            "/p",
        );
        let policies: Vec<_> = kept.get_all("content-security-policy").iter().collect();
        assert_eq!(policies[0], "script-src 'self'");
        let sandbox = policies[1].to_str().unwrap();
        assert!(sandbox.starts_with("sandbox") && !sandbox.contains("allow-same-origin"));
        let mut others = kept.clone();
        others.remove("content-security-policy");
        assert_eq!(others, map(&[("content-type", "text/html")]));
    }

    #[test]
    fn a_server_in_the_sandbox_redirects_below_its_prefix_and_nowhere_on_the_control_plane() {
        let to = |location: &'static str| {
            let kept = from_port(&map(&[("location", location)]), "/p");
            kept["location"].to_str().unwrap().to_owned()
        };
        assert_eq!(to("/login"), "/p/login");
        assert_eq!(to("login"), "login");
        assert_eq!(to("//evil.example/"), "//evil.example/");
        assert_eq!(to("https://example.com/"), "https://example.com/");
    }

    #[test]
    fn a_file_out_of_a_sandbox_is_data_whatever_it_says_it_is() {
        let html = map(&[
            ("content-type", "text/html"),
            ("set-cookie", "a=b"),
            ("location", "/"),
            ("content-length", "3"),
        ]);
        let (status, kept) = answered(StatusCode::OK, &html);
        assert_eq!(status, 200);
        assert_eq!(kept["content-type"], "application/octet-stream");
        assert_eq!(kept["content-security-policy"], DATA_POLICY);
        assert_eq!(kept.len(), 3);
        let json = map(&[("content-type", "Application/JSON; charset=utf-8")]);
        let (status, kept) = answered(StatusCode::UNAUTHORIZED, &json);
        assert_eq!(kept["content-type"], "application/json");
        assert_eq!(status, 502);
        assert_eq!(answered(StatusCode::FOUND, &html).0, 502);
        let unchanged = answered(StatusCode::NOT_MODIFIED, &map(&[("etag", "\"1\"")]));
        assert_eq!(
            (unchanged.0.as_u16(), &unchanged.1["etag"]),
            (304, &HeaderValue::from_static("\"1\""))
        );
    }
}
