//! Durations as milliseconds, in fields whose names end in `_ms`: `#[serde(with = "millis")]`.

use std::time::Duration;

use serde::{Deserialize as _, Deserializer, Serializer};

/// Writes a duration in milliseconds.
///
/// # Errors
///
/// The serializer's own.
pub fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
}

/// Reads a duration in milliseconds.
///
/// # Errors
///
/// It is not a whole number of milliseconds.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_millis)
}
