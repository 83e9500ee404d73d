//! Reads typed values out of rows, and says which column was at fault.

use std::str::FromStr;

use serde::de::DeserializeOwned;
use sqlx::{Row as _, any::AnyRow};

use super::Error;

/// A stored value that cannot be read.
pub(crate) fn corrupt(column: &str, reason: &dyn std::fmt::Display) -> Error {
    Error::Corrupt {
        column: column.to_owned(),
        reason: reason.to_string(),
    }
}

/// A text.
pub(crate) fn text(row: &AnyRow, column: &str) -> Result<String, Error> {
    row.try_get(column).map_err(|error| corrupt(column, &error))
}

/// A text that may be absent.
pub(crate) fn text_or_none(row: &AnyRow, column: &str) -> Result<Option<String>, Error> {
    row.try_get(column).map_err(|error| corrupt(column, &error))
}

/// A number that is never negative: a time, a count, a size.
pub(crate) fn number(row: &AnyRow, column: &str) -> Result<u64, Error> {
    let value: i64 = row
        .try_get(column)
        .map_err(|error| corrupt(column, &error))?;
    u64::try_from(value).map_err(|error| corrupt(column, &error))
}

/// Such a number, if it is there.
pub(crate) fn number_or_none(row: &AnyRow, column: &str) -> Result<Option<u64>, Error> {
    let value: Option<i64> = row
        .try_get(column)
        .map_err(|error| corrupt(column, &error))?;
    value
        .map(|value| u64::try_from(value).map_err(|error| corrupt(column, &error)))
        .transpose()
}

/// A flag, stored as 0 or 1.
pub(crate) fn flag(row: &AnyRow, column: &str) -> Result<bool, Error> {
    Ok(number(row, column)? != 0)
}

/// An id, or anything else that is parsed from its text.
pub(crate) fn parsed<T: FromStr<Err: std::fmt::Display>>(
    row: &AnyRow,
    column: &str,
) -> Result<T, Error> {
    text(row, column)?
        .parse()
        .map_err(|error: T::Err| corrupt(column, &error))
}

/// A value stored as JSON.
pub(crate) fn json<T: DeserializeOwned>(row: &AnyRow, column: &str) -> Result<T, Error> {
    serde_json::from_str(&text(row, column)?).map_err(|error| corrupt(column, &error))
}

/// A unit variant stored as its bare name on the wire.
pub(crate) fn variant<T: DeserializeOwned>(row: &AnyRow, column: &str) -> Result<T, Error> {
    serde_json::from_value(serde_json::Value::String(text(row, column)?))
        .map_err(|error| corrupt(column, &error))
}

/// A number as the database takes it. Larger than it can hold becomes the
/// largest that it can.
pub(crate) fn to_i64(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A value as JSON, as the database keeps it.
pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| corrupt("value", &error))
}
