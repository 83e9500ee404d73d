//! The turn in flight.

use helix_proto::{
    TurnId,
    agents::{EventBody, PermissionAnswer, TurnEnd},
};

use super::{Agent, Effect, Tell, Thread, millis};
use crate::host::Underway;

impl Thread {
    /// Brings a turn that the agent was not told of further.
    pub(super) fn advance(&mut self) {
        let Some(turn) = self.record.turn.as_ref().filter(|turn| !turn.handed) else {
            return;
        };
        let turn = turn.turn;
        match self.record.agent {
            Agent::Ready if self.find_by_ms.is_none() => {
                if let Some(underway) = &mut self.record.turn {
                    underway.handed = true;
                }
                self.tell(Tell::Prompt { turn });
            }
            Agent::Stopped => self.start(),
            // Goes on when that is over.
            Agent::Ready | Agent::Starting { .. } | Agent::Stopping { .. } => {}
        }
    }

    /// Has the agent told something, and keeps it until it was.
    pub(super) fn tell(&mut self, tell: Tell) {
        self.record.last_tell += 1;
        let number = self.record.last_tell;
        self.record.tells.insert(number, tell.clone());
        self.dirty = true;
        self.tell_now(number, tell);
    }

    pub(super) fn tell_now(&mut self, number: u64, tell: Tell) {
        // An agent that is being looked for is told once it is found.
        if self.find_by_ms.is_some() {
            return;
        }
        let content = match (&tell, &self.record.turn) {
            (Tell::Prompt { .. }, Some(turn)) => turn.content.clone(),
            _ => Vec::new(),
        };
        let run = self.record.run;
        self.effect(Effect::Tell {
            run,
            number,
            tell,
            content,
        });
    }

    pub(super) fn told(&mut self, number: u64) {
        let Some(tell) = self.record.tells.remove(&number) else {
            return;
        };
        self.dirty = true;
        if let Tell::Prompt { turn } = tell {
            self.started(turn);
        }
    }

    /// The agent has the prompt.
    fn started(&mut self, turn: TurnId) {
        let Some(underway) = self
            .record
            .turn
            .as_mut()
            .filter(|underway| underway.turn == turn && !underway.started)
        else {
            return;
        };
        underway.started = true;
        underway.content = Vec::new();
        let cancelled = underway.cancel_by_ms.is_some();
        self.append(EventBody::TurnStarted { turn });
        if cancelled {
            self.tell(Tell::Cancel);
        }
    }

    pub(super) fn cancel_turn(&mut self) {
        let by_ms = self.now_ms.saturating_add(millis(self.limits.cancel));
        let Some(turn) = &mut self.record.turn else {
            return;
        };
        if turn.cancel_by_ms.is_some() {
            return;
        }
        if !turn.handed {
            self.end_turn(TurnEnd::Cancelled);
            return;
        }
        turn.cancel_by_ms = Some(by_ms);
        let started = turn.started;
        self.resolve_permissions();
        if started {
            self.tell(Tell::Cancel);
        }
    }

    /// The agent is done with a turn.
    pub(super) fn done(&mut self, turn: TurnId, end: TurnEnd) {
        let handed = |now: &&Underway| now.turn == turn && now.handed;
        if self.record.turn.as_ref().filter(handed).is_none() {
            return;
        }
        // The word that it was told may come later.
        self.started(turn);
        self.record
            .tells
            .retain(|_, tell| !matches!(tell, Tell::Prompt { .. } | Tell::Cancel));
        self.resolve_permissions();
        self.end_turn(end);
        self.advance();
    }

    /// Ends the turn in flight; the next is in flight then, and has not begun.
    pub(super) fn end_turn(&mut self, end: TurnEnd) {
        self.dirty = true;
        if let Some(turn) = self.record.turn.take() {
            let turn = turn.turn;
            self.append(EventBody::TurnEnded { turn, end });
        }
        self.record.turn = self.record.next.take();
    }

    /// Nobody waits for an answer any more.
    pub(super) fn resolve_permissions(&mut self) {
        let alive = self.record.agent == Agent::Ready;
        for (request, key) in std::mem::take(&mut self.record.permissions) {
            self.dirty = true;
            let answer = PermissionAnswer::Cancelled;
            self.append(EventBody::PermissionResolved {
                request,
                answer: answer.clone(),
            });
            if alive {
                self.tell(Tell::Answer { key, answer });
            }
        }
    }
}
