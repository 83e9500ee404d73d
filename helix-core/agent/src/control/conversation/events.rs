//! What the host says.

use helix_proto::{
    ThreadId, TurnId, TypedId as _,
    agents::{Command, Down, Entry, Event, EventBody, PermissionAnswer, Wanted, WantedBy},
};

use super::{Act, Change, Conversation, Effect};
use crate::{Gap, Step, control::Permission, turn::Happening};

impl Conversation {
    /// Events came. Those that are stored already are acknowledged once more.
    ///
    /// # Errors
    /// One was left out. Nothing was done; the connection is to be closed.
    pub fn events(
        &mut self,
        thread: ThreadId,
        events: Vec<Event>,
        now_ms: u64,
    ) -> Result<Step<Change, Effect>, Gap> {
        self.now_ms = now_ms;
        if !self.is_thread(thread) {
            self.effect(Effect::Send(Down::Forget { thread }));
            return Ok(self.finish());
        }
        let acknowledged = self.acknowledged();
        let follow = (acknowledged + 1..)
            .zip(events.iter().filter(|event| event.seq > acknowledged))
            .find(|(expected, event)| event.seq != *expected);
        if let Some((expected, event)) = follow {
            return Err(Gap {
                got: event.seq,
                expected,
            });
        }
        let Some(last) = events.last().map(|event| event.seq) else {
            return Ok(self.finish());
        };
        let through = last.max(acknowledged);
        if through > acknowledged {
            self.change(Change::Acknowledged { through });
        }
        self.effect(Effect::Send(Down::Acknowledge { thread, through }));
        for event in events {
            if event.seq > acknowledged {
                self.event(thread, event);
            }
        }
        Ok(self.finish())
    }

    fn acknowledged(&self) -> u64 {
        self.saved
            .thread
            .as_ref()
            .map_or(0, |thread| thread.acknowledged)
    }

    fn event(&mut self, thread: ThreadId, event: Event) {
        self.turn_on(Happening::Heard);
        match event.body {
            EventBody::TurnStarted { turn } => {
                if self.is_in_flight(turn) {
                    self.turn_on(Happening::Opened);
                }
            }
            EventBody::TurnEnded { turn, end } => {
                // One that ended here before was given up, and stays as it ended.
                if self.is_in_flight(turn) {
                    self.turn_on(Happening::Ended(end));
                }
            }
            EventBody::PermissionResolved { request, answer } => {
                if self.saved.permissions.contains_key(&request) {
                    self.answered(request, answer);
                }
            }
            EventBody::PermissionRequested { ref options, .. } => {
                let options = options.iter().map(|option| option.id.clone()).collect();
                let request = event.seq;
                self.log(Entry::Agent { thread, event });
                self.asked(request, options);
            }
            EventBody::Session { ref session, .. } => {
                let session = Some(session.clone());
                self.change(Change::Session { session });
                self.log(Entry::Agent { thread, event });
            }
            EventBody::Wanted(wanted) => self.wanted(wanted, thread, event.seq),
            EventBody::Closed => self.thread_over("the thread was closed"),
            _ => self.log(Entry::Agent { thread, event }),
        }
    }

    fn asked(&mut self, request: u64, options: Vec<String>) {
        let wanted = self
            .saved
            .turn
            .as_ref()
            .filter(|turn| !turn.is_being_cancelled())
            .filter(|_| self.saved.permissions.len() < self.limits.permissions);
        let Some(turn) = wanted.map(|turn| turn.id()) else {
            // Nobody would answer.
            if let Some(id) = self.saved.thread.as_ref().map(|thread| thread.id) {
                let answer = PermissionAnswer::Cancelled;
                self.log(Entry::PermissionAnswered {
                    thread: id,
                    request,
                    answer: answer.clone(),
                });
                self.command(Command::Answer { request, answer });
            }
            return;
        };
        let open = u64::try_from(self.limits.permission.as_millis()).unwrap_or(u64::MAX);
        let ends_at_ms = self.now_ms.saturating_add(open);
        let permission = Permission {
            options,
            ends_at_ms,
        };
        self.change(Change::Asked {
            request,
            permission,
        });
        self.turn_on(Happening::Asked);
        self.log(Entry::TurnAwaiting {
            turn,
            request,
            ends_at_ms,
        });
    }

    /// An editor in the sandbox wants something, as everybody else does.
    fn wanted(&mut self, wanted: Wanted, thread: ThreadId, seq: u64) {
        let act = match wanted {
            Wanted::Prompt { content } => {
                // Of this event and no other.
                let random = thread.ulid().random() ^ u128::from(seq);
                let turn = TurnId::from_parts(self.now_ms, random);
                Act::Prompt { turn, content }
            }
            Wanted::Cancel { turn } => Act::Cancel { turn },
            Wanted::Answer { request, answer } => Act::Answer {
                thread,
                request,
                answer,
            },
            Wanted::SetMode { mode } => Act::SetMode { mode },
            Wanted::SetModel { model } => Act::SetModel { model },
        };
        if let Err(refusal) = self.carry_out(act, Some(WantedBy { thread, seq })) {
            self.command(Command::Unwanted {
                wanted: seq,
                reason: refusal.to_string(),
            });
        }
    }
}
