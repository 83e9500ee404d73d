//! Servers in sandboxes as origins of their own, as browsers come to them.

use axum::body::Body;
use futures_util::{SinkExt as _, StreamExt as _};
use helix_proto::sandbox::{PortLink, Sandbox};
use http::{Method, Request, StatusCode, header};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest as _},
};
use tower::ServiceExt as _;
use url::Url;

use crate::{
    host::Host,
    person::{Answer, Person, Proof},
    sandboxes::made,
    world::{Kind, World},
};

on_both_databases!(
    a_browser_that_is_signed_in_comes_to_a_port_and_no_other_does,
    what_opens_a_port_ends_with_the_sign_in_and_with_the_sandbox,
);

struct Scene {
    world: World,
    member: Person,
    _host: Host,
    sandbox: Sandbox,
}

/// A browser: what it keeps of one origin.
struct Browser<'a> {
    scene: &'a Scene,
    host: String,
    cookies: Vec<String>,
}

impl Scene {
    async fn new(world: World) -> Self {
        let world = {
            let mut world = world;
            world.stop().await;
            world
                .restart_with(|options| options.sandboxes.ports_domain = Some("localhost".into()))
                .await
        };
        let admin = world.admin().await;
        let member = world.member("member").await;
        let host = Host::connect(&world, &admin).await;
        let sandbox = made(&member, json!({})).await;
        Self {
            world,
            member,
            _host: host,
            sandbox,
        }
    }

    /// Host and port of the origin of a port.
    fn host(&self, port: u16) -> String {
        let url = self.sandbox.ports_url.as_ref().unwrap();
        let url = url.replace("{port}", &port.to_string());
        let host = url.strip_prefix("http://").unwrap();
        host.trim_end_matches('/').to_owned()
    }

    fn browser(&self, port: u16) -> Browser<'_> {
        Browser {
            scene: self,
            host: self.host(port),
            cookies: Vec::new(),
        }
    }

    async fn ask_link(&self, person: &Person, port: u16, state: &str) -> Answer {
        let path = format!("/api/v1/sandboxes/{}/port-links", self.sandbox.id);
        let body = json!({"port": port, "state": state, "path": "/lab?a=b"});
        person.post(&path, body).await
    }
}

impl Browser<'_> {
    async fn send(&mut self, method: Method, path: &str, more: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        request = request.header(header::HOST, &self.host);
        if !self.cookies.is_empty() {
            request = request.header(header::COOKIE, self.cookies.join("; "));
        }
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        let router = helix_server::api::router(&self.scene.world.app);
        let response = router.oneshot(request.body(Body::empty()).unwrap()).await;
        let (parts, body) = response.unwrap().into_parts();
        let answer = Answer {
            status: parts.status,
            headers: parts.headers,
            body: axum::body::to_bytes(body, 1 << 20).await.unwrap(),
        };
        for cookie in answer.headers.get_all(header::SET_COOKIE) {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            self.cookies.push(pair.to_owned());
        }
        answer
    }

    /// Goes to a page.
    async fn go(&mut self, path: &str) -> Answer {
        let navigates = [
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
            ("sec-fetch-site", "none"),
        ];
        self.send(Method::GET, path, &navigates).await
    }

    /// The state with which it is sent to the control plane.
    async fn begin(&mut self) -> String {
        let answer = self.go("/lab?a=b").await;
        assert_eq!(answer.status, 303, "{answer:?}");
        let to = answer.headers[header::LOCATION].to_str().unwrap();
        assert!(to.starts_with(&self.scene.world.url()), "{to}");
        let to = Url::parse(to).unwrap();
        assert!(to.path().ends_with("/open"), "{to}");
        let value = |name: &str| {
            let found = to.query_pairs().find(|(key, _)| key == name);
            found.unwrap().1.into_owned()
        };
        assert_eq!(value("path"), "/lab?a=b");
        value("state")
    }

    /// Enters as somebody who is signed in.
    async fn enter(&mut self, person: &Person, port: u16) {
        let state = self.begin().await;
        let link: PortLink = self.scene.ask_link(person, port, &state).await.expect(201);
        let answer = self.go(&path_of(&link)).await;
        assert_eq!(answer.status, 303, "{answer:?}");
        assert_eq!(answer.headers[header::LOCATION], "/lab?a=b");
        assert_eq!(answer.headers[header::REFERRER_POLICY], "no-referrer");
    }

    /// A WebSocket of a page of an origin.
    async fn socket(&self, origin: &str) -> Result<WebSocketStream<TcpStream>, StatusCode> {
        let url = format!("ws://{}/socket", self.host);
        let mut request = url.into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert(header::COOKIE, self.cookies.join("; ").parse().unwrap());
        headers.insert(header::ORIGIN, origin.parse().unwrap());
        let listening = self.scene.world.app.foundation().listening;
        let stream = TcpStream::connect(listening).await.unwrap();
        match client_async(request, stream).await {
            Ok((socket, _)) => Ok(socket),
            Err(Error::Http(response)) => Err(response.status()),
            Err(error) => panic!("{error}"),
        }
    }

    async fn is_in(&mut self) -> bool {
        self.send(Method::GET, "/style.css", &[]).await.status == 200
    }
}

