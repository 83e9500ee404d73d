//! Sandboxes of an ordinary user with subordinate ids. Run as root, this program makes itself
//! such a user, who exists in a mount namespace of its own only: nothing of the machine's
//! accounts is touched.

#![expect(clippy::unwrap_used, reason = "in a test, what fails ends it")]
#![expect(clippy::print_stdout, reason = "a test that is skipped says why")]

mod life;
#[expect(dead_code, reason = "the tests of the backend use the rest")]
#[path = "../namespaces/support.rs"]
mod support;

use std::{
    path::Path,
    process::{Command, ExitCode},
};

use helix_isolation::namespaces::{enter_own_ids, launch_main};
use libtest_mimic::{Arguments, Trial};

/// Starts a sandbox and leaves it running.
const LEAVE: &str = "leave-a-sandbox";
/// Removes it, whichever tests ran.
const CLEAR: &str = "remove-the-sandbox";
/// Runs the tests, one of which finds that sandbox.
const TESTS: &str = "as-ordinary-user";

/// Becomes the user, in a directory that holds this program and a place for the data.
const BECOME: &str = r#"
set -e
cp /etc/passwd /etc/group .
echo 'mia:x:61007:61007::/nonexistent:/bin/sh' >> passwd
echo 'mia:x:61007:' >> group
echo 'mia:1879048192:65536' > subids
mount --bind passwd /etc/passwd
mount --bind group /etc/group
for file in /etc/subuid /etc/subgid; do
    [ -e $file ] || : > $file
    mount --bind subids $file
done
mount --bind "$1" program
shift
mkdir -p data tmp
chown mia:mia data tmp
# As systemd delegates a control group to a service of a user, where there is version 2.
top=/sys/fs/cgroup
if grep -qs memory $top/cgroup.controllers; then
    echo '+cpu +memory +pids' > $top/cgroup.subtree_control
    own=$top/helix-test-$1
    mkdir -p $own
    chown mia:mia $own $own/cgroup.procs $own/cgroup.threads $own/cgroup.subtree_control
    echo $$ > $own/cgroup.procs
fi
TMPDIR="$PWD/tmp" exec setpriv --reuid mia --regid mia --clear-groups ./program "$@"
"#;

fn main() -> ExitCode {
    if let Some(code) = launch_main(std::env::args_os()) {
        return code;
    }
    let role = std::env::args().nth(1).unwrap_or_default();
    if [LEAVE, TESTS, CLEAR].contains(&role.as_str()) {
        let data = std::env::current_dir().unwrap().join("data");
        if let Err(error) = enter_own_ids(&data) {
            println!("skipped: sandboxes of an ordinary user: {error}");
            return ExitCode::SUCCESS;
        }
        match role.as_str() {
            LEAVE => life::leave(&data),
            CLEAR => life::clear(&data),
            _ => {
                let arguments = Arguments::from_iter(std::env::args().skip(1));
                return libtest_mimic::run(&arguments, trials()).exit_code();
            }
        }
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::from_args();
    if arguments.list {
        return libtest_mimic::run(&arguments, trials()).exit_code();
    }
    let place = tempfile::tempdir().unwrap();
    let left = as_user(place.path(), &[LEAVE.to_owned()]);
    let rest = std::iter::once(TESTS.to_owned()).chain(std::env::args().skip(1));
    let tested = as_user(place.path(), &rest.collect::<Vec<_>>());
    let cleared = as_user(place.path(), &[CLEAR.to_owned()]) && clear_cgroups();
    ExitCode::from(u8::from(!(left && tested && cleared)))
}

/// Removes the control groups that were delegated; none if a process is left in one.
fn clear_cgroups() -> bool {
    let script = "for own in /sys/fs/cgroup/helix-test-*; do \
        test ! -e $own || find $own -depth -type d -exec rmdir {} + || exit 1; done";
    Command::new("sh")
        .args(["-c", script])
        .status()
        .is_ok_and(|status| status.success())
}

fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    life::trials(&mut trials);
    trials
}

/// Runs this program in `place` as an ordinary user: as the one that runs it, unless that is
/// root.
fn as_user(place: &Path, arguments: &[String]) -> bool {
    let own = std::env::current_exe().unwrap();
    let mut command = if rustix::process::geteuid().is_root() {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(place, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::File::create(place.join("program")).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", BECOME, "sh"]).arg(own);
        command
    } else {
        std::fs::create_dir_all(place.join("data")).unwrap();
        Command::new(own)
    };
    let status = command.args(arguments).current_dir(place).status();
    status.unwrap().success()
}
