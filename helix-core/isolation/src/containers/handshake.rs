//! How the guest gets its socket: through a door that only the host can write to.
//!
//! The host listens in a folder that is shown inside read-only. The first process connects
//! and waits; meanwhile the host joins its network namespace to the network and sets up
//! its inside, so that the sandbox needs no rights over networks at all. Then it sends the
//! listening socket of the guest and what the guest must know. The socket's path is never
//! shown inside, and the guest outlives the process that bound it.

use std::{
    fs::{self, Permissions},
    io::{self, IoSlice, IoSliceMut, Read as _, Write as _},
    mem::MaybeUninit,
    net::Shutdown,
    os::{
        fd::AsFd as _,
        unix::{
            fs::PermissionsExt as _,
            net::{UnixListener, UnixStream},
        },
    },
    path::Path,
    time::Duration,
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::{Deserialize, Serialize};

use super::places::gone;
use crate::guest::GuestConfig;

/// Where the door's folder is inside.
pub(super) const INSIDE: &str = "/.helix/door";
/// The door, in its folder.
const DOOR: &str = "launch.sock";
/// How long either side waits for the other's next bytes.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most that the guest is told.
const MOST: u64 = 16 << 20;

/// What the first process is told.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) guest: GuestConfig,
    /// What `/etc/resolv.conf` says.
    pub(super) resolv_conf: String,
}

/// Listens at the door. Ids may be mapped inside, so whoever sees the door may knock: only
/// the sandbox sees it.
pub(super) fn listen(folder: &Path) -> io::Result<UnixListener> {
    forget(folder)?;
    let path = folder.join(DOOR);
    let listener = UnixListener::bind(&path)?;
    fs::set_permissions(&path, Permissions::from_mode(0o666))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Removes the door from its folder.
pub(super) fn forget(folder: &Path) -> io::Result<()> {
    gone(fs::remove_file(folder.join(DOOR)))
}

/// Sends everything to a first process that waits.
pub(super) fn tell(stream: &UnixStream, told: &Told, socket: &UnixListener) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let sockets = [socket.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&sockets)) {
        return Err(io::Error::other("no room for a descriptor"));
    }
    let sent = rustix::net::sendmsg(
        stream,
        &[IoSlice::new(&[0])],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    if sent != 1 {
        return Err(io::ErrorKind::WriteZero.into());
    }
    let mut stream = stream;
    stream.write_all(&serde_json::to_vec(told)?)?;
    stream.shutdown(Shutdown::Write)
}

/// Inside: knocks, waits, and takes what is sent.
pub(super) fn hear() -> io::Result<(Told, UnixListener)> {
    hear_at(Path::new(INSIDE))
}

fn hear_at(folder: &Path) -> io::Result<(Told, UnixListener)> {
    let stream = UnixStream::connect(folder.join(DOOR))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::net::recvmsg(
        &stream,
        &mut [IoSliceMut::new(&mut byte)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let socket = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut sockets) => sockets.next(),
            _ => None,
        })
        .next()
        .ok_or_else(|| io::Error::other("no socket came with what was sent"))?;
    let mut text = Vec::new();
    stream.take(MOST).read_to_end(&mut text)?;
    Ok((serde_json::from_slice(&text)?, UnixListener::from(socket)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_process_gets_a_socket_that_answers_and_what_it_must_know() {
        let folder = tempfile::tempdir().unwrap();
        let door = listen(folder.path()).unwrap();
        let path = folder.path().join("guest.sock");
        let socket = UnixListener::bind(&path).unwrap();
        let inside = {
            let folder = folder.path().to_owned();
            std::thread::spawn(move || {
                let (told, socket) = hear_at(&folder).unwrap();
                let (mut stream, _) = socket.accept().unwrap();
                stream.write_all(told.resolv_conf.as_bytes()).unwrap();
                told
            })
        };
        door.set_nonblocking(false).unwrap();
        let (stream, _) = door.accept().unwrap();
        let told = Told {
            guest: GuestConfig {
                hostname: "box".into(),
                env: [("LONG".to_owned(), "x".repeat(1 << 20))].into(),
                ..GuestConfig::default()
            },
            resolv_conf: "nameserver 10.0.0.1\n".into(),
        };
        tell(&stream, &told, &socket).unwrap();
        drop((stream, socket));
        let mut heard = String::new();
        let mut caller = UnixStream::connect(&path).unwrap();
        caller.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, told.resolv_conf);
        assert_eq!(inside.join().unwrap().guest, told.guest);
    }
}
