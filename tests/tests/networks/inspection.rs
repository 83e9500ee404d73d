//! A proxy that inspects TLS: mitmproxy.

use helix_base::OutboundOptions;
use helix_tests::eventually::{SOON, eventually};

use crate::{
    agent::{Running, works},
    authority::Authority,
    control::Control,
    program::{self, Listening},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_inspects_tls_needs_its_authority_trusted_and_then_carries_tunnels() {
    let folder = program::folder();
    let authority = Authority::new(folder.path());
    let control = Control::start_tls(&authority.issue("localhost")).await;
    let upstream = format!(
        "ssl_verify_upstream_trusted_ca={}",
        authority.bundle().display()
    );
    let confdir = format!("confdir={}", folder.path().display());
    let address = program::address();
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let arguments = [
        "--listen-host",
        &host,
        "--listen-port",
        &port,
        "--set",
        &confdir,
        "--set",
        &upstream,
    ];
    let proxy = Listening::start("mitmdump", &arguments, address, folder.path()).await;

    let url = format!("https://localhost:{}", control.address.port());
    let mut options = OutboundOptions {
        https_proxy: Some(proxy.url()),
        ..OutboundOptions::default()
    };
    let why = Running::start(&url, "agent", &options).failure().await;
    assert!(why.contains("UnknownIssuer"), "{why}");
    assert!(
        why.contains("a proxy that inspects TLS issued it, set `ca_bundle`"),
        "{why}"
    );

    let bundle = folder.path().join("mitmproxy-ca-cert.pem");
    eventually("mitmproxy's authority", SOON, async || {
        bundle.exists().then_some(()).ok_or(())
    })
    .await;
    options.ca_bundle = Some(bundle);
    let _agent = Running::start(&url, "agent", &options);
    works(&control.tunnel("agent").await).await;
    // It has seen inside.
    eventually("the upgrade in mitmproxy's log", SOON, async || {
        let log = proxy.process.log();
        if log.contains("/api/v1/revdial") {
            Ok(())
        } else {
            Err(log)
        }
    })
    .await;
}
