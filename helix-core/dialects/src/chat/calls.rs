//! Tool calls of a stream, one after the other: engines may tell several at once, and the APIs
//! that they are translated to tell one after the other.

use serde::de::IgnoredAny;

use super::Piece;

/// Calls of one answer at most.
const MOST: usize = 256;

/// More calls than that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany;

#[derive(Debug)]
struct Call {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
}

/// All calls of an answer.
#[derive(Debug, Default)]
pub(super) struct Calls {
    calls: Vec<Call>,
    /// The call that is told now, and how much of its arguments was told.
    open: Option<(usize, usize)>,
    /// Calls that are told, or being told.
    begun: usize,
}

/// What came of a call.
#[derive(Debug, Default)]
pub(super) struct Delta {
    pub(super) index: Option<u64>,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) arguments: String,
}

impl Calls {
    pub(super) fn push(&mut self, delta: Delta, pieces: &mut Vec<Piece>) -> Result<(), TooMany> {
        let at = self.find(&delta);
        let at = match at {
            Some(at) => at,
            None if self.calls.len() >= MOST => return Err(TooMany),
            None => {
                self.calls.push(Call {
                    index: delta.index,
                    id: String::new(),
                    name: String::new(),
                    arguments: String::new(),
                });
                self.calls.len() - 1
            }
        };
        let call = &mut self.calls[at];
        if call.id.is_empty() {
            call.id = delta.id;
        }
        // Some repeat the name with each part of the arguments.
        if call.name.is_empty() {
            call.name = delta.name;
        }
        call.arguments.push_str(&delta.arguments);
        if self.open.is_some_and(|(open, _)| open != at) {
            self.close_if_whole(pieces);
        }
        self.tell(pieces);
        Ok(())
    }

    /// Which call it is of. Who gives no index begins a call with each new id.
    fn find(&self, delta: &Delta) -> Option<usize> {
        if delta.index.is_some() {
            return self.calls.iter().position(|it| it.index == delta.index);
        }
        if !delta.id.is_empty() {
            return self.calls.iter().position(|it| it.id == delta.id);
        }
        self.calls.len().checked_sub(1)
    }

    /// Tells what can be told of the call that is open; opens the next if none is.
    fn tell(&mut self, pieces: &mut Vec<Piece>) {
        if self.open.is_none() {
            let Some(next) = self.calls.get(self.begun) else {
                return;
            };
            if next.name.is_empty() {
                return;
            }
            pieces.push(self.beginning(self.begun));
            self.open = Some((self.begun, 0));
            self.begun += 1;
        }
        if let Some((open, told)) = &mut self.open {
            let rest = &self.calls[*open].arguments[*told..];
            if !rest.is_empty() {
                pieces.push(Piece::Arguments(rest.to_owned()));
                *told += rest.len();
            }
        }
    }

    fn beginning(&self, at: usize) -> Piece {
        let Call { id, name, .. } = &self.calls[at];
        let id = if id.is_empty() {
            format!("call_{at}")
        } else {
            id.clone()
        };
        Piece::Call {
            id,
            name: name.clone(),
        }
    }

    /// Closes the call that is open, if nothing can follow in its arguments. Whether none is
    /// open now.
    pub(super) fn close_if_whole(&mut self, pieces: &mut Vec<Piece>) -> bool {
        let Some((open, _)) = self.open else {
            return true;
        };
        let arguments = self.calls[open].arguments.trim_ascii_end();
        let whole =
            arguments.ends_with('}') && serde_json::from_str::<IgnoredAny>(arguments).is_ok();
        if whole {
            self.close(pieces);
        }
        whole
    }

    fn close(&mut self, pieces: &mut Vec<Piece>) {
        if let Some((open, told)) = self.open.take() {
            // A call of a tool without parameters.
            if told == 0 {
                self.calls[open].arguments.push_str("{}");
                pieces.push(Piece::Arguments("{}".to_owned()));
            }
            pieces.push(Piece::Called);
        }
    }

    /// Nothing more will come: tells what was not told.
    pub(super) fn end(&mut self, pieces: &mut Vec<Piece>) {
        self.close(pieces);
        while self.begun < self.calls.len() {
            pieces.push(self.beginning(self.begun));
            self.open = Some((self.begun, 0));
            self.begun += 1;
            self.tell(pieces);
            self.close(pieces);
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }
}
