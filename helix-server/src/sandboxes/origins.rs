//! Origins of their own for servers in sandboxes: `{port}-{sandbox}.{domain}`, where the
//! domain is the option `ports_domain`.
//!
//! **Invariants.** One origin has one name: what is written in another way names nothing.
//! What is below the domain is never the control plane.

use std::net::IpAddr;

use helix_proto::{SandboxId, TypedId as _};
use url::Url;

/// Browsers keep what is below this on the machine, and let nothing there set a cookie for it.
const LOCALHOST: &str = "localhost";

/// What stands before the domain: a port, `-`, and 26 characters.
const LABEL_BYTES: usize = 5 + 1 + 26;

/// A server in a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PortOrigin {
    /// Which sandbox.
    pub(crate) sandbox: SandboxId,
    /// Which port of it.
    pub(crate) port: u16,
}

impl PortOrigin {
    fn label(self) -> String {
        format!("{}-{}", self.port, id_label(self.sandbox))
    }

    fn parse(label: &str) -> Option<Self> {
        let (port, id) = label.split_once('-')?;
        let port = port.parse().ok().filter(|port| *port > 0)?;
        let id = format!("{}_{}", SandboxId::PREFIX, id.to_ascii_uppercase());
        let sandbox = id.parse().ok()?;
        let found = Self { sandbox, port };
        (found.label() == label).then_some(found)
    }
}

/// An id as a part of a host's name, where there are no capitals and no underscores.
fn id_label(id: SandboxId) -> String {
    id.ulid().to_string().to_ascii_lowercase()
}

/// What a request is for, by the host that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aim {
    /// The control plane.
    ControlPlane,
    /// A server in a sandbox.
    Port(PortOrigin),
    /// Nothing that there is.
    Nothing,
}

/// The names of all such origins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PortOrigins {
    scheme: String,
    domain: String,
    port: Option<u16>,
}

impl PortOrigins {
    /// Origins below a domain, reached by the scheme and port of the control plane's own
    /// address.
    ///
    /// # Errors
    /// Says what is wrong with the domain, and what to do.
    pub(crate) fn new(domain: &str, public_url: &str) -> Result<Self, String> {
        let domain = domain.to_ascii_lowercase();
        let is_name = domain.split('.').all(is_label) && domain.parse::<IpAddr>().is_err();
        if !is_name || domain.len() + LABEL_BYTES > 250 {
            return Err("must be the name of a domain, such as `ports.example.com`".to_owned());
        }
        let public = Url::parse(public_url).map_err(|error| format!("`public_url`: {error}"))?;
        let host = public.host_str().unwrap_or_default().to_ascii_lowercase();
        let below = host
            .strip_suffix(&domain)
            .is_some_and(|rest| rest.ends_with('.'));
        if below || (host == domain && domain != LOCALHOST) {
            return Err(format!(
                "must not be the domain of the control plane itself, which is at {host}: pages of \
                 sandboxes could set cookies for it"
            ));
        }
        Ok(Self {
            scheme: public.scheme().to_owned(),
            domain,
            port: public.port(),
        })
    }

    /// What a request for a host is for.
    pub(crate) fn aim(&self, host: &str) -> Aim {
        let host = host.to_ascii_lowercase();
        let name = host.strip_suffix('.').unwrap_or(&host);
        if name == self.domain {
            return match self.domain.as_str() {
                LOCALHOST => Aim::ControlPlane,
                _ => Aim::Nothing,
            };
        }
        let Some(label) = name
            .strip_suffix(&self.domain)
            .and_then(|rest| rest.strip_suffix('.'))
        else {
            return Aim::ControlPlane;
        };
        match PortOrigin::parse(label) {
            // With a dot at the end it is another origin to a browser.
            Some(origin) if name.len() == host.len() => Aim::Port(origin),
            _ => Aim::Nothing,
        }
    }

    /// Whether browsers reach them by HTTPS.
    pub(crate) fn is_https(&self) -> bool {
        self.scheme == "https"
    }

    /// An origin as browsers write it.
    pub(crate) fn url(&self, at: PortOrigin) -> String {
        self.with_label(&at.label())
    }

    /// Those of a sandbox, with `{port}` where its port goes.
    pub(crate) fn pattern(&self, sandbox: SandboxId) -> String {
        self.with_label(&format!("{{port}}-{}", id_label(sandbox))) + "/"
    }

    fn with_label(&self, label: &str) -> String {
        let Self { scheme, domain, .. } = self;
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{scheme}://{label}.{domain}{port}")
    }
}

/// A part of a host's name (RFC 1123, section 2.1).
fn is_label(label: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=63).contains(&label.len())
        && label.bytes().all(plain)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> PortOrigin {
        let sandbox = SandboxId::from_parts(1_700_000_000_000, 7);
        PortOrigin { sandbox, port }
    }

    #[test]
    fn an_origin_is_found_again_by_its_own_name_only() {
        let origins = PortOrigins::new("Ports.Example.com", "https://helix.example.com").unwrap();
        let url = origins.url(at(8000));
        let host = url.strip_prefix("https://").unwrap();
        assert!(
            host.starts_with("8000-01") && host.ends_with(".ports.example.com"),
            "{host}"
        );
        assert_eq!(origins.aim(host), Aim::Port(at(8000)));
        assert_eq!(origins.aim(&host.to_uppercase()), Aim::Port(at(8000)));
        let pattern = origins.pattern(at(1).sandbox);
        assert_eq!(pattern.replace("{port}", "8000"), format!("{url}/"));
        for other in [
            format!("{host}."),
            format!("0{host}"),
            format!("+{host}"),
            format!("a.{host}"),
            host.replace("8000", "0"),
            host.replace("8000", "65536"),
            host.replacen("01", "81", 1),
            "ports.example.com".to_owned(),
            "ports.example.com.".to_owned(),
            ".ports.example.com".to_owned(),
            "api.ports.example.com".to_owned(),
        ] {
            assert_eq!(origins.aim(&other), Aim::Nothing, "{other}");
        }
        for own in [
            "helix.example.com",
            "example.com",
            "xports.example.com",
            "10.0.0.1",
            "",
        ] {
            assert_eq!(origins.aim(own), Aim::ControlPlane, "{own}");
        }
    }

    #[test]
    fn localhost_is_the_control_plane_and_what_is_below_it_is_not() {
        let origins = PortOrigins::new("localhost", "http://127.0.0.1:8080").unwrap();
        assert_eq!(origins.aim("localhost"), Aim::ControlPlane);
        assert_eq!(origins.aim("helix.localhost"), Aim::Nothing);
        assert!(origins.url(at(1)).ends_with(".localhost:8080"));
        assert!(PortOrigins::new("localhost", "http://localhost:8080").is_ok());
    }

    #[test]
    fn a_domain_that_cannot_be_kept_apart_is_refused() {
        for (domain, public) in [
            ("", "https://helix.example.com"),
            ("ports..example.com", "https://helix.example.com"),
            ("https://ports.example.com", "https://helix.example.com"),
            ("ports.example.com:8443", "https://helix.example.com"),
            ("*.example.com", "https://helix.example.com"),
            ("10.0.0.1", "https://helix.example.com"),
            ("example.com", "https://helix.example.com"),
            ("helix.example.com", "https://helix.example.com"),
            ("localhost", "http://helix.localhost:8080"),
        ] {
            assert!(PortOrigins::new(domain, public).is_err(), "{domain}");
        }
    }
}
