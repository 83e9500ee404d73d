//! The recipe of an image with a desktop: what it makes is imported while a host runs, and a sandbox
//! from it has its desktop. It installs a few hundred Debian packages: only where `HELIX_TEST_IMAGES`
//! is set.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use helix_proto::sandbox::desktop::DesktopWindows;
use helix_tests::{
    DatabaseKind, SandboxHost, World, eventually, eventually::SOON, programs::root,
    sandbox_host::may_host,
};
use reqwest::{Method, StatusCode};
use serde_json::json;

/// The least that a desktop is drawn and encoded by.
const PACKAGES: &str = "fonts-dejavu-core\nfoot\ngstreamer1.0-plugins-bad\n\
    gstreamer1.0-plugins-base\ngstreamer1.0-plugins-good\ngstreamer1.0-plugins-ugly\nlocales\n\
    procps\nsway\nswaybg\n";
/// In place of Zed: a window that says how it was started.
const EDITOR: &str = "#!/bin/sh\nexec foot -a zed -T \"emulated $ZED_ALLOW_EMULATED_GPU\" cat\n";

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_made_imported_and_a_sandbox_from_it_has_its_desktop() {
    if std::env::var_os("HELIX_TEST_IMAGES").is_none() {
        println!("skipped: HELIX_TEST_IMAGES is not set");
        return;
    }
    if !may_host() {
        return;
    }
    let world = World::empty(DatabaseKind::Sqlite).await;
    let image = world.folder().join("desktop.tar");
    make(world.folder(), &image);
    let host = SandboxHost::join(&world, "10.204.0.0/16").await;
    let imported = host.command(&["image", "import", &image.to_string_lossy(), "desktop"]);
    assert!(imported.status.success(), "{imported:?}");
    eventually("the host tells of the image", SOON, async || {
        let images = host.view().await.info.map(|info| info.images);
        match images.unwrap_or_default().as_slice() {
            [image] if image.name == "desktop" => Ok(()),
            other => Err(other.to_vec()),
        }
    })
    .await;
    let sandbox = host
        .sandbox(json!({
            "name": "from an image",
            "rootfs": { "kind": "image", "image": "desktop" },
            "desktop": { "width": 1280, "height": 720 },
        }))
        .await;
    let windows = async |wanted: &[&str]| {
        eventually("the windows", SOON, async || {
            let path = "/desktop/windows";
            let (status, body) = host.call(Method::GET, &sandbox, path, "").await;
            let said = String::from_utf8_lossy(&body).into_owned();
            if status != StatusCode::OK {
                return Err(said);
            }
            let list = serde_json::from_slice::<DesktopWindows>(&body).unwrap();
            let mut titles: Vec<_> = list.windows.iter().map(|one| one.title.clone()).collect();
            titles.sort();
            if titles == wanted { Ok(()) } else { Err(said) }
        })
        .await;
    };
    windows(&["foot"]).await;
    // It is drawn: the bar above, and a terminal on the wallpaper.
    let path = "/desktop/screenshot?format=png";
    let (status, picture) = host.call(Method::GET, &sandbox, path, "").await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        picture.starts_with(b"\x89PNG") && picture.len() > 5_000,
        "{}",
        picture.len()
    );
    // The bar's last entry before the time is the editor; where, depends on the time's length.
    eventually("the editor is started by the bar", SOON, async || {
        for x in (1_090..1_130).step_by(10) {
            let click = json!({ "actions": [{ "type": "click", "x": x, "y": 12 }] });
            host.call(Method::POST, &sandbox, "/desktop/input", click.to_string())
                .await;
            let (_, body) = host
                .call(Method::GET, &sandbox, "/desktop/windows", "")
                .await;
            if String::from_utf8_lossy(&body).contains("emulated 1") {
                return Ok(());
            }
        }
        Err("no editor")
    })
    .await;
    let id = host.shell(&sandbox, "cat /etc/machine-id").await;
    assert_eq!(id.trim_end().len(), 32, "{id}");
    host.delete(&sandbox).await;
    host.end().await;
}

fn make(folder: &Path, image: &Path) {
    let (packages, editor) = (folder.join("packages"), folder.join("zed.app/bin"));
    fs::write(&packages, PACKAGES).unwrap();
    fs::create_dir_all(&editor).unwrap();
    let editor = editor.join("zed");
    fs::write(&editor, EDITOR).unwrap();
    fs::set_permissions(&editor, fs::Permissions::from_mode(0o755)).unwrap();
    let archive = folder.join("zed.tar.gz");
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(folder).arg("-czf").arg(&archive);
    assert!(tar.arg("zed.app").status().unwrap().success());
    let mut build = Command::new(root().join("deploy/images/desktop-sway/build.sh"));
    build
        .arg("--zed")
        .arg(&archive)
        .arg("--packages")
        .arg(&packages);
    if let Some(mirror) = std::env::var_os("HELIX_TEST_MIRROR") {
        build.arg("--mirror").arg(mirror);
    }
    let made = build.arg(image).output().unwrap();
    let said = String::from_utf8_lossy(&made.stderr).into_owned();
    assert!(made.status.success(), "{said}");
}
