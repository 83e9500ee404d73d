//! A network of its own for each sandbox, and what it may reach.
//!
//! A sandbox has one interface, `eth0`, joined by a veth pair to the host, which translates
//! its address (NAT). What it may reach is data in one nftables table: [`policy`] reads an
//! [`Egress`](helix_proto::sandbox::Egress) into rules, [`ruleset`] writes them as
//! nftables' text, and [`Networks`] is the thin driver around both. Names are opened by the
//! resolver ([`dns`](crate::dns)) as they are asked for.
//!
//! Whatever the policy, a sandbox never reaches another sandbox, the host's own addresses
//! and services (but for its resolver), or link-local addresses such as cloud metadata;
//! it cannot send from an address that is not its own; IPv6 is closed; and nobody opens a
//! connection to it.
//!
//! A connection that the policy allowed carries the policy's mark and goes on when the
//! lifetime of a name is over. When the policy changes, so does the mark, and every
//! connection that exists is judged again at its next packet, in either direction.

mod adopted;
mod beside;
mod conntrack;
pub mod inside;
mod joined;
mod links;
mod networks;
mod nft;
pub mod openings;
#[cfg(feature = "docker")]
pub mod pair;
pub mod policy;
pub mod ruleset;
mod slot;
mod subnet;

pub use networks::{Live, Networks, Options};
pub use slot::Slot;
