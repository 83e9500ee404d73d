//! H.264's sequence parameters, so that decoders hold nothing back.
//!
//! A decoder that is not told otherwise expects pictures out of order, and shows each only when
//! as many more have come as its buffer holds. `max_num_reorder_frames` 0 and
//! `max_dec_frame_buffering` no more than the references tell it (ITU-T H.264, E.2.1). Software
//! says so by itself; hardware often does not.

use bytes::Bytes;

/// The NAL units of Annex B, without their start codes.
pub(super) fn units(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = after_start(stream);
    std::iter::from_fn(move || {
        let unit = rest?;
        let end = unit.windows(3).position(|bytes| bytes == [0, 0, 1]);
        rest = end.map(|end| &unit[end + 3..]);
        let unit = &unit[..end.unwrap_or(unit.len())];
        // Zeros before the next start code are not the unit's.
        let last = unit.iter().rposition(|byte| *byte != 0)?;
        Some(&unit[..=last])
    })
}

fn after_start(stream: &[u8]) -> Option<&[u8]> {
    let start = stream.windows(3).position(|bytes| bytes == [0, 0, 1])?;
    Some(&stream[start + 3..])
}

/// Without the bytes that keep start codes out of a unit (7.4.1).
pub(super) fn unescaped(unit: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(unit.len());
    let mut zeros = 0;
    for byte in unit {
        if zeros >= 2 && *byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        out.push(*byte);
    }
    out
}

fn escaped(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 4);
    let mut zeros = 0;
    for byte in bytes {
        if zeros >= 2 && *byte <= 3 {
            out.push(3);
            zeros = 0;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        out.push(*byte);
    }
    out
}

/// The picture, with sequence parameters that tell decoders to hold nothing back. What cannot
/// be read is left as it is.
pub(super) fn hold_nothing_back(picture: &[u8]) -> Bytes {
    let is_sequence = |unit: &[u8]| unit.first().is_some_and(|first| first & 31 == 7);
    let mut rewritten = units(picture)
        .filter(|unit| is_sequence(unit))
        .filter_map(rewrite)
        .peekable();
    if rewritten.peek().is_none() {
        return Bytes::copy_from_slice(picture);
    }
    drop(rewritten);
    let mut out = Vec::with_capacity(picture.len() + 16);
    for unit in units(picture) {
        out.extend([0, 0, 0, 1]);
        match is_sequence(unit).then(|| rewrite(unit)).flatten() {
            Some(sequence) => out.extend(sequence),
            None => out.extend(unit),
        }
    }
    out.into()
}

/// A unit of sequence parameters as it should be; none where it is, or cannot be read.
fn rewrite(unit: &[u8]) -> Option<Vec<u8>> {
    let bytes = unescaped(unit);
    let mut bits = Bits {
        bytes: &bytes,
        at: 8,
    };
    let sequence = sequence(&mut bits)?;
    let frames = sequence.references.max(1);
    if sequence
        .restriction
        .is_some_and(|(reorder, held)| reorder == 0 && held <= frames)
    {
        return None;
    }
    let mut out = Out::default();
    out.copy(&bytes, sequence.before);
    if sequence.lacks_usability {
        // There is some, and none of it but the last is there: aspect ratio, overscan, signal,
        // chroma, timing, both kinds of reference decoders, picture structure.
        out.bit(true);
        (0..8).for_each(|_| out.bit(false));
    }
    out.bit(true);
    // Motion vectors over the edge; no bounds of bytes and bits; the longest vectors.
    out.bit(true);
    for value in [0, 0, 15, 15, 0, frames] {
        out.unsigned(value);
    }
    // The end of the parameters (7.3.2.11).
    out.bit(true);
    Some(escaped(&out.bytes))
}

/// What matters of the sequence's parameters.
struct Sequence {
    references: u32,
    /// How many bits come before the restriction's flag, or before that of usability where
    /// that is not there.
    before: usize,
    lacks_usability: bool,
    /// How many pictures come out of order, and how many are held.
    restriction: Option<(u32, u32)>,
}

/// 7.3.2.1.1. None for scaling matrices, which no encoder of ours writes.
fn sequence(bits: &mut Bits<'_>) -> Option<Sequence> {
    let profile = bits.number(8)?;
    bits.number(16)?;
    bits.unsigned()?;
    if matches!(
        profile,
        100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135
    ) {
        if bits.unsigned()? == 3 {
            bits.bit()?;
        }
        bits.unsigned()?;
        bits.unsigned()?;
        bits.bit()?;
        if bits.bit()? {
            return None;
        }
    }
    bits.unsigned()?;
    match bits.unsigned()? {
        0 => {
            bits.unsigned()?;
        }
        1 => {
            bits.bit()?;
            bits.unsigned()?;
            bits.unsigned()?;
            for _ in 0..bits.unsigned()?.min(255) {
                bits.unsigned()?;
            }
        }
        _ => {}
    }
    let references = bits.unsigned()?;
    bits.bit()?;
    bits.unsigned()?;
    bits.unsigned()?;
    if !bits.bit()? {
        bits.bit()?;
    }
    bits.bit()?;
    if bits.bit()? {
        for _ in 0..4 {
            bits.unsigned()?;
        }
    }
    let before = bits.at;
    if !bits.bit()? {
        return Some(Sequence {
            references,
            before,
            lacks_usability: true,
            restriction: None,
        });
    }
    usability(bits)?;
    let before = bits.at;
    let restriction = if bits.bit()? {
        bits.bit()?;
        for _ in 0..4 {
            bits.unsigned()?;
        }
        Some((bits.unsigned()?, bits.unsigned()?))
    } else {
        None
    };
    Some(Sequence {
        references,
        before,
        lacks_usability: false,
        restriction,
    })
}

