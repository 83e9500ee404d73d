//! Whatever arrives is a message or is refused; what was read is written so that it is read alike.
#![no_main]

use helix_proto::agents::{Down, Up};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|message: &str| {
    if let Ok(up) = Up::decode(message)
        && let Ok(written) = up.encode()
    {
        assert_eq!(Up::decode(&written), Ok(up));
    }
    if let Ok(down) = Down::decode(message)
        && let Ok(written) = down.encode()
    {
        assert_eq!(Down::decode(&written), Ok(down));
    }
});
