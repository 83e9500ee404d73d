//! The last lines of an engine's output, bounded in number and in length.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// A line longer than this is cut.
const MAX_LINE_BYTES: usize = 2_000;

/// The last lines of an engine's output. Cheap to clone; all clones are one log.
#[derive(Debug, Clone)]
pub struct LogBuffer {
    lines: Arc<Mutex<VecDeque<String>>>,
    max_lines: usize,
}

impl LogBuffer {
    /// Keeps the last `max_lines` lines, each up to 2,000 bytes.
    pub fn new(max_lines: usize) -> Self {
        Self {
            lines: Arc::default(),
            max_lines: max_lines.max(1),
        }
    }

    /// Adds a line; the oldest goes when there are too many.
    pub fn push(&self, line: impl Into<String>) {
        let mut line = line.into();
        if line.len() > MAX_LINE_BYTES {
            line.truncate(line.floor_char_boundary(MAX_LINE_BYTES));
            line.push('…');
        }
        let mut lines = self.lock();
        if lines.len() == self.max_lines {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// The last `count` lines, oldest first.
    pub fn tail(&self, count: usize) -> Vec<String> {
        let lines = self.lock();
        lines
            .iter()
            .skip(lines.len().saturating_sub(count))
            .cloned()
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what `reader` says, line by line, until it ends. A carriage return
    /// ends a line too, so that progress bars are lines.
    pub(crate) async fn follow(self, mut reader: impl AsyncRead + Unpin) {
        let mut splitter = LineSplitter::default();
        let mut chunk = vec![0; 8 * 1024];
        while let Ok(count) = reader.read(&mut chunk).await {
            if count == 0 {
                break;
            }
            splitter.feed(&chunk[..count], |line| self.push(line));
        }
        splitter.finish(|line| self.push(line));
    }
}

/// Splits bytes into lines without keeping more than one cut line.
#[derive(Debug, Default)]
struct LineSplitter {
    partial: Vec<u8>,
}

impl LineSplitter {
    fn feed(&mut self, bytes: &[u8], mut emit: impl FnMut(String)) {
        for &byte in bytes {
            if byte == b'\n' || byte == b'\r' {
                self.finish(&mut emit);
            } else if self.partial.len() <= MAX_LINE_BYTES {
                self.partial.push(byte);
            }
        }
    }

    fn finish(&mut self, mut emit: impl FnMut(String)) {
        if !self.partial.is_empty() {
            emit(String::from_utf8_lossy(&self.partial).trim_end().to_owned());
            self.partial.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_split_kept_last_and_cut() {
        let log = LogBuffer::new(3);
        let long = "é".repeat(3_000);
        let text = format!("one\ntwo\r\n50%\r100%\n{long}\nlast without end");
        log.clone().follow(text.as_bytes()).await;
        let lines = log.tail(10);
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0], "100%");
        assert!(
            lines[1].len() <= MAX_LINE_BYTES + '…'.len_utf8(),
            "{}",
            lines[1].len()
        );
        assert_eq!(lines[2], "last without end");
        assert_eq!(log.tail(1), ["last without end"]);
    }
}
