//! Whatever arrives is a message or is refused; what was read is written as it was.
#![no_main]

use bytes::Bytes;
use helix_proto::desktop::{Cursor, Down, Up};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|message: &[u8]| {
    let message = Bytes::copy_from_slice(message);
    if let Ok(up) = Up::decode(message.clone()) {
        assert_eq!(up.encode(), Ok(message.clone()));
    }
    if let Ok(down) = Down::decode(message.clone())
        && down != Down::Cursor(Cursor::Hidden)
    {
        assert_eq!(down.encode(), Ok(message));
    }
});
