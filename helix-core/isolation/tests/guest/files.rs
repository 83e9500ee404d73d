//! Files.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink},
    path::Path,
};

use bytes::Bytes;
use helix_proto::{
    ErrorCode,
    sandbox::guest::{FileEntry, FileEvent, FileEventKind, FileKind, FileList},
};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::TokioIo;
use serde_json::json;

use crate::support::{Running, WITHIN, eventually, is_root, me};

/// A query that names `path` (plain, or percent-encoded already) as the tests' own user.
fn at(route: &str, path: impl AsRef<Path>, more: &str) -> String {
    format!(
        "/files/{route}?path={}&user={}{more}",
        path.as_ref().display(),
        me()
    )
}

async fn put(guest: &Running, path: &Path, more: &str, body: impl Into<Bytes>) -> FileEntry {
    let (status, answer) = guest
        .call(Method::PUT, &at("content", path, more), body)
        .await;
    assert_eq!(
        status,
        StatusCode::OK,
        "{}",
        String::from_utf8_lossy(&answer)
    );
    serde_json::from_slice(&answer).unwrap()
}

async fn code(guest: &Running, method: Method, path: &str) -> (ErrorCode, String) {
    let error = guest.refused(method, path, "").await;
    (error.code, error.message)
}

#[tokio::test]
async fn a_file_is_written_read_appended_to_and_replaced() {
    let guest = Running::start();
    let path = guest.dir.path().join("deep/er/file");
    let entry = put(&guest, &path, "&parents=true&mode=640", "hello").await;
    assert_eq!(
        (entry.kind, entry.size_bytes, entry.mode),
        (FileKind::File, 5, 0o640)
    );
    assert_eq!(
        (entry.name.as_str(), entry.path.as_str()),
        ("file", path.to_str().unwrap())
    );
    put(&guest, &path, "&append=true", " world").await;
    for (query, expected) in [
        ("", "hello world"),
        ("&offset=6", "world"),
        ("&offset=2&length=3", "llo"),
        ("&offset=99", ""),
        ("&length=0", ""),
    ] {
        let (status, body) = guest
            .call(Method::GET, &at("content", &path, query), "")
            .await;
        assert_eq!((status, &body[..]), (StatusCode::OK, expected.as_bytes()));
    }
    assert_eq!(
        put(&guest, &path, "", "new").await.mode,
        0o640,
        "permissions stay"
    );
    assert_eq!(fs::read(&path).unwrap(), b"new");
    let names: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(names.len(), 1, "nothing is left beside it: {names:?}");
}

#[tokio::test]
async fn a_large_file_goes_up_and_down_in_pieces() {
    let guest = Running::start();
    let path = guest.dir.path().join("large");
    let large: Vec<u8> = (0..20_000_000_u32).map(|n| (n % 251) as u8).collect();
    assert_eq!(
        put(&guest, &path, "", large.clone()).await.size_bytes,
        large.len() as u64
    );
    let (_, body) = guest.call(Method::GET, &at("content", &path, ""), "").await;
    assert!(body == large);
}

