//! A sandbox host's side of agent sync that hosts no agent: it says what it is told to.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::{
    SinkExt as _, StreamExt as _,
    stream::{SplitSink, SplitStream},
};
use helix_base::SecretString;
use helix_proto::{
    ThreadId, TurnId,
    agents::{
        AgentPhase, Command, Content, Down, Event, EventBody, MAX_EVENTS, StopReason, TurnEnd, Up,
        VERSION,
    },
};
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::tungstenite::Message;

use crate::person::{Person, Socket};

const PATH: &str = "/api/v1/external-agents/sync";

/// The host, connected.
pub(crate) struct Host {
    writer: SplitSink<Socket, Message>,
    reader: SplitStream<Socket>,
    pub(crate) threads: BTreeMap<ThreadId, Thread>,
}

/// A thread with a turn in flight.
#[derive(Debug)]
pub(crate) struct Thread {
    turn: TurnId,
    seq: u64,
}

impl Host {
    /// Takes the place of whoever is connected with this credential.
    pub(crate) async fn connect(person: &Person, credential: &SecretString) -> Result<Self> {
        let (writer, reader) = person.dial(PATH, credential).await?.split();
        let mut host = Self {
            writer,
            reader,
            threads: BTreeMap::new(),
        };
        let hello = Up::Hello {
            version: VERSION,
            threads: Vec::new(),
        };
        host.say(&hello).await?;
        host.flush().await?;
        let Down::Welcome { .. } = hear(&mut host.reader).await? else {
            bail!("no welcome");
        };
        Ok(host)
    }

    async fn say(&mut self, up: &Up) -> Result<()> {
        let text = up.encode()?;
        Ok(self.writer.feed(Message::text(text)).await?)
    }

    /// Takes prompts until so many threads have a turn in flight.
    pub(crate) async fn take_prompts(&mut self, count: usize) -> Result<()> {
        while self.threads.len() < count {
            self.writer.flush().await?;
            let Down::Command { thread, command } = hear(&mut self.reader).await? else {
                continue;
            };
            let through = command.number;
            self.say(&Up::Accepted { thread, through }).await?;
            let Command::Prompt { turn, .. } = command.command else {
                continue;
            };
            let (phase, detail) = (AgentPhase::Ready, String::new());
            self.threads.insert(thread, Thread { turn, seq: 0 });
            let bodies = vec![
                EventBody::Agent { phase, detail },
                EventBody::TurnStarted { turn },
            ];
            self.tell(thread, bodies).await?;
        }
        Ok(self.writer.flush().await?)
    }

    /// Says what happened in a thread, once [`Self::flush`] is called.
    pub(crate) async fn tell(&mut self, thread: ThreadId, bodies: Vec<EventBody>) -> Result<u64> {
        ensure!(bodies.len() <= MAX_EVENTS, "too many events at once");
        let known = self.threads.get_mut(&thread).context("no such thread")?;
        let events = (known.seq + 1..).zip(bodies).map(|(seq, body)| Event {
            seq,
            at_ms: 1,
            body,
        });
        let events: Vec<_> = events.collect();
        known.seq += events.len() as u64;
        let last = known.seq;
        self.say(&Up::Events { thread, events }).await?;
        Ok(last)
    }

    /// Ends the turn of a thread.
    pub(crate) async fn end(&mut self, thread: ThreadId) -> Result<()> {
        let turn = self.threads.get(&thread).context("no such thread")?.turn;
        let end = TurnEnd::Completed {
            stop: StopReason::EndTurn,
        };
        self.tell(thread, vec![EventBody::TurnEnded { turn, end }])
            .await
            .map(drop)
    }

    pub(crate) async fn flush(&mut self) -> Result<()> {
        Ok(self.writer.flush().await?)
    }

    /// Waits until so many events of a thread are stored.
    pub(crate) async fn stored(&mut self, wanted: ThreadId, seq: u64) -> Result<()> {
        loop {
            if let Down::Acknowledge { thread, through } = hear(&mut self.reader).await?
                && thread == wanted
                && through >= seq
            {
                return Ok(());
            }
        }
    }

    /// Takes what comes until a time.
    pub(crate) async fn rest_until(&mut self, at: Instant) -> Result<()> {
        while let Ok(heard) = timeout_at(at, hear(&mut self.reader)).await {
            heard?;
        }
        Ok(())
    }
}

async fn hear(reader: &mut SplitStream<Socket>) -> Result<Down> {
    loop {
        match reader.next().await.context("the control plane hung up")?? {
            Message::Text(text) => return Ok(Down::decode(&text)?),
            Message::Close(why) => bail!("the control plane closed: {why:?}"),
            _ => {}
        }
    }
}

/// Something that an agent says.
pub(crate) fn message(text: String) -> EventBody {
    EventBody::Message {
        content: Content::text(text),
    }
}
