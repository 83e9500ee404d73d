//! One attempt to get out of a sandbox, by name.
//!
//! `helix-probe NAME [ARGUMENT…]` exits with 0 when it reached what it tried to reach,
//! with 1 when something held it back, and with 2 when it was called wrongly. One line
//! says what happened. The tests run each attempt twice: in a sandbox, where it must be
//! held, and without the confinement that it tries, where it must get through.
//!
//! Harmless by construction, wherever it runs: an attempt opens a descriptor and closes
//! it, sends a packet to a listener of the test's own, or uses a little more than a limit
//! and stops. Nothing is ever written to a file, device or setting that it did not make.

mod files;
mod kernel;
mod network;
mod processes;
mod resources;
mod system;

use std::process::ExitCode;

/// What came of an attempt: what it reached, or what held it back.
type Outcome = Result<String, std::io::Error>;

/// An attempt that was called wrongly.
fn misused(what: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidInput, what)
}

#[expect(
    clippy::print_stdout,
    reason = "a program whose output is its answer, in a line"
)]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = arguments.split_first() else {
        println!("misused: give an attempt's name");
        return ExitCode::from(2);
    };
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    match attempt(name, &rest) {
        Some(Ok(reached)) => {
            println!("reached: {reached}");
            ExitCode::SUCCESS
        }
        Some(Err(error))
            if error.kind() == std::io::ErrorKind::InvalidInput
                && error.raw_os_error().is_none() =>
        {
            println!("misused: {error}");
            ExitCode::from(2)
        }
        Some(Err(error)) => {
            println!("held: {error}");
            ExitCode::from(1)
        }
        None => {
            println!("misused: no attempt is called {name}");
            ExitCode::from(2)
        }
    }
}

fn attempt(name: &str, arguments: &[&str]) -> Option<Outcome> {
    Some(match (name, arguments) {
        ("read", [path]) => files::read(path),
        ("open", [path]) => files::open(path),
        ("write", [path]) => files::write(path),
        ("create", [path]) => files::create(path),
        ("device", [major, minor]) => files::device(major, minor),
        ("mount-disk", [major, minor]) => files::mount_disk(major, minor),
        ("handle", [path]) => files::handle(path),
        ("proc-setting", [name]) => files::proc_setting(name),
        ("release-agent", []) => files::release_agent(),
        ("ptrace", [pid]) => processes::ptrace(pid),
        ("signal", [pid]) => processes::signal(pid),
        ("see-process", [word]) => processes::see(word),
        ("shared-memory", [key]) => processes::shared_memory(key),
        ("regain-root", [program]) => processes::regain_root(program),
        ("bpf", []) => kernel::bpf(),
        ("perf", []) => kernel::perf(),
        ("keyring", []) => kernel::keyring(),
        ("userfaultfd", []) => kernel::userfaultfd(),
        ("io-uring", []) => kernel::io_uring(),
        ("new-user-namespace", []) => kernel::new_user_namespace(),
        ("other-numbers", []) => kernel::other_numbers(),
        ("terminal-input", []) => kernel::terminal_input(),
        ("forks", [limit]) => resources::forks(limit),
        ("memory", [bytes]) => resources::memory(bytes),
        ("disk", [path, bytes]) => resources::disk(path, bytes),
        ("descriptors", [count]) => resources::descriptors(count),
        ("processor", [ms]) => resources::processor(ms),
        ("raw-socket", []) => network::raw_socket(),
        ("packet-socket", []) => network::packet_socket(),
        ("vsock", []) => network::family(libc::AF_VSOCK),
        ("connect", [address]) => network::connect(address),
        ("send", [address]) => network::send(address),
        ("resolve", [name]) => network::resolve(name),
        ("ask-resolver", [server, name]) => network::ask(server, name),
        ("reach-name", [name, port]) => network::reach_name(name, port),
        ("reach-name", [name, port, server]) => network::reach_name_by(name, port, server),
        ("listen", [port]) => network::listen(port),
        ("abstract-socket", [name]) => network::abstract_socket(name),
        _ => return None,
    })
}
