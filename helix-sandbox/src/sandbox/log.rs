//! The newest lines of a sandbox's log.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use helix_proto::sandbox::SandboxLogLine;

/// So many lines are kept.
pub(super) const LINES: usize = 500;

/// A longer line is cut.
pub(super) const LINE_BYTES: usize = 4096;

#[derive(Debug, Default)]
pub(crate) struct Log {
    lines: Mutex<VecDeque<SandboxLogLine>>,
}

impl Log {
    pub(crate) fn push(&self, source: &str, mut text: String, at_ms: u64) {
        text.truncate(text.floor_char_boundary(LINE_BYTES));
        let source = source.to_owned();
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back(SandboxLogLine {
            at_ms,
            source,
            text,
        });
    }

    pub(crate) fn tail(&self, lines: usize) -> Vec<SandboxLogLine> {
        let kept = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter()
            .skip(kept.len().saturating_sub(lines))
            .cloned()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_are_kept_and_long_ones_cut() {
        let log = Log::default();
        for line in 0..600 {
            log.push("host", format!("line {line}"), line);
        }
        log.push("host", "é".repeat(LINE_BYTES), 600);
        let tail = log.tail(2);
        assert_eq!((tail[0].text.as_str(), tail[0].at_ms), ("line 599", 599));
        assert_eq!(tail[1].text.len(), LINE_BYTES);
        assert_eq!(log.tail(usize::MAX).len(), LINES);
    }
}
