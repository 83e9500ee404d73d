//! Figures beside each other, as JSON for programs and as a table for people.

use std::{fmt::Write as _, fs};

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::workspace::Workspace;

/// One figure beside another.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    pub(super) metric: String,
    pub(super) ours: f64,
    pub(super) peer: Option<&'static str>,
    pub(super) peer_value: Option<f64>,
    /// Ours divided by the peer's.
    pub(super) ratio: Option<f64>,
    pub(super) unit: &'static str,
    pub(super) target: Option<String>,
    /// Absent: only reported.
    pub(super) met: Option<bool>,
}

impl Row {
    /// A figure that is only reported.
    pub(super) fn reported(metric: impl Into<String>, ours: f64, unit: &'static str) -> Self {
        Self {
            metric: metric.into(),
            ours,
            peer: None,
            peer_value: None,
            ratio: None,
            unit,
            target: None,
            met: None,
        }
    }

    /// A figure that is to stay below a bound.
    pub(super) fn below(
        metric: impl Into<String>,
        ours: f64,
        unit: &'static str,
        most: f64,
    ) -> Self {
        Self {
            target: Some(format!("below {most}")),
            met: Some(ours < most),
            ..Self::reported(metric, ours, unit)
        }
    }

    /// A figure that is to reach another.
    pub(super) fn at_least(
        metric: impl Into<String>,
        ours: f64,
        unit: &'static str,
        least: f64,
    ) -> Self {
        Self {
            target: Some(format!("at least {least}")),
            met: Some(ours >= least),
            ..Self::reported(metric, ours, unit)
        }
    }
}

/// The middle one of some figures.
pub(super) fn median(mut figures: Vec<f64>) -> Result<f64> {
    figures.sort_by(f64::total_cmp);
    figures
        .get(figures.len() / 2)
        .copied()
        .context("no figures")
}

/// Writes `target/bench/NAME.json` and the bench's section of `docs/benchmarks.md`.
pub(super) fn write(
    workspace: &Workspace,
    name: &str,
    heading: &str,
    introduction: &str,
    rows: &[Row],
) -> Result<()> {
    let folder = workspace.target().join("bench");
    fs::create_dir_all(&folder).context("making target/bench")?;
    let json = serde_json::to_string_pretty(rows).context("writing the figures")?;
    let file = folder.join(name).with_extension("json");
    fs::write(&file, json + "\n").with_context(|| format!("writing {}", file.display()))?;
    let docs = workspace.root().join("docs");
    fs::create_dir_all(&docs).context("making docs")?;
    let page = docs.join("benchmarks.md");
    let before = if page.exists() {
        fs::read_to_string(&page).context("reading docs/benchmarks.md")?
    } else {
        "# Benchmarks\n".to_owned()
    };
    let section = format!("## {heading}\n\n{introduction}\n\n{}", table(rows));
    fs::write(&page, with_section(&before, heading, &section))
        .context("writing docs/benchmarks.md")?;
    println!("{section}");
    print_verdict(rows);
    Ok(())
}

/// How many targets were missed.
pub(super) fn print_verdict(rows: &[Row]) {
    let missed = rows.iter().filter(|row| row.met == Some(false)).count();
    let all = rows.iter().filter(|row| row.met.is_some()).count();
    println!("{missed} of {all} targets missed");
}

/// The page with this section in the place of the one that has its heading, else after
/// all others.
fn with_section(page: &str, heading: &str, section: &str) -> String {
    let mut parts: Vec<_> = page.split("\n## ").map(str::to_owned).collect();
    let section = section.strip_prefix("## ").unwrap_or(section);
    let found = parts
        .iter_mut()
        .skip(1)
        .find(|part| part.lines().next() == Some(heading));
    match found {
        Some(part) => section.clone_into(part),
        None => parts.push(section.to_owned()),
    }
    let trimmed: Vec<_> = parts.iter().map(|part| part.trim_end()).collect();
    trimmed.join("\n\n## ") + "\n"
}

/// The rows for people.
pub(super) fn table(rows: &[Row]) -> String {
    let mut text = "| | ours | peer | its figure | ratio | target | met |\n\
         |---|---:|---|---:|---:|---|---|\n"
        .to_owned();
    for row in rows {
        let met = row.met.map_or("", |met| if met { "yes" } else { "**no**" });
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {}, {} | {} | {} | {} | {} | {} | {met} |",
            row.metric,
            row.unit,
            figure(row.ours),
            row.peer.unwrap_or_default(),
            row.peer_value.map(figure).unwrap_or_default(),
            row.ratio
                .map(|ratio| format!("{ratio:.2}"))
                .unwrap_or_default(),
            row.target.as_deref().unwrap_or_default(),
        );
    }
    text
}

fn figure(value: f64) -> String {
    if value.abs() < 10.0 {
        format!("{value:.2}")
    } else if value.abs() < 1_000.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

/// The machine's size, for people.
pub(super) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let cpu = field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".to_owned());
    let kib = field(&read("/proc/meminfo"), "MemTotal")
        .and_then(|text| text.trim_end_matches(" kB").parse::<u64>().ok());
    let gib = kib.unwrap_or_default() >> 20;
    format!("{cores} cores of {cpu}, {gib} GiB of memory")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_takes_the_place_of_its_predecessor_only() {
        let page = "# Benchmarks\n\n## One\n\nold\n\n## Two\n\nkept\n";
        let page = with_section(page, "One", "## One\n\nnew\n");
        assert_eq!(page, "# Benchmarks\n\n## One\n\nnew\n\n## Two\n\nkept\n");
        let page = with_section(&page, "Three", "## Three\n\nlast\n");
        assert!(page.ends_with("## Two\n\nkept\n\n## Three\n\nlast\n"));
    }
}
