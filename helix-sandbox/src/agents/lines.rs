//! An agent's output as lines, each with its place: what was read up to one is not read again,
//! whichever host reads.
//!
//! A place is the event of the program in which a line ends, and which of the ends in that event
//! it is. Events that were read once stay as they are.

/// Bits of a place for the end within an event: no event has so many bytes.
const WITHIN: u32 = 20;

/// No line is longer: a file that is written, as JSON.
const LONGEST: usize = 32 << 20;

/// A line beyond all bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLong;

/// The reader.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The beginning of a line.
    part: Vec<u8>,
    /// Lines that end here or before were read.
    from: u64,
}

/// The event after which to read on from a place.
pub(super) const fn event_before(place: u64) -> u64 {
    (place >> WITHIN).saturating_sub(1)
}

impl Lines {
    /// Reads on after a place, from the first event after [`event_before`] it.
    pub(super) const fn after(place: u64) -> Self {
        Self {
            part: Vec::new(),
            from: place,
        }
    }

    /// The lines that end in an event's output, with their places.
    pub(super) fn read(
        &mut self,
        event: u64,
        output: &[u8],
    ) -> Result<Vec<(u64, String)>, TooLong> {
        let mut lines = Vec::new();
        let mut place = event << WITHIN;
        let mut rest = output;
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            place += 1;
            self.part.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            let line = std::mem::take(&mut self.part);
            if place > self.from {
                lines.push((place, String::from_utf8_lossy(&line).into_owned()));
            }
        }
        self.part.extend_from_slice(rest);
        if self.part.len() > LONGEST {
            return Err(TooLong);
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn reading_on_from_any_line_reads_exactly_the_lines_after_it(
            text in "[ab\n]{0,80}", cuts in prop::collection::vec(1_usize..9, 0..40), stop in 0_usize..40,
        ) {
            let mut events = Vec::new();
            let mut rest = text.as_bytes();
            for cut in cuts {
                let (event, after) = rest.split_at(cut.min(rest.len()));
                events.push(event);
                rest = after;
            }
            events.push(rest);
            let numbered = || (2_u64..).zip(&events);
            let mut all = Vec::new();
            let mut lines = Lines::default();
            for (seq, event) in numbered() {
                all.extend(lines.read(seq, event).unwrap());
            }
            let whole: Vec<_> = all.iter().map(|(_, line)| line.as_str()).collect();
            let ended = text.rsplit_once('\n').map_or("", |(ended, _)| ended);
            let expected: Vec<_> = if text.contains('\n') { ended.split('\n').collect() } else { Vec::new() };
            prop_assert_eq!(whole, expected);
            let Some((place, _)) = all.get(stop) else { return Ok(()) };
            let mut again = Vec::new();
            let mut lines = Lines::after(*place);
            for (seq, event) in numbered().filter(|(seq, _)| *seq > event_before(*place)) {
                again.extend(lines.read(seq, event).unwrap());
            }
            prop_assert_eq!(&again, &all[stop + 1..]);
        }
    }
}
