//! Passes requests on to a development server, its WebSocket included.

use axum::{
    body::Body,
    extract::Request,
    response::{IntoResponse as _, Response},
};
use helix_proto::ErrorCode;
use http::{HeaderMap, HeaderName, StatusCode, header};
use hyper_util::rt::TokioIo;
use url::Url;

use crate::{App, api::Failure};

/// Headers that concern one connection only ([RFC 9110 7.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1)).
const ONE_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in ONE_HOP {
        headers.remove(name);
    }
    headers
}

/// Passes a request on and its answer back.
pub(super) async fn forward(
    app: &App,
    frontend: &Url,
    mut request: Request,
) -> Result<Response, Failure> {
    let mut url = frontend.clone();
    url.set_path(request.uri().path());
    url.set_query(request.uri().query());
    let upgrade = request.headers().get(header::UPGRADE).cloned();
    let mut headers = end_to_end(request.headers());
    headers.remove(header::HOST);
    // The session's cookie is the control plane's own.
    headers.remove(header::COOKIE);
    if let Some(protocol) = &upgrade {
        headers.insert(
            header::CONNECTION,
            header::HeaderValue::from_static("upgrade"),
        );
        headers.insert(header::UPGRADE, protocol.clone());
    }
    let method = request.method().clone();
    let client = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
    let call = app
        .foundation()
        .outbound
        .http()
        .request(method, url)
        .headers(headers);
    let call = match client {
        Some(_) => call,
        None => call.body(reqwest::Body::wrap_stream(
            request.into_body().into_data_stream(),
        )),
    };
    let upstream = call.send().await.map_err(|error| {
        Failure::new(
            ErrorCode::Upstream,
            format!(
                "the web app's server at `frontend_url` does not answer: {}",
                error.without_url()
            ),
        )
    })?;
    let status = upstream.status();
    let mut answer_headers = end_to_end(upstream.headers());
    if status != StatusCode::SWITCHING_PROTOCOLS {
        let mut response = Body::from_stream(upstream.bytes_stream()).into_response();
        *response.status_mut() = status;
        *response.headers_mut() = answer_headers;
        return Ok(response);
    }
    let protocol = upgrade.unwrap_or(header::HeaderValue::from_static("websocket"));
    answer_headers.insert(
        header::CONNECTION,
        header::HeaderValue::from_static("upgrade"),
    );
    answer_headers.insert(header::UPGRADE, protocol);
    let tasks = &app.foundation().tasks;
    let draining = tasks.draining_token().clone();
    tasks.spawn("proxied WebSocket", async move {
        let joined = async {
            let Some(client) = client else { return };
            let (Ok(client), Ok(mut upstream)) = (client.await, upstream.upgrade().await) else {
                return;
            };
            // Either side may leave at any time: that is how it ends.
            let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut upstream).await;
        };
        draining.run_until_cancelled(joined).await;
    });
    let mut response = status.into_response();
    *response.headers_mut() = answer_headers;
    Ok(response)
}
