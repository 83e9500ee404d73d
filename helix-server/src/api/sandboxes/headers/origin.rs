//! What crosses between browsers and servers in sandboxes that are origins of their own.
//!
//! The server is told that it is asked at `http://localhost:{port}`, as it would be by a
//! browser beside it: in `Host`, `Origin`, `Referer` and what it redirects to alike. So
//! its own checks of where requests come from pass, and none has to be switched off.
//!
//! **Invariant.** The server never sees a cookie of ours, nor sets one, nor sets any for
//! another host than its own.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{super::origins::cookies, named_by_connection};
use crate::sandboxes::origins::PortOrigin;

/// What a request does not bring along: what is about the connection, and where it was
/// asked.
const NOT_INWARD: [HeaderName; 14] = [
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
    header::ORIGIN,
    header::REFERER,
    header::FORWARDED,
    HeaderName::from_static("keep-alive"),
];

/// What an answer does not bring along: what is about the connection, what is ours, and
/// what holds for more than this one origin.
const NOT_OUTWARD: [HeaderName; 12] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::TRAILER,
    header::UPGRADE,
    header::SET_COOKIE,
    header::PROXY_AUTHENTICATE,
    header::STRICT_TRANSPORT_SECURITY,
    header::PUBLIC_KEY_PINS,
    header::ALT_SVC,
    HeaderName::from_static("keep-alive"),
    // Cookies are cleared for the whole site, the control plane's own among them.
    HeaderName::from_static("clear-site-data"),
    HeaderName::from_static("nel"),
];

/// Only its own pages may frame a page.
const FRAMED_BY_ITSELF: HeaderValue = HeaderValue::from_static("frame-ancestors 'self'");

/// The headers of a request for a server that browsers see at `url`.
pub(in super::super) fn to_origin(headers: &HeaderMap, at: PortOrigin, url: &str) -> HeaderMap {
    let named = named_by_connection(headers);
    let mut kept = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let forwarded = name.as_str().starts_with("x-forwarded-");
        if !forwarded && !NOT_INWARD.contains(name) && !named.contains(name) {
            kept.append(name.clone(), value.clone());
        }
    }
    let local = format!("localhost:{}", at.port);
    for name in [header::ORIGIN, header::REFERER] {
        let asked = headers.get(&name).and_then(|value| value.to_str().ok());
        let path = asked.and_then(|asked| below(asked, url));
        let moved = path.map(|path| HeaderValue::from_str(&format!("http://{local}{path}")));
        if let Some(Ok(moved)) = moved {
            kept.insert(name, moved);
        }
    }
    if let Ok(local) = HeaderValue::from_str(&local) {
        kept.insert(HeaderName::from_static("x-forwarded-host"), local);
    }
    if let Some(cookie) = cookies::of_the_server(headers) {
        kept.insert(header::COOKIE, cookie);
    }
    kept
}

/// The headers of its answer.
pub(in super::super) fn from_origin(headers: &HeaderMap, at: PortOrigin) -> HeaderMap {
    let named = named_by_connection(headers);
    let mut kept = HeaderMap::with_capacity(headers.len() + 2);
    for (name, value) in headers {
        if !NOT_OUTWARD.contains(name) && !named.contains(name) {
            kept.append(name.clone(), value.clone());
        }
    }
    for cookie in headers.get_all(header::SET_COOKIE) {
        if let Some(cookie) = cookies::for_this_host(cookie) {
            kept.append(header::SET_COOKIE, cookie);
        }
    }
    let location = headers.get(header::LOCATION);
    if let Some(path) = location.and_then(|to| own_path(to.to_str().ok()?, at.port))
        && let Ok(path) = HeaderValue::from_str(&path)
    {
        kept.insert(header::LOCATION, path);
    }
    // Beside what the server says itself: a browser keeps to all of them. What needs a
    // cookie is for nobody's cache but the browser's own.
    kept.append(header::CONTENT_SECURITY_POLICY, FRAMED_BY_ITSELF);
    kept.append(header::CACHE_CONTROL, HeaderValue::from_static("private"));
    kept
}

/// What follows an origin in an address below it.
fn below<'a>(address: &'a str, origin: &str) -> Option<&'a str> {
    let start = address.get(..origin.len())?;
    let rest = &address[origin.len()..];
    let ends = rest.is_empty() || rest.starts_with(['/', '?', '#']);
    (ends && start.eq_ignore_ascii_case(origin)).then_some(rest)
}

