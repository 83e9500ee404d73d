//! When to cut, and how long nothing came through afterwards.

use std::time::Instant;

/// After a cut, a connection carries again when so much came through: more than a
/// handshake.
const CARRIES_AGAIN: u64 = 16 << 10;

/// A plan of cuts, and what became of it.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    every: u64,
    left: u32,
    /// Since the last cut was over.
    carried: u64,
    /// The last cut, and the first connection after it, until that carries.
    open: Option<(Instant, u64)>,
    gaps: Vec<f64>,
}

impl Cuts {
    pub(super) fn planned(every: u64, times: u32) -> Self {
        Self {
            every,
            left: times,
            ..Self::default()
        }
    }

    /// Notes bytes on a connection; whether to cut all connections now. `next` is the
    /// number that the next new connection will have.
    pub(super) fn carried(&mut self, number: u64, bytes: usize, next: u64, now: Instant) -> bool {
        if let Some((cut, first)) = self.open {
            if number < first {
                return false;
            }
            self.carried += bytes as u64;
            if self.carried >= CARRIES_AGAIN {
                self.gaps.push((now - cut).as_secs_f64());
                self.open = None;
                self.carried = 0;
            }
            return false;
        }
        self.carried += bytes as u64;
        if self.left == 0 || self.carried < self.every {
            return false;
        }
        self.left -= 1;
        self.carried = 0;
        self.open = Some((now, next));
        true
    }

    /// Seconds from each cut until bytes came through again.
    pub(super) fn gaps(&self) -> &[f64] {
        &self.gaps
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_gap_lasts_from_the_cut_until_a_new_connection_carries() {
        let start = crate::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut cuts = Cuts::planned(100, 2);
        assert!(!cuts.carried(0, 99, 1, at(0)));
        assert!(cuts.carried(0, 1, 1, at(1)));
        // What was still on the way, and a handshake.
        assert!(!cuts.carried(0, 1 << 20, 1, at(2)));
        assert!(!cuts.carried(1, 500, 2, at(3)));
        assert!(cuts.gaps().is_empty());
        assert!(!cuts.carried(1, 16 << 10, 2, at(11)));
        assert_eq!(cuts.gaps(), [0.010]);
        assert!(cuts.carried(1, 100, 2, at(12)));
        assert!(!cuts.carried(2, 16 << 10, 3, at(13)));
        assert!(
            !cuts.carried(2, 1 << 20, 3, at(14)),
            "there was a third cut"
        );
    }
}
