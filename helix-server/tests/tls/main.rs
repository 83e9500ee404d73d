//! HTTPS of the control plane: certificates that are renewed, and those of clients.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod authority;
mod clients;
mod renewal;
mod site;
