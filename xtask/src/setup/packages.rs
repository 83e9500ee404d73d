//! Debian and Ubuntu packages.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Result, bail};

use crate::{
    process::{output, run, works},
    workspace::Workspace,
};

/// What `up` needs beside Rust: Python's virtual environments, for the managed
/// engine.
pub(crate) const FOR_UP: &[&str] = &["python3", "python3-venv"];

/// What `up` needs for sandboxes: their network's rules, their disks, and what those that
/// have the machine's own system clone and push with.
pub(crate) const FOR_SANDBOXES: &[&str] = &["nftables", "e2fsprogs", "git"];

/// What sandboxes need that are to have a Docker daemon of their own: the host's programs,
/// which are never started on the host itself.
pub(crate) const FOR_DOCKER: &[&str] = &["docker.io", "containerd", "runc", "iptables"];

/// What `up` needs for desktops: what draws them, what encodes them, and what that is built
/// with.
pub(crate) const FOR_DESKTOPS: &[&str] = &[
    "libgstreamer1.0-dev",
    "libgstreamer-plugins-base1.0-dev",
    "gstreamer1.0-plugins-base",
    "gstreamer1.0-plugins-good",
    "gstreamer1.0-plugins-bad",
    "gstreamer1.0-plugins-ugly",
    "gstreamer1.0-pulseaudio",
    "pulseaudio",
    "pulseaudio-utils",
    "sway",
    "swaybg",
    "foot",
    "firefox-esr",
    "pcmanfm",
    "xwayland",
    "wl-clipboard",
    "xvfb",
    "x11-xkb-utils",
    "x11-xserver-utils",
    "openbox",
    "xterm",
    "fonts-dejavu-core",
    "libgl1-mesa-dri",
];

/// What the tests need as well.
pub(crate) const FOR_TESTS: &[&str] = &[
    "python3",
    "python3-venv",
    "postgresql",
    "chromium",
    "squid",
    "mitmproxy",
    "haproxy",
    "nginx",
    "nftables",
    "iproute2",
    "e2fsprogs",
    "git",
    "dnsmasq-base",
    "docker.io",
    "containerd",
    "runc",
    "iptables",
    "docker-compose",
    "busybox-static",
    "uidmap",
    // Encoders of desktops, and what they are built with.
    "libgstreamer1.0-dev",
    "libgstreamer-plugins-base1.0-dev",
    "gstreamer1.0-plugins-base",
    "gstreamer1.0-plugins-good",
    "gstreamer1.0-plugins-bad",
    "gstreamer1.0-plugins-ugly",
    "gstreamer1.0-libav",
    // Its sound, and programs that play some.
    "gstreamer1.0-pulseaudio",
    "pulseaudio",
    "pulseaudio-utils",
    // A desktop.
    "sway",
    "swaybg",
    "foot",
    "firefox-esr",
    "wl-clipboard",
    "xwayland",
    "xvfb",
    "x11-xkb-utils",
    "x11-xserver-utils",
    "openbox",
    "xterm",
    "xclip",
    "fonts-dejavu-core",
    "libgl1-mesa-dri",
];

/// What the tests of sandboxes need of these.
pub(crate) const FOR_SANDBOX_TESTS: &[&str] = &[
    "python3",
    "dnsmasq-base",
    "nftables",
    "iproute2",
    "e2fsprogs",
    "docker.io",
    "containerd",
    "runc",
    "iptables",
    "busybox-static",
    "uidmap",
];

/// Those of `wanted` that are not installed; all where there is no `dpkg`.
pub(crate) fn missing<'a>(workspace: &Workspace, wanted: &[&'a str]) -> Vec<&'a str> {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat", "${Package} ${db:Status-Status}\n"]);
    let listing = output(workspace, &mut query, Duration::from_secs(30)).unwrap_or_default();
    not_installed(&listing, wanted)
}

fn not_installed<'a>(listing: &str, wanted: &[&'a str]) -> Vec<&'a str> {
    let installed = |name: &str| {
        listing
            .lines()
            .any(|line| line.split_once(' ') == Some((name, "installed")))
    };
    wanted
        .iter()
        .copied()
        .filter(|name| !installed(name))
        .collect()
}

/// Installs packages, as root or through `sudo` where that asks no password.
pub(crate) fn install(workspace: &Workspace, packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!("this machine has no apt-get: install what Debian calls {list}, then run again");
    }
    if !may_install(workspace) {
        bail!(
            "neither root nor sudo without a password: run\n    \
             sudo apt-get install --no-install-recommends {list}\nthen run again"
        );
    }
    println!("installing system packages: {list}");
    if apt_get(workspace, "install", packages).is_ok() {
        return Ok(());
    }
    println!("trying again with fresh package lists");
    apt_get(workspace, "update", &[])?;
    apt_get(workspace, "install", packages)
}

/// Whether packages can be installed without asking anyone.
pub(crate) fn may_install(workspace: &Workspace) -> bool {
    rustix::process::geteuid().is_root()
        || works(
            workspace,
            Command::new("sudo").args(["--non-interactive", "true"]),
        )
}

fn apt_get(workspace: &Workspace, verb: &str, packages: &[&str]) -> Result<()> {
    let mut command = if rustix::process::geteuid().is_root() {
        Command::new("env")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.args(["--non-interactive", "env"]);
        sudo
    };
    command.args([
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "--quiet",
        "--quiet",
        "--yes",
    ]);
    // Another apt may be at work, as on a machine that has just started.
    command.args([
        "--option",
        "DPkg::Lock::Timeout=300",
        "--option",
        "Dpkg::Use-Pty=0",
    ]);
    command
        .args([verb, "--no-install-recommends"])
        .args(packages);
    run(workspace, &mut command, Duration::from_secs(900))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_was_removed_or_only_begins_alike_is_missing() {
        let listing = "chromium installed\npostgresql config-files\npython3-venv-extra installed\n";
        assert_eq!(
            not_installed(listing, &["chromium", "postgresql", "python3-venv"]),
            ["postgresql", "python3-venv"]
        );
    }
}
