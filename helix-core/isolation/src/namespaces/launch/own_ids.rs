//! What an ordinary user has of root: a user namespace over the ids that `/etc/subuid` and
//! `/etc/subgid` give them.
//!
//! In it, the user is root (id 0), and the subordinate ids are those from [`FIRST`] on.
//! Sandboxes get the latter, all the same ones, in user namespaces of their own below it:
//! the user's own id, and so the user's own files, exist in none of them.
//!
//! The namespace lives as long as a process in it or in one below it. A daemon that starts
//! again while sandboxes run goes into theirs, since only from there are they its own.

use std::{
    fs::{self, File},
    io::{self, PipeReader, Read as _, Write as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::{MetadataExt as _, lchown},
    },
    path::{Path, PathBuf},
    process::Command,
};

use rustix::{
    mount::{MountPropagationFlags, mount_change},
    thread::{
        Gid, LinkNameSpaceType, Uid, UnshareFlags, move_into_link_name_space, set_thread_groups,
        set_thread_res_gid, set_thread_res_uid,
    },
};

use super::{stage::reap, sys};
use crate::{
    Error, ErrorKind,
    namespaces::state::{self, Places},
};

/// The first subordinate id, as seen in the namespace.
pub(in crate::namespaces) const FIRST: u32 = 1;
/// How many a sandbox has, and so how many are needed.
const NEEDED: u32 = 65_536;
/// Set-user-id programs that map what the two files allow.
const MAPPERS: [(&str, &str); 2] = [("newuidmap", "/etc/subuid"), ("newgidmap", "/etc/subgid")];
const PATHS: [&str; 4] = ["/usr/bin", "/bin", "/usr/local/bin", "/run/wrappers/bin"];

/// Whether this process is root of a user namespace only, as [`enter_own_ids`] makes it.
pub fn uses_own_ids() -> bool {
    rustix::process::geteuid().is_root() && !is_whole_machine()
}

/// In the first user namespace every id is itself.
fn is_whole_machine() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// Whether a namespace that this process was started in has the ids of a sandbox.
pub(in crate::namespaces) fn suffice() -> Result<(), String> {
    let (first, end) = (u64::from(FIRST), u64::from(FIRST + NEEDED));
    for file in ["/proc/self/uid_map", "/proc/self/gid_map"] {
        let map = fs::read_to_string(file).unwrap_or_default();
        let holds = |line: &str| {
            let mut fields = line.split_whitespace();
            let from: u64 = fields.next()?.parse().ok()?;
            let count: u64 = fields.nth(1)?.parse().ok()?;
            Some(from <= first && end <= from + count)
        };
        if !map.lines().any(|line| holds(line) == Some(true)) {
            return Err(format!(
                "this daemon is root of a user namespace without the ids from {first} to {end}: \
                 start it outside, as root or as an ordinary user"
            ));
        }
    }
    Ok(())
}

/// The id of a file that a sandbox shall see as one of `id`'s. Where mounts map ids it is the
/// same; here the sandbox's are those from [`FIRST`] on. What belongs to nobody here, as the
/// host's own files do, is the sandbox's root's.
pub(crate) fn in_files(id: u32) -> u32 {
    const NOBODY: u32 = 65_534;
    match (uses_own_ids(), id) {
        (false, id) => id,
        (true, NOBODY) => FIRST,
        (true, id) => FIRST + id,
    }
}

/// Gives what is below a directory to sandboxes, where no mount maps its owners.
pub(in crate::namespaces) fn give(directory: &Path) -> io::Result<()> {
    if !uses_own_ids() {
        return Ok(());
    }
    for entry in fs::read_dir(directory)? {
        let (path, about) = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?)))?;
        lchown(
            &path,
            Some(in_files(about.uid())),
            Some(in_files(about.gid())),
        )?;
        if about.is_dir() {
            give(&path)?;
        }
        // A change of owner takes some bits of the mode.
        if about.is_dir() || about.is_file() {
            fs::set_permissions(&path, about.permissions())?;
        }
    }
    Ok(())
}

/// Makes an ordinary user's process root of a user namespace over the ids that are the
/// user's, for the sandboxes below `data`. Does nothing in a process that is root.
///
/// Call it early in `main`, while there is one thread; what is started after is in the
/// namespace too.
///
/// # Errors
///
/// Where the user has no ids of their own, or the kernel refuses: what to do about it. The
/// process then is as it was.
pub fn enter_own_ids(data: &Path) -> Result<(), Error> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let failed = |error| Error::io("becoming root of a user namespace", error);
    let namespace = match of_sandboxes(data).map_err(failed)? {
        Some(namespace) => namespace,
        None => make(&missing()?)?,
    };
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::User))
        .map_err(|error| failed(error.into()))?;
    become_root().map_err(failed)
}

/// The user namespace of the sandboxes that run, if one does.
fn of_sandboxes(data: &Path) -> io::Result<Option<OwnedFd>> {
    let places = Places {
        data: data.to_owned(),
    };
    for entry in fs::read_dir(places.sandboxes()).into_iter().flatten() {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let Ok((_, state)) = state::read(&places, &name) else {
            continue;
        };
        let Some(identity) = &state.process else {
            continue;
        };
        // One that ends meanwhile is as one that has ended.
        if let Some(_held) = identity.open()?
            && let Ok(own) = File::open(format!("/proc/{}/ns/user", identity.pid()))
        {
            return sys::parent_namespace(own.as_fd()).map(Some);
        }
    }
    Ok(None)
}

