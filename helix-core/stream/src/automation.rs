//! From what programs ask for to what viewers' hands would do, and when. Pure.
//!
//! [`plan`] makes steps of actions: an input, and how long to wait after it. A plan has bounds
//! ([`helix_proto::sandbox::desktop`] names them), and whatever it presses it lets go of before
//! the action ends. Who does it ([`serve`](crate::serve)) lets go of what is down when it is
//! stopped in the middle.

mod keys;

use std::time::Duration;

use helix_proto::{
    desktop::{Button, Key, Point, Size},
    sandbox::desktop::{
        DesktopAction, MAX_ACTIONS, MAX_COUNT, MAX_NOTCHES, MAX_PATH, MAX_TEXT, MAX_TOTAL_MS,
        Modifier, MouseButton, Position,
    },
};

use crate::{Error, ErrorKind, input::Input};

/// Between a press and its release, and between a place and the press there: programs that look
/// at the pointer once a picture see both.
const HOLD: Duration = Duration::from_millis(20);
/// After whatever else; less than what makes two clicks of a double click.
const GAP: Duration = Duration::from_millis(10);
/// Characters that are typed at once, so that a program can keep up.
const AT_ONCE: usize = 16;
/// How far apart the places are that a drag goes through.
const STRIDE: Duration = Duration::from_millis(16);
/// How long a drag may take.
const MAX_DRAG_MS: u32 = 10_000;
/// A notch of the wheel, as the protocol counts.
const NOTCH: i32 = 120;

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Of which action it is, from 0.
    pub action: usize,
    /// What is done; nothing where it is a wait.
    pub input: Option<Input>,
    /// How long nothing else is done after it.
    pub then: Duration,
}

/// The steps that do these actions on a desktop of this size.
///
/// # Errors
///
/// [`ErrorKind::Invalid`] for what is out of its bounds, outside the desktop, or no key; the
/// message says which action, counted from 0.
pub fn plan(actions: &[DesktopAction], size: Size) -> Result<Vec<Step>, Error> {
    if actions.is_empty() || actions.len() > MAX_ACTIONS {
        let why = format!("{} actions; give 1 to {MAX_ACTIONS}", actions.len());
        return Err(Error::new(ErrorKind::Invalid, why));
    }
    let mut planner = Planner {
        size,
        steps: Vec::new(),
        action: 0,
        characters: 0,
    };
    for (at, action) in actions.iter().enumerate() {
        planner.action = at;
        planner
            .add(action)
            .map_err(|why| Error::new(ErrorKind::Invalid, format!("action {at}: {why}")))?;
        let total: Duration = planner.steps.iter().map(|step| step.then).sum();
        if total > Duration::from_millis(MAX_TOTAL_MS.into()) {
            let why = format!("action {at}: all of it takes more than {MAX_TOTAL_MS} ms");
            return Err(Error::new(ErrorKind::Invalid, why));
        }
    }
    Ok(planner.steps)
}

struct Planner {
    size: Size,
    steps: Vec<Step>,
    action: usize,
    /// That were typed so far.
    characters: usize,
}

impl Planner {
    fn add(&mut self, action: &DesktopAction) -> Result<(), String> {
        match action {
            DesktopAction::Click {
                x,
                y,
                button,
                count,
                modifiers,
            } => {
                let at = self.point(Position { x: *x, y: *y })?;
                bounded("count", u64::from(*count), 1, u64::from(MAX_COUNT))?;
                self.with(modifiers, |planner| {
                    planner.step(Input::Move(at), HOLD);
                    for _ in 0..*count {
                        planner.button(*button, true, HOLD);
                        planner.button(*button, false, HOLD);
                    }
                })
            }
            DesktopAction::Move { x, y } => {
                let at = self.point(Position { x: *x, y: *y })?;
                self.step(Input::Move(at), GAP);
                Ok(())
            }
            DesktopAction::Drag {
                path,
                button,
                modifiers,
                duration_ms,
            } => self.drag(path, *button, modifiers, *duration_ms),
            DesktopAction::Scroll {
                at,
                dx,
                dy,
                modifiers,
            } => self.scroll(*at, *dx, *dy, modifiers),
            DesktopAction::Type { text } => self.text(text),
            DesktopAction::Key { keys, count } => self.chord(keys, *count),
            DesktopAction::Wait { ms } => {
                let then = Duration::from_millis((*ms).into());
                self.push(None, then);
                Ok(())
            }
        }
    }

    fn drag(
        &mut self,
        path: &[Position],
        button: MouseButton,
        modifiers: &[Modifier],
        duration_ms: u32,
    ) -> Result<(), String> {
        bounded("path", path.len() as u64, 2, MAX_PATH as u64)?;
        bounded("duration_ms", duration_ms.into(), 0, MAX_DRAG_MS.into())?;
        for place in path {
            self.point(*place)?;
        }
        let ways = way(path, duration_ms);
        self.with(modifiers, |planner| {
            planner.step(Input::Move(planner.middle(path[0])), HOLD);
            planner.button(button, true, HOLD);
            for place in ways {
                planner.step(Input::Move(planner.middle(place)), STRIDE);
            }
            planner.button(button, false, HOLD);
        })
    }

