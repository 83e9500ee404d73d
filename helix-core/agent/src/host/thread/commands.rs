//! What the control plane says.

use helix_proto::{
    TurnId,
    agents::{Command, Content, EventBody, Numbered, PermissionAnswer, TurnEnd},
};

use super::{Agent, Tell, Thread};
use crate::{Gap, host::Underway};

/// What an agent has not been told yet, at most, before it is not told of modes and models.
const TELLS: usize = 64;

impl Thread {
    pub(super) fn command(&mut self, command: Numbered) -> Result<(), Gap> {
        let Numbered { number, command } = command;
        let expected = self.record.accepted + 1;
        if number > expected {
            return Err(Gap {
                got: number,
                expected,
            });
        }
        if number == expected {
            self.record.accepted = number;
            self.dirty = true;
            self.carry_out(command);
        }
        // Also for one that was seen: the word of it may have been lost.
        self.accepted();
        Ok(())
    }

    fn carry_out(&mut self, command: Command) {
        if self.record.closed {
            return;
        }
        match command {
            // The thread began with one.
            Command::Open(_) => {}
            Command::Prompt { turn, content, .. } => self.prompt(turn, content),
            Command::Unwanted { wanted, reason } => self.unwanted(wanted, &reason),
            Command::Cancel { turn } => self.cancel(turn),
            Command::Answer { request, answer } => self.answer(request, answer),
            Command::SetMode { mode } => self.set(Tell::SetMode { mode }),
            Command::SetModel { model } => self.set(Tell::SetModel { model }),
            Command::Stop { restart } => {
                self.record.restarts = restart;
                match self.record.agent {
                    Agent::Stopped if restart => self.start(),
                    Agent::Stopped => {}
                    _ => self.stop(),
                }
            }
            Command::Close => {
                self.record.closing = true;
                self.record.restarts = false;
                match self.record.agent {
                    Agent::Stopped => self.close(),
                    _ => self.stop(),
                }
            }
        }
    }

    fn prompt(&mut self, turn: TurnId, content: Vec<Content>) {
        let is_this =
            |underway: &Option<Underway>| underway.as_ref().is_some_and(|u| u.turn == turn);
        if is_this(&self.record.turn) || is_this(&self.record.next) {
            return;
        }
        let refused = |reason: &str| EventBody::TurnEnded {
            turn,
            end: TurnEnd::Failed {
                reason: reason.to_owned(),
            },
        };
        if self.record.closing {
            self.append(refused("the thread is over"));
            return;
        }
        let underway = Underway {
            turn,
            content,
            handed: false,
            started: false,
            cancel_by_ms: None,
        };
        let ending = self
            .record
            .turn
            .as_ref()
            .map(|turn| turn.cancel_by_ms.is_some());
        match ending {
            None => {
                self.record.turn = Some(underway);
                self.advance();
            }
            Some(true) if self.record.next.is_none() => self.record.next = Some(underway),
            Some(_) => {
                self.append(refused("another turn of this thread is in flight"));
            }
        }
    }

    fn cancel(&mut self, turn: TurnId) {
        if self
            .record
            .next
            .as_ref()
            .is_some_and(|next| next.turn == turn)
        {
            self.record.next = None;
            let end = TurnEnd::Cancelled;
            self.append(EventBody::TurnEnded { turn, end });
        } else if self
            .record
            .turn
            .as_ref()
            .is_some_and(|now| now.turn == turn)
        {
            self.cancel_turn();
        }
    }

    fn answer(&mut self, request: u64, answer: PermissionAnswer) {
        if let Some(key) = self.record.permissions.remove(&request) {
            self.append(EventBody::PermissionResolved {
                request,
                answer: answer.clone(),
            });
            self.tell(Tell::Answer { key, answer });
        }
    }

    fn set(&mut self, tell: Tell) {
        let room = self.record.tells.len() < TELLS;
        if self.record.agent == Agent::Ready && self.find_by_ms.is_none() && room {
            self.tell(tell);
        } else {
            self.append(EventBody::Notice {
                text: "mode and model can be set while the agent runs and listens".to_owned(),
            });
        }
    }
}
