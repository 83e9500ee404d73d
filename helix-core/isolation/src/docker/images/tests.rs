use std::{fs, os::unix::fs::symlink, path::Path};

use helix_base::SystemClock;
use sha2::{Digest as _, Sha256};

use super::{
    Data, DockerImage, DockerImages,
    data::{CHAINS, CONFIGS, LAYERS, NAMES},
    give,
};
use crate::{Error, ErrorKind};

/// Data as a daemon leaves it: images by name, each of layers that are files of one word.
fn daemon(place: &Path, images: &[(&str, &[&str])]) -> Data {
    fs::create_dir_all(place.join(CONFIGS)).unwrap();
    let mut names = serde_json::json!({});
    for (name, layers) in images {
        let diffs: Vec<_> = layers.iter().map(|layer| digest(layer)).collect();
        let config = serde_json::json!({ "rootfs": { "diff_ids": diffs } }).to_string();
        let id = digest(&config);
        fs::write(place.join(CONFIGS).join(&id[7..]), config).unwrap();
        let repository = name.split(':').next().unwrap();
        names[repository][name] = id.into();
        let mut chain = String::new();
        for (layer, diff) in layers.iter().zip(&diffs) {
            chain = match chain.as_str() {
                "" => diff.clone(),
                below => digest(&format!("{below} {diff}")),
            };
            layer_of(place, &chain, layer);
        }
    }
    let names = serde_json::json!({ "Repositories": names });
    fs::write(place.join(NAMES), names.to_string()).unwrap();
    Data::open(place).unwrap()
}

fn layer_of(place: &Path, chain: &str, content: &str) {
    let records = place.join(CHAINS).join(&chain[7..]);
    // Another daemon gives the same layer another name.
    let folder = digest(&place.to_string_lossy());
    let folder = format!("{}{}", &folder[7..15], &chain[7..20]);
    let files = place.join(LAYERS).join(&folder);
    fs::create_dir_all(&records).unwrap();
    fs::create_dir_all(files.join("diff")).unwrap();
    fs::write(records.join("cache-id"), &folder).unwrap();
    fs::write(records.join("size"), content.len().to_string()).unwrap();
    fs::write(files.join("link"), folder.to_uppercase()).unwrap();
    fs::write(files.join("diff/file"), content).unwrap();
}