fn path_of(link: &PortLink) -> String {
    let url = Url::parse(&link.url).unwrap();
    format!("{}?{}", url.path(), url.query().unwrap())
}

async fn a_browser_that_is_signed_in_comes_to_a_port_and_no_other_does(world: World) {
    let scene = Scene::new(world).await;
    let other = scene.world.member("other").await;
    let mut browser = scene.browser(8000);
    // Without a cookie nothing is seen; a page's parts are not sent anywhere.
    let refused = browser.send(Method::GET, "/style.css", &[]).await;
    assert_eq!(refused.status, 401);
    let state = browser.begin().await;
    assert_eq!(scene.ask_link(&other, 8000, &state).await.status, 404);
    assert_eq!(
        scene.ask_link(&scene.member, 8000, "made-up").await.status,
        422
    );
    let answer = scene.ask_link(&scene.member, 8000, &state).await;
    let link: PortLink = answer.expect(201);
    // Another browser has nothing of a token that it got hold of, and uses it up.
    let mut thief = scene.browser(8000);
    thief.begin().await;
    assert_eq!(thief.go(&path_of(&link)).await.status, 401);
    assert_eq!(browser.go(&path_of(&link)).await.status, 401);

    browser.enter(&scene.member, 8000).await;
    let seen: Value = browser.send(Method::GET, "/lab", &[]).await.expect(200);
    let uri = seen["uri"].as_str().unwrap();
    assert!(uri.ends_with("/guest/ports/8000/lab"), "{uri}");
    assert_eq!(seen["headers"]["cookie"], Value::Null);
    // The cookie opens this port of this sandbox.
    let mut elsewhere = scene.browser(8001);
    elsewhere.cookies.clone_from(&browser.cookies);
    assert!(!elsewhere.is_in().await);
    let second = made(&scene.member, json!({})).await;
    let second = second.ports_url.unwrap().replace("{port}", "8000");
    elsewhere.host = second.replace("http://", "").replace('/', "");
    assert!(!elsewhere.is_in().await);
    // An API key opens nothing in a browser.
    let key = scene.member.key(&[helix_proto::auth::Scope::Admin]).await;
    let key = scene.world.stranger().with(Proof::Bearer(key.secret));
    assert_eq!(scene.ask_link(&key, 8000, &state).await.status, 409);
}

