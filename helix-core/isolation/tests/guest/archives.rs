//! Archives, also hostile ones.

use std::{
    fs,
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::Path,
};

use helix_proto::ErrorCode;
use http::{Method, StatusCode};
use tar::{Archive, Builder, EntryType, Header};

use crate::support::{Running, is_root, me};

fn at(path: &Path) -> String {
    format!("/files/archive?path={}&user={}", path.display(), me())
}

/// An entry whose name is not looked at by the library that writes it.
fn raw(tar: &mut Builder<Vec<u8>>, kind: EntryType, name: &[u8], link: &[u8], data: &[u8]) {
    let mut header = Header::new_gnu();
    header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name);
    header.as_gnu_mut().unwrap().linkname[..link.len()].copy_from_slice(link);
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(data.len() as u64);
    header.set_cksum();
    tar.append(&header, data).unwrap();
}

fn one(kind: EntryType, name: &[u8], link: &[u8], data: &[u8]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    raw(&mut tar, kind, name, link, data);
    tar.into_inner().unwrap()
}

#[tokio::test]
async fn a_directory_comes_back_as_it_was() {
    let guest = Running::start();
    let (from, to) = (guest.dir.path().join("from"), guest.dir.path().join("to"));
    fs::create_dir_all(from.join("a/b")).unwrap();
    fs::create_dir(&to).unwrap();
    fs::write(from.join("a/run"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(from.join("a/run"), fs::Permissions::from_mode(0o755)).unwrap();
    let long = "n".repeat(200);
    fs::write(from.join("a/b").join(&long), vec![7; 100_000]).unwrap();
    symlink("../run", from.join("a/b/link")).unwrap();
    symlink(format!("/{}", "t".repeat(150)), from.join("far")).unwrap();
    let (status, tar) = guest.call(Method::GET, &at(&from), "").await;
    assert_eq!(status, StatusCode::OK);
    let (status, body) = guest.call(Method::PUT, &at(&to), tar).await;
    assert_eq!(
        status,
        StatusCode::NO_CONTENT,
        "{}",
        String::from_utf8_lossy(&body)
    );
    assert_eq!(
        fs::read(to.join("a/b").join(long)).unwrap(),
        vec![7; 100_000]
    );
    let (old, new) = (from.join("a/run"), to.join("a/run"));
    let (old, new) = (fs::metadata(old).unwrap(), fs::metadata(new).unwrap());
    assert_eq!((old.mode(), old.mtime()), (new.mode(), new.mtime()));
    assert_eq!(
        fs::read_link(to.join("a/b/link")).unwrap(),
        Path::new("../run")
    );
    assert_eq!(
        fs::read_link(to.join("far")).unwrap(),
        fs::read_link(from.join("far")).unwrap()
    );
}

#[tokio::test]
async fn a_file_alone_is_an_archive_of_one() {
    let guest = Running::start();
    let path = guest.dir.path().join("file");
    fs::write(&path, "content").unwrap();
    let (_, tar) = guest.call(Method::GET, &at(&path), "").await;
    let mut archive = Archive::new(&tar[..]);
    let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
    assert_eq!(entry.path().unwrap(), Path::new("file"));
    let mut text = String::new();
    entry.read_to_string(&mut text).unwrap();
    assert_eq!(text, "content");
}

#[tokio::test]
async fn entries_that_would_leave_the_directory_are_refused() {
    let guest = Running::start();
    let dir = guest.dir.path();
    let into = dir.join("into");
    let evil = |name: &str| format!("{}/{name}", dir.display()).into_bytes();
    let through = |link: &[u8], then: &[u8]| {
        let mut tar = Builder::new(Vec::new());
        raw(&mut tar, EntryType::Symlink, b"l", link, b"");
        raw(&mut tar, EntryType::Regular, then, b"", b"evil");
        tar.into_inner().unwrap()
    };
    let long_name = {
        let mut tar = Builder::new(Vec::new());
        raw(
            &mut tar,
            EntryType::GNULongName,
            b"././@LongLink",
            b"",
            b"../evil\0",
        );
        raw(&mut tar, EntryType::Regular, b"fine", b"", b"evil");
        tar.into_inner().unwrap()
    };
    let extended = {
        let mut tar = Builder::new(Vec::new());
        raw(
            &mut tar,
            EntryType::XHeader,
            b"pax",
            b"",
            b"16 path=../evil\n",
        );
        raw(&mut tar, EntryType::Regular, b"fine", b"", b"evil");
        tar.into_inner().unwrap()
    };
    let attacks: Vec<(&str, Vec<u8>)> = vec![
        (
            "absolute",
            one(EntryType::Regular, &evil("evil"), b"", b"evil"),
        ),
        ("parent", one(EntryType::Regular, b"../evil", b"", b"evil")),
        (
            "parent inside",
            one(EntryType::Regular, b"a/../../evil", b"", b"evil"),
        ),
        ("directory", one(EntryType::Directory, b"../evil", b"", b"")),
        ("link up", through(b"..", b"l/evil")),
        (
            "absolute link",
            through(dir.as_os_str().as_encoded_bytes(), b"l/evil"),
        ),
        ("link to a link", {
            let mut tar = Builder::new(Vec::new());
            raw(&mut tar, EntryType::Symlink, b"k", b"..", b"");
            raw(&mut tar, EntryType::Symlink, b"l", b"k", b"");
            raw(&mut tar, EntryType::Regular, b"l/evil", b"", b"evil");
            tar.into_inner().unwrap()
        }),
        ("link by proc", through(b"/proc/self/cwd", b"l/evil")),
        ("hard link", one(EntryType::Link, b"h", b"../secret", b"")),
        ("character device", one(EntryType::Char, b"c", b"", b"")),
        ("block device", one(EntryType::Block, b"b", b"", b"")),
        ("pipe", one(EntryType::Fifo, b"p", b"", b"")),
        ("long name", long_name),
        ("extended name", extended),
    ];
    fs::write(dir.join("secret"), "secret").unwrap();
    for (name, tar) in attacks {
        fs::create_dir(&into).unwrap();
        let error = guest.refused(Method::PUT, &at(&into), tar).await;
        assert_eq!(error.code, ErrorCode::Invalid, "{name}: {}", error.message);
        assert!(
            error.message.contains("refused"),
            "{name}: {}",
            error.message
        );
        assert!(!dir.join("evil").exists(), "{name} got out");
        fs::remove_dir_all(&into).unwrap();
    }
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["secret", "socket"]);
}

#[tokio::test]
async fn links_inside_are_followed_and_links_at_the_end_are_replaced() {
    let guest = Running::start();
    let dir = guest.dir.path();
    let into = dir.join("into");
    fs::create_dir_all(into.join("real")).unwrap();
    fs::write(dir.join("outside"), "untouched").unwrap();
    symlink("real", into.join("inside")).unwrap();
    symlink("../outside", into.join("out")).unwrap();
    let mut tar = Builder::new(Vec::new());
    raw(&mut tar, EntryType::Directory, b"./", b"", b"");
    raw(&mut tar, EntryType::Regular, b"./inside/file", b"", b"one");
    raw(&mut tar, EntryType::Regular, b"out", b"", b"two");
    let tar = tar.into_inner().unwrap();
    let (status, body) = guest.call(Method::PUT, &at(&into), tar).await;
    assert_eq!(
        status,
        StatusCode::NO_CONTENT,
        "{}",
        String::from_utf8_lossy(&body)
    );
    assert_eq!(fs::read(into.join("real/file")).unwrap(), b"one");
    assert_eq!(fs::read(into.join("out")).unwrap(), b"two");
    assert!(!into.join("out").is_symlink());
    assert_eq!(fs::read(dir.join("outside")).unwrap(), b"untouched");
}

#[tokio::test]
async fn what_is_no_tar_or_is_cut_is_refused() {
    let guest = Running::start();
    let into = guest.dir.path().join("into");
    fs::create_dir(&into).unwrap();
    let error = guest
        .refused(Method::PUT, &at(&into), vec![b'x'; 2000])
        .await;
    assert_eq!(error.code, ErrorCode::BadRequest);
    let whole = one(EntryType::Regular, b"file", b"", &[1; 5000]);
    let error = guest
        .refused(Method::PUT, &at(&into), whole[..3000].to_vec())
        .await;
    assert_eq!(error.code, ErrorCode::BadRequest);
    let huge = {
        let mut header = Header::new_gnu();
        header.set_path("././@LongLink").unwrap();
        header.set_entry_type(EntryType::GNULongName);
        header.set_size(10 << 30);
        header.set_cksum();
        header.as_bytes().to_vec()
    };
    let error = guest.refused(Method::PUT, &at(&into), huge).await;
    assert_eq!(error.code, ErrorCode::Invalid, "{}", error.message);
    let missing = at(&guest.dir.path().join("missing"));
    assert_eq!(
        guest.refused(Method::PUT, &missing, "").await.code,
        ErrorCode::NotFound
    );
    assert_eq!(
        guest.refused(Method::GET, &missing, "").await.code,
        ErrorCode::NotFound
    );
}

#[tokio::test]
async fn pipes_are_left_out_and_an_unreadable_file_cuts_the_archive() {
    if !is_root() {
        return;
    }
    let guest = Running::start();
    let from = guest.dir.path().join("from");
    fs::create_dir(&from).unwrap();
    fs::set_permissions(guest.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let fifo = from.join("fifo");
    let made = std::process::Command::new("mkfifo")
        .arg(&fifo)
        .status()
        .unwrap();
    assert!(made.success());
    fs::write(from.join("file"), "x").unwrap();
    let (_, tar) = guest.call(Method::GET, &at(&from), "").await;
    let names: io::Result<Vec<_>> = Archive::new(&tar[..])
        .entries()
        .unwrap()
        .map(|entry| Ok(entry?.path()?.into_owned()))
        .collect();
    assert_eq!(names.unwrap(), [Path::new("file")]);
    fs::set_permissions(from.join("file"), fs::Permissions::from_mode(0o600)).unwrap();
    let path = format!("/files/archive?path={}&user=1000", from.display());
    // Where the first entry fails already, there may not even be a head.
    if let Ok(answer) = guest.try_open(Method::GET, &path, "").await {
        assert!(
            http_body_util::BodyExt::collect(answer.into_body())
                .await
                .is_err()
        );
    }
}
