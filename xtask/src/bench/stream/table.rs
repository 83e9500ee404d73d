//! The figures, beside their peers and targets.

use anyhow::{Context as _, Result};

use super::{Arguments, DELAY_MS, PRESSES, Samples};
use crate::bench::report::{Row, machine, median};

const OURS: &str = "ours";
const PEERS: [&str; 2] = ["noVNC over wayvnc", "Selkies"];

/// A figure to be compared: what it is called, its samples, how one figure is made of them.
#[derive(Clone, Copy)]
struct Figure {
    metric: &'static str,
    name: &'static str,
    /// A percentile, from 0 to 1.
    share: f64,
    unit: &'static str,
    target: Target,
}

#[derive(Clone, Copy)]
enum Target {
    None,
    /// At most so much.
    Most(f64),
    /// At least so much.
    Least(f64),
    /// At most so much, and never above the best peer.
    MostAndBest(f64),
    /// Below this peer.
    Below(&'static str),
}

const FIGURES: [Figure; 22] = [
    figure(
        "key press to changed pixel, p50",
        "key_ms",
        0.5,
        "ms",
        Target::MostAndBest(22.0),
    ),
    figure(
        "key press to changed pixel, p95",
        "key_ms",
        0.95,
        "ms",
        Target::None,
    ),
    figure(
        "first picture after opening, p50",
        "opening_ms",
        0.5,
        "ms",
        Target::Most(500.0),
    ),
    figure(
        "scrolling text: painted",
        "scroll_fps",
        0.5,
        "fps",
        Target::Least(57.0),
    ),
    figure(
        "scrolling text: picture's age, p50",
        "scroll_age_ms",
        0.5,
        "ms",
        Target::None,
    ),
    figure(
        "scrolling text: picture's age, p95",
        "scroll_age_ms",
        0.95,
        "ms",
        Target::None,
    ),
    figure(
        "scrolling text: on the line",
        "scroll_kbytes_per_s",
        0.5,
        "kB/s",
        Target::None,
    ),
    figure(
        "scrolling text: of a core",
        "scroll_cpu_percent",
        0.5,
        "%",
        Target::Below("Selkies"),
    ),
    figure(
        "scrolling text: of a core, p25",
        "scroll_cpu_percent",
        0.25,
        "%",
        Target::None,
    ),
    figure(
        "scrolling text: of a core, p75",
        "scroll_cpu_percent",
        0.75,
        "%",
        Target::None,
    ),
    figure(
        "noise over the screen: painted",
        "noise_fps",
        0.5,
        "fps",
        Target::None,
    ),
    figure(
        "noise over the screen: picture's age, p50",
        "noise_age_ms",
        0.5,
        "ms",
        Target::None,
    ),
    figure(
        "noise over the screen: picture's age, p95",
        "noise_age_ms",
        0.95,
        "ms",
        Target::None,
    ),
    figure(
        "noise over the screen: on the line",
        "noise_kbytes_per_s",
        0.5,
        "kB/s",
        Target::None,
    ),
    figure(
        "noise over the screen: of a core",
        "noise_cpu_percent",
        0.5,
        "%",
        Target::None,
    ),
    figure(
        "a still screen: on the line",
        "still_bytes_per_s",
        0.5,
        "B/s",
        Target::None,
    ),
    figure(
        "a still screen: of a core",
        "still_cpu_percent",
        0.5,
        "%",
        Target::Most(0.5),
    ),
    figure(
        "10 to 4 Mbit/s for 8 s: oldest picture",
        "narrow_oldest_ms",
        0.5,
        "ms",
        Target::Most(400.0),
    ),
    figure(
        "10 to 4 Mbit/s for 8 s: oldest picture, worst",
        "narrow_oldest_ms",
        1.0,
        "ms",
        Target::None,
    ),
    figure(
        "after it: live again",
        "narrow_live_ms",
        0.5,
        "ms",
        Target::Most(1_000.0),
    ),
    figure(
        "after it: live again, worst",
        "narrow_live_ms",
        1.0,
        "ms",
        Target::None,
    ),
    figure(
        "after it: never live within 8 s",
        "narrow_never_live",
        0.5,
        "times",
        Target::None,
    ),
];

const fn figure(
    metric: &'static str,
    name: &'static str,
    share: f64,
    unit: &'static str,
    target: Target,
) -> Figure {
    Figure {
        metric,
        name,
        share,
        unit,
        target,
    }
}

impl Figure {
    fn of(&self, samples: &Samples, product: &str) -> Option<f64> {
        let mut figures = samples.get(product)?.get(self.name)?.clone();
        if self.name == "narrow_never_live" {
            return Some(figures.iter().sum());
        }
        figures.sort_by(f64::total_cmp);
        let at = (figures.len() as f64 * self.share) as usize;
        figures.get(at.min(figures.len().checked_sub(1)?)).copied()
    }

