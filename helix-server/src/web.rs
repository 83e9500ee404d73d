//! The web app, for every path that is no route of the API: built into the
//! program (read from disk in debug builds), or proxied from a development
//! server.

use std::borrow::Cow;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    handler::Handler as _,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use rust_embed::{EmbeddedFile, RustEmbed};
use tower_http::compression::CompressionLayer;

use crate::{App, api::Failure};

mod proxy;

/// What the page may load and where it may connect: its own origin only. Styles
/// are set inline by component libraries; scripts never are.
const POLICY: &str = "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; worker-src 'self' blob:; \
    object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Files whose name changes with their content.
const HASHED: &str = "assets/";

/// The page that routes all other paths by itself.
const INDEX: &str = "index.html";

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/web/dist"]
struct Built;

/// Serves the web app.
pub(crate) fn router(app: &App) -> Router {
    Router::new().fallback_service(serve.layer(CompressionLayer::new()).with_state(app.clone()))
}

async fn serve(State(app): State<App>, request: Request) -> Response {
    let path = request.uri().path();
    if path.starts_with("/api/") || path.starts_with("/v1/") {
        return Failure::not_found("route: GET /api/v1/openapi.json lists them").into_response();
    }
    if let Some(frontend) = &app.options().frontend_url {
        return proxy::forward(&app, frontend, request)
            .await
            .into_response();
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Failure::not_found("route").into_response();
    }
    match find(path) {
        Some((name, file)) => answer(&name, file, request.headers()),
        None => Failure::not_found("file").into_response(),
    }
}

/// The file of a path; the page itself for a path of the app.
fn find(path: &str) -> Option<(String, EmbeddedFile)> {
    let name = path.trim_start_matches('/');
    if let Some(file) = Built::get(name) {
        return Some((name.to_owned(), file));
    }
    let is_file = name
        .rsplit('/')
        .next()
        .is_some_and(|last| last.contains('.'));
    if is_file || name.starts_with(HASHED) {
        return None;
    }
    Some((INDEX.to_owned(), Built::get(INDEX)?))
}

fn answer(name: &str, file: EmbeddedFile, request: &HeaderMap) -> Response {
    let hash: String = file.metadata.sha256_hash()[..8]
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    // Weak: compression changes the bytes.
    let etag = format!("W/\"{hash}\"");
    let cache = if name.starts_with(HASHED) {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let known = request
        .get(header::IF_NONE_MATCH)
        .is_some_and(|known| known == etag.as_str());
    let body = match file.data {
        _ if known => Body::empty(),
        Cow::Borrowed(bytes) => Body::from(bytes),
        Cow::Owned(bytes) => Body::from(bytes),
    };
    let mut response = Response::new(body);
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let kind = mime_guess::from_path(name).first_or_octet_stream();
    let kind = if kind.type_() == "text" {
        format!("{kind}; charset=utf-8")
    } else {
        kind.to_string()
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY),
    );
    for (name, value) in [(header::ETAG, etag), (header::CONTENT_TYPE, kind)] {
        headers.extend(
            HeaderValue::from_str(&value)
                .ok()
                .map(|value| (name, value)),
        );
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_the_app_is_the_page_and_a_missing_file_is_none() {
        assert_eq!(find("/").unwrap().0, INDEX);
        assert_eq!(find("/sessions/ses_1").unwrap().0, INDEX);
        assert!(find("/assets/gone").is_none());
        assert!(find("/gone.js").is_none());
        assert!(find("/../Cargo.toml").is_none());
    }

    #[test]
    fn a_page_that_the_browser_has_is_not_sent_again() {
        let (name, file) = find("/").unwrap();
        let first = answer(&name, file, &HeaderMap::new());
        let etag = first.headers()[header::ETAG].clone();
        let request = HeaderMap::from_iter([(header::IF_NONE_MATCH, etag)]);
        let (name, file) = find("/").unwrap();
        assert_eq!(
            answer(&name, file, &request).status(),
            StatusCode::NOT_MODIFIED
        );
        assert_eq!(first.headers()[header::CACHE_CONTROL], "no-cache");
    }
}