fn digest(text: &str) -> String {
    let hash = Sha256::digest(text);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn import(store: &DockerImages, place: &Path, images: &[(&str, &[&str])]) -> Result<(), Error> {
    let names: Vec<_> = images.iter().map(|(name, _)| (*name).to_owned()).collect();
    let data = daemon(place, images);
    let importing = store.importing().unwrap();
    importing.add(&data, &names, &SystemClock).map(drop)
}

fn count(store: &DockerImages, folder: &str) -> usize {
    fs::read_dir(store.data().join(folder)).unwrap().count()
}

#[test]
fn layers_are_kept_once_and_go_with_the_last_image_that_has_them() {
    let place = tempfile::tempdir().unwrap();
    let store = DockerImages::open(place.path().join("store")).unwrap();
    let (first, second) = (place.path().join("a"), place.path().join("b"));
    import(&store, &first, &[("box:1", &["base", "one"])]).unwrap();
    import(&store, &second, &[("box:2", &["base", "two"])]).unwrap();
    assert_eq!((count(&store, LAYERS), count(&store, CHAINS)), (3, 3));
    let sizes: Vec<_> = store
        .list()
        .unwrap()
        .iter()
        .map(|one| one.size_bytes)
        .collect();
    assert_eq!(sizes, [7, 7]);
    store.remove("box:1").unwrap();
    assert_eq!((count(&store, LAYERS), count(&store, CONFIGS)), (2, 1));
    let unknown = store.remove("box:1").unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
    store.remove("box:2").unwrap();
    assert_eq!((count(&store, LAYERS), count(&store, CHAINS)), (0, 0));
}

#[test]
fn what_a_sandbox_or_its_copy_may_need_stays() {
    let place = tempfile::tempdir().unwrap();
    let store = DockerImages::open(place.path().join("store")).unwrap();
    import(&store, &place.path().join("a"), &[("box:1", &["one"])]).unwrap();
    assert_eq!(store.offer("sandbox").unwrap()[0].names, ["box:1"]);
    store.share("sandbox", "snapshot").unwrap();
    store.forget("sandbox").unwrap();
    let refused = store.remove("box:1").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert!(refused.to_string().contains("in use by snapshot"));
    // Its name goes to another, its files do not go.
    import(&store, &place.path().join("b"), &[("box:1", &["other"])]).unwrap();
    assert_eq!(count(&store, LAYERS), 2);
    store.tidy(|user| user == "snapshot").unwrap();
    assert_eq!(count(&store, LAYERS), 2);
    store.tidy(|_| false).unwrap();
    assert_eq!(count(&store, LAYERS), 1);
}

#[test]
fn imports_come_one_after_the_other_and_one_that_was_cut_leaves_nothing() {
    let place = tempfile::tempdir().unwrap();
    let store = DockerImages::open(place.path().join("store")).unwrap();
    let importing = store.importing().unwrap();
    assert_eq!(store.importing().unwrap_err().kind(), ErrorKind::Conflict);
    drop(importing);
    fs::create_dir_all(store.data().join(LAYERS).join("half/diff")).unwrap();
    import(&store, &place.path().join("a"), &[("box:1", &["one"])]).unwrap();
    assert_eq!(count(&store, LAYERS), 1);
}

#[test]
fn a_daemon_has_what_it_was_given_and_not_again_what_it_removed() {
    let place = tempfile::tempdir().unwrap();
    let shown = place.path().join("shown");
    let _ = daemon(
        &shown,
        &[("box:1", &["base", "one"]), ("box:2", &["base", "two"])],
    );
    let names = fs::read_to_string(shown.join(NAMES)).unwrap();
    let names: serde_json::Value = serde_json::from_str(&names).unwrap();
    let image = |name: &str| DockerImage {
        id: names["Repositories"]["box"][name]
            .as_str()
            .unwrap()
            .to_owned(),
        names: vec![name.to_owned()],
    };
    let (one, two) = (image("box:1"), image("box:2"));
    let data = place.path().join("data");
    give(std::slice::from_ref(&one), &shown, &data).unwrap();
    let own = Data::open(&data).unwrap();
    let layers = own.layers(&one.id).unwrap();
    let upper = data.join(LAYERS).join(&layers[1].folder);
    assert_eq!(fs::read_to_string(upper.join("diff/file")).unwrap(), "one");
    assert!(upper.join("diff").is_symlink());
    let lower = fs::read_to_string(upper.join("lower")).unwrap();
    assert_eq!(lower, format!("l/{}", layers[0].link));
    let by_link = data.join(LAYERS).join(lower).join("file");
    assert_eq!(fs::read_to_string(by_link).unwrap(), "base");
    assert_eq!(own.named("box:1").unwrap(), Some(one.id.clone()));

    // The daemon removes it, and has a box:2 of its own.
    fs::remove_file(data.join(CONFIGS).join(&one.id[7..])).unwrap();
    let mine = r#"{"Repositories":{"box":{"box:2":"sha256:mine"}}}"#;
    fs::write(data.join(NAMES), mine).unwrap();
    give(&[one.clone(), two.clone()], &shown, &data).unwrap();
    assert!(!data.join(CONFIGS).join(&one.id[7..]).exists());
    assert_eq!(own.layers(&two.id).unwrap().len(), 2);
    assert_eq!(own.named("box:1").unwrap(), None);
    assert_eq!(own.named("box:2").unwrap().as_deref(), Some("sha256:mine"));
}

#[test]
fn data_with_links_in_it_is_not_taken_over() {
    let place = tempfile::tempdir().unwrap();
    let secret = place.path().join("secret");
    fs::create_dir(&secret).unwrap();
    let hostile = place.path().join("hostile");
    let data = daemon(&hostile, &[("box:1", &["one"])]);
    let layers = hostile.join(LAYERS);
    fs::rename(&layers, place.path().join("elsewhere")).unwrap();
    symlink(place.path().join("elsewhere"), &layers).unwrap();
    let store = DockerImages::open(place.path().join("store")).unwrap();
    let importing = store.importing().unwrap();
    let refused = importing.add(&data, &["box:1".to_owned()], &SystemClock);
    assert!(refused.is_err());
    assert_eq!(store.list().unwrap(), []);
}
