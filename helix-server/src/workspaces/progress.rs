//! How far git is, read from what it writes to its error output. Pure.

/// How far git is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// What it does, in its own words, such as `Receiving objects`.
    pub what: String,
    /// How much of that is done, where it says so: 0 to 100.
    pub percent: Option<u8>,
}

/// The longest line that is looked at, and the longest word for what git does.
const LINE: usize = 4 << 10;
const WHAT: usize = 100;

/// Reads what comes in parts.
#[derive(Debug, Default)]
pub(super) struct Parser {
    line: String,
    last: Option<Progress>,
}

impl Parser {
    /// Takes the next part; what is new in it.
    pub(super) fn push(&mut self, said: &str) -> Vec<Progress> {
        let mut news = Vec::new();
        for char in said.chars() {
            if matches!(char, '\n' | '\r') {
                let line = std::mem::take(&mut self.line);
                if let Some(progress) = read(&line)
                    && self.last.as_ref() != Some(&progress)
                {
                    self.last = Some(progress.clone());
                    news.push(progress);
                }
            } else if self.line.len() < LINE {
                self.line.push(char);
            }
        }
        news
    }
}

/// `Receiving objects:  42% (42/100), 1.20 MiB | 2.00 MiB/s`.
fn read(line: &str) -> Option<Progress> {
    let line = line.trim();
    let line = line.strip_prefix("remote:").unwrap_or(line).trim();
    let (what, rest) = line.split_once(':')?;
    let counts = rest.trim_start();
    if !counts.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let number = counts
        .split('%')
        .next()
        .filter(|it| it.len() < counts.len());
    let percent = number.and_then(|it| it.trim().parse::<u8>().ok());
    let what = what.chars().filter(|it| !it.is_control()).take(WHAT);
    Some(Progress {
        what: what.collect(),
        percent: percent.map(|it| it.min(100)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(parts: &[&str]) -> Vec<(String, Option<u8>)> {
        let mut parser = Parser::default();
        let all = parts.iter().flat_map(|part| parser.push(part));
        all.map(|it| (it.what, it.percent)).collect()
    }

    #[test]
    fn each_step_is_told_once_however_it_comes() {
        let said = heard(&[
            "Cloning into 'x'...\nremote: Counting objects: 50",
            "% (1/2)\rremote: Counting objects: 100% (2/2), done.\nReceiving objects:   7% (1/14), 1 MiB | 2 MiB/s\r",
            "Receiving objects:   7% (1/14), 2 MiB | 2 MiB/s\rUnpacking: 12\r\nfatal: no\n",
        ]);
        let want = [
            ("Counting objects", Some(50)),
            ("Counting objects", Some(100)),
            ("Receiving objects", Some(7)),
            ("Unpacking", None),
        ];
        assert_eq!(said, want.map(|(what, percent)| (what.to_owned(), percent)));
    }

    #[test]
    fn a_line_without_end_is_bounded() {
        let mut parser = Parser::default();
        for _ in 0..100 {
            assert!(parser.push(&"x".repeat(10_000)).is_empty());
        }
        assert!(parser.line.len() <= LINE);
    }
}
