//! A web server behind NAT, reached from outside, over a line that breaks.
//!
//! ```text
//! cargo run --example tunnel                                    # both sides, here, with cuts
//! cargo run --example tunnel -- control 0.0.0.0:8080            # on a machine with an address
//! cargo run --example tunnel -- agent http://that.machine:8080  # on a machine without one
//! ```
//!
//! With the last two, `curl http://that.machine:8080/agents/NAME/count` is answered by the
//! agent, and goes on if its network is gone for a while.

#![expect(clippy::print_stdout, reason = "a program for people to watch")]

mod agent;
mod control;
mod line;

use std::time::Duration;

use anyhow::{Context as _, ensure};
use helix_base::{Outbound, OutboundOptions, TaskGroup, telemetry};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    telemetry::init(&telemetry::Options::default())?;
    let group = TaskGroup::new();
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => both(&group).await?,
        ["control", address] => {
            let (address, _) = control::serve(address, &group).await?;
            println!("agents dial http://{address}; ask them below /agents/NAME/");
            tokio::signal::ctrl_c().await?;
        }
        ["agent", url] => {
            let name = hostname();
            let stopped = agent::run(url, &name, &group);
            tokio::select! {
                stopped = stopped => println!("{}", stopped?),
                interrupted = tokio::signal::ctrl_c() => interrupted?,
            }
        }
        _ => anyhow::bail!("usage: tunnel [control ADDRESS | agent URL]"),
    }
    group.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

/// What the agent is called, if nobody says otherwise.
fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    name.map_or_else(|_| "agent".to_owned(), |name| name.trim().to_owned())
}

/// Both sides in one process, and a line between them that breaks while an answer
/// streams.
async fn both(group: &TaskGroup) -> anyhow::Result<()> {
    let (address, agents) = control::serve("127.0.0.1:0", group).await?;
    let line = line::Line::to(address, group).await?;
    let (url, inner) = (format!("http://{}", line.address), group.clone());
    group.spawn(
        "agent",
        async move { agent::run(&url, "demo", &inner).await },
    );

    let mut events = agents.subscribe();
    while agents.get(&"demo".to_owned()).is_none() {
        events.recv().await.context("the hub is gone")?;
    }
    let outbound = Outbound::new(&OutboundOptions::default())?;
    let url = format!("http://{address}/agents/demo/count");
    let mut response = outbound.http().get(url).send().await?;
    let mut answer = String::new();
    while let Some(piece) = response.chunk().await? {
        print!("{}", String::from_utf8_lossy(&piece));
        answer.push_str(&String::from_utf8_lossy(&piece));
        if answer.lines().count().is_multiple_of(4) {
            line.cut();
        }
    }
    let expected: String = (1..=20).map(|number| format!("{number}\n")).collect();
    ensure!(
        answer == expected,
        "the answer is not what was sent: {answer}"
    );
    let tunnel = agents
        .get(&"demo".to_owned())
        .context("the agent is gone")?;
    let resumes = tunnel.status()[0].resumes;
    ensure!(resumes > 0, "the line was never cut");
    println!("whole, over {} connections", resumes + 1);
    Ok(())
}
