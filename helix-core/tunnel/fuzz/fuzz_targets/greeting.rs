//! Whatever arrives is a greeting or is refused; one that is read is written alike.
#![no_main]

use bytes::Bytes;
use helix_tunnel::link::greeting::{Hello, Welcome};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|message: &[u8]| {
    let message = Bytes::copy_from_slice(message);
    if let Ok(hello) = Hello::read(message.clone()) {
        assert_eq!(hello.write(), message);
    }
    if let Ok(welcome) = Welcome::read(message.clone()) {
        assert_eq!(welcome.write(), message);
    }
});
