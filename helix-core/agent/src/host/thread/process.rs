//! The agent's process.

use helix_proto::agents::{
    AgentPhase, EventBody, PermissionAnswer, PermissionOption, ToolUpdate, TurnEnd,
};

use super::{Agent, Change, Effect, Fact, PERMISSIONS, Tell, Thread, millis};
use crate::host::Underway;

impl Thread {
    pub(super) fn agent(&mut self, run: u64, position: Option<u64>, fact: Fact) {
        let seen = position.is_some_and(|position| position <= self.record.position);
        if run != self.record.run || self.record.agent == Agent::Stopped || seen {
            return;
        }
        self.fact(fact);
        if let Some(position) = position
            && self.record.agent != Agent::Stopped
            && self.record.run == run
        {
            // With the record, should that be written anyway.
            self.record.position = position;
            if !self.dirty {
                self.change(Change::Position { position });
            }
        }
    }

    fn fact(&mut self, fact: Fact) {
        match fact {
            Fact::Starting(detail) => {
                if self.reading && matches!(self.record.agent, Agent::Starting { .. }) {
                    self.phase(AgentPhase::Starting, &detail);
                }
            }
            Fact::Ready { session, resumed } => self.ready(session, resumed),
            Fact::Found => self.found(),
            Fact::Told(number) => self.told(number),
            Fact::Said(body) => self.said(*body),
            Fact::Asked { key, call, options } => self.asked(key, call, options),
            Fact::Withdrew { key } => self.withdrew(&key),
            Fact::Done { turn, end } => self.done(turn, end),
            Fact::Exited(reason) => self.exited(&reason),
        }
    }

    /// Starts the agent; there is none.
    pub(super) fn start(&mut self) {
        self.record.run += 1;
        self.record.position = 0;
        self.record.restarts = false;
        let by_ms = self.now_ms.saturating_add(millis(self.limits.start));
        self.record.agent = Agent::Starting { by_ms };
        self.dirty = true;
        self.reading = true;
        self.phase(AgentPhase::Starting, "");
        self.effect(Effect::Start {
            run: self.record.run,
            session: self.record.session.clone(),
        });
    }

    /// Stops the agent; there is one.
    pub(super) fn stop(&mut self) {
        if !matches!(self.record.agent, Agent::Stopping { .. }) {
            self.stop_now();
        }
    }

    fn stop_now(&mut self) {
        let by_ms = self.now_ms.saturating_add(millis(self.limits.stop));
        self.record.agent = Agent::Stopping { by_ms };
        self.find_by_ms = None;
        self.dirty = true;
        let run = self.record.run;
        self.effect(Effect::Stop { run });
    }

    fn ready(&mut self, session: String, resumed: bool) {
        if !matches!(self.record.agent, Agent::Starting { .. }) {
            return;
        }
        self.record.agent = Agent::Ready;
        self.record.session = Some(session.clone());
        self.dirty = true;
        self.phase(AgentPhase::Ready, "");
        self.append(EventBody::Session { session, resumed });
        self.advance();
    }

    /// The host was restarted, and the agent went on.
    fn found(&mut self) {
        if self.find_by_ms.take().is_none() {
            return;
        }
        match self.record.agent {
            Agent::Ready => {
                let in_doubt = |turn: &Underway| turn.handed && !turn.started;
                if self.record.turn.as_ref().is_some_and(in_doubt) {
                    // Telling it again may double the prompt, and not telling it may lose it.
                    self.interrupted(
                        "the sandbox's host was restarted while it handed over the prompt",
                    );
                    self.stop_now();
                    return;
                }
                for (number, tell) in self.record.tells.clone() {
                    self.tell_now(number, tell);
                }
                self.advance();
            }
            // What was said to start it, and what to stop it, died with the host.
            Agent::Starting { .. } => {
                self.record.restarts = !self.record.closing;
                self.stop_now();
            }
            Agent::Stopping { .. } => self.stop_now(),
            Agent::Stopped => {}
        }
    }

    /// The agent may be anywhere or nowhere: whatever is left of it is stopped.
    fn not_found(&mut self) {
        self.resolve_permissions();
        if self.record.turn.as_ref().is_some_and(|turn| turn.handed) {
            self.interrupted("the agent was not found again after its host was restarted");
        }
        self.stop_now();
    }

    fn interrupted(&mut self, reason: &str) {
        let cancelled = |turn: &Underway| turn.cancel_by_ms.is_some();
        let end = if self.record.turn.as_ref().is_some_and(cancelled) {
            TurnEnd::Cancelled
        } else {
            TurnEnd::Failed {
                reason: reason.to_owned(),
            }
        };
        self.end_turn(end);
    }

