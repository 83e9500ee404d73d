//! Query strings as bytes: a path in one need not be UTF-8.

use std::str::FromStr;

use axum::extract::FromRequestParts;
use helix_proto::error::ErrorCode;
use http::request::Parts;
use percent_encoding::percent_decode;

use super::failure::{Answer, Failed};

/// The parameters of a request: names and values, percent-decoded once, with `+` for a
/// space. Unknown ones are refused by [`Query::only`].
#[derive(Debug, Clone)]
pub(crate) struct Query(Vec<(String, Vec<u8>)>);

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failed> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

impl Query {
    fn parse(text: &str) -> Self {
        let decode = |part: &str| -> Vec<u8> {
            let spaces: Vec<u8> = part
                .bytes()
                .map(|byte| if byte == b'+' { b' ' } else { byte })
                .collect();
            percent_decode(&spaces).collect()
        };
        Self(
            text.split('&')
                .filter(|pair| !pair.is_empty())
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (
                        String::from_utf8_lossy(&decode(name)).into_owned(),
                        decode(value),
                    )
                })
                .collect(),
        )
    }

    /// Refuses what is not one of `names`, and what is given twice.
    pub(crate) fn only(self, names: &[&str]) -> Answer<Self> {
        for (at, (name, _)) in self.0.iter().enumerate() {
            let known = names.contains(&name.as_str());
            if !known || self.0[..at].iter().any(|(other, _)| other == name) {
                let why = if known {
                    "is given twice"
                } else {
                    "is not known here"
                };
                return Err(Failed::new(
                    ErrorCode::BadRequest,
                    format!(
                        "the parameter {name:?} {why}; there are: {}",
                        names.join(", ")
                    ),
                ));
            }
        }
        Ok(self)
    }

    pub(crate) fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.0
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.as_slice())
    }

    pub(crate) fn text(&self, name: &str) -> Answer<Option<&str>> {
        self.bytes(name)
            .map(|value| {
                std::str::from_utf8(value)
                    .map_err(|_| Failed::invalid(name, format!("{name:?} is not UTF-8")))
            })
            .transpose()
    }

    pub(crate) fn number<T: FromStr>(&self, name: &str) -> Answer<Option<T>> {
        self.text(name)?
            .map(|text| {
                text.parse().map_err(|_| {
                    Failed::invalid(name, format!("{name:?} is not a number in range: {text:?}"))
                })
            })
            .transpose()
    }

    /// Whether a flag is given: `true` or `1`, `false` or `0`, false if absent.
    pub(crate) fn flag(&self, name: &str) -> Answer<bool> {
        match self.text(name)? {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(other) => Err(Failed::invalid(
                name,
                format!("{name:?} is true or false, not {other:?}"),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_bytes_and_flags_are_flags() {
        let query = Query::parse("path=%2Fa%ff+b%2B&append=true&offset=12");
        assert_eq!(query.bytes("path"), Some(&b"/a\xff b+"[..]));
        assert!(query.flag("append").unwrap());
        assert!(!query.flag("parents").unwrap());
        assert_eq!(query.number::<u64>("offset").unwrap(), Some(12));
        assert!(query.text("path").is_err());
        assert!(query.number::<u64>("append").is_err());
    }

    #[test]
    fn an_unknown_or_doubled_parameter_is_refused() {
        assert!(Query::parse("pth=1").only(&["path"]).is_err());
        assert!(Query::parse("path=1&path=2").only(&["path"]).is_err());
        assert!(Query::parse("&path=1&").only(&["path"]).is_ok());
    }
}
