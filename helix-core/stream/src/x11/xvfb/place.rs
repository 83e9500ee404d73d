//! Where a server and its programs are started.

use std::{
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use helix_proto::desktop::Size;
use tokio::{
    process::{Child, Command},
    time::timeout,
};

use super::Options;
use crate::{Error, ErrorKind};

/// How long a change of the keyboard's layout may take.
const CHANGE_WITHIN: Duration = Duration::from_secs(5);
/// What a screen may be resized to at most: its memory is taken when it starts.
const LARGEST: (u16, u16) = (3_840, 2_160);

/// The secret that lets clients in, in a file for the server and for programs.
pub(super) struct Secret {
    file: PathBuf,
    pub(super) cookie: [u8; 16],
}

impl Secret {
    pub(super) fn write(runtime_dir: &Path) -> Result<Self, Error> {
        let (file, cookie) = (runtime_dir.join("Xauthority"), rand::random());
        let write = || {
            let mut options = std::fs::OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            io::Write::write_all(&mut options.open(&file)?, &entry(cookie))
        };
        let failed = |why| Error::failed(format!("cannot write {}", file.display()), why);
        write().map_err(failed)?;
        Ok(Self { file, cookie })
    }

    pub(super) fn server(&self, options: &Options, first: Size) -> Result<Child, Error> {
        let (width, height) = (first.width().max(LARGEST.0), first.height().max(LARGEST.1));
        let mut command = Command::new(&options.program);
        command
            .args(["-displayfd", "1", "-screen", "0"])
            .arg(format!("{width}x{height}x24"))
            .args(["-nolisten", "tcp", "-noreset", "-br", "-dpi", "96", "-auth"])
            .arg(&self.file)
            .stdout(Stdio::piped());
        spawn(command, options, "install xvfb")
    }
}

/// As libXau reads it, for whatever display there is.
fn entry(cookie: [u8; 16]) -> Vec<u8> {
    let mut bytes = u16::MAX.to_be_bytes().to_vec();
    for field in [&b""[..], b"", b"MIT-MAGIC-COOKIE-1", &cookie] {
        // None is longer than 18 bytes.
        bytes.extend((field.len() as u16).to_be_bytes());
        bytes.extend(field);
    }
    bytes
}

/// Where programs are started.
pub(super) struct Place<'a> {
    pub(super) options: &'a Options,
    pub(super) secret: &'a Secret,
    pub(super) number: u16,
}

impl Place<'_> {
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("DISPLAY", format!(":{}", self.number))
            .env("XAUTHORITY", &self.secret.file)
            .stdout(Stdio::null());
        command
    }

    /// Gives the keyboard its layout; the server begins with `us`.
    pub(super) async fn lay_out(&self) -> Result<(), Error> {
        let layout = &self.options.layout;
        if layout == "us" {
            return Ok(());
        }
        let mut command = self.command("setxkbmap");
        match layout.split_once('(') {
            Some((layout, variant)) => {
                let variant = variant.trim_end_matches(')');
                command.args(["-layout", layout, "-variant", variant]);
            }
            None => {
                command.args(["-layout", layout]);
            }
        }
        let mut child = spawn(command, self.options, "install x11-xkb-utils")?;
        match timeout(CHANGE_WITHIN, child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            other => {
                let why = format!("{layout:?} is no layout of the keyboard ({other:?})");
                Err(Error::new(ErrorKind::Invalid, why))
            }
        }
    }

    pub(super) fn program(&self, line: &str) -> Result<Child, Error> {
        let mut command = self.command("/bin/sh");
        // In a session of its own, as Sway starts its programs.
        command.args(["-c", "exec setsid -w sh -c \"$0\"", line]);
        spawn(command, self.options, "it is part of every system")
    }
}

fn spawn(mut command: Command, options: &Options, hint: &str) -> Result<Child, Error> {
    let program = PathBuf::from(command.as_std().get_program());
    let own: Vec<_> = command
        .as_std()
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
        .collect();
    command
        .env_clear()
        .envs(options.env.iter().map(|(name, value)| (name, value)))
        .env("XDG_RUNTIME_DIR", &options.runtime_dir)
        .env("XDG_SESSION_TYPE", "x11")
        .env_remove("WAYLAND_DISPLAY")
        .env_remove("DISPLAY")
        .envs(own)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command.spawn().map_err(|why| {
        let hint = if why.kind() == io::ErrorKind::NotFound {
            format!(": {hint}")
        } else {
            String::new()
        };
        let program = program.display();
        Error::failed(format!("cannot start {program}"), format!("{why}{hint}"))
    })
}

#[cfg(test)]
mod tests {
    use super::entry;

    #[test]
    fn a_secret_is_written_as_libxau_reads_it() {
        let bytes = entry([7; 16]);
        let name = b"MIT-MAGIC-COOKIE-1";
        let expected = [
            &[0xff, 0xff, 0, 0, 0, 0, 0, 18][..],
            name,
            &[0, 16],
            &[7; 16],
        ];
        assert_eq!(bytes, expected.concat());
    }
}
