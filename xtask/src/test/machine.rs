//! `cargo xtask test --cgroup-v2`: the tests of sandboxes on a machine whose control groups
//! are of version 2, whichever this one's are.
//!
//! The machine is a virtual one, with Debian's own kernel and systemd, made of Debian's
//! packages once and kept under `target/tools`. The programs of tests travel to it as a
//! disk; what they say comes back through a serial line. It has no network.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{MINUTE, programs::Programs};
use crate::{
    process::{run, run_lines, run_quietly},
    report::Report,
    setup::packages,
    tally::{Reader, Tally},
    workspace::Workspace,
};

/// What this machine needs to make one and to run it.
const TO_MAKE_ONE: &[&str] = &["qemu-system-x86", "mmdebstrap", "e2fsprogs"];
/// What it has beside what the tests of sandboxes need.
const ITS_OWN: &[&str] = &[
    "systemd-sysv",
    "dbus",
    "linux-image-cloud-amd64",
    "procps",
    "util-linux",
];
/// What the attempts of `tests/security` run, and no test itself.
const PROBE: &str = "helix-probe";
/// Said on the serial line when it is up, and when all is done.
const UP: &str = "the machine is up";
const DONE: &str = "the machine is done";

const UNIT: &str = "\
[Unit]
Description=The tests of sandboxes

[Service]
Type=oneshot
StandardOutput=tty
StandardError=inherit
TTYPath=/dev/ttyS1
ExecStart=/bin/sh /helix/run
ExecStopPost=/bin/systemctl poweroff --force --force

[Install]
WantedBy=multi-user.target
";

const RUN: &str = "\
stty -F /dev/ttyS1 -onlcr -echo
echo 'the machine is up'
mkdir /helix/tests && tar -xf /dev/vdb -C /helix/tests || exit
ended=0
# One that is emulated is slow.
export HELIX_TEST_SLOWNESS=10
export HELIX_TEST_HELIX_PROBE=/helix/tests/helix-probe
for program in $(cat /helix/tests/order); do
    # What it is compared with is not here.
    \"/helix/tests/$program\" --show-output --test-threads 1 \\
        --skip 'SECURITY.md lists every attempt' </dev/null || ended=1
done
echo \"the machine is done $ended\"
";

/// Sets up, and runs the tests of sandboxes there.
pub(super) fn run_all(workspace: &Workspace, setup: bool, emulate: bool) -> Result<()> {
    let (mut report, mut tally) = (Report::default(), Tally::default());
    let mut programs = Vec::new();
    let ready = (!setup
        || report.stage(workspace, "system packages", || {
            let missing = packages::missing(workspace, TO_MAKE_ONE);
            packages::install(workspace, &missing)
        }))
        && report.stage(workspace, "Rust build", || {
            let of = ["helix-isolation", "helix-security-tests"].map(|of| ["--package", of]);
            let of = [of.as_flattened(), &["--tests", "--bins"]].concat();
            programs = Programs::build_of(workspace, &of)?.sandboxes();
            Ok(())
        });
    if ready {
        report.stage(workspace, "sandboxes, cgroup v2", || {
            let machine = Machine::make(workspace)?;
            machine.run(workspace, &programs, emulate, &mut tally)
        });
    }
    let outcome = report.finish(workspace);
    println!("{tally}");
    outcome
}

/// A virtual machine that does not run yet.
struct Machine {
    folder: PathBuf,
}

