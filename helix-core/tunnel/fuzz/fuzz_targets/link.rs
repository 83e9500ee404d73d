//! A link stays within its window and never panics, whatever its other end says.
#![no_main]

use arbitrary::Arbitrary;
use bytes::Bytes;
use helix_tunnel::link::{Link, Window};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
enum Act {
    Write(Vec<u8>),
    Seal,
    Pop,
    Tell,
    Consume,
    /// A data frame that may or may not fit.
    Data { offset: u8, acknowledged: u8, payload: u8 },
    /// Anything at all.
    Message(Vec<u8>),
    Resume(u8),
}

fn data(offset: u8, acknowledged: u8, payload: u8) -> Bytes {
    let mut message = vec![3];
    message.extend(u64::from(offset).to_be_bytes());
    message.extend(u64::from(acknowledged).to_be_bytes());
    message.resize(message.len() + usize::from(payload), 7);
    message.into()
}

fuzz_target!(|input: (u8, bool, Vec<Act>)| {
    let (window, resumable, acts) = input;
    let bytes = usize::from(window) + 1;
    let mut link = Link::new(Window { bytes, resumable });
    for act in acts {
        let received = match act {
            Act::Write(bytes) => {
                link.write(&bytes);
                continue;
            }
            Act::Seal => {
                link.seal();
                continue;
            }
            Act::Pop => {
                link.pop();
                continue;
            }
            Act::Tell => {
                link.tell();
                continue;
            }
            Act::Consume => {
                link.consume(link.unconsumed() as usize);
                continue;
            }
            Act::Data { offset, acknowledged, payload } => {
                link.receive(data(offset, acknowledged, payload)).map(drop)
            }
            Act::Message(message) => link.receive(message.into()).map(drop),
            Act::Resume(received) => link.resume(received.into()),
        };
        if received.is_err() {
            return;
        }
        assert!(link.unacknowledged() <= link.window());
    }
});
