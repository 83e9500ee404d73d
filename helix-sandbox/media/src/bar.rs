//! What the desktop's bar shows: programs to start by a click, and the time. Sway runs it
//! and speaks swaybar's protocol with it (`man swaybar-protocol`).

use std::{env, process::Stdio, time::Duration};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, stdin, stdout},
    process::Command,
};

/// What is offered, and the programs that are looked for, first ones first.
const OFFERED: [(&str, &[&str]); 4] = [
    ("Terminal", &["foot"]),
    ("Browser", &["firefox", "firefox-esr", "chromium"]),
    ("Files", &["pcmanfm", "thunar", "nautilus"]),
    ("Editor", &["zed"]),
];
const COLOUR: &str = "#e6ecea";
const QUIET: &str = "#9fb0ad";
/// Of the pointer, as Sway numbers buttons.
const LEFT: u32 = 1;

/// A program that can be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Launcher {
    label: &'static str,
    program: &'static str,
}

/// A part of the bar.
#[derive(Debug, Serialize)]
struct Block<'a> {
    name: &'a str,
    full_text: String,
    color: &'static str,
    separator: bool,
    separator_block_width: u8,
}

/// What is said of a click.
#[derive(Debug, Deserialize)]
struct Click {
    name: String,
    button: u32,
}

/// Serves the bar until Sway hangs up.
pub(crate) async fn run() -> Result<()> {
    let launchers = launchers(is_there);
    let mut out = stdout();
    out.write_all(b"{\"version\":1,\"click_events\":true}\n[\n")
        .await?;
    let mut clicks = BufReader::new(stdin()).lines();
    let mut shown = String::new();
    loop {
        let (now, lasts) = clock().await?;
        if now != shown {
            let line = line(&launchers, &now)?;
            out.write_all(format!("{line},\n").as_bytes()).await?;
            out.flush().await?;
            shown = now;
        }
        let minute = tokio::time::sleep(lasts);
        tokio::pin!(minute);
        loop {
            tokio::select! {
                () = &mut minute => break,
                click = clicks.next_line() => {
                    let Some(click) = click.context("reading what Sway says")? else {
                        return Ok(());
                    };
                    if let Some(program) = clicked(&launchers, &click) {
                        start(program).await;
                    }
                }
            }
        }
    }
}

/// The date and the time, and how long they are true.
async fn clock() -> Result<(String, Duration)> {
    let said = Command::new("date")
        .arg("+%a %e %b  %H:%M\n%S")
        .output()
        .await;
    let said = said.context("asking for the time")?.stdout;
    let said = String::from_utf8_lossy(&said).into_owned();
    let (now, seconds) = said
        .trim_end()
        .rsplit_once('\n')
        .context("date says nothing")?;
    let seconds = seconds.parse::<u64>().unwrap_or(0).min(59);
    Ok((now.to_owned(), Duration::from_secs(60 - seconds)))
}

fn launchers(is_there: impl Fn(&str) -> bool) -> Vec<Launcher> {
    let first = |(label, programs): (&'static str, &[&'static str])| {
        let program = programs.iter().copied().find(|program| is_there(program))?;
        Some(Launcher { label, program })
    };
    OFFERED.into_iter().filter_map(first).collect()
}

fn is_there(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).exists())
}

/// What is shown, from left to right.
fn line(launchers: &[Launcher], now: &str) -> Result<String> {
    let block = |name, full_text, color| Block {
        name,
        full_text,
        color,
        separator: false,
        separator_block_width: 6,
    };
    let mut blocks: Vec<_> = launchers
        .iter()
        .map(|launcher| block(launcher.label, format!("  {}  ", launcher.label), COLOUR))
        .collect();
    blocks.push(block("time", format!("   {now} "), QUIET));
    serde_json::to_string(&blocks).context("writing the bar")
}

/// Which program a line about a click is for.
fn clicked(launchers: &[Launcher], line: &str) -> Option<&'static str> {
    // They are the elements of an array that does not end.
    let click: Click = serde_json::from_str(line.trim_start_matches([',', '['])).ok()?;
    let launcher = launchers
        .iter()
        .find(|launcher| launcher.label == click.name)?;
    (click.button == LEFT).then_some(launcher.program)
}

async fn start(program: &str) {
    let asked = Command::new("swaymsg")
        .args(["exec", program])
        .stdout(Stdio::null())
        .status();
    if let Err(error) = asked.await {
        tracing::warn!(%error, program, "a program cannot be started");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_offered_and_a_click_starts_it() {
        let launchers = launchers(|program| ["firefox-esr", "chromium", "foot"].contains(&program));
        let labels: Vec<_> = launchers
            .iter()
            .map(|one| (one.label, one.program))
            .collect();
        assert_eq!(labels, [("Terminal", "foot"), ("Browser", "firefox-esr")]);
        let shown: serde_json::Value =
            serde_json::from_str(&line(&launchers, "Sun 29 Nov  18:00").unwrap()).unwrap();
        assert_eq!(shown[1]["name"], "Browser");
        assert_eq!(shown[2]["full_text"], "   Sun 29 Nov  18:00 ");
        let of = |line| clicked(&launchers, line);
        assert_eq!(
            of(r#",{"name":"Browser","button":1,"x":3}"#),
            Some("firefox-esr")
        );
        assert_eq!(of(r#"[{"name":"Terminal","button":1}"#), Some("foot"));
        for other in [
            "[",
            r#",{"name":"Browser","button":3}"#,
            r#",{"name":"time","button":1}"#,
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