/// What the user lacks, as an error; else who they are.
fn missing() -> Result<User, Error> {
    let unsupported = |message: String| Error::new(ErrorKind::Unsupported, message);
    let user = User::find().map_err(unsupported)?;
    for (program, file) in MAPPERS {
        if find(program).is_none() {
            return Err(unsupported(format!(
                "the program {program} is missing: install uidmap (Debian), then run again"
            )));
        }
        let text = fs::read_to_string(file).unwrap_or_default();
        if user.range(&text).is_none() {
            return Err(unsupported(format!(
                "{file} gives {} no range of {NEEDED} ids: as root, run `usermod \
                 --add-subuids 100000-165535 --add-subgids 100000-165535 {}` (with ids that \
                 nobody else has), then run again",
                user.name, user.name
            )));
        }
    }
    Ok(user)
}

/// Why an ordinary user cannot have sandboxes here, if they cannot.
pub(in crate::namespaces) fn refused() -> Option<String> {
    missing().err().map(|error| error.to_string())
}

fn find(program: &str) -> Option<PathBuf> {
    let at = PATHS.iter().map(|path| Path::new(path).join(program));
    at.into_iter().find(|path| path.is_file())
}

/// Who runs this process.
#[derive(Debug)]
struct User {
    name: String,
    uid: u32,
    gid: u32,
}

impl User {
    fn find() -> Result<Self, String> {
        let (uid, gid) = (
            rustix::process::getuid().as_raw(),
            rustix::process::getgid().as_raw(),
        );
        let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let name = accounts.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
        });
        match name {
            Some(name) => Ok(Self { name, uid, gid }),
            None => Err(format!("nobody in /etc/passwd has the id {uid}")),
        }
    }

    /// The first of the user's ranges that is large enough.
    fn range(&self, text: &str) -> Option<u32> {
        text.lines().find_map(|line| {
            let mut fields = line.split(':');
            let who = fields.next()?;
            let (first, count): (u32, u32) =
                (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
            let is_ours = who == self.name || who.parse() == Ok(self.uid);
            (is_ours && count >= NEEDED).then_some(first)
        })
    }
}

/// A new user namespace over the user's ids. A child makes it, for others to map.
fn make(user: &User) -> Result<OwnedFd, Error> {
    let failed = |error: io::Error| Error::io("making a user namespace", error);
    let (mut made, mut tell_made) = io::pipe().map_err(failed)?;
    let (mut done, tell_done) = io::pipe().map_err(failed)?;
    match sys::fork().map_err(failed)? {
        sys::Fork::Child => {
            drop((made, tell_done));
            let refused = sys::unshare(UnshareFlags::NEWUSER).err();
            let errno = refused.map_or(0, |error| error.raw_os_error().unwrap_or(libc::EINVAL));
            let _ = tell_made.write_all(&errno.to_ne_bytes());
            drop(tell_made);
            // Until it is held, or whoever wants it is dead.
            let _ = done.read(&mut [0]);
            sys::exit(0)
        }
        sys::Fork::Parent(child) => {
            drop((tell_made, done));
            let namespace = hold(user, &mut made, child);
            drop(tell_done);
            reap(child);
            namespace
        }
    }
}

/// Maps the ids of the namespace that `child` is in, and takes a hold of it.
fn hold(user: &User, made: &mut PipeReader, child: i32) -> Result<OwnedFd, Error> {
    let mut errno = [0; 4];
    made.read_exact(&mut errno)
        .map_err(|error| Error::io("making a user namespace", error))?;
    let errno = i32::from_ne_bytes(errno);
    if errno != 0 {
        let error = io::Error::from_raw_os_error(errno);
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "ordinary users can make no user namespaces here ({error}): look at the settings \
                 user.max_user_namespaces, kernel.unprivileged_userns_clone and \
                 kernel.apparmor_restrict_unprivileged_userns"
            ),
        ));
    }
    map(user, child).map_err(|why| Error::new(ErrorKind::Unsupported, why))?;
    File::open(format!("/proc/{child}/ns/user"))
        .map(OwnedFd::from)
        .map_err(|error| Error::io("opening a user namespace", error))
}

/// Maps the ids of the process `pid`: root is the user, the rest is subordinate.
fn map(user: &User, pid: i32) -> Result<(), String> {
    for ((program, file), own) in MAPPERS.into_iter().zip([user.uid, user.gid]) {
        let text = fs::read_to_string(file).unwrap_or_default();
        let first = user.range(&text).unwrap_or_default();
        let ids = [0, own, 1, FIRST, first, NEEDED];
        let output = Command::new(find(program).unwrap_or_else(|| program.into()))
            .arg(pid.to_string())
            .args(ids.map(|id| id.to_string()))
            .output()
            .map_err(|error| format!("running {program}: {error}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{program} maps no ids: {}", said.trim()));
        }
    }
    Ok(())
}

/// Root of the namespace, with mounts of its own to make.
fn become_root() -> io::Result<()> {
    let (uid, gid) = (Uid::ROOT, Gid::ROOT);
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    set_thread_groups(&[])?;
    sys::unshare(UnshareFlags::NEWNS)?;
    let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    Ok(mount_change("/", flags)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> User {
        User {
            name: "mia".into(),
            uid: 1007,
            gid: 1007,
        }
    }

    #[test]
    fn a_range_is_the_users_by_name_or_number_and_large_enough() {
        for (text, range) in [
            ("", None),
            ("tom:100000:65536\n", None),
            ("mia:100000:65535\n", None),
            ("tom:100000:65536\nmia:165536:65536\n", Some(165_536)),
            ("mia:1:1\n1007:200000:131072\n", Some(200_000)),
            ("mia:x:65536\nmia\n\n:::\n", None),
        ] {
            assert_eq!(user().range(text), range, "{text:?}");
        }
    }
}
