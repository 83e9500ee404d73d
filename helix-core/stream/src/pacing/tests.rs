use super::*;

#[expect(clippy::disallowed_methods, reason = "an arbitrary zero")]
fn pacing() -> (Pacing, Instant) {
    let now = Instant::now();
    (Pacing::new(Options::default(), now), now)
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn it_begins_with_a_key_frame_and_asks_for_it_once() {
    let (mut pacing, now) = pacing();
    assert!(pacing.needs_key());
    assert_eq!(pacing.verdict(now), Verdict::Send);
    pacing.sent(1, 50_000, true, now);
    assert!(!pacing.needs_key());
}

#[test]
fn a_viewer_that_paints_nothing_is_sent_a_window_and_after_the_patience_nothing() {
    let (mut pacing, now) = pacing();
    let mut sequence = 0;
    while pacing.verdict(now) == Verdict::Send {
        sequence += 1;
        pacing.sent(sequence, 10_000, sequence == 1, now);
    }
    assert!(pacing.on_its_way() <= 100_000, "{}", pacing.on_its_way());
    assert_eq!(pacing.wake(), Some(now + ms(1_000)));
    assert_eq!(pacing.verdict(now + ms(999)), Verdict::Hold);
    assert_eq!(pacing.verdict(now + ms(1_000)), Verdict::Skip);
    assert_eq!(pacing.verdict(now + ms(3_600_000)), Verdict::Skip);
    assert!(pacing.is_behind());
    assert_eq!(pacing.wake(), None);
}

#[test]
fn one_that_fell_behind_recovers_when_it_has_painted_all_it_has() {
    let (mut pacing, now) = pacing();
    pacing.sent(1, 10_000, true, now);
    pacing.sent(2, 10_000, false, now);
    let late = now + ms(3_000);
    assert_eq!(pacing.verdict(late), Verdict::Skip);
    pacing.painted(1, 0, late);
    assert_eq!(pacing.verdict(late), Verdict::Skip);
    pacing.painted(2, 0, late);
    assert_eq!(pacing.verdict(late), Verdict::Send);
    assert!(pacing.needs_key());
}

#[test]
fn recoveries_come_ever_more_seldom() {
    let (mut pacing, mut now) = pacing();
    let mut sequence = 0;
    let mut keys = Vec::new();
    let start = now;
    while now < start + ms(60_000) {
        if pacing.verdict(now) == Verdict::Send && pacing.needs_key() {
            sequence += 1;
            keys.push(now);
            pacing.sent(sequence, 10_000, true, now);
        }
        // Painted a little too late, each time.
        now += ms(10);
        if let Some(last) = keys.last()
            && now >= *last + ms(1_200)
        {
            pacing.painted(sequence, 0, now);
        }
    }
    assert!(
        (8..14).contains(&keys.len()),
        "{} key frames in a minute",
        keys.len()
    );
    let last = keys[keys.len() - 1] - keys[keys.len() - 2];
    assert!(last >= ms(7_900), "{last:?}");
}

#[test]
fn a_decoder_that_says_that_it_is_lost_all_the_time_gets_a_key_frame_a_second() {
    let (mut pacing, start) = pacing();
    let mut keys = 0;
    for step in 0..1_000_u32 {
        let now = start + ms(10) * step;
        pacing.lost(now);
        if pacing.verdict(now) == Verdict::Send {
            let key = pacing.needs_key();
            keys += u32::from(key);
            pacing.sent(step, 1_000, key, now);
        }
        pacing.painted(step, 0, now + ms(5));
    }
    assert!((9..=11).contains(&keys), "{keys}");
}

#[test]
fn what_was_never_sent_and_what_comes_twice_is_ignored() {
    let (mut pacing, now) = pacing();
    pacing.painted(7, 0, now);
    pacing.sent(1, 1_000, true, now);
    pacing.painted(1, 0, now + ms(20));
    pacing.painted(1, 0, now + ms(900));
    pacing.painted(u32::MAX, 0, now + ms(900));
    assert_eq!(pacing.delay(), Some(ms(20)));
    assert_eq!(pacing.on_its_way(), 0);
}

#[test]
fn a_decoder_with_a_queue_is_waited_for() {
    let (mut pacing, now) = pacing();
    pacing.sent(1, 1_000, true, now);
    pacing.sent(2, 1_000, false, now);
    pacing.painted(1, 4, now + ms(20));
    assert_eq!(pacing.verdict(now + ms(20)), Verdict::Hold);
    pacing.painted(2, 4, now + ms(30));
    assert_eq!(pacing.verdict(now + ms(30)), Verdict::Send);
}

#[test]
fn the_target_is_never_beyond_what_the_viewer_asks_for() {
    let (mut pacing, _) = pacing();
    pacing.ask(BitsPerSecond(1_000_000));
    assert_eq!(pacing.target(), BitsPerSecond(1_000_000));
    pacing.ask(BitsPerSecond(1));
    assert_eq!(pacing.target(), BitsPerSecond(1));
    pacing.ask(BitsPerSecond(0));
    assert_eq!(pacing.target(), Options::default().start);
}

#[test]
fn nobody_waits_for_what_a_hidden_viewer_does_not_paint() {
    let (mut pacing, now) = pacing();
    pacing.sent(1, 1_000, true, now);
    pacing.forget();
    // One that blinks gets no key frame each time.
    assert_eq!(pacing.verdict(now + ms(999)), Verdict::Skip);
    assert_eq!(pacing.wake(), Some(now + ms(1_000)));
    assert_eq!(pacing.verdict(now + ms(1_000)), Verdict::Send);
    assert!(pacing.needs_key());
}

#[test]
fn a_decoder_that_is_lost_is_not_waited_for() {
    let (mut pacing, now) = pacing();
    pacing.sent(1, 10_000, true, now);
    pacing.lost(now + ms(10));
    // A key frame is on its way already.
    assert!(!pacing.needs_key());
    pacing.painted(1, 0, now + ms(20));
    let mut sequence = 1;
    while pacing.verdict(now + ms(20)) == Verdict::Send {
        sequence += 1;
        pacing.sent(sequence, 10_000, false, now + ms(20));
    }
    pacing.lost(now + ms(30));
    assert_eq!(pacing.verdict(now + ms(30)), Verdict::Skip);
    assert_eq!(pacing.verdict(now + ms(1_000)), Verdict::Send);
    assert!(pacing.needs_key());
}

#[test]
fn one_that_fell_behind_and_is_lost_recovers_without_painting() {
    let (mut pacing, now) = pacing();
    pacing.sent(1, 10_000, true, now);
    let late = now + ms(2_000);
    assert_eq!(pacing.verdict(late), Verdict::Skip);
    pacing.lost(late);
    assert_eq!(pacing.verdict(late), Verdict::Send);
    assert!(pacing.needs_key() && !pacing.is_behind());
}

#[test]
fn small_pictures_that_come_late_say_nothing_about_the_rate() {
    let (mut pacing, mut now) = pacing();
    let before = pacing.target();
    for sequence in 1..=100 {
        pacing.sent(sequence, 200, sequence == 1, now);
        // A busy machine: some take far longer than others.
        now += ms(if sequence % 3 == 0 { 5 } else { 120 });
        pacing.painted(sequence, 0, now);
        now += ms(100);
    }
    assert!(pacing.target() >= before, "{}", pacing.target());
}
