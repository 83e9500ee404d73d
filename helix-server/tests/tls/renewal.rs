use std::{os::unix::fs::symlink, path::Path};

use crate::{
    authority::Issued,
    site::{Site, answers, certificate},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_certificate_is_for_new_connections_and_open_ones_go_on() {
    let site = Site::start(|_, _| {}).await;
    let mut open = site.connect().await;
    assert!(answers(&mut open).await);
    let first = certificate(&open);
    site.servers.issue("127.0.0.1").write(site.folder.path());
    let second = site.renewed(&first).await;
    assert!(answers(&mut open).await);
    site.servers.issue("127.0.0.1").write(site.folder.path());
    site.renewed(&second).await;
    assert!(answers(&mut open).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_that_is_broken_or_only_half_there_is_refused_and_the_old_one_stays() {
    let site = Site::start(|_, _| {}).await;
    let first = site.served().await;
    let next = site.servers.issue("127.0.0.1");
    let write = |name: &str, text: &str| std::fs::write(site.path(name), text).unwrap();

    write("tls.crt", &next.certificate[..next.certificate.len() / 2]);
    let line = site.logged("tls.crt", "stays in use").await;
    assert!(line.contains("ERROR"), "{line}");
    assert_eq!(site.served().await, first);

    write("tls.crt", &next.certificate);
    site.logged("tls.key", "it is not the key of the certificate")
        .await;
    assert_eq!(site.served().await, first);

    std::fs::remove_file(site.path("tls.key")).unwrap();
    site.logged("tls.key", "No such file").await;
    assert_eq!(site.served().await, first);

    write("tls.key", &next.key);
    site.renewed(&first).await;
}

/// A folder as Kubernetes mounts a secret: the files are links into `..data`, which is a
/// link to a folder of a version's own.
fn mount(folder: &Path, version: &str, identity: &Issued) {
    let own = folder.join(version);
    std::fs::create_dir(&own).unwrap();
    identity.write(&own);
    let fresh = folder.join("..data_tmp");
    symlink(version, &fresh).unwrap();
    std::fs::rename(&fresh, folder.join("..data")).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_kubernetes_swaps_is_a_renewal() {
    let site = Site::start(|tls, folder| {
        let secret = folder.path().join("secret");
        std::fs::create_dir(&secret).unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        let first = Issued {
            certificate: read("tls.crt"),
            key: read("tls.key"),
        };
        mount(&secret, "..1", &first);
        for name in ["tls.crt", "tls.key"] {
            symlink(Path::new("..data").join(name), secret.join(name)).unwrap();
        }
        tls.certificate = secret.join("tls.crt");
        tls.key = secret.join("tls.key");
    })
    .await;
    let first = site.served().await;
    let next = site.servers.issue("127.0.0.1");
    mount(&site.path("secret"), "..2", &next);
    std::fs::remove_dir_all(site.path("secret/..1")).unwrap();
    site.renewed(&first).await;
}
