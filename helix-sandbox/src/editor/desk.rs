//! What stands between an editor and its host, as a pure machine: the editor's calls and the
//! host's words in, answers, updates and words for the host out.
//!
//! **Invariants.** Every call is answered once. What is wanted is said again after every cut, with
//! the same key, until the host has it. A prompt's answer comes after everything that was said in
//! its turn.

mod calls;
mod log;
mod session;

use std::{collections::BTreeMap, time::Duration};

use helix_proto::{
    ThreadId,
    agents::{Content, PermissionAnswer, Wanted},
};
use serde_json::Value;

use self::session::{Session, Stage};
use super::view::{Request, Shown};
use crate::agents::editors::wire::{Asked, Told, VERSION};

/// How long a host may take to be there, and to show a whole conversation.
const HOST: Duration = Duration::from_secs(10);
const OPEN: Duration = Duration::from_secs(120);
/// How long a host may be away before prompts are given up.
const AWAY: Duration = Duration::from_secs(15 * 60);

/// What comes.
#[derive(Debug)]
pub(super) enum Input {
    /// The host is there.
    Connected,
    /// It is not.
    Disconnected,
    /// It said something.
    Told(Told),
    /// The editor calls.
    Called {
        /// The call, to be answered.
        call: u64,
        /// What it asks.
        ask: Ask,
    },
    /// The editor wants its turn to end.
    Cancelled {
        /// In this session.
        session: String,
    },
    /// The editor's user answered a request.
    Answered {
        /// The request.
        request: Request,
        /// The option.
        option: String,
    },
    /// Time passed.
    Tick,
}

