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
    kept: Arc<Mutex<Kept>>,
    max_lines: usize,
}

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<String>,
    /// Lines ever added.
    added: usize,
}

impl LogBuffer {
    /// Keeps the last `max_lines` lines, each up to 2,000 bytes.
    pub fn new(max_lines: usize) -> Self {
        Self {
            kept: Arc::default(),
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
        let mut kept = self.lock();
        if kept.lines.len() == self.max_lines {
            kept.lines.pop_front();
        }
        kept.lines.push_back(line);
        kept.added += 1;
    }

    /// The last `count` lines, oldest first.
    pub fn tail(&self, count: usize) -> Vec<String> {
        let lines = &self.lock().lines;
        lines
            .iter()
            .skip(lines.len().saturating_sub(count))
            .cloned()
            .collect()
    }

    /// How many lines were ever added: a place to which [`Self::since`] goes back.
    pub fn mark(&self) -> usize {
        self.lock().added
    }

    /// The lines added since a mark, as far as they are still kept.
    pub fn since(&self, mark: usize) -> Vec<String> {
        let added = self.lock().added;
        self.tail(added.saturating_sub(mark))
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mark = log.mark();
        assert!(log.since(mark).is_empty());
        log.push("one more");
        assert_eq!(log.since(mark), ["one more"]);
        assert_eq!(log.since(0).len(), 3);
    }
}
