//! Newline-delimited JSON out of a streaming body.

use bytes::{Buf as _, Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;

use super::calls::{Error, Role};

/// Longest line. A snapshot of a runner with many instances and their last log
/// lines is some hundred kilobytes.
const MAX_LINE: usize = 4 << 20;

/// Reads one value after the other.
#[derive(Debug)]
pub(crate) struct Lines<B> {
    body: B,
    from: Role,
    buffer: BytesMut,
}

impl<B> Lines<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    pub(super) fn new(body: B, from: Role) -> Self {
        Self {
            body,
            from,
            buffer: BytesMut::new(),
        }
    }

    /// The next value; `None` at the end. Cancel safe.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.buffer[searched..]
                .iter()
                .position(|byte| *byte == b'\n')
            {
                let line = self.buffer.split_to(searched + at);
                self.buffer.advance(1);
                searched = 0;
                if line.is_empty() {
                    continue;
                }
                return serde_json::from_slice(&line).map(Some).map_err(|error| {
                    Error::Answer(self.from, format!("an event cannot be read: {error}"))
                });
            }
            searched = self.buffer.len();
            if searched > MAX_LINE {
                let why = format!("an event is longer than {MAX_LINE} bytes");
                return Err(Error::Answer(self.from, why));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(Error::Lost(self.from, error.to_string())),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;

    fn lines(chunks: Vec<String>) -> Lines<impl Body<Data = Bytes, Error = Infallible> + Unpin> {
        let frames = chunks
            .into_iter()
            .map(|chunk| Ok(Frame::data(Bytes::from(chunk))));
        Lines::new(StreamBody::new(stream::iter(frames)), Role::Runner)
    }

    #[tokio::test]
    async fn values_are_read_however_they_are_cut_up() {
        let whole = "1\n\n[2,3]\n{\"a\":\"ä\"}\n";
        for size in 1..whole.len() {
            let chunks = whole.as_bytes().chunks(size).map(<[u8]>::to_vec);
            let frames = chunks.map(|chunk| Ok::<_, Infallible>(Frame::data(Bytes::from(chunk))));
            let mut lines = Lines::new(StreamBody::new(stream::iter(frames)), Role::Runner);
            let mut read = Vec::new();
            while let Some(value) = lines.next::<serde_json::Value>().await.unwrap() {
                read.push(value);
            }
            assert_eq!(
                serde_json::to_string(&read).unwrap(),
                r#"[1,[2,3],{"a":"ä"}]"#
            );
        }
    }

    #[tokio::test]
    async fn a_line_without_end_is_refused() {
        let mut lines = lines(vec!["x".repeat(1 << 20); 5]);
        assert!(matches!(lines.next::<u8>().await, Err(Error::Answer(..))));
    }

    #[tokio::test]
    async fn what_is_no_json_is_refused() {
        let mut lines = lines(vec!["hello\n".into()]);
        assert!(matches!(lines.next::<u8>().await, Err(Error::Answer(..))));
    }
}
