//! The kernel's table of connections: forgets those of a sandbox that is gone, so that
//! nobody who gets its address inherits them.

use std::io;

use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

/// Deletes the connections whose mark, under the mask, is this.
pub(super) fn forget(mark: u32, mask: u32) -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&request(mark, mask), 0)?;
    let (answer, _) = socket.recv_from_full()?;
    // A netlink error message: a header of 16 bytes, then the code, 0 for success.
    let code = answer.get(16..20).and_then(|bytes| bytes.try_into().ok());
    match code.map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(-code)),
        None => Err(io::Error::other(
            "the kernel's answer about connections is too short",
        )),
    }
}

/// `IPCTNL_MSG_CT_DELETE` of the subsystem `NFNL_SUBSYS_CTNETLINK`, with a filter by mark.
fn request(mark: u32, mask: u32) -> Vec<u8> {
    const DELETE: u16 = (1 << 8) | 2;
    const REQUEST_AND_ACK: u16 = 1 | 4;
    const CTA_MARK: u16 = 8;
    const CTA_MARK_MASK: u16 = 21;
    let mut body = vec![0, 0, 0, 0];
    for (kind, value) in [(CTA_MARK, mark), (CTA_MARK_MASK, mask)] {
        body.extend(8u16.to_ne_bytes());
        body.extend(kind.to_ne_bytes());
        body.extend(value.to_be_bytes());
    }
    let length = u32::try_from(16 + body.len()).unwrap_or(u32::MAX);
    let mut message = Vec::with_capacity(16 + body.len());
    message.extend(length.to_ne_bytes());
    message.extend(DELETE.to_ne_bytes());
    message.extend(REQUEST_AND_ACK.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    message
}
