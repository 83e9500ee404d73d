//! Networks as they are: tunnels through the real squid, mitmproxy, haproxy and
//! nginx, over IPv6, and to a control plane that moves. `cargo xtask test` installs
//! the programs; by hand, `apt-get install squid mitmproxy haproxy nginx`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod addresses;
mod agent;
mod authority;
mod balancers;
mod control;
mod document;
mod inspection;
mod program;
mod squid;
