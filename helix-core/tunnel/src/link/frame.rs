//! What the messages of a link look like.
//!
//! Numbers are big-endian. One message of the transport is one frame:
//!
//! | kind (1 byte) | then |
//! |---|---|
//! | 3 data | offset (8), acknowledged (8), payload (1 byte or more) |
//! | 4 ack | acknowledged (8) |
//!
//! Kinds 1 and 2 are the [`greeting`](super::greeting).

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::Violation;

/// Bytes in front of a data frame's payload.
pub const DATA_HEADER: usize = 17;

const DATA: u8 = 3;
const ACK: u8 = 4;

/// One frame, read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Frame {
    /// Bytes of the stream.
    Data {
        /// Where in the stream the payload begins.
        offset: u64,
        /// Bytes of the other direction that were consumed.
        acknowledged: u64,
        /// The bytes; never none.
        payload: Bytes,
    },
    /// An acknowledgement alone.
    Ack {
        /// Bytes of the other direction that were consumed.
        acknowledged: u64,
    },
}

impl Frame {
    /// Reads a message.
    ///
    /// # Errors
    ///
    /// [`Violation::Malformed`].
    pub fn read(mut message: Bytes) -> Result<Self, Violation> {
        let kind = message.first().copied();
        match kind {
            Some(DATA) if message.len() > DATA_HEADER => {
                message.advance(1);
                Ok(Self::Data {
                    offset: message.get_u64(),
                    acknowledged: message.get_u64(),
                    payload: message,
                })
            }
            Some(ACK) if message.len() == 9 => {
                message.advance(1);
                Ok(Self::Ack {
                    acknowledged: message.get_u64(),
                })
            }
            Some(DATA | ACK) => Err(Violation::Malformed("a frame of the wrong length")),
            Some(_) => Err(Violation::Malformed("a frame of an unknown kind")),
            None => Err(Violation::Malformed("an empty frame")),
        }
    }
}

/// Fills in the room that was left in front of the payload.
pub(super) fn put_data_header(message: &mut BytesMut, offset: u64, acknowledged: u64) {
    let mut header = &mut message[..DATA_HEADER];
    header.put_u8(DATA);
    header.put_u64(offset);
    header.put_u64(acknowledged);
}

pub(super) fn ack(acknowledged: u64) -> Bytes {
    let mut message = BytesMut::with_capacity(9);
    message.put_u8(ACK);
    message.put_u64(acknowledged);
    message.freeze()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn data_is_read_as_it_was_written(
            offset: u64, acknowledged: u64, payload in prop::collection::vec(any::<u8>(), 1..64),
        ) {
            let mut message = BytesMut::from(&[0; DATA_HEADER][..]);
            message.extend_from_slice(&payload);
            put_data_header(&mut message, offset, acknowledged);
            let payload = Bytes::from(payload);
            prop_assert_eq!(
                Frame::read(message.freeze()),
                Ok(Frame::Data { offset, acknowledged, payload })
            );
        }

        #[test]
        fn whatever_arrives_is_read_or_refused(message in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Frame::read(Bytes::from(message));
        }
    }

    #[test]
    fn an_acknowledgement_is_read_as_it_was_written() {
        assert_eq!(Frame::read(ack(7)), Ok(Frame::Ack { acknowledged: 7 }));
    }

    #[test]
    fn frames_of_other_lengths_and_kinds_are_refused() {
        for message in [&b""[..], &[3; 17], &[4; 8], &[4; 10], &[9; 30], &[0]] {
            let read = Frame::read(Bytes::copy_from_slice(message));
            assert!(matches!(read, Err(Violation::Malformed(_))), "{message:?}");
        }
    }
}
