//! Extractors that answer a bad request with the one envelope.

use axum::{
    extract::{FromRequest, FromRequestParts, Request},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use helix_proto::ErrorCode;
use http::{HeaderMap, header, request::Parts};
use serde::{Serialize, de::DeserializeOwned};

use super::Failure;
use crate::App;

/// A JSON body, of at most as many bytes as the route allows. Also an answer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &App) -> Result<Self, Failure> {
        if !is_json(request.headers()) {
            return Err(Failure::bad_request(
                "the body must be JSON: send it with `Content-Type: application/json`",
            ));
        }
        let body = Body::from_request(request, app).await?.0;
        parse(&body).map(Self)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
    else {
        return false;
    };
    let essence = value
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}

/// Reads a JSON body: 400 for what is not JSON, 422 for what is not what the
/// route takes.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        match inner.classify() {
            serde_json::error::Category::Data if path != "." => {
                Failure::invalid(path, inner.to_string())
            }
            serde_json::error::Category::Data => {
                Failure::new(ErrorCode::Invalid, inner.to_string())
            }
            _ => Failure::bad_request(format!("the body is not valid JSON: {inner}")),
        }
    })?;
    deserializer
        .end()
        .map_err(|error| Failure::bad_request(format!("the body is not valid JSON: {error}")))?;
    Ok(value)
}

/// What a route takes of JSON that was read already: for routes that say first whether
/// what they are about is there.
pub(crate) fn typed<T: DeserializeOwned>(value: &serde_json::Value) -> Result<T, Failure> {
    parse(value.to_string().as_bytes())
}

/// The largest body of a route, as an `Extension`; an inner one goes before an
/// outer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MostBytes(pub(crate) usize);

/// A body as it came, of at most as many bytes as the route allows, within the
/// time that the options allow.
#[derive(Debug, Clone)]
pub struct Body(pub Bytes);

impl FromRequest<App> for Body {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &App) -> Result<Self, Failure> {
        let MostBytes(most) = *request.extensions().get().unwrap_or(&MostBytes(0));
        let (parts, body) = request.into_parts();
        super::body::read(app, &parts.headers, body, most)
            .await
            .map(Self)
    }
}

/// Parameters in the path. What cannot be parsed names nothing: 404.
#[derive(Debug, Clone, Copy, Default)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Path<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        match axum::extract::Path::from_request_parts(parts, app).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(rejection) => Err(Failure::new(
                ErrorCode::NotFound,
                rejection.body_text().to_lowercase(),
            )),
        }
    }
}

/// Parameters in the query.
#[derive(Debug, Clone, Copy, Default)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<App> for Query<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        match axum::extract::Query::from_request_parts(parts, app).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(Failure::new(
                ErrorCode::Invalid,
                rejection.body_text().to_lowercase(),
            )),
        }
    }
}