    fn scroll(
        &mut self,
        at: Option<Position>,
        dx: i16,
        dy: i16,
        modifiers: &[Modifier],
    ) -> Result<(), String> {
        let most = MAX_NOTCHES.unsigned_abs();
        for (name, by) in [("dx", dx), ("dy", dy)] {
            if by.unsigned_abs() > most {
                return Err(format!("{name} is {by}; give -{most} to {most}"));
            }
        }
        let at = at.map(|at| self.point(at)).transpose()?;
        self.with(modifiers, |planner| {
            if let Some(at) = at {
                planner.step(Input::Move(at), HOLD);
            }
            let one = |by: i16, notch: u16| {
                if notch < by.unsigned_abs() {
                    NOTCH * i32::from(by.signum())
                } else {
                    0
                }
            };
            for notch in 0..dx.unsigned_abs().max(dy.unsigned_abs()) {
                let (dx, dy) = (one(dx, notch), one(dy, notch));
                planner.step(Input::Wheel { dx, dy }, GAP);
            }
        })
    }

    fn text(&mut self, text: &str) -> Result<(), String> {
        let characters: Vec<_> = text.chars().collect();
        self.characters += characters.len();
        if self.characters > MAX_TEXT {
            return Err(format!("more than {MAX_TEXT} characters are typed"));
        }
        let typed = |one: &char| !one.is_control() || matches!(one, '\n' | '\t');
        if let Some(at) = characters.iter().position(|one| !typed(one)) {
            let code = u32::from(characters[at]);
            return Err(format!(
                "character {at} of the text is U+{code:04X}, which is no text: press it as a key"
            ));
        }
        for some in characters.chunks(AT_ONCE) {
            self.step(Input::Text(some.iter().collect()), GAP);
        }
        Ok(())
    }

    fn chord(&mut self, keys: &str, count: u8) -> Result<(), String> {
        bounded("count", count.into(), 1, MAX_COUNT.into())?;
        let keys = keys::chord(keys)?;
        for _ in 0..count {
            self.hold(&keys, |_| {});
        }
        Ok(())
    }

    /// With keys down, and up again after it.
    fn with(&mut self, modifiers: &[Modifier], what: impl FnOnce(&mut Self)) -> Result<(), String> {
        bounded("modifiers", modifiers.len() as u64, 0, 4)?;
        let mut keys = Vec::new();
        for key in modifiers.iter().filter_map(|one| keys::modifier(*one)) {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        self.hold(&keys, what);
        Ok(())
    }

    fn hold(&mut self, keys: &[Key], what: impl FnOnce(&mut Self)) {
        for key in keys {
            let (key, down) = (*key, true);
            self.step(Input::Key { key, down }, GAP);
        }
        what(self);
        for key in keys.iter().rev() {
            let (key, down) = (*key, false);
            self.step(Input::Key { key, down }, GAP);
        }
    }

    fn button(&mut self, button: MouseButton, down: bool, then: Duration) {
        let button = match button {
            MouseButton::Left => Button::Left,
            MouseButton::Middle => Button::Middle,
            MouseButton::Right => Button::Right,
            MouseButton::Back => Button::Back,
            MouseButton::Forward => Button::Forward,
        };
        self.step(Input::Button { button, down }, then);
    }

    fn point(&self, at: Position) -> Result<Point, String> {
        if at.x >= self.size.width() || at.y >= self.size.height() {
            let Position { x, y } = at;
            return Err(format!("{x},{y} is outside the desktop of {}", self.size));
        }
        Ok(self.middle(at))
    }

    const fn middle(&self, at: Position) -> Point {
        Point::of_pixel(at.x, at.y, self.size)
    }

    fn step(&mut self, input: Input, then: Duration) {
        self.push(Some(input), then);
    }

    fn push(&mut self, input: Option<Input>, then: Duration) {
        let action = self.action;
        self.steps.push(Step {
            action,
            input,
            then,
        });
    }
}

/// The places that a drag goes through after the first: all that are given, and as many between
/// them as its time has strides for, at least one on the way.
fn way(path: &[Position], duration_ms: u32) -> Vec<Position> {
    let legs = path.len() - 1;
    let strides = Duration::from_millis(duration_ms.into()).as_millis() / STRIDE.as_millis();
    // At most 625 strides.
    let each = (strides as usize / legs).max(2);
    let between = |from: u16, to: u16, step: usize| {
        let (from, to) = (f64::from(from), f64::from(to));
        // Between two numbers of sixteen bits.
        (from + (to - from) * step as f64 / each as f64).round() as u16
    };
    let leg = |ends: &[Position]| {
        let (from, to) = (ends[0], ends[1]);
        (1..=each)
            .map(|step| Position {
                x: between(from.x, to.x, step),
                y: between(from.y, to.y, step),
            })
            .collect::<Vec<_>>()
    };
    path.windows(2).flat_map(leg).collect()
}

fn bounded(name: &str, value: u64, least: u64, most: u64) -> Result<(), String> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(format!("{name} is {value}; give {least} to {most}"))
}

#[cfg(test)]
mod tests;
