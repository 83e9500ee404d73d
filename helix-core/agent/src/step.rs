//! What a machine wants of its driver.

/// What a machine wants done after it was told something.
///
/// # Contract of the driver
/// - All `changes` are committed, in order and together, before the first effect is carried out.
///   That is what makes an acknowledgement true and a command idempotent.
/// - Then the effects, in order. A process that dies in between loses effects, and that is
///   taken into account; losing changes is not.
/// - Where the commit fails, the machine is dropped, and made anew from what was stored: it is
///   ahead of what is true.
/// - Steps may be joined ([`Self::then`]) and committed together.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "changes are to be stored, and then effects to be carried out"]
pub struct Step<C, E> {
    /// What to store.
    pub changes: Vec<C>,
    /// What to do afterwards.
    pub effects: Vec<E>,
}

impl<C, E> Default for Step<C, E> {
    fn default() -> Self {
        Self {
            changes: Vec::new(),
            effects: Vec::new(),
        }
    }
}

impl<C, E> Step<C, E> {
    /// Whether there is nothing to do.
    pub const fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.effects.is_empty()
    }

    /// Joins the next step to this one.
    pub fn then(&mut self, mut next: Self) {
        self.changes.append(&mut next.changes);
        self.effects.append(&mut next.effects);
    }
}

/// A number was left out, or one came that there cannot be: what the two sides know of each other
/// does not fit. The connection is closed with [`helix_proto::agents::GAP`], and the next one
/// begins with what each has stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{got} came, where {expected} is next")]
pub struct Gap {
    /// What came.
    pub got: u64,
    /// What should have come.
    pub expected: u64,
}
