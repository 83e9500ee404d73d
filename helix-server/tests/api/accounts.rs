use helix_proto::{
    ErrorCode,
    auth::{ApiKey, AuthConfig, CreatedApiKey, Role, Scope, SignInLink, User},
    page::Page,
};
use http::{Method, header};
use serde_json::json;

use crate::{
    person::{Person, Proof},
    world::{PASSWORD, World, eventually},
};

on_both_databases!(
    the_set_up_link_makes_one_admin_and_no_second,
    a_member_signs_in_changes_the_password_and_other_browsers_are_signed_out,
    a_wrong_password_and_an_unknown_account_are_told_alike_and_bounded,
    a_key_does_what_its_scope_allows_until_it_is_deleted,
    a_sign_in_link_works_once,
    one_address_has_one_account,
);

async fn the_set_up_link_makes_one_admin_and_no_second(world: World) {
    let stranger = world.stranger();
    let config: AuthConfig = stranger.get("/api/v1/auth/config").await.expect(200);
    assert!(config.setup_required);
    let file = std::fs::read_to_string(world.folder.path().join("setup-link")).unwrap();
    assert_eq!(Some(file.trim()), world.app.setup_link());
    let early = json!({"email": "a@example.org", "name": "A", "password": PASSWORD});
    stranger
        .post("/api/v1/auth/register", early)
        .await
        .error(ErrorCode::Forbidden);

    let admin = world.admin().await;
    let me: User = admin.get("/api/v1/users/me").await.expect(200);
    assert_eq!(me.role, Role::Admin);
    let config: AuthConfig = stranger.get("/api/v1/auth/config").await.expect(200);
    assert!(!config.setup_required);
    let file = world.folder.path().join("setup-link");
    assert!(!file.exists(), "what was used is of no more use to anyone");

    let (_, token) = world
        .app
        .setup_link()
        .unwrap()
        .split_once("token=")
        .unwrap();
    let again =
        json!({"email": "b@example.org", "name": "B", "password": PASSWORD, "setup_token": token});
    stranger
        .post("/api/v1/auth/register", again)
        .await
        .error(ErrorCode::Unauthenticated);

    // As if it could not be removed then.
    std::fs::write(&file, "left over").unwrap();
    let world = world.crash_and_restart().await;
    assert_eq!(world.app.setup_link(), None);
    assert!(!file.exists());
}

async fn a_member_signs_in_changes_the_password_and_other_browsers_are_signed_out(world: World) {
    world.admin().await;
    let first = world.member("ada").await;
    let stranger = world.stranger();
    let login = json!({"email": "ADA@example.org", "password": PASSWORD});
    let answer = stranger.post("/api/v1/auth/login", login).await;
    let cookie = answer.headers[header::SET_COOKIE].to_str().unwrap();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"),
        "{cookie}"
    );
    assert!(!cookie.contains("Secure"));
    let second = stranger.with(Proof::Cookie(answer.cookie()));

    let user: User = second
        .patch("/api/v1/users/me", json!({"name": "Ada L."}))
        .await
        .expect(200);
    assert_eq!(user.name, "Ada L.");
    let wrong = json!({"current_password": "not the password", "new_password": "another password"});
    let error = second
        .post("/api/v1/users/me/password", wrong)
        .await
        .error(ErrorCode::Invalid);
    assert_eq!(error.field.as_deref(), Some("current_password"));
    let right = json!({"current_password": PASSWORD, "new_password": "another password"});
    assert_eq!(
        second.post("/api/v1/users/me/password", right).await.status,
        204
    );
    first
        .get("/api/v1/users/me")
        .await
        .error(ErrorCode::Unauthenticated);
    assert_eq!(second.get("/api/v1/users/me").await.status, 200);

    let answer = second.post("/api/v1/auth/logout", json!({})).await;
    assert_eq!(answer.status, 204);
    assert!(
        answer.headers[header::SET_COOKIE]
            .to_str()
            .unwrap()
            .contains("Max-Age=0")
    );
    second
        .get("/api/v1/users/me")
        .await
        .error(ErrorCode::Unauthenticated);
}

async fn a_wrong_password_and_an_unknown_account_are_told_alike_and_bounded(world: World) {
    world.admin().await;
    let stranger = world.stranger();
    let attempt = async |email: &str| {
        let body = json!({"email": email, "password": "not the password"});
        stranger.post("/api/v1/auth/login", body).await
    };
    let known = attempt("admin@example.org")
        .await
        .error(ErrorCode::Unauthenticated);
    let unknown = attempt("nobody@example.org")
        .await
        .error(ErrorCode::Unauthenticated);
    assert_eq!(known.message, unknown.message);
    for _ in 0..9 {
        attempt("admin@example.org")
            .await
            .error(ErrorCode::Unauthenticated);
    }
    let answer = attempt("admin@example.org").await;
    let error = answer.error(ErrorCode::TooManyRequests);
    assert!(error.retry_after_ms.is_some());
    assert!(answer.headers.contains_key(header::RETRY_AFTER));
}

