//! Keys against the database: proven at the start, and changed.

use helix_base::{Clock as _, ExposeSecret as _, SystemClock};

use super::{Error, Place, Seal, parts};
use crate::{
    options::Options,
    serve,
    store::{self, Store, seal_keys::StoredKey},
};

/// Every column that holds sealed texts, and what its place is made of.
pub(super) const SEALED: &[SealedColumn] = &[
    SealedColumn {
        table: "user_secrets",
        id: "user_id",
        name: "name",
        column: "sealed",
    },
    SealedColumn {
        table: "agent_environments",
        id: "session_id",
        name: "thread_id",
        column: "sealed",
    },
];

/// A column of sealed texts. `id` and `name` together find the row, and are the place
/// that its texts are bound to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SealedColumn {
    pub(crate) table: &'static str,
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    pub(crate) column: &'static str,
}

/// Where the proof of a key belongs.
const fn proof_of(key: &str) -> Place<'_> {
    Place {
        table: "seal_keys",
        id: key,
        name: "proof",
    }
}

/// What a change of keys did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewed {
    /// How many secrets were sealed anew.
    pub sealed: u64,
    /// How many keys are not needed any more.
    pub retired: u64,
}

/// Opens the database and seals everything in it with the first of the keys that the
/// options name. Control planes on the same database may run meanwhile, if they have that
/// key too.
///
/// # Errors
/// When the database or a key cannot be used, or a secret does not open.
pub async fn renew(options: &Options) -> Result<Renewed, serve::Error> {
    let store = serve::open_store(options).await?;
    let seal = Seal::start(options, &store, SystemClock.now_ms()).await?;
    let renewed = seal.renew(&store).await;
    store.close().await;
    Ok(renewed?)
}

impl Seal {
    /// That each key which the database knows is there and opens its proof; the first
    /// key becomes known to it.
    pub(super) async fn prove(&self, store: &Store, now_ms: u64) -> Result<(), Error> {
        let mut tries = 0;
        loop {
            let known = store.seal_keys().await?;
            for key in &known {
                self.open(proof_of(&key.id), &key.proof)?;
            }
            let current = self.keys[0].id().as_str();
            if known.last().is_some_and(|key| key.id == current) {
                return Ok(());
            }
            let key = StoredKey {
                generation: known.last().map_or(1, |key| key.generation + 1),
                id: current.to_owned(),
                proof: self.seal(proof_of(current), "")?,
            };
            match store.add_seal_key(&key, now_ms).await {
                // Another control plane on this database starts at the same time.
                Err(store::Error::Duplicate(_)) if tries < 3 => tries += 1,
                done => return Ok(done?),
            }
        }
    }

    /// Seals everything that is sealed with another key with the first one, after which
    /// the others are not needed any more.
    ///
    /// # Errors
    /// When a secret does not open or the database cannot be asked. What was sealed
    /// anew stays so.
    pub async fn renew(&self, store: &Store) -> Result<Renewed, Error> {
        let current = self.keys[0].id().as_str();
        let mut sealed = 0;
        for column in SEALED {
            for row in store.sealed(column).await? {
                if parts(&row.text)?.0 == current {
                    continue;
                }
                let place = Place {
                    table: column.table,
                    id: &row.id,
                    name: &row.name,
                };
                let secret = self.open(place, &row.text)?;
                let anew = self.seal(place, secret.expose_secret())?;
                sealed += store.replace_sealed(column, &row, &anew).await?;
            }
        }
        let retired = store.retire_seal_keys(current, SEALED).await?;
        Ok(Renewed { sealed, retired })
    }
}