async fn what_opens_a_port_ends_with_the_sign_in_and_with_the_sandbox(world: World) {
    let scene = Scene::new(world).await;
    let mut browser = scene.browser(8000);
    let body = json!({"email": "member@example.org", "password": crate::world::PASSWORD});
    let answer = scene
        .world
        .stranger()
        .post("/api/v1/auth/login", body)
        .await;
    let again = scene.world.stranger().with(Proof::Cookie(answer.cookie()));
    browser.enter(&again, 8000).await;
    assert!(browser.is_in().await);
    let signed_out = again.post("/api/v1/auth/logout", json!({})).await;
    assert_eq!(signed_out.status, 204);
    assert!(!browser.is_in().await);

    browser.enter(&scene.member, 8000).await;
    assert!(browser.is_in().await);
    let path = format!("/api/v1/sandboxes/{}", scene.sandbox.id);
    assert_eq!(scene.member.delete(&path).await.status, 204);
    assert!(!browser.is_in().await);
    let page = browser.go("/").await;
    assert!(page.status == 404 || page.status == 303, "{page:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ports_origin_is_the_servers_alone() {
    let scene = Scene::new(World::start(Kind::Sqlite).await).await;
    let mut browser = scene.browser(8000);
    browser.enter(&scene.member, 8000).await;
    // Nothing of the control plane is there, whoever asks, and with whatever.
    for path in [
        "/api/v1/users/me",
        "/v1/models",
        "/healthz",
        "/",
        "/metrics",
    ] {
        let seen: Value = browser.send(Method::GET, path, &[]).await.expect(200);
        let uri = seen["uri"].as_str().unwrap();
        assert!(uri.ends_with(&format!("/guest/ports/8000{path}")), "{uri}");
    }
    let Proof::Cookie(cookie) = &scene.member.proof else {
        panic!("a member has a cookie");
    };
    let mut stranger = scene.browser(8000);
    stranger.cookies.push(cookie.clone());
    for path in [
        "/api/v1/auth/me",
        "/api/v1/version",
        "/assets/index.js",
        "/.helix/x",
    ] {
        assert_ne!(
            stranger.send(Method::GET, path, &[]).await.status,
            200,
            "{path}"
        );
    }
    // A cookie of the origin is nothing to the control plane.
    let cookie = browser.cookies.join("; ");
    let pretends = scene
        .world
        .stranger()
        .with(Proof::Cookie(cookie.replace("helix_port", "helix_session")));
    assert_eq!(pretends.get("/api/v1/sandboxes").await.status, 401);
    // What is no origin of a port is nothing at all.
    for host in [
        "api.localhost",
        "0-x.localhost",
        "8000.localhost",
        "a b",
        "x@localhost",
    ] {
        browser.host = host.to_owned();
        let answer = browser.send(Method::GET, "/api/v1/version", &[]).await;
        assert!(
            answer.status == 404 || answer.status == 400,
            "{host}: {answer:?}"
        );
    }
    // The control plane's own hosts are as before.
    browser.host = "localhost".to_owned();
    let version = browser.send(Method::GET, "/api/v1/version", &[]).await;
    assert_eq!(version.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_asked_by_its_own_pages_and_keeps_its_own_cookies() {
    let scene = Scene::new(World::start(Kind::Sqlite).await).await;
    let mut browser = scene.browser(8000);
    browser.enter(&scene.member, 8000).await;
    let own = format!("http://{}", scene.host(8000));
    browser.cookies.push("theme=dark".to_owned());
    let answer = browser
        .send(Method::POST, "/api", &[("origin", &own)])
        .await;
    let seen: Value = answer.expect(200);
    assert_eq!(seen["headers"]["origin"], "http://localhost:8000");
    assert_eq!(seen["headers"]["x-forwarded-host"], "localhost:8000");
    assert_eq!(seen["headers"]["cookie"], "theme=dark");
    // It tries to set the control plane's cookie, and to clear the site.
    assert!(answer.headers.get(header::SET_COOKIE).is_none());
    assert!(answer.headers.get("clear-site-data").is_none());
    assert!(answer.headers.get("x-frame-options").is_none());
    let policy = &answer.headers[header::CONTENT_SECURITY_POLICY];
    assert_eq!(policy, "frame-ancestors 'self'");
    let sibling = format!("http://{}", scene.host(8001));
    for other in [sibling.as_str(), "http://localhost:8000", "null"] {
        let answer = browser
            .send(Method::POST, "/api", &[("origin", other)])
            .await;
        assert_eq!(answer.status, 403, "{other}");
    }
    let embedded = [
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-mode", "no-cors"),
    ];
    assert_eq!(
        browser.send(Method::GET, "/api", &embedded).await.status,
        403
    );

    assert_eq!(browser.socket(&sibling).await.unwrap_err(), 403);
    let mut socket = browser.socket(&own).await.unwrap();
    socket.send(Message::text("hot")).await.unwrap();
    let told = socket.next().await.unwrap().unwrap();
    assert_eq!(told.to_text().unwrap(), "HOT");
}