async fn a_key_does_what_its_scope_allows_until_it_is_deleted(world: World) {
    let admin = world.admin().await;
    let key = admin.key(&[Scope::Sessions]).await;
    assert!(key.secret.starts_with("hx_") && key.secret.starts_with(&key.api_key.hint));
    let with_key = world.stranger().with(Proof::Bearer(key.secret.clone()));
    assert_eq!(with_key.get("/api/v1/sessions").await.status, 200);
    with_key
        .get("/api/v1/users/me")
        .await
        .error(ErrorCode::Forbidden);

    let path = format!("/api/v1/api-keys/{}", key.api_key.id);
    eventually("the use of the key to be noted", async || {
        let keys: Page<ApiKey> = admin.get("/api/v1/api-keys").await.expect(200);
        assert!(
            !String::from_utf8_lossy(&admin.get("/api/v1/api-keys").await.body)
                .contains(&key.secret)
        );
        keys.items[0].last_used_at_ms
    })
    .await;
    assert_eq!(admin.delete(&path).await.status, 204);
    with_key
        .get("/api/v1/sessions")
        .await
        .error(ErrorCode::Unauthenticated);
    admin.delete(&path).await.error(ErrorCode::NotFound);

    let soon = world.app.foundation().clock.now_ms() + 300;
    let body = json!({"name": "short", "scopes": ["sessions"], "expires_at_ms": soon});
    let short: CreatedApiKey = admin.post("/api/v1/api-keys", body).await.expect(201);
    let with_short = world.stranger().with(Proof::Bearer(short.secret));
    eventually("the key to expire", async || {
        (with_short.get("/api/v1/sessions").await.status == 401).then_some(())
    })
    .await;
    let none = json!({"name": "none", "scopes": []});
    admin
        .post("/api/v1/api-keys", none)
        .await
        .error(ErrorCode::Invalid);
}

async fn a_sign_in_link_works_once(world: World) {
    let admin = world.admin().await;
    let link: SignInLink = admin
        .post("/api/v1/auth/links", json!({}))
        .await
        .expect(201);
    let (page, token) = link.url.split_once("?token=").unwrap();
    assert_eq!(page, format!("{}/link", world.url()));
    let redeem = || world.stranger();
    let answer = redeem()
        .post("/api/v1/auth/link", json!({"token": token}))
        .await;
    let user: User = answer.expect(200);
    assert_eq!(user.email, "admin@example.org");
    let browser = world.stranger().with(Proof::Cookie(answer.cookie()));
    assert_eq!(browser.get("/api/v1/users/me").await.status, 200);
    redeem()
        .post("/api/v1/auth/link", json!({"token": token}))
        .await
        .error(ErrorCode::Unauthenticated);
}

async fn one_address_has_one_account(world: World) {
    world.admin().await;
    world.member("ada").await;
    let again = json!({"email": "Ada@Example.org", "name": "A", "password": PASSWORD});
    world
        .stranger()
        .post("/api/v1/auth/register", again)
        .await
        .error(ErrorCode::Conflict);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_another_site_cannot_use_the_cookie() {
    let world = World::start(crate::world::Kind::Sqlite).await;
    let admin = world.admin().await;
    let Proof::Cookie(cookie) = &admin.proof else {
        unreachable!()
    };
    let send = async |headers: &[(&str, &str)]| {
        let mut request = world
            .stranger()
            .request(Method::POST, "/api/v1/sessions")
            .header(header::COOKIE, cookie)
            .json(&json!({}));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Person::send(request).await.status.as_u16()
    };
    assert_eq!(send(&[("sec-fetch-site", "cross-site")]).await, 403);
    assert_eq!(send(&[("sec-fetch-site", "same-site")]).await, 403);
    assert_eq!(send(&[("origin", "https://evil.example")]).await, 403);
    assert_eq!(send(&[("origin", "null")]).await, 403);
    assert_eq!(send(&[]).await, 403);
    assert_eq!(send(&[("origin", &world.url())]).await, 201);
    assert_eq!(send(&[("sec-fetch-site", "same-origin")]).await, 201);
    let foreign_sign_in = world
        .stranger()
        .request(Method::POST, "/api/v1/auth/login")
        .header("sec-fetch-site", "cross-site")
        .json(&json!({"email": "admin@example.org", "password": PASSWORD}));
    assert_eq!(Person::send(foreign_sign_in).await.status, 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registration_is_closed_unless_it_is_opened() {
    let world = World::start_with(crate::world::Kind::Sqlite, |options| {
        options.registration_open = false
    })
    .await;
    world.admin().await;
    let body = json!({"email": "a@example.org", "name": "A", "password": PASSWORD});
    world
        .stranger()
        .post("/api/v1/auth/register", body)
        .await
        .error(ErrorCode::Forbidden);
}
