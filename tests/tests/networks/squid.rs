//! HTTP CONNECT through squid.

use axum::http::{Request, StatusCode};
use helix_base::{Outbound, OutboundOptions};
use helix_tests::eventually::{SOON, eventually};
use http_body_util::Full;
use tempfile::TempDir;

use crate::{
    agent::{Running, works},
    authority::Authority,
    control::Control,
    program::{self, Listening},
};

/// `alice`, whose password is `pass:w@rd`, by `openssl passwd -apr1`.
const PASSWORDS: &str = "alice:$apr1$helixtst$jfY8Wqcdd1Usj7K93zN0p/\n";

const SIGNED_IN: &str = "acl signed_in proxy_auth REQUIRED\nhttp_access allow signed_in\n";

/// A proxy, and what it wrote.
struct Squid {
    listening: Listening,
    folder: TempDir,
}

impl Squid {
    /// With these rules; what they do not allow is denied.
    async fn start(rules: &str) -> Self {
        let folder = program::folder();
        let (address, at) = (program::address(), folder.path().display());
        let text = format!(
            "http_port {address}\nvisible_hostname squid.test\npid_filename none\n\
             cache deny all\ncache_store_log none\nnetdb_filename none\npinger_enable off\n\
             access_log stdio:{at}/access.log\ncache_log {at}/cache.log\ncoredump_dir {at}\n\
             max_filedescriptors 1024\nshutdown_lifetime 0 seconds\n\
             auth_param basic program /usr/lib/squid/basic_ncsa_auth {at}/passwords\n\
             auth_param basic children 1\nauth_param basic realm helix\n\
             {rules}http_access deny all\n"
        );
        let config = folder.path().join("squid.conf");
        std::fs::write(&config, text).unwrap();
        std::fs::write(folder.path().join("passwords"), PASSWORDS).unwrap();
        let arguments = ["-N", "-f", config.to_str().unwrap()];
        let listening = Listening::start("squid", &arguments, address, folder.path()).await;
        Self { listening, folder }
    }

    fn proxied(&self, user: &str) -> OutboundOptions {
        let proxy = Some(format!("http://{user}{}", self.listening.address));
        OutboundOptions {
            http_proxy: proxy.clone(),
            https_proxy: proxy,
            ..OutboundOptions::default()
        }
    }

    /// Waits until it wrote that it joined somebody to this place, as it does when the
    /// connection has ended.
    async fn has_joined(&self, place: &str) {
        self.has_noted(&format!("CONNECT {place}")).await;
    }

    /// Waits until it wrote that it was asked for this.
    async fn has_noted(&self, line: &str) {
        let log = self.folder.path().join("access.log");
        eventually("a line in squid's log", SOON, async || {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            if text.contains(line) {
                Ok(())
            } else {
                Err(text)
            }
        })
        .await;
    }
}

fn allowed(control: &Control) -> String {
    format!(
        "acl control port {}\nhttp_access allow control\n",
        control.address.port()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_goes_through_a_proxy() {
    let control = Control::start().await;
    let squid = Squid::start(&allowed(&control)).await;
    let agent = Running::start(&control.url(), "agent", &squid.proxied(""));
    works(&control.tunnel("agent").await).await;
    drop(agent);
    squid.has_joined(&control.address.to_string()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_with_tls_goes_through_a_proxy_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path());
    let control = Control::start_tls(&authority.issue("127.0.0.1")).await;
    let squid = Squid::start(&allowed(&control)).await;
    let options = OutboundOptions {
        ca_bundle: Some(authority.bundle()),
        ..squid.proxied("")
    };
    let url = format!("https://{}", control.address);
    let _agent = Running::start(&url, "agent", &options);
    works(&control.tunnel("agent").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_wants_a_password_gets_it_and_a_wrong_one_is_an_error_that_says_so() {
    let control = Control::start().await;
    let squid = Squid::start(SIGNED_IN).await;
    let _agent = Running::start(
        &control.url(),
        "agent",
        &squid.proxied("alice:pass%3Aw%40rd@"),
    );
    works(&control.tunnel("agent").await).await;
    for user in ["alice:wrong@", ""] {
        let mut agent = Running::start(&control.url(), "other", &squid.proxied(user));
        let why = agent.failure().await;
        assert!(why.contains("407"), "{why}");
        assert!(
            why.contains("put `user:password@` before the proxy's host"),
            "{why}"
        );
        assert!(!why.contains("wrong") && !why.contains("alice"), "{why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_the_proxy_denies_is_an_error_that_says_so_and_no_proxy_goes_around() {
    let control = Control::start().await;
    let squid = Squid::start("").await;
    let denied = squid.proxied("");
    let why = Running::start(&control.url(), "agent", &denied)
        .failure()
        .await;
    assert!(why.contains("403 Forbidden to CONNECT"), "{why}");
    assert!(why.contains("have it allow this destination"), "{why}");
    for (key, no_proxy) in [
        ("a", "127.0.0.1"),
        ("b", "10.0.0.0/8,127.0.0.0/8"),
        ("c", "*"),
    ] {
        let options = OutboundOptions {
            no_proxy: Some(no_proxy.to_owned()),
            ..denied.clone()
        };
        let _agent = Running::start(&control.url(), key, &options);
        works(&control.tunnel(key).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_with_tls_are_joined_to_their_destination_and_plain_ones_are_forwarded() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path());
    let plain = Control::start().await;
    let tls = Control::start_tls(&authority.issue("127.0.0.1")).await;
    let squid = Squid::start(&format!(
        "acl tls port {}\nhttp_access deny CONNECT !tls\n{SIGNED_IN}",
        tls.address.port()
    ))
    .await;
    let options = OutboundOptions {
        ca_bundle: Some(authority.bundle()),
        ..squid.proxied("alice:pass%3Aw%40rd@")
    };
    let outbound = Outbound::new(&options).unwrap();
    let (forwarded, joined) = (
        format!("http://{}/nothing", plain.address),
        format!("https://{}/nothing", tls.address),
    );
    for url in [&forwarded, &joined] {
        let request = Request::post(url).body(Full::from("{}")).unwrap();
        let answer = outbound.request(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{url}");
    }
    squid.has_noted(&format!("POST {forwarded}")).await;
    drop(outbound);
    squid.has_joined(&tls.address.to_string()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_is_asked_for_ipv6_and_for_names_as_they_stand_in_the_url() {
    for (bind, host) in [("[::1]:0", "[::1]"), ("127.0.0.1:0", "localhost")] {
        let control = Control::at(bind).await;
        let squid = Squid::start(&allowed(&control)).await;
        let place = format!("{host}:{}", control.address.port());
        let agent = Running::start(&format!("http://{place}"), "agent", &squid.proxied(""));
        works(&control.tunnel("agent").await).await;
        drop(agent);
        squid.has_joined(&place).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_that_the_proxy_cannot_reach_is_an_error_that_says_so() {
    let nobody = program::address();
    let squid = Squid::start("http_access allow all\n").await;
    let url = format!("http://{nobody}");
    let why = Running::start(&url, "agent", &squid.proxied(""))
        .failure()
        .await;
    assert!(
        why.contains("the proxy cannot reach this destination"),
        "{why}"
    );
}
