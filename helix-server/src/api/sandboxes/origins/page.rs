//! What a browser is told at a server's own origin when the server cannot say it.

use axum::{
    body::Body,
    response::{Html, IntoResponse as _, Response},
};
use helix_proto::{ErrorCode, error::ErrorEnvelope};
use http::{HeaderName, HeaderValue, header};

use crate::api::Failure;

/// On answers that what is between the control plane and a server gives in its place.
const OWN_ERROR: HeaderName = HeaderName::from_static("x-helix-error");
/// The longest of those that is read.
const ERROR_BYTES: usize = 64 << 10;
/// How often a page is tried again, in seconds.
const AGAIN: u32 = 3;

const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

const STYLE: &str = "\
:root{color-scheme:light dark;--back:#fff;--text:#1a1b1e;--dim:#5c5f66;--line:#dee2e6;--link:#1864ab}\
@media(prefers-color-scheme:dark){:root{--back:#1a1b1e;--text:#e9ecef;--dim:#a6a7ab;--line:#373a40;--link:#74c0fc}}\
body{margin:0;min-height:100vh;display:grid;place-items:center;background:var(--back);color:var(--text);\
font:16px/1.5 system-ui,sans-serif}\
main{box-sizing:border-box;max-width:34rem;width:100%;padding:24px}\
h1{font-size:1.35rem;margin:0 0 8px;line-height:1.3}\
p{margin:0 0 12px;overflow-wrap:anywhere}\
.dim{color:var(--dim);font-size:.9rem}\
a{color:var(--link)}\
footer{border-top:1px solid var(--line);padding-top:12px;margin-top:20px}";

/// For programs, and for what a page loads.
pub(super) fn plain(failure: &Failure) -> Response {
    let mut response = failure.clone().into_response();
    response.extensions_mut().remove::<Failure>();
    response.headers_mut().remove(header::WWW_AUTHENTICATE);
    secured(response)
}

/// For people: what happened, what is done about it, and the way `back`.
pub(super) fn failed(failure: &Failure, back: &str) -> Response {
    let error = failure.error();
    let title = match error.code {
        ErrorCode::Unauthenticated => "Open this port again",
        ErrorCode::Forbidden => "Not from here",
        ErrorCode::NotFound => "There is nothing here for you",
        ErrorCode::TooManyRequests => "Too much at once",
        _ => "The server does not answer yet",
    };
    let waits = matches!(
        error.code,
        ErrorCode::Upstream | ErrorCode::Unavailable | ErrorCode::Conflict | ErrorCode::Timeout
    );
    let (refresh, note) = if waits {
        (
            format!("<meta http-equiv=\"refresh\" content=\"{AGAIN}\">"),
            "<p class=\"dim\" role=\"status\">This page tries again every few seconds.</p>",
        )
    } else {
        (String::new(), "")
    };
    let (message, back) = (escaped(&sentence(&error.message)), escaped(back));
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">{refresh}<title>{title}</title>\
         <style>{STYLE}</style></head><body><main><h1>{title}</h1><p>{message}</p>{note}\
         <footer class=\"dim\"><a href=\"{back}\">Ports of the sandbox in Helix</a></footer>\
         </main></body></html>"
    );
    let mut response = secured(Html(html).into_response());
    *response.status_mut() = plain(failure).status();
    response
}

/// A page for people where the answer is an error in a server's place.
pub(super) async fn instead_of(answer: Response, back: &str) -> Response {
    if !answer.headers().contains_key(&OWN_ERROR) {
        return answer;
    }
    let (parts, body) = answer.into_parts();
    let Ok(body) = axum::body::to_bytes(body, ERROR_BYTES).await else {
        let why = "the sandbox did not say why";
        return failed(&Failure::new(ErrorCode::Upstream, why), back);
    };
    match serde_json::from_slice::<ErrorEnvelope>(&body) {
        Ok(envelope) => failed(&envelope.error.into(), back),
        Err(_) => Response::from_parts(parts, Body::from(body)),
    }
}

fn secured(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ),
    ] {
        headers.insert(name, value);
    }
    response
}

/// Messages come in lower case and without a full stop; people read sentences.
fn sentence(message: &str) -> String {
    let mut rest = message.chars();
    let first = rest.next().map(char::to_uppercase);
    first
        .into_iter()
        .flatten()
        .chain(rest)
        .chain(['.'])
        .collect()
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_sandbox_says_is_text_on_the_page() {
        let failure = Failure::new(ErrorCode::Upstream, "<script>\"a\"&'b'</script>");
        let page = failed(&failure, "https://helix.example.com/");
        assert_eq!(page.status(), 502);
        let body = axum::body::to_bytes(page.into_body(), 1 << 20)
            .await
            .unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(body.contains("&lt;script&gt;&quot;a&quot;&amp;&#39;b&#39;&lt;/script&gt;"));
        assert!(!body.contains("<script>") && body.contains("http-equiv=\"refresh\""));
    }
}
