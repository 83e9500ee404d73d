//! The newest lines that a service wrote.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use helix_proto::sandbox::{SandboxLog, SandboxLogLine};

/// Lines that are kept.
const MOST_LINES: usize = 1_000;
/// Bytes of a line that are kept.
const LONGEST_LINE: usize = 2_048;

/// The newest lines, of bounded length.
#[derive(Debug)]
pub(super) struct Log {
    source: &'static str,
    lines: Mutex<VecDeque<SandboxLogLine>>,
}

impl Log {
    pub(super) const fn new(source: &'static str) -> Self {
        Self {
            source,
            lines: Mutex::new(VecDeque::new()),
        }
    }

    pub(super) fn add(&self, at_ms: u64, text: &str) {
        let end = text.floor_char_boundary(LONGEST_LINE.min(text.len()));
        let line = SandboxLogLine {
            at_ms,
            source: self.source.to_owned(),
            text: text[..end].to_owned(),
        };
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == MOST_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    pub(super) fn tail(&self, lines: usize) -> SandboxLog {
        let kept = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let skipped = kept.len().saturating_sub(lines);
        SandboxLog {
            lines: kept.iter().skip(skipped).cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_are_kept_and_long_ones_are_cut_between_characters() {
        let log = Log::new("docker");
        for number in 0..1_500 {
            log.add(number, &number.to_string());
        }
        log.add(1_500, &"é".repeat(3_000));
        let all = log.tail(usize::MAX).lines;
        assert_eq!(all.len(), 1_000);
        assert_eq!(all[0].text, "501");
        assert_eq!(log.tail(1).lines[0].text, "é".repeat(1_024));
    }
}
