//! Many sessions that stream at once: a scripted host says what their agents say, and somebody
//! looks at each.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use helix_base::{SecretString, TaskGroup};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    host::{Host, message},
    lateness, now, now_ns,
    person::Person,
    say,
    viewer::{Seen, Viewer},
};

/// Of the first of it nothing is counted.
const WARM_UP: Duration = Duration::from_secs(2);
/// How exactly tokens are sent: those that are due within this time go together, as they would
/// come from different hosts.
const TICK: Duration = Duration::from_millis(1);

/// Counters of the control plane.
const ENTRIES: &str = "helix_agent_log_entries_total";
const TRANSACTIONS: &str = "helix_agent_batches_total";

pub(crate) async fn measure(
    person: &Person,
    credential: &SecretString,
    sessions: u32,
    rate: u32,
    seconds: u32,
) -> Result<Value> {
    person.publish_agent().await?;
    let mut host = Host::connect(person, credential).await?;
    let tasks = TaskGroup::new();
    let mut viewers = Vec::new();
    // When it is that lateness counts, for the viewers.
    let from = now_ns();
    let counts_from = Arc::new(AtomicU64::new(u64::MAX));
    for _ in 0..sessions {
        let session = person.begin().await?;
        let mut viewer = Viewer::follow(person, session).await?;
        person.prompt(session, "say something").await?;
        let counts_from = Arc::clone(&counts_from);
        viewers.push(tasks.spawn("viewer", async move {
            let mut late_ms = Vec::new();
            loop {
                let arrived = viewer.next().await?;
                match arrived.seen {
                    Seen::Text(text) => {
                        let since = u64::try_from(arrived.at - from).unwrap_or(u64::MAX);
                        if since >= counts_from.load(Ordering::Relaxed) {
                            late_ms.extend(lateness(&text, arrived.at));
                        }
                    }
                    Seen::Ended(_) => return anyhow::Ok(late_ms),
                    Seen::Other => {}
                }
            }
        }));
    }
    host.take_prompts(sessions as usize).await?;
    let mut stream = Stream::new(&mut host, rate);
    stream.run(WARM_UP).await?;
    let before = [
        person.counter(ENTRIES).await?,
        person.counter(TRANSACTIONS).await?,
    ];
    let since = u64::try_from(now_ns() - from).unwrap_or(u64::MAX);
    counts_from.store(since, Ordering::Relaxed);
    say("begin")?;
    let began = now();
    let tokens = stream.run(Duration::from_secs(seconds.into())).await?;
    let took = began.elapsed().as_secs_f64();
    say("end")?;
    let after = [
        person.counter(ENTRIES).await?,
        person.counter(TRANSACTIONS).await?,
    ];
    stream.end().await?;
    let mut late_ms = Vec::new();
    for viewer in viewers {
        late_ms.extend(viewer.await?.context("a viewer was cut off")??);
    }
    Ok(json!({
        "late_ms": late_ms, "tokens": tokens, "seconds": took,
        "entries": after[0] - before[0], "transactions": after[1] - before[1],
    }))
}

/// The agents' tokens, spread evenly over time.
struct Stream<'a> {
    host: &'a mut Host,
    threads: Vec<helix_proto::ThreadId>,
    /// Between two tokens of all sessions together.
    gap: Duration,
    began: Instant,
    said: u32,
}

impl<'a> Stream<'a> {
    fn new(host: &'a mut Host, rate: u32) -> Self {
        let threads: Vec<_> = host.threads.keys().copied().collect();
        let all = f64::from(rate) * threads.len() as f64;
        Self {
            host,
            threads,
            gap: Duration::from_secs_f64(1.0 / all),
            began: Instant::now(),
            said: 0,
        }
    }

    /// Says what is due within a time; how many tokens that was.
    async fn run(&mut self, lasts: Duration) -> Result<u32> {
        let before = self.said;
        let ends = Instant::now() + lasts;
        while Instant::now() < ends {
            while self.began + self.gap * self.said <= Instant::now() {
                let thread = self.threads[self.said as usize % self.threads.len()];
                let body = message(format!("{} ", now_ns()));
                self.host.tell(thread, vec![body]).await?;
                self.said += 1;
            }
            self.host.flush().await?;
            self.host.rest_until(Instant::now() + TICK).await?;
        }
        Ok(self.said - before)
    }

    async fn end(&mut self) -> Result<()> {
        for thread in &self.threads {
            self.host.end(*thread).await?;
        }
        self.host.flush().await?;
        // What is acknowledged must be read, or the control plane waits.
        self.host
            .rest_until(Instant::now() + Duration::from_secs(2))
            .await
    }
}