    fn rows(&self, samples: &Samples) -> Vec<Row> {
        let Some(ours) = self.of(samples, OURS) else {
            return Vec::new();
        };
        let peers = PEERS.map(|peer| (peer, self.of(samples, peer)));
        let best = peers
            .iter()
            .filter_map(|(_, value)| *value)
            .fold(f64::INFINITY, f64::min);
        let mut row = Row::reported(self.metric, ours, self.unit);
        match self.target {
            Target::None => {}
            Target::Most(most) => {
                (row.target, row.met) = (Some(format!("at most {most}")), Some(ours <= most));
            }
            Target::Least(least) => {
                (row.target, row.met) = (Some(format!("at least {least}")), Some(ours >= least));
            }
            Target::MostAndBest(most) => {
                row.target = Some(format!("at most {most}, and the best peer's"));
                row.met = Some(ours <= most && ours <= best);
            }
            Target::Below(peer) => {
                row.target = Some(format!("less than {peer}"));
                let theirs = peers.iter().find(|(name, _)| *name == peer);
                row.met = theirs
                    .and_then(|(_, value)| *value)
                    .map(|value| ours < value);
            }
        }
        let mut rows = Vec::new();
        for (peer, value) in peers {
            let Some(value) = value else { continue };
            // The target is said once.
            let first = rows.is_empty();
            rows.push(Row {
                peer: Some(peer),
                peer_value: Some(value),
                ratio: (value > 0.0).then_some(ours / value),
                target: row.target.clone().filter(|_| first),
                met: row.met.filter(|_| first),
                ..row.clone()
            });
        }
        if rows.is_empty() {
            rows.push(row);
        }
        rows
    }
}

pub(super) fn rows(samples: &Samples) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = FIGURES
        .iter()
        .flat_map(|figure| figure.rows(samples))
        .collect();
    let floor = samples.get("floor").and_then(|all| all.get("key_ms"));
    let floor = floor.context("the page that turns its own canvas was not measured")?;
    let metric = "key press to changed pixel of a page that turns its own canvas, p50";
    rows.push(Row::reported(metric, median(floor.clone())?, "ms"));
    let viewers = samples.get("viewers").context("no viewers were measured")?;
    let mut p99 = Vec::new();
    for (name, what) in [
        ("1", "1 viewer"),
        ("10", "10 viewers"),
        ("100", "100 viewers"),
        ("slow_0", "100 viewers of 10 pictures a second"),
        (
            "slow_1",
            "100 viewers of 10 pictures a second, one of them stalled",
        ),
    ] {
        let late = viewers.get(&format!("{name}_late_ms"));
        let mut late = late.context("viewers")?.clone();
        late.sort_by(f64::total_cmp);
        let of = |share: f64| late[((late.len() as f64 * share) as usize).min(late.len() - 1)];
        let metric = format!("{what}: capture to arrival");
        rows.push(Row::reported(format!("{metric}, p50"), of(0.5), "ms"));
        rows.push(Row::reported(format!("{metric}, p99"), of(0.99), "ms"));
        p99.push(of(0.99));
        if let Some(encoded) = viewers.get(&format!("{name}_encoded")) {
            let metric = format!("{what}: encoded");
            rows.push(Row::reported(metric, median(encoded.clone())?, "1/s"));
        }
    }
    let cost = p99[4] - p99[3];
    let metric = "what one stalled viewer of 100 costs the others, p99";
    rows.push(Row::below(metric, cost, "ms", 5.0));
    Ok(rows)
}

pub(super) fn introduction(arguments: &Arguments) -> String {
    let Arguments {
        rounds,
        scrolls,
        seconds,
        still,
        ..
    } = arguments;
    let (suite, sway) = match &arguments.suite {
        Some(suite) => (
            format!(" --suite {suite}"),
            format!("Sway is that of Debian's {suite}, in the image of the recipe."),
        ),
        None => (String::new(), "Sway is the machine's own.".to_owned()),
    };
    format!(
        "`cargo xtask bench stream --rounds {rounds} --scrolls {scrolls} --seconds {seconds} --still {still}{suite}`, \
         on {}.\n\n\
         A program of 1280 by 720 pixels draws its clock as a barcode and is on the screen of \
         each product; Chromium, without a graphics card, shows each in turn, as large as it is, on an X server's \
         screen, and a program reads there what the browser has painted, as soon as it has. So a \
         picture's age is from the program's drawing to the eye, however a page paints. \
         Everything shares the machine. *Ours* is the web app, \
         control plane, tunnel, sandbox host and a sandbox with Sway, encoding by x264; noVNC is \
         Debian's, over wayvnc on the same Sway; Selkies is from the Python package index, on \
         Xvfb, encoding by x264. {sway} *Of a core* counts what serves the screen, the compositor \
         or X server included, and not the program on it. {PRESSES} key presses a round; \
         scrolling text is measured {scrolls} times besides, of ours and Selkies. The \
         narrow line carries noise and has {DELAY_MS} ms each way and a queue of 64 KiB; *live* is a picture \
         younger than 150 ms, for half a second. Differences under 20 % are noise, except \
         in the processor time of scrolling text, whose quartiles say how far it varies.",
        machine()
    )
}
