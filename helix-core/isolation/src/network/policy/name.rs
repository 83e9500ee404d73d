//! Names and wildcards.

use std::fmt;

/// A name, or all names below one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    below: bool,
    name: String,
}

impl Pattern {
    /// Reads `example.com` or `*.example.com`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (below, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        let name = normal(name);
        if name.contains('*') || name.is_empty() {
            return Err(format!(
                "{text:?} is not a name; give one such as example.com, or *.example.com for all \
                 names below it"
            ));
        }
        if name.len() > 253 || !name.split('.').all(is_label) {
            return Err(format!(
                "{text:?} is neither a name, an address nor a network; write names in the form \
                 that DNS has, letters, digits and hyphens (xn--… for others)"
            ));
        }
        if !name.bytes().any(|byte| byte.is_ascii_alphabetic()) {
            return Err(format!("{text:?} is neither a name nor an IPv4 address"));
        }
        Ok(Self { below, name })
    }

    /// Whether a name is this one, or one of these.
    pub fn matches(&self, name: &str) -> bool {
        let name = normal(name);
        if !self.below {
            return name == self.name;
        }
        name.strip_suffix(&self.name)
            .and_then(|rest| rest.strip_suffix('.'))
            .is_some_and(|rest| !rest.is_empty())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let below = if self.below { "*." } else { "" };
        write!(formatter, "{below}{}", self.name)
    }
}

/// As names are compared: lower case, no final dot.
fn normal(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn is_label(label: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=63).contains(&label.len()) && label.bytes().all(inner)
}
