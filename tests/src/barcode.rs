//! The clock that is on the screen while `cargo xtask bench stream` looks at it: cells of black
//! and white, the highest bit first, of the milliseconds since the epoch and bits that check
//! them.

/// Pixels of a cell's side.
pub const CELL: u16 = 16;
/// How many cells there are.
pub const BITS: u32 = 32;
/// How many are of the time: it begins again after 18 hours.
const CLOCK_BITS: u32 = 26;

/// Which cells are white at this time, the first of them the highest bit.
#[must_use]
pub const fn cells(now_ms: u64) -> u32 {
    let clock = (now_ms & ((1 << CLOCK_BITS) - 1)) as u32;
    clock << (BITS - CLOCK_BITS) | check(clock)
}

const fn check(clock: u32) -> u32 {
    (clock ^ clock >> 6 ^ clock >> 12 ^ clock >> 18 ^ clock >> 24 ^ 0b10_1010) & 63
}

/// When it was drawn, by a row of pixels over all of its cells, and how bright each is; none
/// where there is no clock.
#[must_use]
pub fn read(row: &[u8], now_ms: u64) -> Option<u64> {
    let cell = row.len() as f64 / f64::from(BITS);
    let value = (0..BITS).fold(0_u32, |value, bit| {
        let middle = ((f64::from(bit) + 0.5) * cell) as usize;
        value << 1 | u32::from(row.get(middle).is_some_and(|bright| *bright > 127))
    });
    let clock = value >> (BITS - CLOCK_BITS);
    if clock == 0 || cells(clock.into()) != value {
        return None;
    }
    let span = 1 << CLOCK_BITS;
    let age = (now_ms + span - u64::from(clock)) % span;
    Some(now_ms - age)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_drawn_is_read_and_nothing_else() {
        let now = 1_764_500_000_123;
        let row = |value: u32, width: usize| -> Vec<u8> {
            let bit = |at: usize| value >> (BITS as usize - 1 - at * BITS as usize / width) & 1;
            (0..width).map(|at| bit(at) as u8 * 200).collect()
        };
        for width in [512, 677, 300] {
            assert_eq!(read(&row(cells(now), width), now + 80), Some(now));
            assert_eq!(read(&row(cells(now) ^ 1 << 9, width), now), None);
        }
        assert_eq!(read(&[0; 512], now), None);
        assert_eq!(read(&[], now), None);
    }
}
