//! What of the host's own surroundings sandboxes get: how to get out of its network.

use std::{collections::BTreeMap, net::IpAddr};

use helix_base::OutboundOptions;
use url::{Host, Url};

/// The host's proxies, as variables. A proxy on the host itself is left out: no sandbox
/// reaches the host's own services.
pub fn of_host(outbound: &OutboundOptions) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    for (name, proxy) in [
        ("HTTP_PROXY", &outbound.http_proxy),
        ("HTTPS_PROXY", &outbound.https_proxy),
    ] {
        if let Some(proxy) = proxy.as_deref().filter(|proxy| !is_here(proxy)) {
            set(&mut env, name, proxy);
        }
    }
    if !env.is_empty() {
        let exempt = outbound.no_proxy.as_deref().unwrap_or_default();
        let all = format!("localhost,127.0.0.1,::1,{exempt}");
        set(&mut env, "NO_PROXY", all.trim_end_matches(','));
    }
    env
}

fn set(env: &mut BTreeMap<String, String>, name: &str, value: &str) {
    env.insert(name.to_owned(), value.to_owned());
    env.insert(name.to_lowercase(), value.to_owned());
}

fn is_here(proxy: &str) -> bool {
    let url = if proxy.contains("://") {
        Url::parse(proxy)
    } else {
        Url::parse(&format!("http://{proxy}"))
    };
    let here = match url.as_ref().ok().and_then(Url::host) {
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if here {
        tracing::warn!(
            "the proxy is on this machine, where sandboxes cannot reach it: they get none"
        );
    }
    here
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sandboxes_get_the_proxies_that_they_can_reach() {
        let outbound = OutboundOptions {
            http_proxy: Some("proxy.internal:3128".to_owned()),
            https_proxy: Some("http://127.0.0.1:3128".to_owned()),
            no_proxy: Some(".internal".to_owned()),
            ..OutboundOptions::default()
        };
        let env = of_host(&outbound);
        assert_eq!(env["http_proxy"], "proxy.internal:3128");
        assert_eq!(env["HTTP_PROXY"], env["http_proxy"]);
        assert_eq!(env["no_proxy"], "localhost,127.0.0.1,::1,.internal");
        assert!(!env.contains_key("https_proxy"));
        assert!(of_host(&OutboundOptions::default()).is_empty());
    }
}
