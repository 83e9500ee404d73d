//! The network of sandboxes, on real network namespaces that the tests make: one that plays
//! the host, one that plays the internet, and one for each sandbox. Nothing of the machine's
//! own network is touched. Skipped, with the reason, without root or `nft`.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "in a test, what fails ends it")]

#[path = "network/answers.rs"]
mod answers;
#[path = "network/egress.rs"]
mod egress;
#[path = "network/names.rs"]
mod names;
#[path = "network/never.rs"]
mod never;
#[path = "network/recovery.rs"]
mod recovery;
#[path = "network/world.rs"]
mod world;
