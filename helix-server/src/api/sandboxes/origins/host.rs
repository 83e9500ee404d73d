//! The one host that a request names.

use http::{HeaderMap, Uri, header};

/// The host, without its port. `None` where none is named.
///
/// # Errors
/// Several hosts, or what is none: a proxy in front may have read it in another way.
pub(super) fn named(uri: &Uri, headers: &HeaderMap) -> Result<Option<String>, &'static str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let header = match (hosts.next(), hosts.next()) {
        (_, Some(_)) => return Err("the request names several hosts"),
        (None, None) => None,
        (Some(host), None) => Some(host.to_str().map_err(|_| "the host is not readable")?),
    };
    let target = uri.authority().map(http::uri::Authority::as_str);
    match (target, header) {
        (Some(target), Some(header)) if !target.eq_ignore_ascii_case(header) => {
            Err("the request names two different hosts")
        }
        (None, None) => Ok(None),
        (Some(name), _) | (None, Some(name)) => without_port(name).map(Some),
    }
}

fn without_port(named: &str) -> Result<String, &'static str> {
    let wrong = "the host is not a host and a port";
    let (host, port) = match named.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (named, None),
    };
    let bracketed = host.starts_with('[') && host.ends_with(']');
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let fine = bracketed || host.bytes().all(plain);
    let port_fine = port.is_none_or(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    if fine && port_fine {
        Ok(host.to_owned())
    } else {
        Err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn host(uri: &'static str, hosts: &[&'static str]) -> Result<Option<String>, &'static str> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(header::HOST, HeaderValue::from_static(host));
        }
        named(&Uri::from_static(uri), &headers)
    }

    #[test]
    fn a_request_names_one_host_or_is_refused() {
        let found = |name: &str| Ok(Some(name.to_owned()));
        assert_eq!(host("/", &["a.example"]), found("a.example"));
        assert_eq!(host("/", &["a.example:8080"]), found("a.example"));
        assert_eq!(host("/", &["[::1]:8080"]), found("[::1]"));
        assert_eq!(host("/", &["[::1]"]), found("[::1]"));
        assert_eq!(host("http://a.example/", &[]), found("a.example"));
        assert_eq!(
            host("http://a.example/", &["A.example"]),
            found("a.example")
        );
        assert_eq!(host("/", &[]), Ok(None));
        for (uri, hosts) in [
            ("/", &["a.example", "b.example"][..]),
            ("/", &["a.example", "a.example"][..]),
            ("http://a.example/", &["b.example"][..]),
            ("http://a.example/", &["a.example:80"][..]),
            ("http://x@a.example/", &[][..]),
            ("/", &["a.example, b.example"][..]),
            ("/", &["a.example:80:80"][..]),
            ("/", &["a.example:x"][..]),
            ("/", &["a.example/path"][..]),
        ] {
            assert!(host(uri, hosts).is_err(), "{uri} {hosts:?}");
        }
    }
}
