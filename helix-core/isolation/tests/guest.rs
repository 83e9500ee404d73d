//! The guest through a real Unix socket, as an ordinary process: programs really start,
//! and where the tests run as root they really change their user.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(
    clippy::print_stdout,
    reason = "a test says what it skips and what it measured"
)]

#[path = "guest/archives.rs"]
mod archives;
#[path = "guest/calls.rs"]
mod calls;
#[path = "guest/execs.rs"]
mod execs;
#[path = "guest/files.rs"]
mod files;
#[path = "guest/forwards.rs"]
mod forwards;
#[path = "guest/init.rs"]
mod init;
#[path = "guest/ports.rs"]
mod ports;
#[path = "guest/support.rs"]
mod support;
#[path = "guest/terminals.rs"]
mod terminals;
