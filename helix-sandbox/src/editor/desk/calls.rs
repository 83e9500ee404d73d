//! The editor's calls.

use helix_proto::{
    ThreadId,
    agents::{Content, EventBody, MAX_EVENT, Wanted},
};
use serde_json::{Value, json};

use super::{
    Ask, Asked, Desk, For, Waits,
    session::{Prompt, Session, Stage, parse},
};
use crate::agents::editors::wire::Listed;

/// Prompts of one session that wait at a time.
const PROMPTS: usize = 64;
/// Sessions that an editor is in.
const SESSIONS: usize = 64;

impl Desk {
    pub(super) fn called(&mut self, call: u64, ask: Ask) {
        let done = match ask {
            Ask::New => {
                self.wait(call, For::Last);
                self.tell(Asked::Threads);
                Ok(())
            }
            Ask::List => {
                self.wait(call, For::List);
                self.tell(Asked::Threads);
                Ok(())
            }
            Ask::Load { session } => {
                parse(&session).and_then(|thread| self.open(call, thread, Stage::Replaying))
            }
            Ask::Resume { session } => {
                let stage = Stage::Folding { replay: false };
                parse(&session).and_then(|thread| self.open(call, thread, stage))
            }
            Ask::Prompt { session, content } => self.prompt(call, &session, content),
            Ask::SetMode { session, mode } => self.set(call, &session, Wanted::SetMode { mode }),
            Ask::SetModel { session, model } => {
                self.set(call, &session, Wanted::SetModel { model })
            }
        };
        if let Err(why) = done {
            self.reply(call, Err(why));
        }
    }

    fn wait(&mut self, call: u64, what: For) {
        let since = self.now;
        self.waits.push(Waits { call, since, what });
    }

    /// The session of a thread that the editor is in.
    fn session(&self, session: &str) -> Result<ThreadId, String> {
        let thread = parse(session)?;
        if self.sessions.contains_key(&thread) {
            return Ok(thread);
        }
        Err(format!(
            "the session {session} is over, or was not begun here: begin it anew"
        ))
    }

    fn open(&mut self, call: u64, thread: ThreadId, stage: Stage) -> Result<(), String> {
        if self.sessions.len() >= SESSIONS && !self.sessions.contains_key(&thread) {
            return Err(format!("there are {SESSIONS} sessions already"));
        }
        let session = self.sessions.entry(thread);
        session.or_insert_with(|| Session::new(stage)).begin(stage);
        self.wait(call, For::Log(thread));
        self.tell(Asked::Follow { thread, after: 0 });
        Ok(())
    }

    pub(super) fn listed(&mut self, threads: &[Listed]) {
        let lists = |waits: &mut Waits| matches!(waits.what, For::Last | For::List);
        let asked: Vec<_> = self.waits.extract_if(.., lists).collect();
        for Waits { call, what, .. } in asked {
            let opened = match (what, threads.last()) {
                (For::List, _) => {
                    let sessions: Value = threads.iter().rev().map(session_info).collect();
                    self.reply(call, Ok(json!({"sessions": sessions})));
                    Ok(())
                }
                (_, Some(last)) => {
                    let stage = Stage::Folding { replay: true };
                    self.open(call, last.thread, stage)
                }
                (_, None) => Err(NOBODY.to_owned()),
            };
            if let Err(why) = opened {
                self.reply(call, Err(why));
            }
        }
    }

    fn prompt(&mut self, call: u64, session: &str, content: Vec<Content>) -> Result<(), String> {
        let thread = self.session(session)?;
        let known = self.sessions.get(&thread);
        if known.is_some_and(|known| known.prompts.len() >= PROMPTS) {
            return Err(format!("{PROMPTS} prompts wait already"));
        }
        let wanted = Wanted::Prompt { content };
        // Beyond that the host would refuse it.
        let bytes = EventBody::Wanted(wanted.clone()).bytes();
        if bytes > MAX_EVENT {
            return Err(format!(
                "the prompt has {bytes} bytes, and an editor's may have {MAX_EVENT}: link to files \
                 in place of their content, or give pictures on the session's page"
            ));
        }
        let key = self.want(thread, wanted, None);
        if let Some(known) = self.sessions.get_mut(&thread) {
            known.prompts.push(Prompt {
                call,
                key,
                wanted: None,
                turn: None,
                cancelled: false,
            });
        }
        Ok(())
    }

    fn set(&mut self, call: u64, session: &str, wanted: Wanted) -> Result<(), String> {
        let thread = self.session(session)?;
        self.want(thread, wanted, Some(call));
        Ok(())
    }

    /// Ends the editor's own turns; without one, the turn in flight, whosesoever it is.
    pub(super) fn cancel(&mut self, session: &str) {
        let Ok(thread) = self.session(session) else {
            return;
        };
        let Some(known) = self.sessions.get_mut(&thread) else {
            return;
        };
        for prompt in &mut known.prompts {
            prompt.cancelled = true;
        }
        let turns: Vec<_> = if known.prompts.is_empty() {
            known.view.running().into_iter().collect()
        } else {
            let own = known.prompts.iter();
            own.filter_map(|prompt| prompt.turn).collect()
        };
        for turn in turns {
            self.want(thread, Wanted::Cancel { turn }, None);
        }
    }
}

/// Why there is nothing to attach to.
pub(super) const NOBODY: &str =
    "no agent is at work in this sandbox: begin a session with an agent in Helix, and try again";

fn session_info(listed: &Listed) -> Value {
    // Where the agent's directory is the home, nobody here knows its path.
    let directory = Some(listed.directory.as_str()).filter(|path| path.starts_with('/'));
    json!({
        "sessionId": listed.thread.to_string(),
        "cwd": directory.unwrap_or("/"),
        "title": format!("Helix: {}", listed.agent),
    })
}
