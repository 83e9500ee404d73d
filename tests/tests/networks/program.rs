//! Programs of the network, each by its own configuration in a folder of its own.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use helix_tests::{
    eventually::{SOON, eventually},
    process::Process,
};
use tempfile::TempDir;

/// Where programs listen. Nothing else binds to ports of this address, so that one that
/// was free a moment ago still is.
const HOST: Ipv4Addr = Ipv4Addr::new(127, 0, 77, 1);

/// A folder for a program's files, which may run under another user.
pub(crate) fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(folder.path(), open).unwrap();
    folder
}

/// A free address.
pub(crate) fn address() -> SocketAddr {
    let listener = TcpListener::bind((HOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

/// A program that listens, and ends with the value.
pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
    pub(crate) process: Process,
}

impl Listening {
    /// Starts it and waits until it listens at the address that its arguments or its
    /// configuration name.
    pub(crate) async fn start(
        program: &str,
        arguments: &[&str],
        address: SocketAddr,
        folder: &Path,
    ) -> Self {
        let mut command = Command::new(find(program));
        command
            .args(arguments)
            .current_dir(folder)
            .env("HOME", folder);
        let log = folder.join(format!("{program}.log"));
        let mut process = Process::start(&mut command, &log);
        eventually(program, SOON, async || {
            let ended = process.ended();
            assert!(
                ended.is_none(),
                "{program} ended: {ended:?}\n{}",
                process.log()
            );
            TcpStream::connect(address).map_err(|_| process.log())
        })
        .await;
        Self { address, process }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Debian keeps daemons where only root's path looks.
fn find(program: &str) -> PathBuf {
    let folders = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];
    let mut places = folders.iter().map(|folder| Path::new(folder).join(program));
    places.find(|path| path.exists()).unwrap_or_else(|| {
        panic!("{program} is not installed: `cargo xtask test` installs it, as does apt-get")
    })
}
