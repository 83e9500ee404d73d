//! The guest through a real Unix socket, as an ordinary process: programs really start,
//! and where the tests run as root they really change their user.

#[path = "guest/archives.rs"]
mod archives;
#[path = "guest/execs.rs"]
mod execs;
#[path = "guest/files.rs"]
mod files;
#[path = "guest/ports.rs"]
mod ports;
#[path = "guest/support.rs"]
mod support;
#[path = "guest/terminals.rs"]
mod terminals;
