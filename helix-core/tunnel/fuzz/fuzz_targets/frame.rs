//! Whatever arrives is a frame or is refused; data is read as it lies there.
#![no_main]

use bytes::Bytes;
use helix_tunnel::link::frame::{DATA_HEADER, Frame};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|message: &[u8]| {
    if let Ok(Frame::Data { payload, .. }) = Frame::read(Bytes::copy_from_slice(message)) {
        assert_eq!(payload, message[DATA_HEADER..]);
    }
});
