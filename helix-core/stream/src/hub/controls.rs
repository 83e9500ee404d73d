//! Who has the controls when their holder is not there any more.

use std::time::{Duration, Instant};

use super::{Action, Hub, ViewerId};

/// A viewer that has said nothing for this long is not there, as far as the controls go. Its
/// socket may live on for longer: what stands between, such as a relay, answers for it.
pub(super) const ABSENT_AFTER: Duration = Duration::from_secs(6);

impl Hub {
    /// Who gets the controls from a holder that is not there: of those who are, look at the
    /// picture and do not only look on, whoever has been here longest.
    fn heir(&self, now: Instant) -> Option<ViewerId> {
        let mut others = self.viewers.iter();
        let heir = others.find(|(id, viewer)| {
            self.controls != Some(**id)
                && !viewer.looks_on
                && viewer.visible
                && viewer.absent_from() > now
        });
        heir.map(|(id, _)| *id)
    }

    /// When the holder of the controls is not there any more, if it says nothing until then and
    /// something follows from that.
    pub(super) fn absent_due(&self, now: Instant) -> Option<Instant> {
        let holder = self.viewers.get(&self.controls?)?;
        let follows = !holder.held.is_empty() || self.heir(now).is_some();
        follows.then(|| holder.absent_from())
    }

    /// Lets go of what an absent holder of the controls holds, and passes them on where somebody
    /// else is there. Whether they were: everybody is to be told. What programs do goes on.
    pub(super) fn mind_absence(&mut self, now: Instant, actions: &mut Vec<Action>) -> bool {
        let Some(holder) = self.controls else {
            return false;
        };
        if self.absent_due(now).is_none_or(|due| due > now) {
            return false;
        }
        self.release(holder, actions);
        let heir = self.heir(now);
        self.controls = heir.or(self.controls);
        heir.is_some()
    }
}