/// The path of an address that a server takes for its own.
fn own_path(location: &str, port: u16) -> Option<String> {
    let hosts = ["localhost", "127.0.0.1", "[::1]", "0.0.0.0"];
    let rest = hosts
        .iter()
        .find_map(|host| below(location, &format!("http://{host}:{port}")))?;
    Some(if rest.starts_with('/') {
        // Two slashes would begin another host.
        format!("/{}", rest.trim_start_matches('/'))
    } else {
        format!("/{rest}")
    })
}

#[cfg(test)]
mod tests {
    use helix_proto::{SandboxId, TypedId as _};

    use super::*;

    const URL: &str = "https://8000-x.ports.example.com";

    fn at() -> PortOrigin {
        let sandbox = SandboxId::from_parts(1, 1);
        PortOrigin {
            sandbox,
            port: 8000,
        }
    }

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        });
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(name, value);
        }
        map
    }

    #[test]
    fn a_server_is_asked_as_by_a_browser_beside_it_and_sees_no_cookie_of_ours() {
        let kept = to_origin(
            &map(&[
                (
                    "cookie",
                    "theme=dark; helix_port=hxo_secret; __Host-helix_port=hxo_secret",
                ),
                ("cookie", "helix_session=hxc_secret; _xsrf=a=b"),
                ("authorization", "Bearer its-own"),
                ("origin", "https://8000-x.ports.example.com"),
                ("referer", "https://8000-x.ports.example.com/a?b"),
                ("host", "8000-x.ports.example.com"),
                ("x-forwarded-for", "10.0.0.1"),
                ("connection", "keep-alive, x-hop"),
                ("x-hop", "1"),
            ]),
            at(),
            URL,
        );
        let expected = map(&[
            ("authorization", "Bearer its-own"),
            ("origin", "http://localhost:8000"),
            ("referer", "http://localhost:8000/a?b"),
            ("x-forwarded-host", "localhost:8000"),
            ("cookie", "theme=dark; _xsrf=a=b"),
        ]);
        assert_eq!(kept, expected);
    }

    #[test]
    fn what_another_page_says_of_itself_is_not_passed_on() {
        for other in [
            "https://helix.example.com/sandboxes",
            "https://8000-x.ports.example.com.evil.example",
            "null",
            "",
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ORIGIN, HeaderValue::from_static(other));
            headers.insert(header::REFERER, HeaderValue::from_static(other));
            let kept = to_origin(&headers, at(), URL);
            assert_eq!(kept.len(), 1, "{other}: {kept:?}");
        }
    }

    #[test]
    fn an_answer_holds_for_its_own_origin_alone() {
        let kept = from_origin(
            &map(&[
                (
                    "set-cookie",
                    "theme=dark; Path=/; Domain=example.com; SameSite=Lax",
                ),
                ("set-cookie", "helix_port=mine"),
                ("set-cookie", " __Host-Helix_port =mine; Secure; Path=/"),
                ("clear-site-data", "\"*\""),
                ("strict-transport-security", "max-age=1; includeSubDomains"),
                ("content-security-policy", "default-src 'self'"),
                ("cache-control", "public, max-age=60"),
                ("www-authenticate", "Basic realm=its-own"),
            ]),
            at(),
        );
        let expected = map(&[
            ("content-security-policy", "default-src 'self'"),
            ("content-security-policy", "frame-ancestors 'self'"),
            ("cache-control", "public, max-age=60"),
            ("cache-control", "private"),
            ("www-authenticate", "Basic realm=its-own"),
            ("set-cookie", "theme=dark; Path=/; SameSite=Lax"),
        ]);
        assert_eq!(kept, expected);
    }

    #[test]
    fn a_server_that_redirects_to_itself_does_so_where_it_is_seen() {
        let to = |location: &'static str| {
            let kept = from_origin(&map(&[("location", location)]), at());
            kept["location"].to_str().unwrap().to_owned()
        };
        assert_eq!(to("http://localhost:8000/lab?a"), "/lab?a");
        assert_eq!(to("http://127.0.0.1:8000"), "/");
        assert_eq!(to("http://LOCALHOST:8000?a"), "/?a");
        assert_eq!(to("http://localhost:8000//evil.example/"), "/evil.example/");
        assert_eq!(to("http://localhost:80001/"), "http://localhost:80001/");
        assert_eq!(to("/login"), "/login");
        assert_eq!(to("https://example.com/"), "https://example.com/");
    }
}
