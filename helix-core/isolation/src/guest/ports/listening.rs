//! What listens for TCP, by the kernel's own tables.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::{self, File},
    io::Read as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use helix_proto::sandbox::guest::Port;

/// How many are listed.
const MOST: usize = 1024;
/// How much is read of a table, how many processes are looked at, and how many of their
/// descriptors in all.
const TABLE: u64 = 16 << 20;
const PROCESSES: usize = 16_384;
const DESCRIPTORS: usize = 262_144;
const LISTENING: &str = "0A";

/// What listens, sorted by port.
pub(super) fn list() -> Vec<Port> {
    let sockets: Vec<Socket> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .flat_map(|table| {
            read(table)
                .lines()
                .filter_map(Socket::parse)
                .collect::<Vec<_>>()
        })
        .collect();
    let programs = programs(sockets.iter().map(|socket| socket.inode).collect());
    // Several processes may share one address.
    let ports: BTreeMap<(u16, IpAddr), Option<String>> = sockets
        .into_iter()
        .map(|socket| {
            (
                (socket.port, socket.address),
                programs.get(&socket.inode).cloned(),
            )
        })
        .collect();
    ports
        .into_iter()
        .take(MOST)
        .map(|((port, address), program)| Port {
            port,
            address: address.to_string(),
            program,
        })
        .collect()
}

fn read(path: &str) -> String {
    let mut bytes = Vec::new();
    // Without IPv6 there is no such table.
    let _ = File::open(path).and_then(|file| file.take(TABLE).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

#[derive(Debug, PartialEq, Eq)]
struct Socket {
    address: IpAddr,
    port: u16,
    inode: u64,
}

impl Socket {
    /// A line of a table, if it listens: number, own address, other address, state, six
    /// fields, inode.
    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        if *fields.get(3)? != LISTENING {
            return None;
        }
        let (address, port) = fields.get(1)?.split_once(':')?;
        Some(Self {
            address: parse_address(address)?,
            port: u16::from_str_radix(port, 16).ok()?,
            inode: fields.get(9)?.parse().ok()?,
        })
    }
}

/// An address as the kernel prints it: words of 32 bits in the machine's own order.
fn parse_address(text: &str) -> Option<IpAddr> {
    let mut bytes = Vec::new();
    for at in (0..text.len()).step_by(8) {
        let word = u32::from_str_radix(text.get(at..at + 8)?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    match bytes.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
        _ => None,
    }
}

/// The names of the programs that hold these sockets.
fn programs(mut wanted: HashSet<u64>) -> HashMap<u64, String> {
    let mut found = HashMap::new();
    let mut looked = 0;
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    for pid in numbers.take(PROCESSES) {
        if wanted.is_empty() || looked >= DESCRIPTORS {
            break;
        }
        for entry in fs::read_dir(format!("/proc/{pid}/fd"))
            .into_iter()
            .flatten()
            .flatten()
        {
            looked += 1;
            let Some(inode) = fs::read_link(entry.path()).ok().as_deref().and_then(inode) else {
                continue;
            };
            if wanted.remove(&inode) {
                let name = read(&format!("/proc/{pid}/comm"));
                found.insert(inode, name.trim_end().to_owned());
            }
            if looked >= DESCRIPTORS {
                break;
            }
        }
    }
    found
}

/// The number in `socket:[12345]`.
fn inode(target: &std::path::Path) -> Option<u64> {
    target
        .to_str()?
        .strip_prefix("socket:[")?
        .strip_suffix(']')?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_of_the_kernel_are_understood() {
        let four = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 0000 100 0 0 10 0";
        let socket = Socket {
            address: Ipv4Addr::LOCALHOST.into(),
            port: 8080,
            inode: 12345,
        };
        let expected = cfg!(target_endian = "little").then_some(socket);
        assert_eq!(Socket::parse(four), expected);
        let six = "   1: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 7 1";
        let socket = Socket {
            address: Ipv6Addr::LOCALHOST.into(),
            port: 80,
            inode: 7,
        };
        assert_eq!(
            Socket::parse(six),
            cfg!(target_endian = "little").then_some(socket)
        );
        let established = four.replace(" 0A ", " 01 ");
        for line in ["", "sl local_address", &established, "0: xx:yy 0:0 0A"] {
            assert_eq!(Socket::parse(line), None);
        }
    }
}
