//! What an agent has done in its sandbox by its host: files, and programs in terminals.

mod follow;
mod serve;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use helix_agent::host::Fact;
use helix_base::TaskGroup;
use helix_proto::sandbox::guest::ExecExit;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::{
    super::{
        acp::Calls,
        notes::{Notes, Terminal},
    },
    Around,
    talk::Talk,
};
use crate::agents::acp::Call;

/// News that wait, at most: what has more waits.
const NEWS: usize = 64;
/// Programs that run for one agent, at most.
const TERMINALS: usize = 32;

/// What came of what the agent wanted.
#[derive(Debug)]
pub(super) enum News {
    /// What readers hear of a terminal, and what is to be noted of it.
    Shown {
        name: String,
        noted: Terminal,
        facts: Vec<Fact>,
    },
    /// The answer to a request.
    Answered {
        call: u64,
        made: Option<(String, Terminal)>,
        answer: Result<Value, String>,
    },
}

/// Terminals, and requests that are being served.
#[derive(Debug)]
pub(super) struct Terminals {
    tasks: TaskGroup,
    known: BTreeMap<String, Arc<Output>>,
    news: mpsc::Receiver<News>,
    tell: mpsc::Sender<News>,
}

/// What a program wrote of late, and how it ended.
#[derive(Debug)]
struct Output {
    limit: usize,
    tail: Mutex<Tail>,
    exit: watch::Sender<Option<ExecExit>>,
}

#[derive(Debug, Default)]
struct Tail {
    text: String,
    truncated: bool,
}

impl Output {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            tail: Mutex::default(),
            exit: watch::Sender::new(None),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, text: &str) {
        let mut tail = self.lock();
        tail.text.push_str(text);
        // Not at each piece: what is cut off is moved over.
        if tail.text.len() > 2 * self.limit {
            tail.cut(self.limit);
        }
    }

    /// What it wrote, and whether there was more.
    fn written(&self) -> (String, bool) {
        let mut tail = self.lock();
        tail.cut(self.limit);
        (tail.text.clone(), tail.truncated)
    }
}

impl Tail {
    fn cut(&mut self, limit: usize) {
        if self.text.len() > limit {
            let from = self.text.ceil_char_boundary(self.text.len() - limit);
            self.text.drain(..from);
            self.truncated = true;
        }
    }
}

impl Drop for Terminals {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

impl Terminals {
    pub(super) fn new(around: &Around) -> Self {
        let (tell, news) = mpsc::channel(NEWS);
        Self {
            tasks: around.tasks.child(),
            known: BTreeMap::new(),
            news,
            tell,
        }
    }

    pub(super) async fn news(&mut self) -> News {
        match self.news.recv().await {
            Some(news) => news,
            // The sender is here.
            None => std::future::pending().await,
        }
    }

    /// Ends what runs for the agent, which has ended.
    pub(super) async fn end(&self, around: &Around, notes: &Notes) {
        let Ok(guest) = around.place.guest() else {
            return;
        };
        for (name, terminal) in &notes.terminals {
            let runs = |output: &Arc<Output>| output.exit.borrow().is_none();
            if self.known.get(name).is_some_and(runs)
                && let Err(error) = guest.kill(terminal.exec).await
            {
                tracing::warn!(thread = %around.thread, %error, "an agent's program could not be killed");
            }
        }
    }
}

impl Talk {
    /// Begins to serve a request.
    pub(super) fn serve(&mut self, call: Call) {
        self.notes.last_call += 1;
        let number = self.notes.last_call;
        self.notes.calls.insert(number, call.clone());
        self.serving(number, call.what);
    }

    /// Goes on where another host was.
    pub(super) fn serve_again(&mut self) {
        for (name, terminal) in self.notes.terminals.clone() {
            self.watch(name, terminal);
        }
        for (number, call) in self.notes.calls.clone() {
            self.serving(number, call.what);
        }
    }

    fn serving(&mut self, number: u64, what: Calls) {
        let restarted = number < self.notes.last_call && matches!(what, Calls::Create(_));
        let running = self.notes.terminals.values().filter(|known| !known.ended);
        let too_many = matches!(what, Calls::Create(_)) && running.count() >= TERMINALS;
        let refusal = if restarted {
            // It may run, or not: nobody knows what it was called.
            Some("the sandbox's host was restarted before it answered".to_owned())
        } else if too_many {
            Some(format!("{TERMINALS} terminals run: release one first"))
        } else {
            None
        };
        let serving = serve::Serving {
            guest: self.around.place.guest(),
            directory: self.notes.acp.directory().to_owned(),
            output: match &what {
                Calls::Output { terminal }
                | Calls::Wait { terminal }
                | Calls::Kill { terminal }
                | Calls::Release { terminal } => self.terminals.known.get(terminal).cloned(),
                _ => None,
            },
        };
        let tell = self.terminals.tell.clone();
        self.terminals.tasks.spawn("agent's request", async move {
            let (made, answer) = match refusal {
                Some(why) => (None, Err(why)),
                None => serving.serve(what).await,
            };
            let news = News::Answered {
                call: number,
                made,
                answer,
            };
            // Nobody waits for it where the agent has ended.
            let _ = tell.send(news).await;
        });
    }

    /// Follows a terminal to its end.
    pub(super) fn watch(&mut self, name: String, terminal: Terminal) {
        let output = Arc::new(Output::new(terminal.limit));
        self.terminals.known.insert(name.clone(), output.clone());
        let follower = follow::Follower {
            place: self.around.place.clone(),
            name,
            terminal,
            output,
            tell: self.terminals.tell.clone(),
        };
        let tasks = &self.terminals.tasks;
        tasks.spawn("agent's terminal", Box::pin(follower.follow()));
    }

    /// Forgets a terminal that is over for the agent and for readers.
    pub(super) fn release(&mut self, name: &str) {
        let over = |known: &Terminal| known.ended;
        if self.notes.terminals.get(name).is_some_and(over) {
            self.notes.terminals.remove(name);
            self.terminals.known.remove(name);
        }
    }
}
