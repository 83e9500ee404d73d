use std::{path::PathBuf, time::Duration};

use helix_base::{
    Outbound,
    outbound::{self, why},
};
use helix_server::{
    Server,
    options::{ClientCertificates, TlsOptions},
};
use http::HeaderMap;

use crate::{
    authority::{Authority, Issued},
    site::{Site, options},
};

async fn start(clients: &Authority, wanted: ClientCertificates) -> Site {
    Site::start(|tls, folder| {
        let path = folder.path().join("clients.pem");
        std::fs::write(&path, clients.pem()).unwrap();
        tls.client_ca = Some(path);
        tls.client_certificates = wanted;
    })
    .await
}

fn with(site: &Site, identity: &Issued) -> Outbound {
    let folder = tempfile::tempdir_in(site.folder.path()).unwrap().keep();
    identity.write(&folder);
    site.outbound(|options| {
        options.client_certificate = Some(folder.join("tls.crt"));
        options.client_key = Some(folder.join("tls.key"));
    })
}

async fn answers(site: &Site, outbound: &Outbound) -> bool {
    let url = format!("https://{}/healthz", site.address);
    let answer = outbound.http().get(url).send().await;
    answer.is_ok_and(|answer| answer.status() == 200)
}

/// How a runner's WebSocket is refused.
async fn refusal(site: &Site, outbound: &Outbound) -> outbound::Error {
    let url = format!("wss://{}/api/v1/revdial", site.address);
    let url = url.parse().unwrap();
    let dialled = outbound.websocket(&url, HeaderMap::new()).await;
    dialled.unwrap_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_certificates_are_required_nobody_comes_in_without_a_valid_one() {
    let (clients, strangers) = (Authority::new("clients"), Authority::new("strangers"));
    let site = start(&clients, ClientCertificates::Required).await;
    let valid = with(&site, &clients.issue("runner"));
    assert!(answers(&site, &valid).await);
    // What is left to refuse is the missing credential.
    let error = refusal(&site, &valid).await;
    assert_eq!(
        error.refused_with().map(|status| status.as_u16()),
        Some(401)
    );

    for (outbound, advice) in [
        (
            site.outbound(|_| {}),
            "set `client_certificate` and `client_key`",
        ),
        (
            with(&site, &strangers.issue("x")),
            "issued by the authority",
        ),
        (
            with(&site, &clients.issue_expired("x")),
            "has expired: renew it",
        ),
    ] {
        let asked = outbound
            .http()
            .get(format!("https://{}/healthz", site.address));
        let error = why(&asked.send().await.unwrap_err());
        assert!(error.contains("client_certificate"), "{error}");
        let error = refusal(&site, &outbound).await.to_string();
        assert!(error.contains(advice), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_certificates_are_optional_none_is_fine_and_a_wrong_one_is_not() {
    let (clients, strangers) = (Authority::new("clients"), Authority::new("strangers"));
    let site = start(&clients, ClientCertificates::Optional).await;
    assert!(answers(&site, &site.outbound(|_| {})).await);
    assert!(answers(&site, &with(&site, &clients.issue("x"))).await);
    assert!(!answers(&site, &with(&site, &strangers.issue("x"))).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_that_is_replaced_shuts_out_those_of_the_old_one() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let site = start(&old, ClientCertificates::Required).await;
    let outbound = with(&site, &old.issue("runner"));
    assert!(answers(&site, &outbound).await);
    std::fs::write(site.path("clients.pem"), new.pem()).unwrap();
    let renewed = async {
        // A session of the old authority's is not resumed either.
        while refusal(&site, &outbound).await.refused_with().is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), renewed)
        .await
        .unwrap();
    assert!(answers(&site, &with(&site, &new.issue("runner"))).await);
}

#[tokio::test]
async fn options_that_do_not_go_together_are_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    Authority::new("servers")
        .issue("127.0.0.1")
        .write(folder.path());
    let at = |name: &str| -> PathBuf { folder.path().join(name) };
    let refused = async |change: &dyn Fn(&mut TlsOptions)| {
        let mut tls = TlsOptions::new(at("tls.crt"), at("tls.key"));
        change(&mut tls);
        let built = Server::build(options(&folder, tls)).await;
        built.unwrap_err().to_string()
    };
    let error = refused(&|tls| tls.client_ca = Some(at("tls.crt"))).await;
    assert!(
        error.contains("make that \"optional\" or \"required\""),
        "{error}"
    );
    let error = refused(&|tls| tls.client_certificates = ClientCertificates::Required).await;
    assert!(error.contains("`tls.client_ca`"), "{error}");
    let error = refused(&|tls| tls.reload_interval = Duration::ZERO).await;
    assert!(error.contains("tls.reload_interval_ms"), "{error}");
    let error = refused(&|tls| {
        tls.client_certificates = ClientCertificates::Required;
        tls.client_ca = Some(at("tls.key"));
    })
    .await;
    assert!(error.contains("no PEM certificate"), "{error}");
}
