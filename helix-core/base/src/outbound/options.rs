//! What can be set about dialling out, and how the environment's usual variables
//! map to it.

use std::{fmt, path::PathBuf, time::Duration};

use hyper_util::client::proxy::matcher::Matcher;
use serde::{Deserialize, Serialize};
use url::Url;

use super::Error;
use crate::millis;

/// How to dial out.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutboundOptions {
    /// Proxy for `http` and `ws` URLs: `http://` or `https://`, with `user:password@`
    /// where the proxy asks for basic authentication. It is a secret then.
    pub http_proxy: Option<String>,
    /// Proxy for `https` and `wss` URLs, in the same form.
    pub https_proxy: Option<String>,
    /// Destinations to dial directly, separated by commas: names (with all names
    /// below them), addresses, networks such as `10.0.0.0/8`, or `*`.
    pub no_proxy: Option<String>,
    /// PEM file with certificate authorities to trust beside the system's.
    pub ca_bundle: Option<PathBuf>,
    /// PEM file with the certificate to show to servers that ask for one, followed by
    /// those between it and the authority. It may be renewed at any time.
    pub client_certificate: Option<PathBuf>,
    /// PEM file with its private key.
    pub client_key: Option<PathBuf>,
    /// Longest time from the first look-up to a usable connection.
    #[serde(rename = "connect_timeout_ms", with = "millis")]
    pub connect_timeout: Duration,
}

impl Default for OutboundOptions {
    fn default() -> Self {
        Self {
            http_proxy: None,
            https_proxy: None,
            no_proxy: None,
            ca_bundle: None,
            client_certificate: None,
            client_key: None,
            connect_timeout: Duration::from_secs(15),
        }
    }
}

impl fmt::Debug for OutboundOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |proxy: &Option<String>| proxy.as_deref().map(without_credentials);
        f.debug_struct("OutboundOptions")
            .field("http_proxy", &shown(&self.http_proxy))
            .field("https_proxy", &shown(&self.https_proxy))
            .field("no_proxy", &self.no_proxy)
            .field("ca_bundle", &self.ca_bundle)
            .field("client_certificate", &self.client_certificate)
            .field("client_key", &self.client_key)
            .field("connect_timeout", &self.connect_timeout)
            .finish()
    }
}

impl OutboundOptions {
    /// Takes `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, or the same in
    /// lower case, from variables that `main` passes in. Upper case wins, empty is
    /// unset, everything else is the default.
    pub fn from_vars(vars: impl IntoIterator<Item = (String, String)>) -> Self {
        const NAMES: [&str; 4] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"];
        let mut found: [Option<(bool, String)>; 4] = Default::default();
        for (name, value) in vars
            .into_iter()
            .filter(|(_, value)| !value.trim().is_empty())
        {
            for (slot, known) in found.iter_mut().zip(NAMES) {
                let upper = name == known;
                let lower = name == known.to_lowercase();
                if upper || (lower && !slot.as_ref().is_some_and(|(is_upper, _)| *is_upper)) {
                    *slot = Some((upper, value.trim().to_owned()));
                }
            }
        }
        let [http, https, all, no] = found.map(|slot| slot.map(|(_, value)| value));
        Self {
            http_proxy: http.or_else(|| all.clone()),
            https_proxy: https.or(all),
            no_proxy: no,
            ..Self::default()
        }
    }

    /// The rules by which hyper decides what goes through a proxy.
    pub(super) fn matcher(&self) -> Result<Matcher, Error> {
        let url = |option, proxy| {
            let url = parse(option, proxy)?.filter(|_| !self.all_is_direct());
            Ok::<_, Error>(url.map(String::from))
        };
        Ok(Matcher::builder()
            .http(url("http_proxy", &self.http_proxy)?.unwrap_or_default())
            .https(url("https_proxy", &self.https_proxy)?.unwrap_or_default())
            .no(self.no_proxy.clone().unwrap_or_default())
            .build())
    }

    /// Whether nothing goes through a proxy: hyper takes `*` for all names only, and would
    /// have addresses go through.
    fn all_is_direct(&self) -> bool {
        let no_proxy = self.no_proxy.as_deref().unwrap_or_default();
        no_proxy.split(',').any(|entry| entry.trim() == "*")
    }