/// E.1.1, up to the restriction's flag.
fn usability(bits: &mut Bits<'_>) -> Option<()> {
    if bits.bit()? && bits.number(8)? == 255 {
        bits.number(32)?;
    }
    if bits.bit()? {
        bits.bit()?;
    }
    if bits.bit()? {
        bits.number(4)?;
        if bits.bit()? {
            bits.number(24)?;
        }
    }
    if bits.bit()? {
        bits.unsigned()?;
        bits.unsigned()?;
    }
    if bits.bit()? {
        bits.number(32)?;
        bits.number(32)?;
        bits.bit()?;
    }
    let mut any = false;
    for _ in 0..2 {
        if bits.bit()? {
            any = true;
            let count = bits.unsigned()?.min(31);
            bits.number(8)?;
            for _ in 0..=count {
                bits.unsigned()?;
                bits.unsigned()?;
                bits.bit()?;
            }
            bits.number(20)?;
        }
    }
    if any {
        bits.bit()?;
    }
    bits.bit()?;
    Some(())
}

/// Reads bits from the highest on.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn bit(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    fn number(&mut self, bits: u32) -> Option<u32> {
        let mut number = 0;
        for _ in 0..bits {
            number = number << 1 | u32::from(self.bit()?);
        }
        Some(number)
    }

    /// Exponential Golomb (9.1). A signed one is as long.
    fn unsigned(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.bit()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1 << zeros) - 1 + self.number(zeros)?)
    }
}

/// Writes bits from the highest on.
#[derive(Default)]
struct Out {
    bytes: Vec<u8>,
    bits: usize,
}

impl Out {
    fn bit(&mut self, bit: bool) {
        if self.bits.is_multiple_of(8) {
            self.bytes.push(0);
        }
        if let Some(last) = self.bytes.last_mut() {
            *last |= u8::from(bit) << (7 - self.bits % 8);
        }
        self.bits += 1;
    }

    fn copy(&mut self, bytes: &[u8], bits: usize) {
        for at in 0..bits {
            self.bit(bytes[at / 8] >> (7 - at % 8) & 1 == 1);
        }
    }

    fn unsigned(&mut self, value: u32) {
        let length = (value + 1).ilog2();
        (0..length).for_each(|_| self.bit(false));
        for at in (0..=length).rev() {
            self.bit((value + 1) >> at & 1 == 1);
        }
    }
}

/// What a picture's sequence parameters say of reordering and holding.
#[cfg(test)]
pub(super) fn restriction(picture: &[u8]) -> Option<(u32, u32)> {
    let unit = units(picture).find(|unit| unit[0] & 31 == 7)?;
    let bytes = unescaped(unit);
    sequence(&mut Bits {
        bytes: &bytes,
        at: 8,
    })?
    .restriction
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Baseline, 1280 by 720, with one reference and no usability.
    fn plain() -> Vec<u8> {
        let mut out = Out::default();
        out.copy(&[0x67, 66, 0xc0, 31], 32);
        for value in [0, 0, 2, 1] {
            out.unsigned(value);
        }
        out.bit(false);
        out.unsigned(79);
        out.unsigned(44);
        for bit in [true, true, false, false] {
            out.bit(bit);
        }
        out.bit(true);
        out.bytes
    }

    fn stream(units: &[&[u8]]) -> Vec<u8> {
        units
            .iter()
            .flat_map(|unit| [&[0, 0, 0, 1], *unit].concat())
            .collect()
    }

    #[test]
    fn parameters_that_say_nothing_say_it_then_and_the_rest_stays() {
        let (sequence, picture) = (plain(), [0x65, 1, 2, 3]);
        let before = stream(&[&sequence, &[0x68, 9], &picture]);
        assert_eq!(restriction(&before), None);
        let after = hold_nothing_back(&before);
        assert_eq!(restriction(&after), Some((0, 1)));
        let got: Vec<_> = units(&after).skip(1).collect();
        assert_eq!(got, [&[0x68, 9][..], &picture]);
        // It is as it should be, and is not touched again.
        assert_eq!(hold_nothing_back(&after), after);
    }

    #[test]
    fn escapes_come_and_go() {
        let bytes = [0, 0, 0, 0, 0, 1, 0, 0, 3, 0, 0, 2, 7];
        assert_eq!(unescaped(&escaped(&bytes)), bytes);
        assert_eq!(units(&escaped(&bytes)).count(), 0);
    }

    proptest! {
        #[test]
        fn whatever_an_encoder_says_is_kept_or_rewritten(
            mut bytes in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            let before = stream(&[&plain()]);
            let at = bytes.len() / 2;
            bytes.splice(at..at, before);
            let after = hold_nothing_back(&bytes);
            prop_assert!(after.len() >= bytes.len().saturating_sub(80));
        }
    }
}
