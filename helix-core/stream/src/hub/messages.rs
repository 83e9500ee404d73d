//! What viewers say.

use std::time::Instant;

use helix_proto::{
    desktop::{Down, Micros, Size, Up},
    sandbox::{DesktopKind, DesktopSpec},
};

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
                viewer.told_of_silence = false;
                self.tell_listening(&mut actions);
            }
            Up::Release => self.release(id, &mut actions),
            Up::TakeOver => self.take_over(id, &mut actions),
            Up::Resize(size) if self.controls == Some(id) => match possible(size) {
                Ok(size) => actions.push(Action::Resize(id, size)),
                Err(why) => actions.extend(self.refused(id, &why, now)),
            },
            Up::Resize(_) => {}
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

/// The size with even sides, since most encoders take no others; or why no desktop has it.
fn possible(size: Size) -> Result<Size, String> {
    let (width, height) = (size.width() & !1, size.height() & !1);
    let spec = DesktopSpec {
        kind: DesktopKind::default(),
        width,
        height,
        clipboard: true,
    };
    if let Some((side, range)) = spec.fault() {
        let (least, most) = range.into_inner();
        return Err(format!("a desktop's {side} is {least} to {most} pixels"));
    }
    Size::new(width, height).ok_or_else(|| format!("no desktop is {size}"))
}
