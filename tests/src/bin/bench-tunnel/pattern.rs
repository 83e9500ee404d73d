//! Bytes of which each says where it belongs.

use std::sync::LazyLock;

use anyhow::ensure;
use bytes::Bytes;

/// What is sent at a time.
pub(crate) const CHUNK: usize = 64 << 10;

/// Noise (xorshift64): nothing on the way may profit from bytes that are alike.
static NOISE: LazyLock<[u8; CHUNK]> = LazyLock::new(|| {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::array::from_fn(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    })
});

/// A chunk for those who only count.
pub(crate) fn chunk() -> Bytes {
    Bytes::from_static(&*NOISE)
}

/// The chunk that begins at `index * CHUNK`, of which no other chunk is a copy, cut off
/// where the transfer of `total` bytes ends. Empty beyond it.
pub(crate) fn numbered(index: u64, total: u64) -> Bytes {
    let left = total.saturating_sub(index * CHUNK as u64);
    let mut bytes = NOISE.to_vec();
    bytes[..8].copy_from_slice(&index.to_le_bytes());
    bytes.truncate(usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK)));
    bytes.into()
}

/// Compares a transfer, byte by byte, with what must have been sent.
#[derive(Debug)]
pub(crate) struct Expected {
    total: u64,
    at: u64,
    chunk: Bytes,
}

impl Expected {
    pub(crate) fn new(total: u64) -> Self {
        Self {
            total,
            at: 0,
            chunk: numbered(0, total),
        }
    }

    /// What comes next.
    pub(crate) fn check(&mut self, mut bytes: &[u8]) -> anyhow::Result<()> {
        while !bytes.is_empty() {
            let within = usize::try_from(self.at % CHUNK as u64)?;
            let expected = self.chunk.get(within..).unwrap_or_default();
            let length = expected.len().min(bytes.len());
            ensure!(length > 0, "more than {} bytes came", self.total);
            ensure!(
                expected[..length] == bytes[..length],
                "other bytes came than were sent, at {} of {}",
                self.at,
                self.total
            );
            bytes = &bytes[length..];
            self.at += length as u64;
            if self.at.is_multiple_of(CHUNK as u64) {
                self.chunk = numbered(self.at / CHUNK as u64, self.total);
            }
        }
        Ok(())
    }

    /// Whether all of it came.
    pub(crate) const fn is_complete(&self) -> bool {
        self.at == self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(total: u64) -> Vec<u8> {
        let chunks = (0..=total / CHUNK as u64).map(|index| numbered(index, total));
        chunks.flat_map(Vec::from).collect()
    }

    #[test]
    fn a_transfer_is_complete_however_it_is_cut() {
        let total = 3 * CHUNK as u64 + 77;
        let mut expected = Expected::new(total);
        for part in sent(total).chunks(1_000) {
            assert!(!expected.is_complete());
            expected.check(part).unwrap();
        }
        assert!(expected.is_complete());
        assert!(expected.check(b"more").is_err());
    }

    #[test]
    fn a_chunk_that_is_missing_or_comes_twice_is_noticed() {
        let all = sent(3 * CHUNK as u64);
        let check = |parts: &[&[u8]]| {
            let mut expected = Expected::new(all.len() as u64);
            parts.iter().try_for_each(|part| expected.check(part))
        };
        assert!(check(&[&all]).is_ok());
        assert!(check(&[&all[..CHUNK], &all[2 * CHUNK..]]).is_err());
        assert!(check(&[&all[..CHUNK], &all]).is_err());
    }
}
