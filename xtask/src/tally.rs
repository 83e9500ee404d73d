//! How many tests ran, from the runners' own summary lines, and what they said
//! they skipped.

use std::fmt;

/// The most lines of a failed test that are said again at the end.
const LINES: usize = 12;

/// Tests counted so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Ran and held.
    pub(crate) passed: u64,
    /// Ran and did not hold.
    pub(crate) failed: u64,
    /// Did not run, or said that the machine lacks what they need.
    pub(crate) skipped: u64,
    /// What the failed ones of Rust's said, each from its name on: the beginning.
    pub(crate) failures: Vec<Vec<String>>,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failure in &self.failures {
            for line in failure {
                writeln!(f, "{line}")?;
            }
            writeln!(f)?;
        }
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

/// Reads the output of one test program, line by line.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    counted: Tally,
    said_skipped: u64,
    /// Within the output of tests that passed, which is shown only where a test
    /// says that it skipped something.
    hushed: bool,
    /// Within what failed tests said.
    telling: bool,
    /// And there within a backtrace, which is long and says little.
    tracing: bool,
}

impl Reader {
    /// Takes a line in; says whether it is worth showing.
    pub(crate) fn line(&mut self, line: &str) -> bool {
        let line = line.trim();
        if line == "successes:" {
            self.hushed = true;
        } else if line == "failures:" || line.starts_with("test result:") {
            self.hushed = false;
            // The second time, libtest lists the names alone.
            self.telling = line == "failures:" && self.counted.failures.is_empty();
        } else if self.telling {
            self.tell(line);
        }
        if line.starts_with("skipped:") {
            self.said_skipped += 1;
            return true;
        }
        self.summary(line);
        !self.hushed
    }

    /// What was counted.
    pub(crate) fn tally(self) -> Tally {
        // libtest counts a test that skipped what it is for as passed.
        Tally {
            passed: self.counted.passed.saturating_sub(self.said_skipped),
            failed: self.counted.failed,
            skipped: self.counted.skipped + self.said_skipped,
            failures: self.counted.failures,
        }
    }

    fn tell(&mut self, line: &str) {
        let failures = &mut self.counted.failures;
        if line.starts_with("---- ") {
            self.tracing = false;
            failures.push(vec![line.to_owned()]);
        } else if line == "stack backtrace:" {
            self.tracing = true;
        } else if !self.tracing
            && let Some(failure) = failures.last_mut()
            && failure.len() <= LINES
            && !line.is_empty()
        {
            failure.push(line.to_owned());
        }
    }

    fn summary(&mut self, line: &str) {
        // libtest and vitest sum up in one line, Playwright in a line for each
        // outcome, with nothing else in it but the time.
        let counts = match (
            line.strip_prefix("test result:"),
            line.strip_prefix("Tests "),
        ) {
            (Some(counts), _) | (_, Some(counts)) => counts,
            _ if line.starts_with(|first: char| first.is_ascii_digit()) => line,
            _ => return,
        };
        let words: Vec<_> = counts
            .split([' ', ';', '|', '.'])
            .filter(|word| !word.is_empty())
            .collect();
        for pair in words.windows(2) {
            let Ok(count) = pair[0].parse::<u64>() else {
                continue;
            };
            match pair[1] {
                "passed" | "flaky" => self.counted.passed += count,
                "failed" => self.counted.failed += count,
                "ignored" | "skipped" | "did" => self.counted.skipped += count,
                _ => {}
            }
        }
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.failures.extend(other.failures);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Tally, Vec<&str>) {
        let mut reader = Reader::default();
        let shown = text.lines().filter(|line| reader.line(line)).collect();
        (reader.tally(), shown)
    }

    #[test]
    fn a_test_that_says_it_skipped_is_not_counted_as_passed() {
        let (tally, shown) = read(
            "running 3 tests\ntest a ... ok\n\nsuccesses:\n\n---- a stdout ----\nnoise\n\
             skipped: no GPU on this machine\n\nsuccesses:\n    a\n\n\
             test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1.20s",
        );
        assert_eq!(
            tally,
            Tally {
                passed: 2,
                failed: 0,
                skipped: 2,
                failures: Vec::new(),
            }
        );
        assert!(shown.contains(&"skipped: no GPU on this machine"));
        assert!(!shown.contains(&"noise"));
    }

    #[test]
    fn what_a_failed_test_said_is_shown() {
        let (tally, shown) = read(
            "successes:\n\n---- a stdout ----\nnoise\n\nfailures:\n\n---- b stdout ----\npanicked\nstack backtrace:\n0: main\n\n\
             failures:\n    b\n\n\
             test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        );
        assert_eq!(
            tally,
            Tally {
                passed: 1,
                failed: 1,
                skipped: 0,
                failures: vec![vec!["---- b stdout ----".to_owned(), "panicked".to_owned()]],
            }
        );
        assert!(shown.contains(&"panicked"));
        assert!(!shown.contains(&"noise"));
    }

    #[test]
    fn vitest_and_playwright_are_understood() {
        let vitest =
            " Test Files  4 passed (4)\n      Tests  1 failed | 17 passed | 2 skipped (20)\n";
        assert_eq!(
            read(vitest).0,
            Tally {
                passed: 17,
                failed: 1,
                skipped: 2,
                failures: Vec::new(),
            }
        );
        let playwright = "Running 9 tests using 1 worker\n  1 failed\n    [chromium] › x.spec.ts\n  1 did not run\n  7 passed (12.3s)\n";
        assert_eq!(
            read(playwright).0,
            Tally {
                passed: 7,
                failed: 1,
                skipped: 1,
                failures: Vec::new(),
            }
        );
    }
}
