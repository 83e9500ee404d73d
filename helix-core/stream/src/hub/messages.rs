//! What viewers say.

use std::time::Instant;

use helix_proto::desktop::{Down, Micros, Size, Up};

use super::{Action, Hub, ViewerId};
use crate::{input::Input, pacing::BitsPerSecond};

impl Hub {
    /// A viewer says something, after its greeting; `clock` is the media process's own, for
    /// the answer to a ping. From one who is not there it is nothing.
    ///
    /// # Errors
    ///
    /// A second greeting, which nobody sends: the socket is to be closed, with the reason.
    pub fn message(
        &mut self,
        id: ViewerId,
        message: Up,
        clock: Micros,
        now: Instant,
    ) -> Result<Vec<Action>, &'static str> {
        let mut actions = Vec::new();
        let Some(viewer) = self.viewers.get_mut(&id) else {
            return Ok(actions);
        };
        viewer.said = now;
        match message {
            Up::Hello(_) => return Err("a second Hello"),
            Up::Painted { sequence, queue } => viewer.pacing.painted(sequence, queue, now),
            Up::Bitrate(kbits) => viewer.pacing.ask(BitsPerSecond::from_kbits(kbits)),
            Up::KeyFrame => viewer.pacing.lost(now),
            Up::Visible(visible) => {
                if viewer.visible != visible {
                    viewer.pacing.forget();
                }
                viewer.visible = visible;
            }
            Up::Ping { token } if viewer.greeted => {
                actions.push(Action::Send(id, Down::Pong { token, now: clock }));
            }
            Up::Ping { .. } => {}
            Up::Audio(on) => {
                viewer.listens = on && self.options.audio;
                self.tell_listening(&mut actions);
            }
            Up::Release => self.release(id, &mut actions),
            Up::TakeOver => self.take_over(id, &mut actions),
            Up::Resize(size) => {
                let size = even(size).filter(|_| self.controls == Some(id));
                actions.extend(size.map(Action::Resize));
            }
            Up::Clipboard(content) => {
                if self.controls == Some(id) && self.options.clipboard {
                    actions.push(Action::Copy(content));
                }
            }
            input => self.input(id, input, &mut actions),
        }
        Ok(actions)
    }

    fn input(&mut self, id: ViewerId, message: Up, actions: &mut Vec<Action>) {
        if let Up::Move(at) | Up::Touch { at, .. } = message {
            self.pointed(id, at);
        }
        if self.controls != Some(id) {
            return;
        }
        let Some(viewer) = self.viewers.get_mut(&id) else {
            return;
        };
        let held = &mut viewer.held;
        let input = match message {
            Up::Key { key, down } => held.key(key, down).then_some(Input::Key { key, down }),
            Up::Button { button, down } => held
                .button(button, down)
                .then_some(Input::Button { button, down }),
            Up::Touch { phase, finger, at } => {
                held.touch(phase, finger)
                    .then_some(Input::Touch { phase, finger, at })
            }
            Up::Text(text) if !text.is_empty() => Some(Input::Text(text)),
            Up::Move(at) => Some(Input::Move(at)),
            Up::MoveBy { dx, dy } => Some(Input::MoveBy { dx, dy }),
            Up::Wheel { dx, dy } if (dx, dy) != (0, 0) => Some(Input::Wheel { dx, dy }),
            _ => None,
        };
        actions.extend(input.map(|input| Action::Input(id, input)));
    }

    /// Lets go of whatever a viewer holds.
    pub(super) fn release(&mut self, id: ViewerId, actions: &mut Vec<Action>) {
        if let Some(viewer) = self.viewers.get_mut(&id) {
            let released = viewer.held.release().into_iter();
            actions.extend(released.map(|input| Action::Input(id, input)));
        }
    }

    fn take_over(&mut self, id: ViewerId, actions: &mut Vec<Action>) {
        if self.viewers.get(&id).is_none_or(|viewer| viewer.looks_on) {
            return;
        }
        actions.push(Action::Interrupt);
        if self.controls == Some(id) {
            return;
        }
        if let Some(before) = self.controls.replace(id) {
            self.release(before, actions);
        }
        self.tell_presence(actions);
    }
}

/// The size with even sides: most encoders take no others.
const fn even(size: Size) -> Option<Size> {
    let (width, height) = (size.width() & !1, size.height() & !1);
    Size::new(
        if width < 2 { 2 } else { width },
        if height < 2 { 2 } else { height },
    )
}