impl Machine {
    /// The one that was made before, if it was made of the same.
    fn make(workspace: &Workspace) -> Result<Self> {
        let wanted = [ITS_OWN, packages::FOR_SANDBOX_TESTS].concat().join(",");
        let stamp = format!("{wanted}\n{UNIT}{RUN}");
        let folder = workspace.tools().join("cgroup-v2");
        let made = folder.join("made-of");
        if fs::read_to_string(&made).is_ok_and(|before| before == stamp) {
            return Ok(Self { folder });
        }
        ensure!(
            rustix::process::geteuid().is_root(),
            "only root can make a system's files: run this as root"
        );
        println!("making a virtual machine of Debian's packages, once");
        if folder.exists() {
            fs::remove_dir_all(&folder).context("removing an outdated machine")?;
        }
        fs::create_dir_all(&folder).context("making the machine's folder")?;
        let machine = Self { folder };
        machine.system(workspace, &wanted)?;
        machine.disk(workspace)?;
        fs::write(made, stamp).context("noting what the machine was made of")?;
        Ok(machine)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Its files.
    fn system(&self, workspace: &Workspace, wanted: &str) -> Result<()> {
        let release = fs::read_to_string("/etc/os-release").context("reading /etc/os-release")?;
        let field = |name| release.lines().find_map(|line| line.strip_prefix(name));
        let (Some("debian"), Some(suite)) = (field("ID="), field("VERSION_CODENAME=")) else {
            bail!(
                "the programs of tests run on the release that they were built on, and this is not Debian"
            );
        };
        let root = self.path("root");
        let mut command = Command::new("mmdebstrap");
        command
            .args(["--variant=minbase", "--include", wanted, suite])
            .arg(&root);
        run_quietly(
            workspace,
            &mut command,
            15 * MINUTE,
            &self.path("mmdebstrap.log"),
        )?;
        let units = root.join("etc/systemd/system");
        let write = || {
            fs::create_dir(root.join("helix"))?;
            fs::write(root.join("helix/run"), RUN)?;
            fs::write(units.join("helix-tests.service"), UNIT)?;
            let wants = units.join("multi-user.target.wants");
            fs::create_dir_all(&wants)?;
            symlink("../helix-tests.service", wants.join("helix-tests.service"))?;
            fs::copy(root.join("vmlinuz"), self.path("vmlinuz"))?;
            fs::copy(root.join("initrd.img"), self.path("initrd.img")).map(drop)
        };
        write().context("writing to the machine's system")
    }

    /// Its disk, which no run changes.
    fn disk(&self, workspace: &Workspace) -> Result<()> {
        let root = self.path("root");
        let mut command = Command::new("mke2fs");
        command.args(["-q", "-t", "ext4", "-E", "root_owner=0:0", "-d"]);
        command.arg(&root).arg(self.path("root.img")).arg("6G");
        run(workspace, &mut command, 5 * MINUTE)?;
        fs::remove_dir_all(root).context("removing what is on the disk now")
    }

    /// Runs the programs, one after the other.
    fn run(
        &self,
        workspace: &Workspace,
        programs: &[PathBuf],
        emulate: bool,
        tally: &mut Tally,
    ) -> Result<()> {
        let carried = self.path("programs.tar");
        pack(workspace, programs, &carried)?;
        let mut command = self.qemu(&carried, emulate);
        let mut reader = Reader::default();
        let (mut is_up, mut ended) = (false, None);
        let begun = crate::process::now();
        let outcome = run_lines(workspace, &mut command, 180 * MINUTE, |line| {
            let line = line.trim_end();
            is_up |= line == UP;
            if let Some(code) = line.strip_prefix(DONE) {
                ended = Some(code.trim() == "0");
            } else if reader.line(line) {
                println!("{line}");
            }
        });
        *tally += reader.tally();
        println!("the machine ran for {} s", begun.elapsed().as_secs());
        fs::remove_file(carried).context("removing the programs' disk")?;
        outcome?;
        match ended {
            Some(true) => Ok(()),
            Some(false) => bail!("tests failed"),
            None if is_up => bail!("the machine ended before the tests did"),
            None => {
                let log = self.path("console.log");
                bail!("the machine did not come up: see {}", log.display())
            }
        }
    }

    fn qemu(&self, carried: &Path, emulate: bool) -> Command {
        let mut command = Command::new("qemu-system-x86_64");
        if emulate {
            command.args(["-accel", "tcg,thread=multi", "-cpu", "max"]);
        } else {
            command.args(["-accel", "kvm", "-cpu", "host"]);
        }
        let disk = |path: &Path, more: &str| {
            format!("file={},format=raw,if=virtio,{more}", path.display())
        };
        command
            .args(["-m", "3072", "-smp", "2", "-no-reboot", "-nic", "none"])
            .args(["-display", "none", "-monitor", "none"])
            .arg("-serial")
            .arg(format!("file:{}", self.path("console.log").display()))
            .args(["-serial", "stdio", "-kernel"])
            .arg(self.path("vmlinuz"))
            .arg("-initrd")
            .arg(self.path("initrd.img"))
            .arg("-append")
            .arg(
                "console=ttyS0 root=/dev/vda rw quiet \
                 systemd.unified_cgroup_hierarchy=1 cgroup_no_v1=all",
            )
            .arg("-drive")
            .arg(disk(&self.path("root.img"), "snapshot=on"))
            .arg("-drive")
            .arg(disk(carried, "readonly=on"));
        command
    }
}

/// The programs without what only a debugger reads, as a disk.
fn pack(workspace: &Workspace, programs: &[PathBuf], to: &Path) -> Result<()> {
    let folder = to.with_extension("new");
    if folder.exists() {
        fs::remove_dir_all(&folder).context("removing what a run before left")?;
    }
    fs::create_dir(&folder).context("making a folder for the programs")?;
    let mut order = String::new();
    for program in programs {
        let name = program.file_name().context("a program without a name")?;
        let mut strip = Command::new("strip");
        strip.arg("-o").arg(folder.join(name)).arg(program);
        run(workspace, &mut strip, MINUTE)?;
        if name != PROBE {
            order = format!("{order}{}\n", name.display());
        }
    }
    fs::write(folder.join("order"), order).context("saying which programs are tests")?;
    let mut tar = Command::new("tar");
    tar.arg("-cf").arg(to).arg("-C").arg(&folder).arg(".");
    run(workspace, &mut tar, MINUTE)?;
    fs::remove_dir_all(folder).context("removing the programs' folder")
}
