//! Who reaches a sandbox's containers: the sandbox, by name, address and localhost; and
//! nobody else.

use std::sync::Arc;

use helix_isolation::Environment;
use helix_proto::sandbox::Egress;
use libtest_mimic::Trial;

use crate::{
    daemon::{eventually, import, spec},
    support::{Place, sh, trial},
};

pub(crate) fn trials(trials: &mut Vec<Trial>) {
    trials.push(trial(
        "containers are reached by name, address and localhost",
        reached,
    ));
    trials.push(trial(
        "containers are reached from no other sandbox and not from the host",
        closed,
    ));
    trials.push(trial(
        "aliases and networks have names, and go with their containers",
        named,
    ));
}

const SERVER: &str = "docker run -d --name web -p 8000:80 box sh -c \
    'mkdir /www && echo from-the-container > /www/index.html && exec httpd -f -p 80 -h /www' \
    2>&1 | tail -1";

/// What an HTTP server answers to the sandbox; nothing if it does not.
pub(crate) async fn fetch(sandbox: &Arc<dyn Environment>, url: &str) -> String {
    let script = format!(
        "python3 -c 'import urllib.request as r; \
         print(r.urlopen(\"{url}\", timeout=3).read().decode().strip())' 2>/dev/null"
    );
    sh(sandbox, &script).await.trim().to_owned()
}

pub(crate) async fn address(sandbox: &Arc<dyn Environment>, container: &str) -> String {
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let address = sh(
        sandbox,
        &format!("docker inspect -f '{format}' {container}"),
    )
    .await;
    address.trim().to_owned()
}

async fn reached() {
    let place = Place::new().await;
    let sandbox = place.start(&spec(&place, Egress::None)).await;
    import(&sandbox).await;
    let started = sh(&sandbox, SERVER).await;
    let address = address(&sandbox, "web").await;
    eventually("it serves", async || {
        !fetch(&sandbox, &format!("http://{address}/"))
            .await
            .is_empty()
    })
    .await;
    for url in [
        "http://web/",
        "http://localhost:8000/",
        &format!("http://{address}/"),
    ] {
        assert_eq!(
            fetch(&sandbox, url).await,
            "from-the-container",
            "{url} {started}"
        );
    }
    place.close().await;
}

async fn closed() {
    let place = Place::new().await;
    let sandbox = place.start(&spec(&place, Egress::Open)).await;
    let other = place.start(&spec(&place, Egress::Open)).await;
    import(&sandbox).await;
    sh(&sandbox, SERVER).await;
    eventually("it serves", async || {
        !fetch(&sandbox, "http://web/").await.is_empty()
    })
    .await;
    let container = address(&sandbox, "web").await;
    let own = sh(&sandbox, "hostname -I").await;
    let own = own
        .split_whitespace()
        .find(|address| address.starts_with("10."))
        .unwrap();
    let urls = [
        "http://web/".to_owned(),
        format!("http://{container}/"),
        format!("http://{own}:8000/"),
        "http://localhost:8000/".to_owned(),
    ];
    for url in &urls {
        assert_eq!(fetch(&other, url).await, "", "{url}");
    }
    let from_host = std::net::TcpStream::connect_timeout(
        &format!("{own}:8000").parse().unwrap(),
        std::time::Duration::from_secs(2),
    );
    assert!(from_host.is_err());
    place.close().await;
}

async fn named() {
    let place = Place::new().await;
    let sandbox = place.start(&spec(&place, Egress::None)).await;
    import(&sandbox).await;
    let run = "docker network create shop >/dev/null; \
        docker run -d --name db-1 --network shop --network-alias db box sleep 600 >/dev/null; \
        docker run --rm --network shop box nslookup db 127.0.0.11 >/dev/null && echo between";
    assert_eq!(sh(&sandbox, run).await, "between\n");
    let address = address(&sandbox, "db-1").await;
    let resolve = |name: &'static str| {
        let sandbox = Arc::clone(&sandbox);
        async move {
            let script = format!(
                "python3 -c 'import socket; print(socket.gethostbyname(\"{name}\"))' 2>/dev/null"
            );
            sh(&sandbox, &script).await.trim().to_owned()
        }
    };
    for name in ["db", "db-1", "DB.shop"] {
        assert_eq!(resolve(name).await, address, "{name}");
    }
    sh(&sandbox, "docker rm -f db-1").await;
    eventually("its names go with it", async || {
        resolve("db").await.is_empty()
    })
    .await;
    place.close().await;
}
