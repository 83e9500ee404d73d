//! The turn in flight, and what the log says of it.

use helix_proto::{
    TurnId,
    agents::{Command, Entry, HeldBecause, TurnEnd},
};

use super::{Change, Conversation, Effect};
use crate::turn::{self, Happening, Turn};

impl Conversation {
    pub(super) fn is_in_flight(&self, turn: TurnId) -> bool {
        self.saved.turn.as_ref().is_some_and(|now| now.id() == turn)
    }

    /// Something happened to the turn in flight, if there is one.
    pub(super) fn turn_on(&mut self, happening: Happening) {
        if let Some(mut turn) = self.saved.turn.clone() {
            let changes = turn.on(happening, &self.limits.turn, self.now_ms);
            self.turn_changed(turn, changes);
        }
    }

    /// Time passed for the turn in flight.
    pub(super) fn turn_tick(&mut self) {
        if let Some(mut turn) = self.saved.turn.clone() {
            let changes = turn.tick(&self.limits.turn, self.now_ms);
            let given_up = turn.is_over() && !turn.is_being_cancelled();
            let id = turn.id();
            self.turn_changed(turn, changes);
            if given_up {
                // Its host may be at it still, or hear of it only later.
                self.command(Command::Cancel { turn: id });
            }
        }
    }

    pub(super) fn fail_turn(&mut self, reason: &str) {
        if let Some(turn) = &self.saved.turn {
            let end = if turn.is_being_cancelled() {
                TurnEnd::Cancelled
            } else {
                TurnEnd::Failed {
                    reason: reason.to_owned(),
                }
            };
            self.turn_on(Happening::Ended(end));
        }
    }

    /// Asks the host to end the turn in flight; by a deadline it has ended here, whatever the
    /// host does.
    pub(super) fn cancel_turn(&mut self) {
        if let Some(turn) = &self.saved.turn
            && !turn.is_being_cancelled()
        {
            let turn = turn.id();
            self.command(Command::Cancel { turn });
            self.turn_on(Happening::Cancelling);
        }
    }

    fn turn_changed(&mut self, turn: Turn, changes: Vec<turn::Change>) {
        let id = turn.id();
        let known = self.saved.turn.as_ref();
        if known.is_some_and(|known| known.is_stored_as(&turn)) {
            self.saved.turn = Some(turn);
            return;
        }
        let over = turn.is_over();
        let turn = (!over).then(|| Box::new(turn));
        self.change(Change::Turn { turn });
        if over {
            self.cancel_permissions();
        }
        for change in changes {
            self.log_change(id, change);
        }
    }

    fn log_change(&mut self, turn: TurnId, change: turn::Change) {
        match change {
            // Only chats wait for a place, and each request is told as such.
            turn::Change::Waits(_) | turn::Change::Awaiting => {}
            turn::Change::Dispatched => self.log(Entry::TurnDispatched { turn }),
            turn::Change::Running => self.log(Entry::TurnRunning { turn }),
            turn::Change::Counting {
                waiting,
                ends_at_ms,
            } => self.log(Entry::TurnWaiting {
                turn,
                waiting,
                ends_at_ms,
            }),
            turn::Change::GoesOn => self.log(Entry::TurnGoesOn { turn }),
            turn::Change::Ended(end) => {
                let failed = matches!(end, TurnEnd::Failed { .. });
                self.log(Entry::TurnEnded { turn, end });
                if failed && !self.saved.queue.is_empty() && self.saved.held.is_none() {
                    self.hold(Some(HeldBecause::Failed));
                }
            }
        }
    }

    /// Sends the next prompt of the queue, if it is its time.
    pub(super) fn dispatch(&mut self) {
        if self.saved.turn.is_some() || self.saved.held.is_some() || self.saved.closed {
            return;
        }
        let Some(prompt) = self.saved.queue.front().cloned() else {
            return;
        };
        if self.saved.thread.is_none() {
            self.effect(Effect::NeedsThread);
            return;
        }
        let turn = prompt.turn;
        self.change(Change::Unqueued { turn });
        let mut begun = Turn::new(turn, &self.limits.turn, self.now_ms);
        let changes = begun.on(Happening::Dispatched, &self.limits.turn, self.now_ms);
        self.turn_changed(begun, changes);
        if !self.connected {
            self.turn_on(Happening::HostAway);
        }
        let wanted = self.wanted_here(prompt.wanted);
        self.command(Command::Prompt {
            turn,
            content: prompt.content,
            wanted,
        });
    }
}
