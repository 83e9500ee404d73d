//! The root file system that everybody runs on: one static program with many names.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

const NAMES: [&str; 8] = ["sh", "true", "cat", "sleep", "ls", "id", "mkdir", "ip"];

/// As a folder, and as a tar of it.
#[derive(Debug)]
pub(crate) struct Rootfs {
    pub(crate) folder: PathBuf,
    pub(crate) tar: PathBuf,
}

pub(crate) fn make(folder: &Path) -> Result<Rootfs> {
    let root = folder.join("rootfs");
    for name in [
        "bin", "dev", "etc", "home", "proc", "root", "run", "sys", "tmp", "var",
    ] {
        fs::create_dir_all(root.join(name))?;
    }
    fs::copy("/bin/busybox", root.join("bin/busybox"))
        .context("no /bin/busybox: install busybox-static")?;
    for name in NAMES {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(name))?;
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
    fs::write(root.join("etc/group"), "root:x:0:\n")?;
    let tar = folder.join("rootfs.tar");
    let made = Command::new("tar")
        .arg("-cf")
        .arg(&tar)
        .arg("-C")
        .arg(&root)
        .arg(".")
        .status()?;
    ensure!(made.success(), "tar failed");
    Ok(Rootfs { folder: root, tar })
}
