//! The newest bytes of a terminal, numbered from its start.

use std::collections::VecDeque;

/// Bytes of a stream: the last so many of them.
#[derive(Debug)]
pub(crate) struct Ring {
    bytes: VecDeque<u8>,
    limit: usize,
    end: u64,
}

/// What a reader asked for is no longer kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

impl Ring {
    pub(crate) const fn new(limit: usize) -> Self {
        Self {
            bytes: VecDeque::new(),
            limit,
            end: 0,
        }
    }

    /// The number of the byte that comes next.
    pub(crate) const fn end(&self) -> u64 {
        self.end
    }

    /// The number of the oldest byte that is kept.
    pub(crate) fn start(&self) -> u64 {
        self.end - self.bytes.len() as u64
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.end += bytes.len() as u64;
        let kept = &bytes[bytes.len().saturating_sub(self.limit)..];
        let over = (self.bytes.len() + kept.len()).saturating_sub(self.limit);
        self.bytes.drain(..over.min(self.bytes.len()));
        self.bytes.extend(kept);
    }

    /// Up to `most` bytes from number `from` on; none where `from` is the end or beyond.
    pub(crate) fn read(&self, from: u64, most: usize) -> Result<Vec<u8>, Gone> {
        let at = from.checked_sub(self.start()).ok_or(Gone)?;
        let at = usize::try_from(at)
            .unwrap_or(usize::MAX)
            .min(self.bytes.len());
        let to = at.saturating_add(most).min(self.bytes.len());
        Ok(self.bytes.range(at..to).copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_tail_of_everything_written(
            writes in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20),
            from in 0_u64..400,
            most in 0_usize..50,
        ) {
            let mut ring = Ring::new(64);
            let mut all: Vec<u8> = Vec::new();
            for bytes in writes {
                ring.push(&bytes);
                all.extend(&bytes);
                let start = all.len().saturating_sub(64);
                prop_assert_eq!((ring.start(), ring.end()), (start as u64, all.len() as u64));
                let at = from as usize;
                let wanted = if at < start {
                    Err(Gone)
                } else {
                    let at = at.min(all.len());
                    Ok(all[at..(at + most).min(all.len())].to_vec())
                };
                prop_assert_eq!(ring.read(from, most), wanted);
            }
        }
    }

    #[test]
    fn a_write_larger_than_the_ring_leaves_its_end() {
        let mut ring = Ring::new(4);
        ring.push(b"ab");
        ring.push(b"0123456789");
        assert_eq!((ring.start(), ring.read(8, 9)), (8, Ok(b"6789".to_vec())));
    }
}
