//! The users and groups of a sandbox: the system's own, root, and [`USER`].

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use helix_proto::sandbox::guest::USER;

/// The id of [`USER`] and of its group.
pub(in crate::namespaces) const USER_ID: u32 = 1000;

/// Ids below this, and `nobody`'s, are of the system.
const FIRST_OF_PEOPLE: u32 = 1000;
const NOBODY: u32 = 65_534;

/// Writes the files that say who there is, and those that are the same in all sandboxes.
pub(super) fn write(host: &Path, etc: &Path) -> io::Result<()> {
    let read = |name: &str| fs::read_to_string(host.join("etc").join(name)).unwrap_or_default();
    let shell = if host.join("bin/bash").exists() {
        "/bin/bash"
    } else {
        "/bin/sh"
    };
    let passwd = users(&read("passwd"), shell);
    let group = groups(&read("group"));
    for (name, mode, text) in [
        ("shadow", 0o640, locked(&passwd, ":*:19000:0:99999:7:::")),
        ("gshadow", 0o640, locked(&group, ":*::")),
        ("passwd", 0o644, passwd),
        ("group", 0o644, group),
        ("fstab", 0o644, String::new()),
        ("machine-id", 0o644, String::new()),
    ] {
        let path = etc.join(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Adds [`USER`] to the accounts of an image. An image's own files are read as they are:
/// a link in it that leaves it is not followed.
pub(super) fn add_user(image: &Path, etc: &Path) -> io::Result<()> {
    let read = |name: &str| {
        let path = image.join("etc").join(name);
        let is_file = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_file());
        let in_etc =
            fs::symlink_metadata(image.join("etc")).is_ok_and(|metadata| metadata.is_dir());
        match is_file && in_etc {
            true => fs::read_to_string(path).unwrap_or_default(),
            false => String::new(),
        }
    };
    let shell = ["bin/bash", "usr/bin/bash"]
        .iter()
        .find(|path| fs::symlink_metadata(image.join(path)).is_ok())
        .map_or("/bin/sh", |_| "/bin/bash");
    let root = |text: String, line: &str| match text.lines().any(|one| one.starts_with("root:")) {
        true => text,
        false => format!("{line}\n{text}"),
    };
    let user = format!("{USER}:x:{USER_ID}:{USER_ID}::/home/{USER}:{shell}");
    let passwd = with_line(
        &root(read("passwd"), &format!("root:x:0:0:root:/root:{shell}")),
        &user,
    );
    let group = with_line(
        &root(read("group"), "root:x:0:"),
        &format!("{USER}:x:{USER_ID}:"),
    );
    for (name, text) in [("passwd", passwd), ("group", group)] {
        let path = etc.join(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, Permissions::from_mode(0o644))?;
    }
    Ok(())
}

/// A text with a line in place of the one that begins with the same name.
fn with_line(text: &str, line: &str) -> String {
    let name = line.split(':').next().unwrap_or_default();
    let others = text
        .lines()
        .filter(|other| other.split(':').next() != Some(name));
    others
        .chain([line])
        .map(|line| format!("{line}\n"))
        .collect()
}

fn users(host: &str, shell: &str) -> String {
    let mut text = format!("root:x:0:0:root:/root:{shell}\n");
    for line in host.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, about, home, shell] = fields[..] else {
            continue;
        };
        if name != "root" && is_system(uid) && name != USER {
            text.push_str(&format!("{name}:x:{uid}:{gid}:{about}:{home}:{shell}\n"));
        }
    }
    text.push_str(&format!(
        "{USER}:x:{USER_ID}:{USER_ID}::/home/{USER}:{shell}\n"
    ));
    text
}

fn groups(host: &str) -> String {
    let mut text = String::from("root:x:0:\n");
    let mut docker = false;
    let mut taken = Vec::new();
    for line in host.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, gid, _] = fields[..] else {
            continue;
        };
        if name == "root" || name == USER || !is_system(gid) {
            continue;
        }
        let members = if name == "docker" { USER } else { "" };
        docker |= name == "docker";
        taken.push(gid.to_owned());
        text.push_str(&format!("{name}:x:{gid}:{members}\n"));
    }
    if !docker {
        let free = (900..FIRST_OF_PEOPLE).find(|gid| !taken.contains(&gid.to_string()));
        if let Some(gid) = free {
            text.push_str(&format!("docker:x:{gid}:{USER}\n"));
        }
    }
    text.push_str(&format!("{USER}:x:{USER_ID}:\n"));
    text
}

fn is_system(id: &str) -> bool {
    id.parse::<u32>()
        .is_ok_and(|id| id < FIRST_OF_PEOPLE || id == NOBODY)
}

fn locked(accounts: &str, rest: &str) -> String {
    accounts
        .lines()
        .filter_map(|line| line.split(':').next())
        .map(|name| format!("{name}{rest}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_of_the_host_are_not_in_a_sandbox_and_no_password_is_known() {
        let host = "root:x:0:0:root:/root:/bin/zsh\n_apt:x:42:65534::/nonexistent:/sbin/nologin\n\
                    alice:x:1000:1000:Alice:/home/alice:/bin/bash\nnobody:x:65534:65534:n:/:/x\nbroken\n";
        let passwd = users(host, "/bin/bash");
        assert_eq!(
            passwd,
            "root:x:0:0:root:/root:/bin/bash\n_apt:x:42:65534::/nonexistent:/sbin/nologin\n\
             nobody:x:65534:65534:n:/:/x\nuser:x:1000:1000::/home/user:/bin/bash\n"
        );
        assert!(
            locked(&passwd, ":*:19000:0:99999:7:::")
                .lines()
                .all(|line| line.contains(":*:"))
        );
    }

    #[test]
    fn the_user_is_in_the_group_of_docker_wherever_that_comes_from() {
        assert!(groups("docker:x:103:alice\n").contains("docker:x:103:user\n"));
        assert!(groups("wheel:x:900:alice\n").contains("wheel:x:900:\ndocker:x:901:user\n"));
    }
}
