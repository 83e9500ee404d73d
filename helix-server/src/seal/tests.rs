use helix_base::ExposeSecret as _;

use super::*;

const HERE: Place<'_> = Place {
    table: "user_secrets",
    id: "usr_1",
    name: "github",
};

fn seal_of(keys: &[u8]) -> Seal {
    let keys: Vec<Key> = keys.iter().map(|byte| Key::new([*byte; 32])).collect();
    Seal { keys: keys.into() }
}

fn key_text(byte: u8) -> String {
    base64::prelude::BASE64_STANDARD.encode([byte; 32])
}

fn options(data_dir: &std::path::Path, keys: Option<&str>) -> Options {
    let mut options = Options {
        data_dir: data_dir.to_owned(),
        ..Options::default()
    };
    options.secrets.key = keys.map(|keys| keys.to_owned().into());
    options
}

async fn database(folder: &std::path::Path) -> Store {
    Store::open(&Store::default_url(folder).unwrap(), 2)
        .await
        .unwrap()
}

#[test]
fn a_secret_opens_where_it_was_sealed_and_is_never_sealed_alike_twice() {
    let seal = seal_of(&[1]);
    let sealed = seal.seal(HERE, "hunter2").unwrap();
    assert_eq!(seal.open(HERE, &sealed).unwrap().expose_secret(), "hunter2");
    assert!(!sealed.contains("hunter2"));
    assert_ne!(seal.seal(HERE, "hunter2").unwrap(), sealed);
    let empty = seal.seal(HERE, "").unwrap();
    assert_eq!(seal.open(HERE, &empty).unwrap().expose_secret(), "");
}

#[test]
fn in_another_place_it_does_not_open() {
    let seal = seal_of(&[1]);
    let sealed = seal.seal(HERE, "hunter2").unwrap();
    for place in [
        Place {
            id: "usr_2",
            ..HERE
        },
        Place {
            name: "gitlab",
            ..HERE
        },
        Place {
            table: "other",
            ..HERE
        },
        // The same letters, parted differently.
        Place {
            id: "usr_1g",
            name: "ithub",
            ..HERE
        },
    ] {
        let opened = seal.open(place, &sealed);
        assert!(matches!(opened, Err(Error::Broken)), "{place:?}");
    }
}

#[test]
fn changed_at_any_character_it_does_not_open() {
    let seal = seal_of(&[1]);
    let sealed = seal.seal(HERE, "hunter2").unwrap();
    for at in 0..sealed.len() {
        let mut bytes = sealed.clone().into_bytes();
        bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
        let changed = String::from_utf8(bytes).unwrap();
        assert!(seal.open(HERE, &changed).is_err(), "at {at}");
        assert!(seal.open(HERE, &sealed[..at]).is_err(), "cut at {at}");
    }
    for garbage in [
        "",
        "v1",
        "v1.",
        "v1..",
        "v1.00000000.",
        "v2.x.y",
        "v1.🦀.🦀",
    ] {
        assert!(seal.open(HERE, garbage).is_err(), "{garbage}");
    }
}

#[test]
fn what_is_too_long_is_refused() {
    let seal = seal_of(&[1]);
    assert!(seal.seal(HERE, &"x".repeat(LONGEST)).is_ok());
    let long = seal.seal(HERE, &"x".repeat(LONGEST + 1));
    assert!(matches!(long, Err(Error::TooLong)));
}

#[test]
fn the_first_key_seals_and_every_key_opens() {
    let old = seal_of(&[1]).seal(HERE, "hunter2").unwrap();
    let both = seal_of(&[2, 1]);
    assert_eq!(both.open(HERE, &old).unwrap().expose_secret(), "hunter2");
    let new = both.seal(HERE, "hunter2").unwrap();
    assert!(seal_of(&[2]).open(HERE, &new).is_ok());
    let without = seal_of(&[2]).open(HERE, &old).unwrap_err();
    assert!(matches!(without, Error::UnknownKey(_)));
    assert!(!format!("{both:?} {without}").contains("hunter2"));
}

