//! The names of a sandbox's containers.

mod directory;

#[cfg(test)]
mod tests;

use std::{collections::HashMap, net::Ipv4Addr};

use serde::Deserialize;

pub use directory::Directory;

/// A container, as `GET /containers/{id}/json` describes it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Container {
    /// Its name, after a slash.
    #[serde(default)]
    pub name: String,
    /// What it was made with.
    #[serde(default)]
    pub config: Config,
    /// Where it is.
    #[serde(default)]
    pub network_settings: NetworkSettings,
}

/// What a container was made with.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Config {
    /// Its labels; Compose's say which service it is.
    #[serde(default)]
    pub labels: Option<HashMap<String, String>>,
}

/// The networks of a container.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NetworkSettings {
    /// By the network's name.
    #[serde(default)]
    pub networks: Option<HashMap<String, Endpoint>>,
}

/// A container's place in a network.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Endpoint {
    /// Its address; empty while it does not run.
    #[serde(default, rename = "IPAddress")]
    pub address: String,
    /// Its other names there.
    #[serde(default, rename = "Aliases")]
    pub aliases: Option<Vec<String>>,
}

/// Addresses by name, in lower case: a container is known by its own name, by its aliases
/// (Compose's services among them), and by each of these with the network's name after a
/// dot. A name that several have stands for all of them.
pub fn index(containers: &[Container]) -> HashMap<String, Vec<Ipv4Addr>> {
    let mut found: HashMap<String, Vec<Ipv4Addr>> = HashMap::new();
    for container in containers {
        let own = container.name.trim_start_matches('/').to_owned();
        let labels = container.config.labels.as_ref();
        let service = labels.and_then(|labels| labels.get("com.docker.compose.service"));
        let networks = container.network_settings.networks.iter().flatten();
        for (network, endpoint) in networks {
            let Ok(address) = endpoint.address.parse::<Ipv4Addr>() else {
                continue;
            };
            let aliases = endpoint.aliases.iter().flatten();
            for name in aliases
                .chain(service)
                .chain([&own])
                .filter(|name| !name.is_empty())
            {
                for name in [name.clone(), format!("{name}.{network}")] {
                    let addresses = found.entry(name.to_ascii_lowercase()).or_default();
                    addresses.push(address);
                }
            }
        }
    }
    for addresses in found.values_mut() {
        addresses.sort_unstable();
        addresses.dedup();
    }
    found
}
