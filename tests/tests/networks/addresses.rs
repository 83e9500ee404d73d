//! Where a control plane is: on IPv6, elsewhere than before, at several addresses of
//! which some are dead.

use std::{
    io,
    net::IpAddr,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use helix_base::{Outbound, OutboundOptions, outbound::Resolve};

use crate::{
    agent::{Running, works},
    control::Control,
};

/// What a name resolves to now.
#[derive(Debug, Clone, Default)]
struct Names(Arc<Mutex<Vec<IpAddr>>>);

impl Names {
    fn set(&self, addresses: &[&str]) {
        let parsed = addresses.iter().map(|address| address.parse().unwrap());
        *self.0.lock().unwrap() = parsed.collect();
    }

    fn agent(&self, port: u16) -> Running {
        let options = OutboundOptions::default();
        let outbound = Outbound::with_resolver(&options, Arc::new(self.clone())).unwrap();
        Running::with(&format!("http://control.test:{port}"), "agent", outbound)
    }
}

#[async_trait]
impl Resolve for Names {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        assert_eq!(name, "control.test");
        Ok(self.0.lock().unwrap().clone())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_goes_over_ipv6() {
    let control = Control::at("[::1]:0").await;
    let _agent = Running::start(&control.url(), "agent", &OutboundOptions::default());
    works(&control.tunnel("agent").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_that_moved_is_found_at_its_new_address() {
    let names = Names::default();
    names.set(&["127.0.0.1"]);
    let control = Control::start().await;
    let port = control.address.port();
    let _agent = names.agent(port);
    works(&control.tunnel("agent").await).await;

    let moved = Control::at(&format!("127.0.0.2:{port}")).await;
    names.set(&["127.0.0.2"]);
    drop(control);
    works(&moved.tunnel("agent").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_addresses_one_that_answers_is_enough() {
    let control = Control::start().await;
    let names = Names::default();
    // Nobody is at the first two.
    names.set(&["127.0.0.3", "::1", "127.0.0.1"]);
    let _agent = names.agent(control.address.port());
    works(&control.tunnel("agent").await).await;
}