/// What an editor asks.
#[derive(Debug)]
pub(super) enum Ask {
    /// The conversation that there is.
    New,
    /// This one, with all that was said.
    Load { session: String },
    /// This one, from here on.
    Resume { session: String },
    /// Which there are.
    List,
    /// That the agent is asked something.
    Prompt {
        session: String,
        content: Vec<Content>,
    },
    /// Another mode.
    SetMode { session: String, mode: String },
    /// Another model.
    SetModel { session: String, model: String },
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Output {
    /// Tell the host.
    Tell(Asked),
    /// Answer a call.
    Reply {
        call: u64,
        result: Result<Value, String>,
    },
    /// A `session/update`.
    Update { session: ThreadId, update: Value },
    /// Ask the editor's user for a permission.
    Permit { request: Request, params: Value },
    /// Do not ask any more.
    Withdraw(Request),
}

/// A call that waits for the host.
#[derive(Debug)]
struct Waits {
    call: u64,
    since: Duration,
    what: For,
}

#[derive(Debug)]
enum For {
    /// The list of threads, to go on with the last of them.
    Last,
    /// The list of threads.
    List,
    /// A session's log, to its end.
    Log(ThreadId),
}

/// What the host is to hear of.
#[derive(Debug)]
struct Wish {
    thread: ThreadId,
    wanted: Wanted,
    /// The call that is answered once the host has it.
    call: Option<u64>,
}

/// The machine.
#[derive(Debug)]
pub(super) struct Desk {
    /// Tells its keys from those of other editors.
    name: String,
    last_key: u64,
    connected: bool,
    /// The host said something on this connection: a socket takes one also where nobody listens.
    there: bool,
    /// Since when the host is there or not.
    since: Duration,
    now: Duration,
    waits: Vec<Waits>,
    wishes: BTreeMap<String, Wish>,
    sessions: BTreeMap<ThreadId, Session>,
    out: Vec<Output>,
}

impl Desk {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            last_key: 0,
            connected: false,
            there: false,
            since: Duration::ZERO,
            now: Duration::ZERO,
            waits: Vec::new(),
            wishes: BTreeMap::new(),
            sessions: BTreeMap::new(),
            out: Vec::new(),
        }
    }

    /// Whether it is to be told that time passes.
    pub(super) fn is_waiting(&self) -> bool {
        let prompts = self
            .sessions
            .values()
            .any(|session| !session.prompts.is_empty());
        !self.waits.is_empty() || (!self.there && (prompts || !self.wishes.is_empty()))
    }

    /// Something came, at a time since the beginning.
    pub(super) fn on(&mut self, input: Input, now: Duration) -> Vec<Output> {
        self.now = now;
        match input {
            Input::Connected => self.connected(),
            Input::Disconnected => {
                self.connected = false;
                self.is_there(false);
            }
            Input::Told(told) => {
                self.is_there(true);
                self.told(told);
            }
            Input::Called { call, ask } => self.called(call, ask),
            Input::Cancelled { session } => self.cancel(&session),
            Input::Answered { request, option } => self.decided(request, option),
            Input::Tick => self.tick(),
        }
        std::mem::take(&mut self.out)
    }

    fn tell(&mut self, asked: Asked) {
        // What is not said now is said once the host is there.
        if self.connected {
            self.out.push(Output::Tell(asked));
        }
    }

    fn reply(&mut self, call: u64, result: Result<Value, String>) {
        self.out.push(Output::Reply { call, result });
    }

    fn is_there(&mut self, there: bool) {
        if self.there != there {
            self.there = there;
            self.since = self.now;
        }
    }

    fn connected(&mut self) {
        self.connected = true;
        self.out
            .push(Output::Tell(Asked::Hello { version: VERSION }));
        let lists = |waits: &Waits| matches!(waits.what, For::Last | For::List);
        if self.waits.iter().any(lists) {
            self.tell(Asked::Threads);
        }
        for (key, wish) in &self.wishes {
            self.out.push(Output::Tell(Asked::Want {
                thread: wish.thread,
                key: key.clone(),
                wanted: wish.wanted.clone(),
            }));
        }
        for (thread, session) in &self.sessions {
            self.out.push(Output::Tell(Asked::Follow {
                thread: *thread,
                after: session.after,
            }));
        }
    }

    fn told(&mut self, told: Told) {
        match told {
            // Fields that are not known are left out by whoever is older.
            Told::Hello { .. } => {}
            Told::Threads { threads } => self.listed(&threads),
            Told::Log(page) => self.log(page),
            Told::Noted { key, seq } => self.noted(&key, seq),
            Told::Refused { key, reason } => self.refused(&key, &reason),
            Told::Over { thread, reason } => self.over(thread, &reason),
        }
    }

    /// Has the host hear what is wanted, until it has it.
    fn want(&mut self, thread: ThreadId, wanted: Wanted, call: Option<u64>) -> String {
        self.last_key += 1;
        let key = format!("{}-{}", self.name, self.last_key);
        let wish = Wish {
            thread,
            wanted: wanted.clone(),
            call,
        };
        self.wishes.insert(key.clone(), wish);
        self.tell(Asked::Want {
            thread,
            key: key.clone(),
            wanted,
        });
        key
    }

    fn noted(&mut self, key: &str, seq: u64) {
        let Some(wish) = self.wishes.get(key) else {
            return;
        };
        let thread = wish.thread;
        if !matches!(wish.wanted, Wanted::Prompt { .. }) {
            if let Some(wish) = self.wishes.remove(key)
                && let Some(call) = wish.call
            {
                let state = self
                    .sessions
                    .get(&thread)
                    .map(|known| known.set(&wish.wanted));
                self.reply(call, Ok(state.unwrap_or_default()));
            }
            return;
        }
        // It is said again after a cut, until its turn is known: it may yet be refused.
        if let Some(session) = self.sessions.get_mut(&thread) {
            session.noted(key, (thread, seq));
        }
        self.settle(thread);
    }

    fn refused(&mut self, key: &str, reason: &str) {
        let Some(wish) = self.wishes.remove(key) else {
            return;
        };
        if let Some(session) = self.sessions.get_mut(&wish.thread)
            && let Some(call) = session.refused(key)
        {
            return self.reply(call, Err(reason.to_owned()));
        }
        if let Some(call) = wish.call {
            self.reply(call, Err(reason.to_owned()));
        }
    }

    /// A request for a permission was answered in the editor.
    fn decided(&mut self, request: Request, option: String) {
        let (thread, number) = request;
        let open = |session: &Session| session.view.open().any(|open| open == request);
        if self.sessions.values().any(open) {
            let answer = PermissionAnswer::Selected { option };
            let request = number;
            self.want(thread, Wanted::Answer { request, answer }, None);
        }
    }

    fn tick(&mut self) {
        let now = self.now;
        let waited = move |since: Duration| now.saturating_sub(since);
        let away = !self.there && waited(self.since) >= HOST;
        let late = |waits: &mut Waits| {
            let waited = waited(waits.since);
            waited >= OPEN || (away && waited >= HOST)
        };
        let late = self.waits.extract_if(.., late);
        let calls: Vec<_> = late.map(|waits| waits.call).collect();
        for call in calls {
            let why = if away {
                calls::NOBODY
            } else {
                "the conversation was not there in time: try again"
            };
            self.reply(call, Err(why.to_owned()));
        }
        if !self.there && waited(self.since) >= AWAY {
            self.give_up("the sandbox's host is away");
        }
    }

    fn give_up(&mut self, why: &str) {
        let wishes = std::mem::take(&mut self.wishes);
        for call in wishes.into_values().filter_map(|wish| wish.call) {
            self.reply(call, Err(why.to_owned()));
        }
        for thread in self.sessions.keys().copied().collect::<Vec<_>>() {
            self.fail_prompts(thread, why);
        }
    }

    fn fail_prompts(&mut self, thread: ThreadId, why: &str) {
        let Some(session) = self.sessions.get_mut(&thread) else {
            return;
        };
        for prompt in std::mem::take(&mut session.prompts) {
            self.wishes.remove(&prompt.key);
            self.reply(prompt.call, Err(why.to_owned()));
        }
    }

    fn over(&mut self, thread: ThreadId, reason: &str) {
        self.fail_prompts(thread, reason);
        let wishes = self.wishes.extract_if(.., |_, wish| wish.thread == thread);
        let of_it = |waits: &mut Waits| matches!(waits.what, For::Log(other) if other == thread);
        let waits = self.waits.extract_if(.., of_it);
        let calls = wishes.filter_map(|(_, wish)| wish.call);
        let calls: Vec<_> = calls.chain(waits.map(|waits| waits.call)).collect();
        for call in calls {
            self.reply(call, Err(reason.to_owned()));
        }
        let Some(session) = self.sessions.remove(&thread) else {
            return;
        };
        for request in session.asked {
            self.out.push(Output::Withdraw(request));
        }
    }

    fn show(&mut self, session: ThreadId, shown: Shown) {
        match shown {
            Shown::Update(update) => self.update(session, update),
            Shown::Asked(request) => self.permit(session, request),
            Shown::Answered(request) => {
                let known = self.sessions.get_mut(&session);
                if known.is_some_and(|known| known.asked.remove(&request)) {
                    self.out.push(Output::Withdraw(request));
                }
            }
        }
    }

    fn permit(&mut self, session: ThreadId, request: Request) {
        let Some(known) = self.sessions.get_mut(&session) else {
            return;
        };
        if let Some(params) = known.view.request(request, session)
            && known.asked.insert(request)
        {
            self.out.push(Output::Permit { request, params });
        }
    }

    /// Adds an update, to the one before where both are more of one text.
    fn update(&mut self, session: ThreadId, update: Value) {
        if let Some(Output::Update {
            session: before_of,
            update: before,
        }) = self.out.last_mut()
            && *before_of == session
            && session::join(before, &update)
        {
            return;
        }
        self.out.push(Output::Update { session, update });
    }
}

#[cfg(test)]
mod tests;
