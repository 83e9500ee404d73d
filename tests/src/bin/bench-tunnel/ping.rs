//! 64 bytes there and back.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use anyhow::ensure;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::{
    measure::{Counter, millis, percentiles, since, within},
    now,
    way::{Kind, Opener, Receiver, Sender, Way},
};

/// What goes there and back.
static PING: [u8; 64] = [7; 64];

/// Pings under way at most, when they do not wait for each other.
const UNDER_WAY: usize = 4_096;

#[derive(Debug, Deserialize)]
pub(crate) struct Plan {
    way: Way,
    /// A stream that saturates this way meanwhile.
    #[serde(default)]
    beside: Option<Way>,
    /// How long that stream runs before.
    #[serde(default)]
    warm_ms: u64,
    ms: u64,
    /// From one ping to the next, whatever became of it. None: one after the other.
    #[serde(default)]
    every_ms: Option<u64>,
    /// Ends after the first that takes longer than this.
    #[serde(default)]
    until_slow_ms: Option<u64>,
}

/// Measures.
pub(crate) async fn run(opener: &Opener, plan: &Plan) -> anyhow::Result<Value> {
    let stream = within(opener.open(plan.way, Kind::Echo)).await?;
    let measured = async {
        tokio::time::sleep(millis(plan.warm_ms)).await;
        match plan.every_ms {
            None => in_turn(plan, stream.sender, stream.receiver).await,
            Some(every) => {
                let length = millis(plan.ms);
                spread(length, millis(every), stream.sender, stream.receiver).await
            }
        }
    };
    let micros = match plan.beside {
        None => measured.await?,
        Some(way) => {
            let bulk = within(opener.open(way, Kind::Down)).await?;
            let saturate = opener
                .tasks
                .spawn("bulk", saturate(Counter::down(bulk.receiver)));
            let micros = measured.await;
            ensure!(!saturate.is_finished(), "the stream beside ended early");
            saturate.abort();
            micros?
        }
    };
    Ok(percentiles(micros))
}

async fn saturate(mut counter: Counter) {
    // Whoever waits for the pings sees that it ended.
    while counter.step().await.is_ok() {}
}

async fn in_turn(
    plan: &Plan,
    mut sender: Sender,
    mut receiver: Receiver,
) -> anyhow::Result<Vec<u64>> {
    let until = now() + millis(plan.ms);
    let slow = plan.until_slow_ms.map(|ms| ms * 1_000);
    let mut micros = Vec::new();
    let mut missing = 0;
    while now() < until {
        let began = now();
        sender.send(Bytes::from_static(&PING)).await?;
        missing += PING.len();
        take(&mut receiver, &mut missing).await?;
        let took = since(began);
        micros.push(took);
        if slow.is_some_and(|slow| took > slow) {
            break;
        }
    }
    Ok(micros)
}

/// Receives one ping, of so many bytes as are still missing.
async fn take(receiver: &mut Receiver, missing: &mut usize) -> anyhow::Result<()> {
    while *missing > 0 {
        let came = within(receiver.receive()).await?.len();
        ensure!(came > 0, "the echo ended early");
        ensure!(came <= *missing, "more came back than was sent");
        *missing -= came;
    }
    Ok(())
}

/// One every so often, so that a slow one delays no other and hides none.
async fn spread(
    length: Duration,
    every: Duration,
    mut sender: Sender,
    mut receiver: Receiver,
) -> anyhow::Result<Vec<u64>> {
    let (began, mut under_way) = mpsc::channel::<Instant>(UNDER_WAY);
    let send = async move {
        let until = now() + length;
        let mut ticks = tokio::time::interval(every);
        while now() < until {
            ticks.tick().await;
            ensure!(
                began.try_send(now()).is_ok(),
                "too many pings are under way"
            );
            sender.send(Bytes::from_static(&PING)).await?;
        }
        // The stream stays open until all have come back.
        Ok(sender)
    };
    let receive = async move {
        let (mut micros, mut surplus) = (Vec::new(), 0);
        while let Some(began) = under_way.recv().await {
            while surplus < PING.len() {
                let came = within(receiver.receive()).await?.len();
                ensure!(came > 0, "the echo ended early");
                surplus += came;
            }
            surplus -= PING.len();
            micros.push(since(began));
        }
        Ok(micros)
    };
    let (send, receive) = (pin!(send), pin!(receive));
    tokio::try_join!(send, receive).map(|(_, micros)| micros)
}
