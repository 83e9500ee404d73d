//! Names for sandboxes: a resolver of its own for each, on its gateway.
//!
//! A name is looked for among the sandbox's own containers first ([`LocalNames`]); then the
//! policy decides ([`decision`]); what it allows is asked of the host's own resolvers with
//! the host's search domains ([`Upstream`]), never of one of our choosing. Where an
//! allow-list has names, an answer opens the firewall ([`Firewall`]) for its addresses and
//! their lifetime before the sandbox sees it, and addresses that are always refused are
//! taken out of it first.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;

mod answer;
pub mod decision;
mod rate;
mod server;
mod upstream;

pub use answer::Answerer;
pub use server::Server;
pub use upstream::Upstream;

use crate::{Error, network::policy::Policy};

/// Names that only one sandbox has: those of its containers.
#[async_trait]
pub trait LocalNames: fmt::Debug + Send + Sync + 'static {
    /// The addresses of a name, given without a final dot; none where there is no such
    /// name. What answers may be hostile, late or broken: that is only its own sandbox's
    /// loss, and its answers never open the firewall.
    async fn lookup(&self, name: &str) -> Vec<IpAddr>;
}

/// For a sandbox without containers.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoNames;

#[async_trait]
impl LocalNames for NoNames {
    async fn lookup(&self, _: &str) -> Vec<IpAddr> {
        Vec::new()
    }
}

/// What a resolver needs of its sandbox's firewall.
#[async_trait]
pub trait Firewall: fmt::Debug + Send + Sync + 'static {
    /// The policy that holds now.
    fn policy(&self) -> Arc<Policy>;

    /// Those of the addresses that are not refused whatever the policy.
    ///
    /// # Errors
    ///
    /// Where the host's own addresses cannot be listed.
    async fn reachable(&self, addresses: &[Ipv4Addr]) -> Result<Vec<Ipv4Addr>, Error>;

    /// Opens the addresses of a name for its lifetime, where the policy allows the name:
    /// whether it does. When this returns, they are open.
    ///
    /// # Errors
    ///
    /// Where too many are open already, or the kernel refuses.
    async fn open(
        &self,
        name: &str,
        addresses: &[Ipv4Addr],
        lifetime: Duration,
    ) -> Result<bool, Error>;
}
