use std::{cell::RefCell, os::unix::fs::MetadataExt as _};

use flate2::{Compression, write::GzEncoder};
use helix_base::SystemClock;
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use super::*;

/// One entry of a tar: its path, its kind, and its content or target.
type Line<'a> = (&'a str, EntryType, &'a str);

const FILE: EntryType = EntryType::Regular;
const FOLDER: EntryType = EntryType::Directory;
const LINK: EntryType = EntryType::Symlink;
const HARD: EntryType = EntryType::Link;

fn tar_of(lines: &[Line<'_>]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (path, kind, content) in lines {
        let mut header = Header::new_gnu();
        // As it stands, also where the library would refuse it.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o640);
        header.set_uid(rustix::process::getuid().as_raw().into());
        header.set_gid(rustix::process::getgid().as_raw().into());
        header.set_mtime(1_000);
        let body = if matches!(*kind, LINK | HARD) {
            header.set_link_name_literal(content).unwrap();
            ""
        } else {
            content
        };
        if *kind == FOLDER {
            header.set_mode(0o755);
        }
        header.set_size(body.len() as u64);
        header.set_cksum();
        builder.append(&header, body.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

struct Place {
    folder: TempDir,
    images: Images,
}

impl Place {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let images = Images::open(folder.path().join("images")).unwrap();
        Self { folder, images }
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn import(&self, from: &Path, name: &str) -> Result<PathBuf, Error> {
        self.images.import(from, name, &SystemClock, &mut |_| ())?;
        Ok(self.images.find(name)?.1)
    }

    fn import_tar(&self, lines: &[Line<'_>]) -> Result<PathBuf, Error> {
        self.import(&self.file("root.tar", &tar_of(lines)), "it")
    }

    /// An OCI layout of these layers, by its folder.
    fn layout(&self, layers: &[Vec<u8>]) -> PathBuf {
        let blob = |content: &[u8]| {
            let digest = shown(&Sha256::digest(content));
            let name = format!("layout/blobs/sha256/{}", &digest[7..]);
            self.file(&name, content);
            digest
        };
        let layers: Vec<_> = layers
            .iter()
            .map(|layer| serde_json::json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": blob(layer)}))
            .collect();
        let manifest = serde_json::json!({"schemaVersion": 2, "layers": layers}).to_string();
        let index = serde_json::json!({"schemaVersion": 2, "manifests": [{"digest": blob(manifest.as_bytes())}]});
        self.file("layout/oci-layout", b"{\"imageLayoutVersion\": \"1.0.0\"}");
        self.file("layout/index.json", index.to_string().as_bytes());
        self.folder.path().join("layout")
    }
}

fn refused(result: Result<PathBuf, Error>, words: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

#[test]
fn a_tar_is_unpacked_with_modes_times_and_links() {
    let place = Place::new();
    let root = place
        .import_tar(&[
            ("./", FOLDER, ""),
            ("./etc/", FOLDER, ""),
            ("./etc/name", FILE, "value"),
            ("./etc/same", HARD, "etc/name"),
            ("./bin", LINK, "usr/bin"),
            ("./usr/bin/tool", FILE, "run"),
        ])
        .unwrap();
    assert_eq!(fs::read(root.join("bin/tool")).unwrap(), b"run");
    let about = fs::metadata(root.join("etc/same")).unwrap();
    assert_eq!(
        (about.mode() & 0o7777, about.mtime(), about.nlink()),
        (0o640, 1_000, 2)
    );
    assert_eq!(place.images.list().unwrap()[0].size_bytes, 8);
}

#[test]
fn entries_that_leave_the_image_are_refused_and_leave_nothing() {
    for lines in [
        &[("../out", FILE, "x")][..],
        &[("/out", FILE, "x")],
        &[("a/../../out", FILE, "x")],
        &[("link", HARD, "/etc/passwd")],
        &[("link", HARD, "../../etc/passwd")],
    ] {
        let place = Place::new();
        refused(place.import_tar(lines), "leaves the image");
        assert!(place.images.list().unwrap().is_empty());
        let left: Vec<_> = fs::read_dir(place.folder.path().join("images"))
            .unwrap()
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn links_to_the_outside_are_followed_inside() {
    let place = Place::new();
    let outside = place.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let target = outside.to_str().unwrap();
    let root = place.import_tar(&[
        ("trap", LINK, target),
        ("trap/caught", FILE, "x"),
        ("up", LINK, "../../../../../.."),
        ("up/high", FILE, "x"),
    ]);
    // Inside, the link leads to a place that is not there, so it is refused or made inside.
    if let Ok(root) = root {
        assert!(root.join("high").exists());
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn a_link_in_the_place_of_a_file_is_replaced_and_not_written_through() {
    let place = Place::new();
    let victim = place.file("victim", b"untouched");
    let root = place
        .import_tar(&[
            ("file", LINK, victim.to_str().unwrap()),
            ("file", FILE, "mine"),
        ])
        .unwrap();
    assert_eq!(fs::read(root.join("file")).unwrap(), b"mine");
    assert_eq!(fs::read(victim).unwrap(), b"untouched");
}

#[test]
fn layers_hide_what_lies_below_them() {
    let place = Place::new();
    let below = tar_of(&[
        ("gone", FILE, "1"),
        ("kept", FILE, "1"),
        ("folder/old", FILE, "1"),
        ("changed/", FOLDER, ""),
        ("changed/inner", FILE, "1"),
    ]);
    let above = tar_of(&[
        (".wh.gone", FILE, ""),
        ("folder/new", FILE, "2"),
        ("folder/.wh..wh..opq", FILE, ""),
        ("changed", FILE, "now a file"),
        (".wh.never-there", FILE, ""),
    ]);
    let root = place
        .import(&place.layout(&[gzip(&below), above]), "two")
        .unwrap();
    let mut names: Vec<_> = fs::read_dir(&root)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["changed", "folder", "kept"]);
    assert_eq!(fs::read(root.join("folder/new")).unwrap(), b"2");
    assert!(!root.join("folder/old").exists());
    assert_eq!(fs::read(root.join("changed")).unwrap(), b"now a file");
}

#[test]
fn a_damaged_blob_is_refused() {
    let place = Place::new();
    let layout = place.layout(&[tar_of(&[("a", FILE, "1")])]);
    for blob in fs::read_dir(layout.join("blobs/sha256")).unwrap() {
        let path = blob.unwrap().path();
        let mut content = fs::read(&path).unwrap();
        if content.len() > 1_000 {
            content[600] ^= 1;
            fs::write(&path, content).unwrap();
        }
    }
    refused(place.import(&layout, "damaged"), "is damaged");
}

#[test]
fn a_layout_in_a_tar_is_the_same_image() {
    let place = Place::new();
    let layout = place.layout(&[tar_of(&[("a", FILE, "1")])]);
    let mut builder = Builder::new(Vec::new());
    builder.append_dir_all(".", &layout).unwrap();
    let tar = place.file("layout.tar", &builder.into_inner().unwrap());
    let first = place.import(&layout, "folder").unwrap();
    assert_eq!(place.import(&tar, "tar").unwrap(), first);
    let digests: Vec<_> = place
        .images
        .list()
        .unwrap()
        .into_iter()
        .map(|image| image.digest)
        .collect();
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn files_go_with_the_last_name() {
    let place = Place::new();
    let tar = place.file("root.tar", &gzip(&tar_of(&[("a", FILE, "1")])));
    let root = place.import(&tar, "one").unwrap();
    place.import(&tar, "two").unwrap();
    place.images.remove("one").unwrap();
    assert!(root.exists());
    let digest = place.images.find("two").unwrap().0.digest;
    assert_eq!(place.images.find(&digest).unwrap().1, root);
    let other = place.file("other.tar", &tar_of(&[("b", FILE, "2")]));
    place.import(&other, "two").unwrap();
    assert!(!root.exists());
    let error = place.images.remove("one").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let error = place.images.find("one").unwrap_err();
    assert!(error.to_string().contains("there is two"), "{error}");
}

#[test]
fn an_image_larger_than_it_may_be_is_refused() {
    let place = Place::new();
    let images = place.images.clone().with_most_bytes(10);
    let tar = place.file(
        "root.tar",
        &tar_of(&[("a", FILE, "12345"), ("b", FILE, "123456")]),
    );
    let error = images
        .import(&tar, "large", &SystemClock, &mut |_| ())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(images.list().unwrap().is_empty());
}

#[test]
fn what_is_no_image_is_refused_with_a_reason() {
    let place = Place::new();
    refused(
        place.import(
            &place.file("text", b"not a tar at all, but long enough to look at"),
            "x",
        ),
        "no tar",
    );
    fs::create_dir(place.folder.path().join("empty")).unwrap();
    refused(
        place.import(&place.folder.path().join("empty"), "x"),
        "neither an OCI image layout",
    );
    let tar = place.file("root.tar", &tar_of(&[("a", FILE, "1")]));
    refused(place.import(&tar, "no name!"), "is no name");
    let zstd = place.file("z", &[0x28, 0xb5, 0x2f, 0xfd, 0, 0]);
    let steps = RefCell::new(Vec::new());
    let error = place
        .images
        .import(&zstd, "z", &SystemClock, &mut |step| {
            steps.borrow_mut().push(step.to_owned())
        })
        .unwrap_err();
    assert!(error.to_string().contains("zstd"), "{error}");
    assert_eq!(*steps.borrow(), ["reading"]);
}
