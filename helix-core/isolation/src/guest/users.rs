//! Who programs run as: `/etc/passwd` and `/etc/group` as the sandbox has them now.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read as _},
    os::unix::ffi::OsStringExt as _,
    path::PathBuf,
};

use helix_proto::sandbox::guest::USER;

use super::failure::{Answer, Failed};

/// How much of either file is read.
const MOST: u64 = 1 << 20;
/// How many groups a user is in at most.
const GROUPS: usize = 256;
/// The numbers of [`USER`] where `/etc/passwd` does not have it.
const USER_ID: u32 = 1000;

/// A user of the sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Supplementary groups.
    pub(crate) groups: Vec<u32>,
    pub(crate) home: PathBuf,
    pub(crate) shell: PathBuf,
}

impl User {
    /// The user with this name or number; [`USER`] for `None`. A number that
    /// `/etc/passwd` does not have is a user of its own, with a group of that number.
    /// Reads files: not for the thread that serves.
    pub(crate) fn find(wanted: Option<&str>) -> Answer<Self> {
        let wanted = wanted.unwrap_or(USER);
        let read = |path: &str| {
            read(path).map_err(|error| Failed::io(format!("cannot read {path}"), &error))
        };
        Self::among(wanted, &read("/etc/passwd")?, &read("/etc/group")?)
    }

    fn among(wanted: &str, passwd: &[u8], group: &[u8]) -> Answer<Self> {
        let number: Option<u32> = wanted.parse().ok().filter(|number| *number != u32::MAX);
        let found = passwd
            .split(|byte| *byte == b'\n')
            .filter_map(Self::from_line)
            .find(|user| user.name == wanted || number == Some(user.uid));
        let mut user = match (found, number) {
            (Some(user), _) => user,
            (None, Some(number)) => Self::unnamed(wanted, number),
            (None, None) if wanted == USER => Self::unnamed(USER, USER_ID),
            (None, None) => {
                return Err(Failed::invalid(
                    "user",
                    format!("the sandbox has no user {wanted:?}: see its /etc/passwd"),
                ));
            }
        };
        user.groups = groups(&user, group);
        Ok(user)
    }

    fn from_line(line: &[u8]) -> Option<Self> {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
        let [name, _, uid, gid, _, home, shell] = fields[..] else {
            return None;
        };
        let text = |field: &[u8]| std::str::from_utf8(field).ok().map(str::to_owned);
        let path = |field: &[u8], or: &str| {
            let path = PathBuf::from(OsString::from_vec(field.to_vec()));
            if path.is_absolute() {
                path
            } else {
                PathBuf::from(or)
            }
        };
        Some(Self {
            name: text(name)?,
            uid: text(uid)?.parse().ok().filter(|id| *id != u32::MAX)?,
            gid: text(gid)?.parse().ok().filter(|id| *id != u32::MAX)?,
            groups: Vec::new(),
            home: path(home, "/"),
            shell: path(shell, "/bin/sh"),
        })
    }

    fn unnamed(name: &str, id: u32) -> Self {
        let home = PathBuf::from("/home/user");
        Self {
            name: name.to_owned(),
            uid: id,
            gid: id,
            groups: Vec::new(),
            home: if id == USER_ID && home.is_dir() {
                home
            } else {
                PathBuf::from("/")
            },
            shell: PathBuf::from("/bin/sh"),
        }
    }
}

fn groups(user: &User, group: &[u8]) -> Vec<u32> {
    let mut ids = vec![user.gid];
    for line in group.split(|byte| *byte == b'\n') {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
        let [_, _, gid, members] = fields[..] else {
            continue;
        };
        let gid = std::str::from_utf8(gid)
            .ok()
            .and_then(|gid| gid.parse().ok());
        let member = members
            .split(|byte| *byte == b',')
            .any(|name| name == user.name.as_bytes());
        if let Some(gid) = gid.filter(|gid| member && *gid != u32::MAX && !ids.contains(gid)) {
            ids.push(gid);
        }
    }
    ids.truncate(GROUPS);
    ids
}

/// A file that may be missing, and that a hostile root may have replaced by anything.
fn read(path: &str) -> io::Result<Vec<u8>> {
    use rustix::fs::{Mode, OFlags, open};
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::NOENT) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a regular file",
        ));
    }
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/bash\n\nbroken\nuser:x:1000:1001:,,,:/home/user:/bin/bash\nodd:x:7:7::relative:\n";
    const GROUP: &[u8] = b"root:x:0:\ndocker:x:999:other,user\nuser:x:1001:\nnot:x:-1:user\n";

    #[test]
    fn a_user_is_found_by_name_and_by_number_with_its_groups() {
        let user = User::among("user", PASSWD, GROUP).unwrap();
        assert_eq!(
            (user.uid, user.gid, &user.groups[..]),
            (1000, 1001, &[1001, 999][..])
        );
        assert_eq!(User::among("1000", PASSWD, GROUP).unwrap(), user);
        let odd = User::among("odd", PASSWD, GROUP).unwrap();
        assert_eq!(
            (odd.home.to_str(), odd.shell.to_str()),
            (Some("/"), Some("/bin/sh"))
        );
    }

    #[test]
    fn a_number_without_a_line_is_a_user_and_a_name_without_one_is_not() {
        let user = User::among("4242", PASSWD, GROUP).unwrap();
        assert_eq!(
            (user.uid, user.gid, &user.groups[..]),
            (4242, 4242, &[4242][..])
        );
        assert!(User::among("nobody-here", PASSWD, GROUP).is_err());
        assert!(User::among("4294967295", PASSWD, GROUP).is_err());
        assert_eq!(User::among("user", b"", b"").unwrap().uid, 1000);
    }
}