    fn said(&mut self, body: EventBody) {
        let own = matches!(
            body,
            EventBody::TurnStarted { .. }
                | EventBody::TurnEnded { .. }
                | EventBody::PermissionRequested { .. }
                | EventBody::PermissionResolved { .. }
                | EventBody::Wanted(_)
                | EventBody::Closed
        );
        // Turns, requests and wishes are the machine's to tell.
        if !own {
            self.append(body);
        }
    }

    fn asked(&mut self, key: String, call: Box<ToolUpdate>, options: Vec<PermissionOption>) {
        if self.record.permissions.values().any(|open| *open == key) {
            return;
        }
        let turn = self.record.turn.as_ref();
        let wanted = turn.is_some_and(|turn| turn.handed && turn.cancel_by_ms.is_none());
        let room = self.record.permissions.len() < PERMISSIONS;
        let request = EventBody::PermissionRequested { call, options };
        if !wanted || !room || request.check().is_err() {
            let answer = PermissionAnswer::Cancelled;
            self.tell(Tell::Answer { key, answer });
            if wanted {
                self.append(EventBody::Notice {
                    text: "a permission was asked for that cannot be shown, and was refused"
                        .to_owned(),
                });
            }
            return;
        }
        let seq = self.append(request);
        self.record.permissions.insert(seq, key);
        self.dirty = true;
    }

    fn withdrew(&mut self, key: &str) {
        let open = &self.record.permissions;
        let found = open.iter().find(|(_, open)| *open == key);
        if let Some(request) = found.map(|(request, _)| *request) {
            self.record.permissions.remove(&request);
            self.dirty = true;
            let answer = PermissionAnswer::Cancelled;
            self.append(EventBody::PermissionResolved { request, answer });
        }
    }

    fn exited(&mut self, reason: &str) {
        let was = std::mem::replace(&mut self.record.agent, Agent::Stopped);
        self.find_by_ms = None;
        self.dirty = true;
        self.record.tells.clear();
        if self.record.forgotten {
            self.remove();
            return;
        }
        self.resolve_permissions();
        if let Some(turn) = &self.record.turn {
            let stopped = matches!(was, Agent::Stopping { .. });
            let failed = |text: String| {
                Some(TurnEnd::Failed {
                    reason: super::cut(&text),
                })
            };
            let end = if turn.cancel_by_ms.is_some() || self.record.closing {
                Some(TurnEnd::Cancelled)
            } else if turn.handed && stopped {
                failed("the agent was stopped".to_owned())
            } else if turn.handed {
                failed(format!("the agent ended: {reason}"))
            } else if stopped {
                // It came while the agent was being stopped, and starts the next.
                None
            } else {
                failed(format!("the agent cannot be started: {reason}"))
            };
            if let Some(end) = end {
                self.end_turn(end);
            }
        }
        self.phase(AgentPhase::Stopped, reason);
        if self.record.closing {
            self.close();
        } else if self.record.restarts || self.record.turn.is_some() {
            self.start();
        }
    }

    /// Ends the thread; there is no agent.
    pub(super) fn close(&mut self) {
        while self.record.turn.is_some() {
            self.end_turn(TurnEnd::Cancelled);
        }
        self.append(EventBody::Closed);
        self.record.closed = true;
        self.dirty = true;
    }

    pub(super) fn tick(&mut self) {
        if let Some(by_ms) = self.find_by_ms {
            if self.now_ms >= by_ms {
                self.not_found();
            }
            return;
        }
        match self.record.agent {
            Agent::Starting { by_ms } if self.now_ms >= by_ms => {
                let seconds = self.limits.start.as_secs();
                let reason = format!("the agent did not start within {seconds} s");
                self.end_turn(TurnEnd::Failed { reason });
                self.stop();
            }
            Agent::Stopping { by_ms } if self.now_ms >= by_ms => {
                self.exited("it does not stop");
            }
            Agent::Ready => {
                let cancel_by = self.record.turn.as_ref().and_then(|turn| turn.cancel_by_ms);
                if cancel_by.is_some_and(|by_ms| self.now_ms >= by_ms) {
                    self.append(EventBody::Notice {
                        text: "the agent did not heed the cancel, and was stopped".to_owned(),
                    });
                    self.stop();
                }
            }
            Agent::Starting { .. } | Agent::Stopping { .. } | Agent::Stopped => {}
        }
    }
}
