//! From names to addresses.

use std::{
    fmt,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    vec,
};

use async_trait::async_trait;
use hyper_util::client::legacy::connect::dns::Name;
use tower::Service;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Finds the addresses of a name.
///
/// # Contract
///
/// - It is asked anew for each connection. One that remembers answers must not do so for
///   longer than their time to live: a control plane that moved is found by the next
///   attempt, or not at all.
/// - Addresses come in the order in which to try them.
/// - It is never asked for what is an address already.
/// - Dropping the future gives the look-up up.
#[async_trait]
pub trait Resolve: fmt::Debug + Send + Sync + 'static {
    /// All addresses of this name.
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The operating system's resolver: `/etc/hosts`, its DNS servers, whatever else it is
/// set up to ask.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let found = tokio::net::lookup_host((name, 0)).await?;
        Ok(found.map(|address| address.ip()).collect())
    }
}

/// A resolver in the form that HTTP clients take.
#[derive(Debug, Clone)]
pub struct SharedResolver(pub(super) Arc<dyn Resolve>);

impl SharedResolver {
    async fn all(self, name: String) -> Result<vec::IntoIter<SocketAddr>, io::Error> {
        let found = self.0.resolve(&name).await?;
        // Port 0 stands for that of the URL.
        let found: Vec<_> = found.into_iter().map(|ip| SocketAddr::new(ip, 0)).collect();
        Ok(found.into_iter())
    }
}

impl Service<Name> for SharedResolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        Box::pin(self.clone().all(name.as_str().to_owned()))
    }
}

impl reqwest::dns::Resolve for SharedResolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let found = self.clone().all(name.as_str().to_owned());
        Box::pin(async move {
            let found = found.await.map_err(Cause::from)?;
            Ok(Box::new(found) as reqwest::dns::Addrs)
        })
    }
}
