//! What people want.

use helix_proto::{
    ThreadId, TurnId,
    agents::{
        Command, Content, Down, Entry, HeldBecause, PermissionAnswer, QueuedPrompt, TurnEnd,
        WantedBy,
    },
};

use super::{Change, Conversation, Effect, fitting};
use crate::{Step, turn::Happening};

/// Something that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// That the agent is asked something, after what is in the queue.
    Prompt {
        /// The turn that it becomes. One that is there already is not queued again.
        turn: TurnId,
        /// What.
        content: Vec<Content>,
    },
    /// That the turn in flight stops, and the agent is asked this next.
    Steer {
        /// The turn that it becomes.
        turn: TurnId,
        /// What.
        content: Vec<Content>,
    },
    /// Another wording of a queued prompt.
    Edit {
        /// The prompt.
        turn: TurnId,
        /// What the agent is asked instead.
        content: Vec<Content>,
    },
    /// Another place in the queue.
    Move {
        /// The prompt.
        turn: TurnId,
        /// How many are to be before it.
        position: usize,
    },
    /// That a turn ends, or a prompt leaves the queue. The queue goes on.
    Cancel {
        /// The turn.
        turn: TurnId,
    },
    /// That the turn in flight ends, and the queue waits.
    Interrupt,
    /// That the queue goes on.
    Release,
    /// That the silence of the turn in flight is borne with: it begins anew.
    KeepWaiting,
    /// An answer to a request for a permission.
    Answer {
        /// The thread that it is in.
        thread: ThreadId,
        /// Its sequence number there.
        request: u64,
        /// How.
        answer: PermissionAnswer,
    },
    /// Another mode of the agent.
    SetMode {
        /// Its id.
        mode: String,
    },
    /// Another model for the agent.
    SetModel {
        /// Its id.
        model: String,
    },
    /// That the agent's process stops; what is in flight fails.
    Stop {
        /// Whether it is started again at once.
        restart: bool,
    },
    /// That the conversation goes on with another agent, or with the same one in another way: the
    /// thread is over, and the next prompt begins another. Not while a turn is in flight.
    Renew {
        /// Whether the next thread goes on with the agent's own session.
        resumes: bool,
        /// What the log says of it.
        reason: String,
    },
    /// That the conversation ends.
    Close,
}

/// Why something is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It is over.
    #[error("the conversation is over")]
    Closed,
    /// Too many prompts wait.
    #[error("the queue is full: wait for its prompts, or remove some")]
    QueueFull,
    /// It is empty, or beyond the bounds.
    #[error("the prompt, the mode or the model is empty or too large")]
    TooLarge,
    /// The turn is not in the queue any more.
    #[error("the agent has the prompt already")]
    AlreadySent,
    /// There is no such turn, or it has ended.
    #[error("there is no such turn in the queue or in flight")]
    NoSuchTurn,
    /// Nothing is in flight.
    #[error("no turn is in flight")]
    NothingInFlight,
    /// Somebody answered before, or the request is over.
    #[error("the request is over: it was answered before, or its turn has ended")]
    AlreadyAnswered,
    /// The request does not have that option.
    #[error("the request has no such option")]
    NoSuchOption,
    /// The host has not taken what it was told before.
    #[error("the sandbox's host has not taken what it was told before: try again later")]
    HostBehind,
    /// A turn is in flight.
    #[error("the agent is at work: wait for the turn's end, or stop it")]
    InFlight,
    /// No agent was started yet.
    #[error("there is no agent yet: it is started with the first prompt")]
    NoAgent,
}

impl Conversation {
    /// Somebody wants something.
    ///
    /// # Errors
    /// It is not done, and why; nothing changed.
    pub fn act(&mut self, act: Act, now_ms: u64) -> Result<Step<Change, Effect>, Refusal> {
        self.now_ms = now_ms;
        self.carry_out(act, None)?;
        Ok(self.finish())
    }

    pub(super) fn carry_out(&mut self, act: Act, wanted: Option<WantedBy>) -> Result<(), Refusal> {
        if self.saved.closed {
            return match act {
                Act::Close => Ok(()),
                _ => Err(Refusal::Closed),
            };
        }
        match act {
            Act::Prompt { turn, content } => {
                let position = self.saved.queue.len();
                self.queue(turn, content, position, wanted)
            }
            Act::Steer { turn, content } => {
                self.queue(turn, content, 0, wanted)?;
                self.hold(None);
                self.cancel_turn();
                Ok(())
            }
            Act::Edit { turn, content } => self.edit(turn, content),
            Act::Move { turn, position } => self.move_to(turn, position),
            Act::Cancel { turn } => self.cancel(turn),
            Act::Interrupt => self.interrupt(),
            Act::Release => {
                self.hold(None);
                Ok(())
            }
            Act::KeepWaiting if self.saved.turn.is_none() => Err(Refusal::NothingInFlight),
            Act::KeepWaiting => {
                self.turn_on(Happening::Heard);
                Ok(())
            }
            Act::Answer {
                thread,
                request,
                answer,
            } => self.decide(thread, request, answer),
            Act::SetMode { mode } => self.tell_agent(Command::SetMode { mode }),
            Act::SetModel { model } => self.tell_agent(Command::SetModel { model }),
            Act::Stop { restart } => self.tell_agent(Command::Stop { restart }),
            Act::Renew { .. } if self.saved.turn.is_some() => Err(Refusal::InFlight),
            Act::Renew { resumes, reason } => {
                self.renew(resumes, &reason);
                Ok(())
            }
            Act::Close => {
                self.close();
                Ok(())
            }
        }
    }

