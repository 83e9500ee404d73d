//! What is copied, for programs.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use helix_proto::{
    desktop::{Clipboard as Content, MAX_CLIPBOARD},
    error::ErrorCode,
};

use super::{
    Media,
    routes::{failed, refused},
};
use crate::{Error, ErrorKind};

/// Bytes of a content at most: what fits into the protocol's message with its type.
const MOST: usize = MAX_CLIPBOARD - 64;
/// How each PNG begins.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// What was copied last, by a program of the desktop or into it.
#[derive(Debug)]
pub(super) struct Held {
    allowed: bool,
    content: Mutex<Option<Arc<Content>>>,
}

impl Held {
    pub(super) fn new(allowed: bool) -> Self {
        Self {
            allowed,
            content: Mutex::default(),
        }
    }

    pub(super) fn keep(&self, content: &Content) {
        self.set(Some(Arc::new(content.clone())));
    }

    pub(super) fn forget(&self) {
        self.set(None);
    }

    fn set(&self, content: Option<Arc<Content>>) {
        *self.content.lock().unwrap_or_else(PoisonError::into_inner) = content;
    }

    fn get(&self) -> Result<Option<Arc<Content>>, Error> {
        if !self.allowed {
            let why = "the clipboard of this desktop is switched off";
            return Err(Error::new(ErrorKind::Conflict, why));
        }
        let content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(content.clone())
    }
}

pub(super) fn routes() -> Router<Media> {
    let limit = DefaultBodyLimit::max(MOST);
    Router::new().route("/clipboard", get(read).put(write).layer(limit))
}

async fn read(State(media): State<Media>) -> Response {
    let content = media.shared.clipboard.get();
    match content.and_then(|content| media.shared.running().map(|_| content)) {
        Ok(None) => StatusCode::NO_CONTENT.into_response(),
        Ok(Some(content)) => {
            let bytes = Bytes::copy_from_slice(content.content());
            ([(header::CONTENT_TYPE, content.mime())], bytes).into_response()
        }
        Err(why) => refused(&why),
    }
}

async fn write(
    State(media): State<Media>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(why) if why.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            let why = format!("a clipboard has {MOST} bytes at most");
            return failed(ErrorCode::PayloadTooLarge, why);
        }
        Err(why) => return failed(ErrorCode::BadRequest, why.body_text()),
    };
    let mime = headers.get(header::CONTENT_TYPE);
    let mime = mime.and_then(|mime| mime.to_str().ok()).unwrap_or_default();
    match put(&media, mime, body).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(why) => refused(&why),
    }
}

async fn put(media: &Media, mime: &str, body: Bytes) -> Result<(), Error> {
    media.shared.clipboard.get()?;
    let content = content(mime, body).map_err(|why| Error::new(ErrorKind::Invalid, why))?;
    let clipboard = media.shared.running()?.clipboard().ok_or_else(|| {
        let why = "this kind of desktop has no clipboard";
        Error::new(ErrorKind::Unsupported, why)
    })?;
    media.shared.clipboard.keep(&content);
    clipboard.put(content).await
}

fn content(mime: &str, body: Bytes) -> Result<Content, &'static str> {
    let mut parts = mime.split(';').map(|part| part.trim().to_ascii_lowercase());
    let essence = parts.next().unwrap_or_default();
    let is_utf8 = |part: String| {
        let charset = part
            .strip_prefix("charset=")
            .map(|name| name.trim_matches('"').to_owned());
        charset.is_none_or(|name| matches!(&*name, "utf-8" | "utf8" | "us-ascii"))
    };
    if body.is_empty() {
        return Err("an empty clipboard cannot be pasted");
    }
    match &*essence {
        "text/plain" if parts.all(is_utf8) => {
            let text = String::from_utf8(body.into()).map_err(|_| "the text is not UTF-8")?;
            Ok(Content::Text(text))
        }
        "image/png" if body.starts_with(PNG) => Ok(Content::Png(body)),
        "image/png" => Err("that is no PNG"),
        _ => Err("the content type is text/plain (UTF-8) or image/png"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_pictures_are_taken_by_their_type_and_nothing_else_is() {
        let take = |mime: &str, body: &'static [u8]| content(mime, Bytes::from_static(body));
        let text = Ok(Content::Text("ü".to_owned()));
        assert_eq!(take("text/plain", "ü".as_bytes()), text);
        assert_eq!(take("Text/Plain; charset=\"UTF-8\"", "ü".as_bytes()), text);
        assert!(take("image/png", b"\x89PNG\r\n\x1a\nrest").is_ok());
        for (mime, body) in [
            ("text/plain;charset=latin1", b"x".as_slice()),
            ("text/plain", b"\xff"),
            ("text/plain", b""),
            ("text/html", b"x"),
            ("image/png", b"GIF89a"),
            ("", b"x"),
        ] {
            assert!(take(mime, body).is_err(), "{mime}");
        }
    }
}