#[tokio::test]
async fn an_upload_that_is_cut_changes_nothing() {
    let guest = Running::start();
    let path = guest.dir.path().join("file");
    fs::write(&path, "old").unwrap();
    let (send, receive) = tokio::sync::mpsc::channel::<Result<Frame<Bytes>, std::io::Error>>(1);
    let body = StreamBody::new(futures_util::stream::unfold(receive, |mut receive| async {
        Some((receive.recv().await?, receive))
    }));
    let io = TokioIo::new(guest.connect().await);
    let (mut client, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    guest.tasks.spawn("client", connection);
    let uri = at("content", &path, "");
    let request = Request::put(uri)
        .header("host", "guest")
        .body(body)
        .unwrap();
    let answer = client.send_request(request);
    let cut = async {
        send.send(Ok(Frame::data(Bytes::from_static(b"half"))))
            .await
            .unwrap();
        eventually("it is being written", async || {
            fs::read_dir(guest.dir.path()).unwrap().count() == 3
        })
        .await;
        send.send(Err(std::io::Error::other("gone"))).await.unwrap();
    };
    let (answer, ()) = tokio::join!(answer, cut);
    assert!(answer.is_err());
    eventually("nothing is left of it", async || {
        fs::read_dir(guest.dir.path()).unwrap().count() == 2
    })
    .await;
    assert_eq!(fs::read(&path).unwrap(), b"old");
}

#[tokio::test]
async fn links_are_written_through_and_other_names_of_a_file_see_the_change() {
    let guest = Running::start();
    let dir = guest.dir.path();
    fs::write(dir.join("file"), "old").unwrap();
    symlink("file", dir.join("link")).unwrap();
    put(&guest, &dir.join("link"), "", "one").await;
    assert!(dir.join("link").is_symlink());
    assert_eq!(fs::read(dir.join("file")).unwrap(), b"one");
    fs::hard_link(dir.join("file"), dir.join("other")).unwrap();
    put(&guest, &dir.join("file"), "", "two").await;
    assert_eq!(fs::read(dir.join("other")).unwrap(), b"two");
    let entry: FileEntry = guest.get(&at("stat", dir.join("link"), "")).await;
    assert_eq!(
        (entry.kind, entry.target.as_deref()),
        (FileKind::Symlink, Some("file"))
    );
}

#[tokio::test]
async fn names_that_are_not_utf8_work_everywhere() {
    let guest = Running::start();
    let base = guest.dir.path().display().to_string();
    let path = format!("{base}/%ff%fe%20%2B%23%3F%0Ax");
    let entry = put(&guest, Path::new(&path), "", "odd").await;
    assert_eq!(entry.path, path.replace("%ff%fe", "%FF%FE"));
    let list: FileList = guest.get(&at("list", &base, "")).await;
    let found = list
        .entries
        .iter()
        .find(|entry| entry.kind == FileKind::File)
        .unwrap();
    assert_eq!(found.path, entry.path);
    let (_, body) = guest
        .call(Method::GET, &at("content", &found.path, ""), "")
        .await;
    assert_eq!(&body[..], b"odd");
    let moved: FileEntry = guest
        .post(
            &format!("/files/move?user={}", me()),
            json!({"from": found.path, "to": format!("{base}/%ffnew")}),
        )
        .await;
    assert_eq!(moved.path, format!("{base}/%FFnew"));
    let (status, _) = guest
        .call(
            Method::DELETE,
            &at("", &moved.path, "").replace("s/?", "s?"),
            "",
        )
        .await;
    assert_eq!(status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_list_is_sorted_and_bounded() {
    let guest = Running::start();
    let dir = guest.dir.path().join("many");
    fs::create_dir(&dir).unwrap();
    for n in (0..10_050).rev() {
        fs::File::create(dir.join(format!("{n:05}"))).unwrap();
    }
    let list: FileList = guest.get(&at("list", &dir, "")).await;
    assert!(list.truncated);
    let names: Vec<String> = list.entries.into_iter().map(|entry| entry.name).collect();
    assert_eq!(
        names,
        (0..10_000).map(|n| format!("{n:05}")).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn directories_are_made_moved_and_removed_and_refused_where_they_cannot() {
    let guest = Running::start();
    let dir = guest.dir.path();
    let deep = dir.join("a/b/c");
    assert_eq!(
        code(&guest, Method::POST, &at("directory", &deep, ""))
            .await
            .0,
        ErrorCode::NotFound
    );
    let make = at("directory", &deep, "&parents=true");
    for _ in 0..2 {
        let (status, _) = guest.call(Method::POST, &make, "").await;
        assert_eq!(status, StatusCode::OK);
    }
    assert_eq!(
        code(&guest, Method::POST, &at("directory", &deep, ""))
            .await
            .0,
        ErrorCode::Conflict
    );
    fs::write(dir.join("x"), "x").unwrap();
    fs::write(dir.join("y"), "y").unwrap();
    let uri = format!("/files/move?user={}", me());
    let mut request = json!({"from": dir.join("x"), "to": dir.join("y")});
    let error = guest.refused(Method::POST, &uri, request.to_string()).await;
    assert_eq!(error.code, ErrorCode::Conflict);
    request["overwrite"] = true.into();
    guest.post::<FileEntry>(&uri, request).await;
    assert_eq!(fs::read(dir.join("y")).unwrap(), b"x");
    let remove = |path: &Path, more: &str| at("", path, more).replace("s/?", "s?");
    let (code_, message) = code(&guest, Method::DELETE, &remove(&dir.join("a"), "")).await;
    assert_eq!(code_, ErrorCode::Conflict);
    assert!(message.contains("recursively"), "{message}");
    let (status, _) = guest
        .call(
            Method::DELETE,
            &remove(&dir.join("a"), "&recursive=true"),
            "",
        )
        .await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(
        code(&guest, Method::DELETE, &remove(&dir.join("a"), ""))
            .await
            .0,
        ErrorCode::NotFound
    );
    let root = remove(Path::new("/"), "&recursive=true");
    assert_eq!(
        code(&guest, Method::DELETE, &root).await.0,
        ErrorCode::Invalid
    );
}

#[tokio::test]
async fn pipes_devices_and_directories_are_never_waited_for() {
    let guest = Running::start();
    let dir = guest.dir.path();
    let fifo = dir.join("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o666),
        0,
    )
    .unwrap();
    for path in [&fifo, Path::new("/dev/zero"), Path::new("/dev/tty"), dir] {
        for method in [Method::GET, Method::PUT] {
            let (code, message) = code(&guest, method, &at("content", path, "")).await;
            assert_eq!(code, ErrorCode::Invalid, "{message}");
            assert!(message.contains("not a regular file"), "{message}");
        }
        let append = at("content", path, "&append=true");
        assert!(!guest.call(Method::PUT, &append, "x").await.0.is_success());
    }
    assert_eq!(
        code(&guest, Method::GET, &at("archive", &fifo, "")).await.0,
        ErrorCode::Invalid
    );
    let entry: FileEntry = guest.get(&at("stat", &fifo, "")).await;
    assert_eq!(entry.kind, FileKind::Other);
    let (status, body) = guest
        .call(Method::GET, &at("content", "/proc/self/status", ""), "")
        .await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        body.starts_with(b"Name:"),
        "files of the kernel can be read"
    );
}

#[tokio::test]
async fn bad_requests_are_refused_with_the_reason() {
    let guest = Running::start();
    for (path, field) in [
        ("/files/stat", "path"),
        ("/files/stat?path=a%00b", "path"),
        ("/files/content?path=/etc/passwd&offset=-1", "offset"),
        ("/files/stat?path=/&user=who-is-this", "user"),
    ] {
        let error = guest.refused(Method::GET, path, "").await;
        assert_eq!(
            (error.code, error.field.as_deref()),
            (ErrorCode::Invalid, Some(field))
        );
    }
    let mode = at("content", "/tmp/x", "&mode=999");
    assert_eq!(code(&guest, Method::PUT, &mode).await.0, ErrorCode::Invalid);
    let unknown = at("stat", "/", "&follow=true");
    assert_eq!(
        code(&guest, Method::GET, &unknown).await.0,
        ErrorCode::BadRequest
    );
    let missing = at("content", "/no/such", "");
    assert_eq!(
        code(&guest, Method::GET, &missing).await.0,
        ErrorCode::NotFound
    );
}

#[tokio::test]
async fn files_are_worked_on_with_the_users_rights_and_no_more() {
    if !is_root() {
        return;
    }
    let guest = Running::start();
    let dir = guest.dir.path();
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(dir.join("secret"), "root's").unwrap();
    fs::set_permissions(dir.join("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    let open = dir.join("open");
    fs::create_dir(&open).unwrap();
    chown(&open, Some(1000), Some(1000)).unwrap();
    symlink("../secret", open.join("link")).unwrap();
    let as_user =
        |route: &str, path: &Path| format!("/files/{route}?path={}&user=1000", path.display());
    for path in [dir.join("secret"), open.join("link")] {
        for method in [Method::GET, Method::PUT] {
            let refused = code(&guest, method, &as_user("content", &path)).await;
            assert_eq!(refused.0, ErrorCode::Forbidden, "{refused:?}");
        }
    }
    for route in ["directory", "content"] {
        let method = if route == "content" {
            Method::PUT
        } else {
            Method::POST
        };
        let refused = code(&guest, method, &as_user(route, &dir.join("new"))).await;
        assert_eq!(refused.0, ErrorCode::Forbidden);
    }
    let (status, _) = guest
        .call(Method::PUT, &as_user("content", &open.join("own")), "x")
        .await;
    assert_eq!(status, StatusCode::OK);
    let metadata = fs::metadata(open.join("own")).unwrap();
    assert_eq!(
        (metadata.uid(), metadata.gid(), metadata.mode() & 0o777),
        (1000, 1000, 0o644)
    );
    // Root writes into a user's file: it stays the user's.
    put(&guest, &open.join("own"), "", "by root").await;
    assert_eq!(fs::metadata(open.join("own")).unwrap().uid(), 1000);
}

#[tokio::test]
async fn a_full_disk_is_said_to_be_full_and_leaves_nothing() {
    if !is_root() {
        return;
    }
    let guest = Running::start();
    let disk = guest.dir.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
        .arg(&disk)
        .status()
        .unwrap();
    if !mounted.success() {
        println!("skipped: this machine mounts no tmpfs");
        return;
    }
    let path = disk.join("large");
    let uri = at("content", &path, "");
    let error = guest.refused(Method::PUT, &uri, vec![0; 4 << 20]).await;
    let left = fs::read_dir(&disk).unwrap().count();
    // At once for everybody: another test's process may be starting with a copy of the file.
    let unmounted = std::process::Command::new("umount")
        .arg("--lazy")
        .arg(&disk)
        .status()
        .unwrap();
    assert!(unmounted.success());
    assert_eq!(error.code, ErrorCode::InsufficientStorage);
    assert!(error.message.contains("disk is full"), "{}", error.message);
    assert_eq!(left, 0);
}

#[tokio::test]
async fn changes_below_a_path_are_told_until_the_reader_leaves() {
    let guest = Running::start();
    let dir = guest.dir.path().join("watched");
    fs::create_dir_all(dir.join("inner")).unwrap();
    let answer = guest.open(Method::GET, &at("watch", &dir, ""), "").await;
    assert_eq!(answer.status(), StatusCode::OK);
    let mut body = answer.into_body();
    let mut text = Vec::new();
    fs::write(dir.join("inner/file"), "x").unwrap();
    fs::create_dir_all(dir.join("new/deep")).unwrap();
    fs::rename(dir.join("inner/file"), dir.join("moved")).unwrap();
    fs::remove_file(dir.join("moved")).unwrap();
    let wanted = [
        (FileEventKind::Created, "inner/file"),
        (FileEventKind::Modified, "inner/file"),
        (FileEventKind::Created, "new"),
        (FileEventKind::Created, "new/deep"),
        (FileEventKind::Removed, "inner/file"),
        (FileEventKind::Created, "moved"),
        (FileEventKind::Removed, "moved"),
    ];
    let events = |text: &[u8]| -> Vec<FileEvent> {
        let lines = text
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        lines
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    };
    let is_there = |all: &[FileEvent], (kind, name): (FileEventKind, &str)| {
        let path = dir.join(name).display().to_string();
        all.contains(&FileEvent { kind, path })
    };
    while !wanted.iter().all(|event| is_there(&events(&text), *event)) {
        let frame = tokio::time::timeout(WITHIN, body.frame())
            .await
            .unwrap_or_else(|_| panic!("missing: {}", String::from_utf8_lossy(&text)));
        text.extend_from_slice(&frame.unwrap().unwrap().into_data().unwrap());
    }
    drop(body);
    let missing = at("watch", "/no/such", "");
    assert_eq!(
        code(&guest, Method::GET, &missing).await.0,
        ErrorCode::NotFound
    );
    // Those that were left are free again: more than there may be at once.
    for _ in 0..40 {
        eventually("a watch is free", async || {
            guest
                .open(Method::GET, &at("watch", &dir, ""), "")
                .await
                .status()
                == StatusCode::OK
        })
        .await;
    }
}
