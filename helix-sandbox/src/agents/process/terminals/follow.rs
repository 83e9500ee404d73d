//! Following one terminal.

use std::{sync::Arc, time::Duration};

use helix_agent::host::Fact;
use helix_isolation::{ErrorKind, ExecEvents};
use helix_proto::{
    agents::EventBody,
    sandbox::guest::{ExecEvent, ExecEventKind, ExecExit},
};
use tokio::sync::mpsc;

use super::{News, Output};
use crate::agents::{
    notes::Terminal,
    place::{Place, Standing},
    prepare::text,
};

/// Bytes of one terminal's output that readers are shown as they come; after that, its end.
const SHOWN: u64 = 1 << 20;
/// Bytes of the end.
const END: usize = 16 << 10;
/// Bytes of output in one event.
const PIECE: usize = 32 << 10;
/// Between two attempts to follow.
const AGAIN: Duration = Duration::from_millis(500);

/// Follows a program's output from its beginning; what readers were told before is not told
/// again.
pub(super) struct Follower {
    pub(super) place: Place,
    pub(super) name: String,
    pub(super) terminal: Terminal,
    pub(super) output: Arc<Output>,
    pub(super) tell: mpsc::Sender<News>,
}

impl Follower {
    pub(super) async fn follow(mut self) {
        let mut after = 0;
        loop {
            match self.place.guest() {
                Ok(guest) => match guest.follow(self.terminal.exec, after).await {
                    Ok(events) => {
                        if self.events(events, &mut after).await {
                            return;
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::NotFound => return self.lost().await,
                    Err(_) => {}
                },
                Err(_) if matches!(self.place.standing(), Standing::Waits(_)) => {}
                Err(_) => return self.lost().await,
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Whether it has ended.
    async fn events(&mut self, mut events: ExecEvents, after: &mut u64) -> bool {
        while let Ok(Some(event)) = events.next().await {
            if event.seq <= *after {
                continue;
            }
            *after = event.seq;
            if let Some(exit) = self.event(event).await {
                self.output.exit.send_replace(Some(exit));
                return true;
            }
        }
        false
    }

    async fn event(&mut self, event: ExecEvent) -> Option<ExecExit> {
        let is_new = event.seq > self.terminal.told;
        self.terminal.told = self.terminal.told.max(event.seq);
        match event.what {
            ExecEventKind::Started(_) => {}
            ExecEventKind::Stdout(output) | ExecEventKind::Stderr(output) => {
                let text = text(&output);
                self.output.add(text);
                if is_new {
                    self.show(text).await;
                }
            }
            ExecEventKind::Dropped(bytes) => {
                self.output.lock().truncated = true;
                if is_new {
                    self.terminal.omitted += bytes;
                }
            }
            ExecEventKind::Exit(exit) => {
                if !self.terminal.ended {
                    self.ended(exit.code).await;
                }
                return Some(exit);
            }
        }
        None
    }

    async fn show(&mut self, mut text: &str) {
        let mut facts = Vec::new();
        while !text.is_empty() {
            let (piece, rest) = text.split_at(text.floor_char_boundary(PIECE));
            if self.terminal.shown < SHOWN {
                facts.push(self.said(piece.to_owned()));
            } else {
                self.terminal.omitted += piece.len() as u64;
            }
            text = rest;
        }
        self.tell(facts).await;
    }

    fn said(&mut self, output: String) -> Fact {
        self.terminal.shown += output.len() as u64;
        let omitted_bytes = std::mem::take(&mut self.terminal.omitted);
        Fact::Said(Box::new(EventBody::Terminal {
            terminal: self.name.clone(),
            output,
            omitted_bytes,
        }))
    }

    async fn ended(&mut self, code: Option<i32>) {
        let mut facts = Vec::new();
        if self.terminal.omitted > 0 {
            let (text, _) = self.output.written();
            let most = END.min(usize::try_from(self.terminal.omitted).unwrap_or(END));
            let end = text[text.ceil_char_boundary(text.len().saturating_sub(most))..].to_owned();
            self.terminal.omitted = self.terminal.omitted.saturating_sub(end.len() as u64);
            facts.push(self.said(end));
        }
        facts.push(Fact::Said(Box::new(EventBody::TerminalEnded {
            terminal: self.name.clone(),
            code,
        })));
        self.terminal.ended = true;
        self.tell(facts).await;
    }

    /// The sandbox does not know it any more.
    async fn lost(&mut self) {
        if !self.terminal.ended {
            self.ended(None).await;
        }
        let exit = ExecExit {
            code: None,
            signal: None,
            timed_out: false,
        };
        self.output.exit.send_replace(Some(exit));
    }

    async fn tell(&self, facts: Vec<Fact>) {
        let news = News::Shown {
            name: self.name.clone(),
            noted: self.terminal.clone(),
            facts,
        };
        // Nobody listens where the agent has ended.
        let _ = self.tell.send(news).await;
    }
}