#[test]
fn keys_are_32_bytes_in_base64_each_there_once() {
    let of = |text: &str| keys::parse("the test", &text.to_owned().into());
    assert_eq!(of(&key_text(1)).unwrap().len(), 1);
    let two = of(&format!("  {}\n{}\n", key_text(1), key_text(2))).unwrap();
    assert_eq!(two[0].id(), Key::new([1; 32]).id());
    let twice = format!("{} {}", key_text(1), key_text(1));
    for bad in ["", " \n", "hunter2", "AAAA", twice.as_str()] {
        let error = of(bad).err().map(|error| error.to_string());
        assert!(error.is_some_and(|said| said.contains("the test")), "{bad}");
    }
}

#[tokio::test]
async fn the_first_start_makes_a_private_key_and_later_ones_use_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let store = database(folder.path()).await;
    let options = options(folder.path(), None);
    let sealed = Seal::start(&options, &store, 1).await.unwrap();
    let sealed = sealed.seal(HERE, "hunter2").unwrap();
    let file = folder.path().join("secrets.key");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = Seal::start(&options, &store, 2).await.unwrap();
    assert_eq!(
        again.open(HERE, &sealed).unwrap().expose_secret(),
        "hunter2"
    );
    // A database with secrets does not get another key by accident.
    std::fs::remove_file(&file).unwrap();
    let error = Seal::start(&options, &store, 3).await.unwrap_err();
    assert!(error.to_string().contains("put the key back"), "{error}");
    assert!(!file.exists());
}

#[tokio::test]
async fn a_wrong_key_is_an_error_of_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let store = database(folder.path()).await;
    let first = options(folder.path(), Some(&key_text(1)));
    Seal::start(&first, &store, 1).await.unwrap();
    let wrong = options(folder.path(), Some(&key_text(2)));
    let error = Seal::start(&wrong, &store, 2).await.unwrap_err();
    assert!(matches!(error, Error::UnknownKey(_)), "{error}");
    // And it left no trace: the right one still works.
    Seal::start(&first, &store, 3).await.unwrap();
}

#[tokio::test]
async fn after_a_change_of_keys_the_old_one_is_not_needed() {
    let folder = tempfile::tempdir().unwrap();
    let store = database(folder.path()).await;
    let old = Seal::start(&options(folder.path(), Some(&key_text(1))), &store, 1)
        .await
        .unwrap();
    sqlx::query("INSERT INTO users (id, email, name, role, password_hash, created_at_ms) VALUES ('usr_1', 'a@b', 'a', 'member', '', 1)")
        .execute(store.pool())
        .await
        .unwrap();
    sqlx::query("INSERT INTO user_secrets (user_id, name, kind, sealed, hint, created_at_ms, updated_at_ms) VALUES ('usr_1', 'github', '{}', $1, '', 1, 1)")
        .bind(old.seal(HERE, "hunter2").unwrap())
        .execute(store.pool())
        .await
        .unwrap();
    let both = options(
        folder.path(),
        Some(&format!("{} {}", key_text(2), key_text(1))),
    );
    let seal = Seal::start(&both, &store, 2).await.unwrap();
    // Not yet: a secret still needs the old key.
    let new = options(folder.path(), Some(&key_text(2)));
    assert!(Seal::start(&new, &store, 3).await.is_err());
    let renewed = seal.renew(&store).await.unwrap();
    assert_eq!(
        renewed,
        Renewed {
            sealed: 1,
            retired: 1
        }
    );
    let seal = Seal::start(&new, &store, 4).await.unwrap();
    let row = store.sealed(&renew::SEALED[0]).await.unwrap().remove(0);
    assert_eq!(
        seal.open(HERE, &row.text).unwrap().expose_secret(),
        "hunter2"
    );
    let again = seal.renew(&store).await.unwrap();
    assert_eq!(
        again,
        Renewed {
            sealed: 0,
            retired: 0
        }
    );
}