    /// The same rules for reqwest, which builds the same matcher from them.
    pub(super) fn reqwest_proxies(&self) -> Result<Vec<reqwest::Proxy>, Error> {
        if self.all_is_direct() {
            return Ok(Vec::new());
        }
        let no_proxy = self
            .no_proxy
            .as_deref()
            .and_then(reqwest::NoProxy::from_string);
        let mut proxies = Vec::new();
        if let Some(url) = parse("http_proxy", &self.http_proxy)? {
            proxies.push(reqwest::Proxy::http(url).map_err(Error::Client)?);
        }
        if let Some(url) = parse("https_proxy", &self.https_proxy)? {
            proxies.push(reqwest::Proxy::https(url).map_err(Error::Client)?);
        }
        Ok(proxies
            .into_iter()
            .map(|proxy| proxy.no_proxy(no_proxy.clone()))
            .collect())
    }
}

/// A proxy's URL; `host:port` alone means `http://`.
fn parse(option: &'static str, proxy: &Option<String>) -> Result<Option<Url>, Error> {
    let Some(proxy) = proxy
        .as_deref()
        .map(str::trim)
        .filter(|proxy| !proxy.is_empty())
    else {
        return Ok(None);
    };
    let invalid = |reason: String| Error::ProxyUrl { option, reason };
    let url = if proxy.contains("://") {
        Url::parse(proxy)
    } else {
        Url::parse(&format!("http://{proxy}"))
    }
    .map_err(|error| invalid(error.to_string()))?;
    match url.scheme() {
        "http" | "https" => Ok(Some(url)),
        other => Err(invalid(format!(
            "scheme `{other}` is not supported; use http or https"
        ))),
    }
}

/// For logs: everything up to the last `@` is left out.
fn without_credentials(proxy: &str) -> String {
    match proxy.rsplit_once('@') {
        Some((before, after)) => {
            let scheme = before
                .split_once("://")
                .map(|(scheme, _)| format!("{scheme}://"));
            format!("{}***@{after}", scheme.unwrap_or_default())
        }
        None => proxy.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars(pairs: &[(&str, &str)]) -> OutboundOptions {
        OutboundOptions::from_vars(
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        )
    }

    #[test]
    fn variables_in_either_case_are_taken_and_upper_case_wins_in_any_order() {
        let options = vars(&[
            ("HTTPS_PROXY", "http://upper:1"),
            ("https_proxy", "http://lower:1"),
            ("all_proxy", "http://all:1"),
            ("no_proxy", "internal"),
            ("HTTP_PROXY", " "),
        ]);
        assert_eq!(options.https_proxy.as_deref(), Some("http://upper:1"));
        assert_eq!(options.http_proxy.as_deref(), Some("http://all:1"));
        assert_eq!(options.no_proxy.as_deref(), Some("internal"));
    }

    #[test]
    fn a_proxy_password_is_not_in_debug_output() {
        let options = vars(&[("HTTPS_PROXY", "http://alice:p@ssw0rd@proxy:3128")]);
        let shown = format!("{options:?}");
        assert!(shown.contains("http://***@proxy:3128"), "{shown}");
        assert!(
            !shown.contains("ssw0rd") && !shown.contains("alice"),
            "{shown}"
        );
    }

    #[test]
    fn no_proxy_knows_names_below_networks_and_everything() {
        let matches = |no_proxy: &str, url: &str| {
            let options = OutboundOptions {
                http_proxy: Some("proxy:3128".to_owned()),
                no_proxy: Some(no_proxy.to_owned()),
                ..OutboundOptions::default()
            };
            options
                .matcher()
                .unwrap()
                .intercept(&url.parse().unwrap())
                .is_some()
        };
        assert!(matches("", "http://127.0.0.1:80/"));
        assert!(matches("example.com", "http://notexample.com/"));
        assert!(!matches("example.com", "http://a.example.com/"));
        assert!(!matches(".example.com, other", "http://example.com/"));
        assert!(!matches("10.0.0.0/8", "http://10.1.2.3/"));
        assert!(!matches("::1, fd00::/8", "http://[::1]:80/"));
        assert!(!matches("::1, fd00::/8", "http://[fd00::5]:80/"));
        assert!(matches("fd00::/8", "http://[::1]:80/"));
        assert!(!matches("*", "http://anything/"));
        assert!(!matches("other, *", "http://127.0.0.1:80/"));
    }

    #[test]
    fn options_survive_serialisation_with_the_timeout_in_milliseconds() {
        let json = r#"{"ca_bundle":"/etc/ca.pem","connect_timeout_ms":2500}"#;
        let options: OutboundOptions = serde_json::from_str(json).unwrap();
        assert_eq!(options.connect_timeout, Duration::from_millis(2500));
        let again = serde_json::to_string(&options).unwrap();
        assert_eq!(
            serde_json::from_str::<OutboundOptions>(&again).unwrap(),
            options
        );
    }
}
