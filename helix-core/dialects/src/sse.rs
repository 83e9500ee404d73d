//! Server-sent events, both ways.

use serde_json::Value;

/// The longest line that is put together: a whole file in a tool's arguments has room.
const LINE_BYTES: usize = 16 << 20;

/// One event of a stream that goes to a client.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its name, which is also the `type` of its data.
    pub name: &'static str,
    /// Its data.
    pub data: Value,
}

impl Event {
    /// Appends the event as it is sent.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(self.name.as_bytes());
        out.extend_from_slice(b"\ndata: ");
        // JSON has no line breaks of its own.
        out.extend_from_slice(self.data.to_string().as_bytes());
        out.extend_from_slice(b"\n\n");
    }
}

/// A line without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Puts lines together, and finds those that are data. Engines and providers send each event's
/// data as one line.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    line: Vec<u8>,
}

impl Lines {
    /// More bytes came: hands out the data of each whole line.
    pub(crate) fn push(
        &mut self,
        bytes: &[u8],
        mut data: impl FnMut(&[u8]),
    ) -> Result<(), TooLong> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + part.len() > LINE_BYTES {
                return Err(TooLong);
            }
            if !part.ends_with(b"\n") {
                self.line.extend_from_slice(part);
            } else if self.line.is_empty() {
                read(part, &mut data);
            } else {
                self.line.extend_from_slice(part);
                read(&self.line, &mut data);
                self.line.clear();
            }
        }
        Ok(())
    }

    /// Nothing more will come: what is left is a line.
    pub(crate) fn end(&mut self, mut data: impl FnMut(&[u8])) {
        read(&std::mem::take(&mut self.line), &mut data);
    }
}

fn read(line: &[u8], data: &mut impl FnMut(&[u8])) {
    if let Some(found) = line.strip_prefix(b"data:") {
        data(found.trim_ascii());
    }
}