    fn renew(&mut self, resumes: bool, reason: &str) {
        if !resumes && self.saved.session.is_some() {
            self.change(Change::Session { session: None });
        }
        if let Some(thread) = self.saved.thread.clone() {
            self.end_thread(reason, true);
            if self.connected {
                // Away, the host hears it with the next welcome.
                self.effect(Effect::Send(Down::Forget { thread: thread.id }));
            }
        }
    }

    fn queue(
        &mut self,
        turn: TurnId,
        content: Vec<Content>,
        position: usize,
        wanted: Option<WantedBy>,
    ) -> Result<(), Refusal> {
        if self.is_in_flight(turn) || self.place(turn).is_some() {
            return Ok(());
        }
        let content = fitting(turn, content)?;
        if self.saved.queue.len() >= self.limits.queue {
            return Err(Refusal::QueueFull);
        }
        let prompt = QueuedPrompt {
            turn,
            content,
            wanted,
        };
        self.log(Entry::PromptQueued {
            prompt: prompt.clone(),
            position,
        });
        self.change(Change::Queued { prompt, position });
        Ok(())
    }

    fn place(&self, turn: TurnId) -> Option<usize> {
        self.saved
            .queue
            .iter()
            .position(|queued| queued.turn == turn)
    }

    /// A prompt that is still in the queue, and its place.
    fn queued(&self, turn: TurnId) -> Result<(usize, QueuedPrompt), Refusal> {
        match self.place(turn) {
            Some(place) => Ok((place, self.saved.queue[place].clone())),
            None if self.is_in_flight(turn) => Err(Refusal::AlreadySent),
            None => Err(Refusal::NoSuchTurn),
        }
    }

    fn edit(&mut self, turn: TurnId, content: Vec<Content>) -> Result<(), Refusal> {
        let (position, mut prompt) = self.queued(turn)?;
        prompt.content = fitting(turn, content)?;
        self.log(Entry::PromptEdited {
            prompt: prompt.clone(),
        });
        self.change(Change::Queued { prompt, position });
        Ok(())
    }

    fn move_to(&mut self, turn: TurnId, position: usize) -> Result<(), Refusal> {
        let (from, prompt) = self.queued(turn)?;
        let position = position.min(self.saved.queue.len() - 1);
        if position != from {
            self.log(Entry::PromptMoved { turn, position });
            self.change(Change::Queued { prompt, position });
        }
        Ok(())
    }

    fn cancel(&mut self, turn: TurnId) -> Result<(), Refusal> {
        if self.is_in_flight(turn) {
            self.cancel_turn();
            return Ok(());
        }
        self.queued(turn)?;
        self.drop_queued(turn);
        if self.saved.queue.is_empty() {
            self.hold(None);
        }
        Ok(())
    }

    /// A prompt leaves the queue without being sent: that is its end.
    fn drop_queued(&mut self, turn: TurnId) {
        let wanted = self.queued(turn).ok().and_then(|(_, prompt)| prompt.wanted);
        self.change(Change::Unqueued { turn });
        let end = TurnEnd::Cancelled;
        self.log(Entry::TurnEnded { turn, end });
        if let Some(wanted) = self.wanted_here(wanted) {
            self.command(Command::Unwanted {
                wanted,
                reason: "it was taken out of the queue".to_owned(),
            });
        }
    }

    /// An editor's event, if its thread is still there.
    pub(super) fn wanted_here(&self, wanted: Option<WantedBy>) -> Option<u64> {
        wanted
            .filter(|wanted| self.is_thread(wanted.thread))
            .map(|wanted| wanted.seq)
    }

    fn interrupt(&mut self) -> Result<(), Refusal> {
        if self.saved.turn.is_none() {
            return Err(Refusal::NothingInFlight);
        }
        if !self.saved.queue.is_empty() {
            self.hold(Some(HeldBecause::Interrupted));
        }
        self.cancel_turn();
        Ok(())
    }

    pub(super) fn hold(&mut self, because: Option<HeldBecause>) {
        if self.saved.held == because {
            return;
        }
        self.log(match because {
            Some(because) => Entry::QueueHeld { because },
            None => Entry::QueueReleased,
        });
        self.change(Change::Held { because });
    }

    fn decide(
        &mut self,
        thread: ThreadId,
        request: u64,
        answer: PermissionAnswer,
    ) -> Result<(), Refusal> {
        let open = self.saved.permissions.get(&request);
        // One of an earlier thread may have had the same number.
        let open = open.filter(|_| self.is_thread(thread));
        let open = open.ok_or(Refusal::AlreadyAnswered)?;
        if let PermissionAnswer::Selected { option } = &answer
            && !open.options.contains(option)
        {
            return Err(Refusal::NoSuchOption);
        }
        self.answer(request, answer);
        Ok(())
    }

    fn tell_agent(&mut self, command: Command) -> Result<(), Refusal> {
        if self.saved.thread.is_none() {
            return Err(Refusal::NoAgent);
        }
        if command.check().is_err() {
            return Err(Refusal::TooLarge);
        }
        // The other half is for what must be said.
        if self.saved.commands.len() >= self.limits.commands / 2 {
            return Err(Refusal::HostBehind);
        }
        self.command(command);
        Ok(())
    }

    fn close(&mut self) {
        for prompt in self.saved.queue.clone() {
            self.drop_queued(prompt.turn);
        }
        self.hold(None);
        self.turn_on(Happening::Ended(TurnEnd::Cancelled));
        self.command(Command::Close);
        self.change(Change::Closed);
        if self.saved.thread.is_none() {
            self.effect(Effect::Over);
        }
    }
}
