//! Which pages may have a browser ask a server in a sandbox with its cookie: those of the
//! server itself, and a person who follows a link to it.

use http::{HeaderMap, Method, header, request::Parts};

use super::super::relay;
use crate::api::Failure;

const SITE: &str = "sec-fetch-site";
const MODE: &str = "sec-fetch-mode";
const DEST: &str = "sec-fetch-dest";

/// Whether a person goes to a page in a tab. Old browsers do not say.
pub(super) fn navigates(method: &Method, headers: &HeaderMap) -> bool {
    if *method != Method::GET || headers.contains_key(header::UPGRADE) {
        return false;
    }
    match headers.get(MODE) {
        Some(mode) => mode == "navigate" && headers.get(DEST).is_some_and(|to| to == "document"),
        None => {
            let accept = headers
                .get(header::ACCEPT)
                .and_then(|value| value.to_str().ok());
            accept.is_some_and(|accept| accept.contains("text/html"))
        }
    }
}

/// Refuses what a page of another origin has a browser ask.
///
/// # Errors
/// It is such a page, or one that should say where it comes from and does not.
pub(super) fn check(own: &str, parts: &Parts) -> Result<(), Failure> {
    let headers = &parts.headers;
    let reads = matches!(parts.method, Method::GET | Method::HEAD) && !relay::is_websocket(parts);
    let fine = match (headers.get(header::ORIGIN), headers.get(SITE)) {
        (Some(origin), _) => origin.as_bytes().eq_ignore_ascii_case(own.as_bytes()),
        (None, Some(site)) if site == "same-origin" || site == "none" => true,
        (None, Some(_)) => navigates(&parts.method, headers),
        (None, None) => reads,
    };
    if fine {
        Ok(())
    } else {
        Err(Failure::forbidden(
            "only pages of this port itself may ask it with the browser's cookie",
        ))
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const OWN: &str = "https://8000-x.ports.example.com";

    fn may(method: &str, headers: &[(&str, &str)]) -> bool {
        let mut request = Request::builder().method(method).uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(OWN, &request.body(()).unwrap().into_parts().0).is_ok()
    }

    #[test]
    fn pages_of_the_port_itself_may_do_all() {
        let own = ("sec-fetch-site", "same-origin");
        assert!(may("GET", &[own]));
        assert!(may("POST", &[own, ("origin", OWN)]));
        assert!(may("DELETE", &[own]));
        assert!(may("GET", &[("upgrade", "websocket"), ("origin", OWN)]));
        assert!(may("GET", &[("sec-fetch-site", "none")]));
    }

    #[test]
    fn pages_elsewhere_may_be_left_for_it_and_nothing_else() {
        let link = [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ];
        assert!(may("GET", &link));
        assert!(!may("POST", &link));
        for site in ["same-site", "cross-site"] {
            let site = ("sec-fetch-site", site);
            assert!(!may("GET", &[site, ("sec-fetch-mode", "no-cors")]));
            let framed = [
                site,
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", "iframe"),
            ];
            assert!(!may("GET", &framed));
            assert!(!may(
                "POST",
                &[site, ("origin", OWN), ("origin", "null")][..1]
            ));
        }
        for origin in [
            "null",
            "https://8001-x.ports.example.com",
            "https://helix.example.com",
        ] {
            let origin = ("origin", origin);
            assert!(!may("GET", &[origin]));
            assert!(!may("GET", &[origin, ("upgrade", "websocket")]));
            assert!(!may("POST", &[origin, ("sec-fetch-site", "same-origin")]));
        }
    }

    #[test]
    fn who_does_not_say_where_it_comes_from_may_read() {
        assert!(may("GET", &[]) && may("HEAD", &[]));
        assert!(!may("POST", &[]));
        assert!(!may("GET", &[("upgrade", "websocket")]));
    }
}
