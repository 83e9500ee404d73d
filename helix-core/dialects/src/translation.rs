//! From the bytes of an engine's answer to another API's events.

use serde_json::Value;

use crate::{
    Event,
    chat::{Failure, Piece, Reader, Usage},
};

/// How an API tells an answer.
pub trait Dialect {
    /// The events before anything is known of the answer.
    fn begin(&mut self) -> Vec<Event>;

    /// The events of the next piece. After [`Piece::End`] or [`Piece::Failed`] none comes.
    fn piece(&mut self, piece: Piece) -> Vec<Event>;

    /// What tells a client that the answer goes on although nothing came for a while; `None` where
    /// the API has no event for it.
    fn idle(&self) -> Option<Event> {
        None
    }

    /// The answer as one object, once it has ended.
    ///
    /// # Errors
    /// When it holds what the API cannot say in one object.
    fn whole(&self) -> Result<Value, Failure>;
}

/// An answer on its way from a chat completion's stream to another API.
#[derive(Debug)]
pub struct Translation<D> {
    reader: Reader,
    dialect: D,
    outcome: Option<Result<Usage, Failure>>,
}

impl<D: Dialect> Translation<D> {
    /// Nothing came yet.
    pub fn new(dialect: D) -> Self {
        Self {
            reader: Reader::default(),
            dialect,
            outcome: None,
        }
    }

    /// The events that begin the stream.
    pub fn begin(&mut self) -> Vec<Event> {
        self.dialect.begin()
    }

    /// More bytes of the engine's stream came.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Event> {
        let mut pieces = Vec::new();
        self.reader.push(bytes, &mut pieces);
        self.told(pieces)
    }

    /// Nothing more will come. Ends the stream, if it has not ended.
    pub fn end(&mut self) -> Vec<Event> {
        let mut pieces = Vec::new();
        self.reader.end(&mut pieces);
        self.told(pieces)
    }

    /// Ends the stream for a reason that is not in it.
    pub fn fail(&mut self, failure: Failure) -> Vec<Event> {
        self.told(vec![Piece::Failed(failure)])
    }

    /// What tells a client that the answer goes on although nothing came for a while.
    pub fn idle(&self) -> Option<Event> {
        self.dialect.idle()
    }

    /// Whether the answer has ended, well or not: nothing that comes changes it.
    pub const fn is_over(&self) -> bool {
        self.outcome.is_some()
    }

    /// What the answer cost, once it has ended well.
    pub const fn usage(&self) -> Option<Usage> {
        match &self.outcome {
            Some(Ok(usage)) => Some(*usage),
            _ => None,
        }
    }

    /// The answer as one object.
    ///
    /// # Errors
    /// When it failed, has not ended, or cannot be said in one object.
    pub fn whole(&self) -> Result<Value, Failure> {
        match &self.outcome {
            Some(Ok(_)) => self.dialect.whole(),
            Some(Err(failure)) => Err(failure.clone()),
            None => Err(Failure::new("the answer has not ended")),
        }
    }

    fn told(&mut self, pieces: Vec<Piece>) -> Vec<Event> {
        let mut events = Vec::new();
        for piece in pieces {
            if self.is_over() {
                break;
            }
            match &piece {
                Piece::End { usage, .. } => self.outcome = Some(Ok(*usage)),
                Piece::Failed(failure) => self.outcome = Some(Err(failure.clone())),
                _ => {}
            }
            events.append(&mut self.dialect.piece(piece));
        }
        events
    }
}
