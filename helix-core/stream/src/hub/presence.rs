//! Who the others are, and where their pointers are.

use std::time::{Duration, Instant};

use helix_proto::desktop::{Down, Point, Presence, PresenceFlags};

use super::{Action, Hub, ViewerId};

/// Pointers are shown this often at most.
const EVERY: Duration = Duration::from_millis(50);
/// Those of more viewers than this, beside the desktop's own, are shown more seldom: each of them
/// is told of all.
const OFTEN: usize = 8;

/// When the pointers are shown next.
#[derive(Debug)]
pub(super) struct Timer {
    told: Instant,
    /// When the others' pointers were.
    told_others: Instant,
    /// Who moved the desktop's pointer since, a viewer or a program, and where it is now.
    desktop: Option<(Option<ViewerId>, Point)>,
    /// Whether another's pointer moved since.
    others: bool,
}

impl Timer {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            told: now,
            told_others: now,
            desktop: None,
            others: false,
        }
    }

    /// A program moved the desktop's pointer.
    pub(super) const fn moved(&mut self, at: Point) {
        self.desktop = Some((None, at));
    }
}

impl Hub {
    /// Everybody is told who is there.
    pub(super) fn tell_presence(&mut self, actions: &mut Vec<Action>) {
        self.presence.others = false;
        let present: Vec<_> = self
            .viewers
            .iter()
            .map(|(id, viewer)| Presence {
                viewer: id.0,
                flags: PresenceFlags {
                    controls: self.controls == Some(*id),
                    you: false,
                    looks_on: viewer.looks_on,
                    pointer: viewer.pointer.is_some(),
                },
                pointer: viewer.pointer.unwrap_or_default(),
                name: viewer.greeting.name.clone(),
            })
            .collect();
        for (at, (id, viewer)) in self.viewers.iter().enumerate() {
            if viewer.greeted {
                let mut present = present.clone();
                present[at].flags.you = true;
                actions.push(Action::Send(*id, Down::Presence(present)));
            }
        }
    }

    /// A viewer's pointer is there.
    pub(super) fn pointed(&mut self, id: ViewerId, at: Point) {
        if let Some(viewer) = self.viewers.get_mut(&id) {
            viewer.pointer = Some(at);
        }
        // Nobody else is there to be told.
        if self.viewers.len() < 2 {
            return;
        }
        if self.controls == Some(id) {
            self.presence.desktop = Some((Some(id), at));
        } else {
            self.presence.others = true;
        }
    }

    /// When pointers have to be told next.
    pub(super) fn presence_due(&self) -> Option<Instant> {
        let desktop = self.presence.desktop.map(|_| self.presence.told + EVERY);
        [desktop, self.others_due()].into_iter().flatten().min()
    }

    fn others_due(&self) -> Option<Instant> {
        let times = u32::try_from(self.viewers.len() / OFTEN).unwrap_or(u32::MAX);
        let every = EVERY.saturating_mul(times.max(1));
        let moved = self.presence.others;
        moved.then(|| self.presence.told_others + every)
    }

    /// Tells the others of the pointers that moved, where that is due.
    pub(super) fn tell_pointers(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let desktop = self.presence.desktop;
        if let Some((mover, at)) = desktop.filter(|_| self.presence.told + EVERY <= now) {
            self.presence.told = now;
            self.presence.desktop = None;
            let others = self
                .viewers
                .iter()
                .filter(|(id, viewer)| Some(**id) != mover && viewer.watches());
            actions.extend(others.map(|(id, _)| Action::Send(*id, Down::Pointer(at))));
        }
        if self.others_due().is_some_and(|due| due <= now) {
            self.presence.told_others = now;
            self.tell_presence(actions);
        }
    }
}
