//! Addresses, names and sockets.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs as _, UdpSocket},
    os::linux::net::SocketAddrExt as _,
    os::unix::net::UnixStream,
    time::Duration,
};

use crate::{Outcome, misused, system::close};

const PATIENCE: Duration = Duration::from_secs(2);

fn address(text: &str) -> io::Result<SocketAddr> {
    text.parse().map_err(|_| misused("give ADDRESS:PORT"))
}

/// Opens a socket of a family, and closes it.
pub(crate) fn family(family: libc::c_int) -> Outcome {
    open(family, libc::SOCK_STREAM, 0)
}

/// Opens a socket that sees and makes whole IP packets.
pub(crate) fn raw_socket() -> Outcome {
    open(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP)
}

/// Opens a socket that sees and makes whole frames.
pub(crate) fn packet_socket() -> Outcome {
    open(libc::AF_PACKET, libc::SOCK_RAW, 0)
}

fn open(family: libc::c_int, kind: libc::c_int, protocol: libc::c_int) -> Outcome {
    // SAFETY: no pointers.
    let socket = unsafe { libc::socket(family, kind, protocol) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    close(socket.into());
    Ok(format!("opened a socket of family {family}, kind {kind}"))
}

/// Connects by TCP, and reads what the listener says, if it says something.
pub(crate) fn connect(to: &str) -> Outcome {
    let mut stream = TcpStream::connect_timeout(&address(to)?, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"?")?;
    let mut said = [0; 32];
    let count = stream.read(&mut said)?;
    Ok(format!(
        "{to} said {:?}",
        String::from_utf8_lossy(&said[..count])
    ))
}

/// Sends one datagram, and waits for its echo.
pub(crate) fn send(to: &str) -> Outcome {
    let to = address(to)?;
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send_to(b"?", to)?;
    let mut said = [0; 32];
    let (count, _) = socket.recv_from(&mut said)?;
    Ok(format!(
        "{to} said {:?}",
        String::from_utf8_lossy(&said[..count])
    ))
}

/// Resolves a name by whatever the system is set up to ask.
pub(crate) fn resolve(name: &str) -> Outcome {
    let found: Vec<IpAddr> = (name, 0)
        .to_socket_addrs()?
        .map(|address| address.ip())
        .collect();
    if found.is_empty() {
        return Err(io::Error::other("no address"));
    }
    Ok(format!("{name} is {found:?}"))
}

/// Resolves a name, and connects to the first of its addresses.
pub(crate) fn reach_name(name: &str, port: &str) -> Outcome {
    let port: u16 = port.parse().map_err(|_| misused("give a port"))?;
    let mut addresses = (name, port).to_socket_addrs()?;
    let first = addresses
        .next()
        .ok_or_else(|| io::Error::other("no address"))?;
    connect(&first.to_string())
}

/// As [`reach_name`], asking a resolver of one's own choosing.
pub(crate) fn reach_name_by(name: &str, port: &str, server: &str) -> Outcome {
    let address = query(server, name)?;
    connect(&format!("{address}:{port}"))
}

/// Asks one resolver for a name's address, by a query of its own making.
pub(crate) fn ask(server: &str, name: &str) -> Outcome {
    let address = query(server, name)?;
    Ok(format!("{server} says {name} is {address}"))
}

/// The address at the end of an answer with at least one record, by RFC 1035.
fn query(server: &str, name: &str) -> io::Result<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        let length = u8::try_from(label.len()).map_err(|_| misused("labels of up to 63"))?;
        query.push(length);
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&[0, 0, 1, 0, 1]);
    socket.send_to(&query, address(server)?)?;
    let mut answer = [0; 512];
    let (count, _) = socket.recv_from(&mut answer)?;
    let (code, answers) = (answer[3] & 0xf, u16::from_be_bytes([answer[6], answer[7]]));
    if count < 16 || code != 0 || answers == 0 {
        return Err(io::Error::other(format!(
            "answer code {code} with {answers} records"
        )));
    }
    // No additional records were asked for, so the last record's data ends the message.
    let mut last = [0; 4];
    last.copy_from_slice(&answer[count - 4..count]);
    Ok(last.into())
}

/// Not an attempt: says a word to everybody who connects, until it is ended.
pub(crate) fn listen(port: &str) -> Outcome {
    let port: u16 = port.parse().map_err(|_| misused("give a port"))?;
    let listener = std::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?;
    for stream in listener.incoming() {
        let mut stream = stream?;
        // Somebody who left is none of its business.
        let _ = stream
            .read(&mut [0; 1])
            .and_then(|_| stream.write_all(b"hello"));
    }
    Ok("nobody can connect any more".to_owned())
}

/// Connects to a socket in the host's abstract namespace.
pub(crate) fn abstract_socket(name: &str) -> Outcome {
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
    UnixStream::connect_addr(&address)?;
    Ok(format!("connected to @{name}"))
}
