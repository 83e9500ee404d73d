//! Typed ids: a three letter prefix and a [ULID](https://github.com/ulid/spec), so
//! that an id of one kind cannot stand where another is meant, ids sort by the
//! time they were made, and a reader of a log knows what an id names.
//!
//! This crate has no clock and no source of randomness: ids are made from both
//! by [`TypedId::from_parts`], or by `helix_base::Ids`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use ulid::Ulid;

/// What every typed id can do.
pub trait TypedId: Copy + Eq + Ord + fmt::Display + FromStr<Err = ParseIdError> {
    /// The three letters in front of the underscore.
    const PREFIX: &'static str;

    /// Wraps a ULID.
    fn from_ulid(ulid: Ulid) -> Self;

    /// The ULID inside.
    fn ulid(self) -> Ulid;

    /// Builds an id from a time in milliseconds since the Unix epoch (48 bits
    /// are kept) and randomness (80 bits are kept).
    fn from_parts(timestamp_ms: u64, random: u128) -> Self {
        Self::from_ulid(Ulid::from_parts(timestamp_ms, random))
    }

    /// The time the id was made, in milliseconds since the Unix epoch.
    fn timestamp_ms(self) -> u64 {
        self.ulid().timestamp_ms()
    }
}

/// A text that is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid id: expected `{prefix}_` and 26 characters of Crockford base 32")]
pub struct ParseIdError {
    /// The prefix that was expected.
    pub prefix: &'static str,
}

macro_rules! typed_id {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Ulid);

        impl TypedId for $name {
            const PREFIX: &'static str = $prefix;

            fn from_ulid(ulid: Ulid) -> Self {
                Self(ulid)
            }

            fn ulid(self) -> Ulid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                text.strip_prefix(concat!($prefix, "_"))
                    // One id has one text: no lower case, no look-alikes, no overflow.
                    .and_then(|rest| Some((rest, Ulid::from_string(rest).ok()?)))
                    .filter(|(rest, ulid)| ulid.array_to_str(&mut [0; ulid::ULID_LEN]) == *rest)
                    .map(|(_, ulid)| Self(ulid))
                    .ok_or(ParseIdError { prefix: $prefix })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .pattern(Some(concat!("^", $prefix, "_[0-9A-HJKMNP-TV-Z]{26}$")))
                    .into()
            }
        }

        impl utoipa::ToSchema for $name {}
    )*};
}

typed_id! {
    /// A person (or service) with an account.
    UserId = "usr";
    /// An API key.
    ApiKeyId = "key";
    /// A conversation.
    SessionId = "ses";
    /// A share of a session with others.
    ShareId = "shr";
    /// One question and its answer in a session.
    TurnId = "trn";
    /// A conversation with an agent, as its host has it.
    ThreadId = "thr";
    /// A machine with devices.
    RunnerId = "run";
    /// A token with which a machine registers itself as a runner.
    JoinTokenId = "jtk";
    /// A registered model.
    ModelId = "mdl";
    /// One running (or starting, or failed) model on a runner.
    InstanceId = "ins";
    /// One inference request in the queue or in flight.
    RequestId = "req";
    /// A machine that hosts sandboxes.
    SandboxHostId = "hst";
    /// An isolated environment on a sandbox host.
    SandboxId = "sbx";
    /// The files of a sandbox as they were.
    SnapshotId = "snp";
    /// A program started in a sandbox.
    ExecId = "exe";
    /// A terminal in a sandbox.
    TerminalId = "trm";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_text_and_json() {
        let id = SessionId::from_parts(1_700_000_000_000, 7);
        assert_eq!(id.to_string().parse::<SessionId>(), Ok(id));
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(serde_json::from_str::<SessionId>(&json).unwrap(), id);
        assert_eq!(id.timestamp_ms(), 1_700_000_000_000);
    }

    #[test]
    fn an_id_of_another_kind_or_a_mangled_one_is_refused() {
        let id = SessionId::from_parts(1_700_000_000_000, u128::MAX).to_string();
        assert!(id.parse::<UserId>().is_err());
        assert!(id.to_lowercase().parse::<SessionId>().is_err());
        assert!(id[..id.len() - 1].parse::<SessionId>().is_err());
        assert!("ses_".parse::<SessionId>().is_err());
        assert!(
            "ses_8ZZZZZZZZZZZZZZZZZZZZZZZZZ"
                .parse::<SessionId>()
                .is_err()
        );
    }
}
