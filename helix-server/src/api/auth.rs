//! Registering, signing in and out.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use helix_base::ExposeSecret as _;
use helix_proto::auth::{
    AuthConfig, RedeemLinkRequest, RegisterRequest, SignInLink, SignInRequest, User,
};
use http::{HeaderValue, StatusCode, header};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Caller, Failure, Json,
    access::{AdminOnly, Member, Public, cookie_name},
    check,
    client::ClientAddress,
};
use crate::{
    App,
    auth::{Credential, Registration, SignedIn},
};

/// The routes of this file.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(config))
        .routes(routes!(register))
        .routes(routes!(login))
        .routes(routes!(redeem))
        .routes(routes!(logout))
        .routes(routes!(make_link))
}

/// What the sign-in page needs to know.
#[utoipa::path(get, path = "/api/v1/auth/config", tag = "auth", responses((status = 200, body = AuthConfig)))]
async fn config(_: Caller<Public>, State(app): State<App>) -> Result<Json<AuthConfig>, Failure> {
    Ok(Json(AuthConfig {
        setup_required: app.auth().setup_required().await?,
        registration_open: app.options().registration_open,
    }))
}

/// Makes an account and signs in.
#[utoipa::path(post, path = "/api/v1/auth/register", tag = "auth", request_body = RegisterRequest,
    responses((status = 201, body = User, description = "Sets the cookie"), (status = 401), (status = 403), (status = 409), (status = 422), (status = 429)))]
async fn register(
    _: Caller<Public>,
    State(app): State<App>,
    ClientAddress(address): ClientAddress,
    Json(request): Json<RegisterRequest>,
) -> Result<Response, Failure> {
    check::password("password", &request.password)?;
    let registration = Registration {
        email: check::email("email", &request.email)?,
        name: check::line("name", &request.name, 100)?,
        password: request.password.into(),
        setup_token: request.setup_token.map(Into::into),
    };
    let open = app.options().registration_open;
    let signed_in = app.auth().register(registration, open, address).await?;
    Ok(with_cookie(&app, StatusCode::CREATED, signed_in))
}

/// Signs in with a password.
#[utoipa::path(post, path = "/api/v1/auth/login", tag = "auth", request_body = SignInRequest,
    responses((status = 200, body = User, description = "Sets the cookie"), (status = 401), (status = 429)))]
async fn login(
    _: Caller<Public>,
    State(app): State<App>,
    ClientAddress(address): ClientAddress,
    Json(request): Json<SignInRequest>,
) -> Result<Response, Failure> {
    let email = check::email("email", &request.email)?;
    let signed_in = app
        .auth()
        .sign_in(&email, request.password.into(), address)
        .await?;
    Ok(with_cookie(&app, StatusCode::OK, signed_in))
}

/// Signs in with a one-time link.
#[utoipa::path(post, path = "/api/v1/auth/link", tag = "auth", request_body = RedeemLinkRequest,
    responses((status = 200, body = User, description = "Sets the cookie"), (status = 401), (status = 429)))]
async fn redeem(
    _: Caller<Public>,
    State(app): State<App>,
    ClientAddress(address): ClientAddress,
    Json(request): Json<RedeemLinkRequest>,
) -> Result<Response, Failure> {
    let signed_in = app.auth().redeem_link(&request.token, address).await?;
    Ok(with_cookie(&app, StatusCode::OK, signed_in))
}

/// Signs out.
#[utoipa::path(post, path = "/api/v1/auth/logout", tag = "auth",
    responses((status = 204), (status = 401), (status = 409)),
    security(("session" = ["member"]), ("api_key" = ["admin"])))]
async fn logout(caller: Caller<Member>, State(app): State<App>) -> Result<Response, Failure> {
    let Credential::SignIn { .. } = caller.credential else {
        return Err(Failure::conflict(
            "an API key cannot sign out: delete it instead",
        ));
    };
    app.auth().sign_out(&caller.secret_hash).await?;
    Ok((
        [(header::SET_COOKIE, set_cookie(&app, "", 0))],
        StatusCode::NO_CONTENT,
    )
        .into_response())
}

/// Makes a link with which the caller can sign in once, in another browser.
#[utoipa::path(post, path = "/api/v1/auth/links", tag = "auth",
    responses((status = 201, body = SignInLink), (status = 401), (status = 403)),
    security(("session" = ["admin"]), ("api_key" = ["admin"])))]
async fn make_link(
    caller: Caller<AdminOnly>,
    State(app): State<App>,
) -> Result<(StatusCode, Json<SignInLink>), Failure> {
    let link = app
        .auth()
        .make_link(caller.user_id, &app.foundation().public_url)
        .await?;
    Ok((StatusCode::CREATED, Json(link)))
}

fn with_cookie(app: &App, status: StatusCode, signed_in: SignedIn) -> Response {
    let cookie = set_cookie(
        app,
        signed_in.cookie.expose_secret(),
        signed_in.lasts.as_secs(),
    );
    (status, [(header::SET_COOKIE, cookie)], Json(signed_in.user)).into_response()
}

fn set_cookie(app: &App, value: &str, max_age: u64) -> HeaderValue {
    let https = app.options().is_https();
    let (name, secure) = (cookie_name(https), if https { "; Secure" } else { "" });
    let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={max_age}{secure}");
    // Base64 and decimal digits are always valid in a header.
    let mut value = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}
