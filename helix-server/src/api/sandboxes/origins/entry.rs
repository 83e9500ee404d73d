//! How a browser that is signed in to the control plane comes to a server's own origin.

use std::time::Duration;

use axum::{
    extract::State,
    response::{IntoResponse as _, Redirect, Response},
};
use helix_proto::{
    SandboxId,
    sandbox::{PortLink, PortLinkRequest},
};
use http::{HeaderValue, StatusCode, header, request::Parts};
use url::form_urlencoded::{Serializer, parse};

use super::{ENTER, Visit, cookies};
use crate::{
    App,
    api::{
        Failure, Json,
        access::{Drive, InSandbox, Member},
    },
    auth::{Credential, secret},
    sandboxes::origins::PortOrigin,
    store::port_passes::PortPass,
};

/// How long a token is good.
const TOKEN: Duration = Duration::from_secs(60);
/// How long a browser remembers that it wanted to enter.
const STATE: Duration = Duration::from_secs(600);
/// How long a cookie is good; the sign-in behind it may end before.
const PASS: Duration = Duration::from_secs(24 * 3_600);
/// The longest path to go on to.
const PATH_BYTES: usize = 4_096;
/// Characters of a random secret behind its prefix.
const SECRET_CHARS: usize = 43;

fn later(now_ms: u64, by: Duration) -> u64 {
    now_ms.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX))
}

/// Makes the address with which the caller's browser enters a server in a sandbox, once
/// and within a minute. The browser must have come from there with the `state`.
#[utoipa::path(post, path = "/api/v1/sandboxes/{id}/port-links", tag = "sandboxes", request_body = PortLinkRequest,
    params(("id" = SandboxId, Path, description = "The sandbox")),
    responses((status = 201, body = PortLink), (status = 401), (status = 403), (status = 404), (status = 409), (status = 422)),
    security(("session" = ["member"]), ("api_key" = ["admin"])))]
pub(super) async fn open(
    caller: InSandbox<Drive, Member>,
    State(app): State<App>,
    Json(request): Json<PortLinkRequest>,
) -> Result<(StatusCode, Json<PortLink>), Failure> {
    let sandbox = app.sandboxes().find(caller.id).await?.id();
    let Credential::SignIn { .. } = caller.credential else {
        let why = "an API key opens no port in a browser: ask below /ports/{port}/ with it";
        return Err(Failure::conflict(why));
    };
    let origins = app.sandboxes().origins().ok_or_else(|| {
        Failure::conflict("ports have no origins of their own here: set `ports_domain`")
    })?;
    check(&request)?;
    let at = PortOrigin {
        sandbox,
        port: request.port,
    };
    let token = secret::mint(secret::PORT_TOKEN);
    let now_ms = app.foundation().clock.now_ms();
    let pass = PortPass {
        hash: token.hash,
        sign_in: caller.secret_hash.to_string(),
        at,
        expires_at_ms: later(now_ms, TOKEN),
    };
    let state = secret::hash(&request.state);
    app.store().add_port_token(&pass, &state, now_ms).await?;
    let query = Serializer::new(String::new())
        .append_pair("token", &token.secret)
        .append_pair("to", &request.path)
        .finish();
    let url = format!("{}{ENTER}?{query}", origins.url(at));
    Ok((StatusCode::CREATED, Json(PortLink { url })))
}

fn check(request: &PortLinkRequest) -> Result<(), Failure> {
    if request.port == 0 {
        return Err(Failure::invalid("port", "must be 1 to 65535"));
    }
    if !is_state(&request.state) {
        let why = "must be what the port's own origin gave: open that";
        return Err(Failure::invalid("state", why));
    }
    if !is_path(&request.path) {
        return Err(Failure::invalid("path", "must be a path, such as `/`"));
    }
    Ok(())
}

fn is_state(text: &str) -> bool {
    let random = text.strip_prefix(secret::PORT_STATE);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    random.is_some_and(|random| random.len() == SECRET_CHARS && random.bytes().all(plain))
}

/// A path on the same host, whatever a browser makes of it.
fn is_path(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
    text.starts_with('/')
        && !text.starts_with("//")
        && text.len() <= PATH_BYTES
        && text.bytes().all(plain)
}

/// Sends a browser without a cookie to the control plane, to come back with a token.
pub(super) fn begin(visit: &Visit<'_>, parts: &Parts) -> Response {
    let https = visit.origins.is_https();
    let known = cookies::values(&parts.headers, cookies::STATE, https);
    // Tabs that enter at the same time share one.
    let state = known.into_iter().find(|state| is_state(state));
    let state = state.map_or_else(|| secret::mint(secret::PORT_STATE).secret, str::to_owned);
    let path = parts.uri.path_and_query().map(|path| path.as_str());
    let path = path.filter(|path| is_path(path)).unwrap_or("/");
    let query = Serializer::new(String::new())
        .append_pair("state", &state)
        .append_pair("path", path)
        .finish();
    let to = format!("{}/{}/open?{query}", visit.back(), visit.at.port);
    let cookie = cookies::set(cookies::STATE, &state, STATE.as_secs(), https);
    go(&to, Some(cookie))
}

/// Takes a token, and gives the cookie for it.
pub(super) async fn enter(
    visit: &Visit<'_>,
    parts: &Parts,
    is_in: bool,
) -> Result<Response, Failure> {
    let query = parts.uri.query().unwrap_or_default().as_bytes();
    let value = |name: &str| parse(query).find_map(|(key, value)| (key == name).then_some(value));
    let token = value("token").unwrap_or_default();
    let to = value("to").filter(|to| is_path(to));
    let to = to.as_deref().unwrap_or("/");
    let https = visit.origins.is_https();
    let states = cookies::values(&parts.headers, cookies::STATE, https);
    let states: Vec<_> = states.into_iter().map(secret::hash).collect();
    let cookie = secret::mint(secret::PORT_COOKIE);
    let now_ms = visit.app.foundation().clock.now_ms();
    let pass = |sign_in| PortPass {
        hash: cookie.hash.clone(),
        sign_in,
        at: visit.at,
        expires_at_ms: later(now_ms, PASS),
    };
    let store = visit.app.store();
    let token = secret::hash(&token);
    if store
        .redeem_port_token(&token, &states, pass, now_ms)
        .await?
    {
        let cookie = cookies::set(cookies::PASS, &cookie.secret, PASS.as_secs(), https);
        return Ok(go(to, Some(cookie)));
    }
    if is_in {
        return Ok(go(to, None));
    }
    Err(Failure::unauthenticated(
        "this link was used already, is too old, or is for another browser: open the port again",
    ))
}

fn go(to: &str, cookie: Option<HeaderValue>) -> Response {
    let mut response = Redirect::to(to).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let policy = HeaderValue::from_static("no-referrer");
    headers.insert(header::REFERRER_POLICY, policy);
    if let Some(cookie) = cookie {
        headers.insert(header::SET_COOKIE, cookie);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_to_go_on_to_is_on_the_same_host() {
        for fine in ["/", "/lab?a=b&c", "/a//b", "/%5C"] {
            assert!(is_path(fine), "{fine}");
        }
        for other in [
            "",
            "a",
            "//evil.example",
            "/\\evil.example",
            "/a b",
            "/a\r\nb",
            "https://evil.example",
        ] {
            assert!(!is_path(other), "{other}");
        }
    }

    #[test]
    fn a_state_is_one_that_was_made_here() {
        assert!(is_state(&secret::mint(secret::PORT_STATE).secret));
        assert!(!is_state("hxn_"));
        assert!(!is_state(&secret::mint(secret::PORT_TOKEN).secret));
    }
}
