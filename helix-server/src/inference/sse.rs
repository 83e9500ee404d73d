//! Server-sent events on their way through: only whole events go out, so that an
//! error can follow where the upstream broke off in the middle of one.

use bytes::{Bytes, BytesMut};
use helix_proto::openai::ErrorBody;

/// An event that is longer goes out in parts.
const MAX_HELD: usize = 256 << 10;

/// Passes whole events on and holds back the beginning of one that is not
/// complete. Chunks that end with an event, as engines send them, are not copied.
#[derive(Debug, Default)]
pub(super) struct Events {
    held: BytesMut,
    /// The beginning of an event already went out.
    torn: bool,
}

impl Events {
    /// What may go out now that `chunk` came.
    pub(super) fn push(&mut self, mut chunk: Bytes) -> Option<Bytes> {
        if self.held.is_empty() {
            let whole = last_end(&chunk);
            let rest = chunk.split_off(whole);
            self.hold(&rest, whole > 0);
            return (!chunk.is_empty())
                .then_some(chunk)
                .or_else(|| self.overflow());
        }
        self.held.extend_from_slice(&chunk);
        let whole = last_end(&self.held);
        if whole > 0 {
            self.torn = false;
            return Some(self.held.split_to(whole).freeze());
        }
        self.overflow()
    }

    /// What is left at a proper end.
    pub(super) fn finish(&mut self) -> Option<Bytes> {
        (!self.held.is_empty()).then(|| self.held.split().freeze())
    }

    /// The last bytes of a stream that broke off: the error as an event, in
    /// place of the event that will not be completed.
    pub(super) fn cut(&mut self, error: &ErrorBody) -> Bytes {
        self.held.clear();
        let json = serde_json::to_string(error).unwrap_or_default();
        let start = if self.torn { "\n\n" } else { "" };
        format!("{start}data: {json}\n\n").into()
    }

    fn hold(&mut self, rest: &[u8], after_an_end: bool) {
        if after_an_end {
            self.torn = false;
        }
        self.held.extend_from_slice(rest);
    }

    fn overflow(&mut self) -> Option<Bytes> {
        (self.held.len() > MAX_HELD).then(|| {
            self.torn = true;
            self.held.split().freeze()
        })
    }
}

/// Where the last whole event ends; 0 if none does.
fn last_end(bytes: &[u8]) -> usize {
    if bytes.ends_with(b"\n\n") {
        return bytes.len();
    }
    (0..bytes.len())
        .rev()
        .find(|&at| bytes[at] == b'\n' && matches!(&bytes[..at], [.., b'\n'] | [.., b'\n', b'\r']))
        .map_or(0, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use helix_proto::openai::ErrorDetail;
    use proptest::prelude::*;

    use super::*;

    fn error() -> ErrorBody {
        ErrorBody {
            error: ErrorDetail {
                message: "gone".into(),
                r#type: "server_error".into(),
                param: None,
                code: None,
            },
        }
    }

    const EVENT: &str = "data: {\"error\":{\"message\":\"gone\",\"type\":\"server_error\",\"param\":null,\"code\":null}}\n\n";

    #[test]
    fn whole_events_are_passed_on_without_a_copy() {
        let chunk = Bytes::from_static(b"data: 1\n\ndata: 2\r\n\r\n");
        let out = Events::default().push(chunk.clone()).unwrap();
        assert_eq!(out.as_ptr(), chunk.as_ptr());
        assert_eq!(out, chunk);
    }

    #[test]
    fn an_event_that_is_cut_is_replaced_by_the_error() {
        let mut events = Events::default();
        assert_eq!(
            events.push("data: 1\n\ndata: {\"ha".into()).unwrap(),
            "data: 1\n\n"
        );
        assert_eq!(events.cut(&error()), EVENT);
    }

    #[test]
    fn an_event_too_long_to_hold_goes_out_in_parts_and_its_cut_is_still_an_event() {
        let mut events = Events::default();
        let long = Bytes::from(vec![b'x'; MAX_HELD + 1]);
        assert_eq!(events.push(long.clone()).unwrap(), long);
        assert_eq!(events.cut(&error()), format!("\n\n{EVENT}"));
    }

    proptest! {
        #[test]
        fn however_it_is_cut_up_the_same_bytes_arrive_and_always_whole_events(
            pieces in prop::collection::vec("(data: [a-z]{0,4})?(\n|\r\n|\n\n|\r\n\r\n)?", 0..30),
            rest in "[a-z]{0,3}",
        ) {
            let mut events = Events::default();
            let mut sent = Vec::new();
            let mut received = Vec::new();
            for piece in pieces.iter().chain([&rest]) {
                sent.extend_from_slice(piece.as_bytes());
                if let Some(out) = events.push(Bytes::copy_from_slice(piece.as_bytes())) {
                    prop_assert!(out.ends_with(b"\n\n") || out.ends_with(b"\n\r\n"));
                    received.extend_from_slice(&out);
                }
            }
            received.extend_from_slice(&events.finish().unwrap_or_default());
            prop_assert_eq!(received, sent);
        }
    }
}
