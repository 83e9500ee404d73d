//! Input by XTEST.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use helix_base::TaskGroup;
use helix_proto::desktop::{Button, Key, Point, Size, TouchPhase};
use tokio::sync::watch;
use x11rb::{
    connection::Connection as _,
    protocol::{
        xproto::{
            BUTTON_PRESS_EVENT, BUTTON_RELEASE_EVENT, ConnectionExt as _, KEY_PRESS_EVENT,
            KEY_RELEASE_EVENT, MOTION_NOTIFY_EVENT, Window,
        },
        xtest::ConnectionExt as _,
    },
};

use super::{
    keys::{Keys, Stroke},
    line::{Connection, Display, Line, ask, gone, lacks},
};
use crate::{
    Error, ErrorKind,
    input::{Input, InputSink},
    keysym,
};

/// What the server adds to a key's evdev number.
const OFFSET: u16 = 8;
/// The evdev numbers of modifiers: let go of while text is typed.
const MODIFIERS: [u16; 8] = [29, 42, 54, 56, 97, 100, 125, 126];
/// That of Caps Lock.
const CAPS_LOCK: u16 = 58;
/// A notch of the wheel.
const NOTCH: i32 = 120;

/// Input for an X server, by XTEST.
///
/// There is no touch screen: the first finger is the pointer with its left button, and others
/// are refused. A wheel turns by whole notches: smaller steps add up.
pub struct X11Input {
    hands: Mutex<Hands>,
}

struct Hands {
    connection: Arc<Connection>,
    root: Window,
    size: watch::Receiver<Size>,
    keys: Keys,
    /// Keys that are down: the server's number of each.
    down: HashMap<Key, u8>,
    caps_lock: bool,
    /// The finger that is the pointer.
    finger: Option<u8>,
    /// What is left of the wheel's turns until a notch is full, to the right and down.
    turned: (i32, i32),
}

impl fmt::Debug for X11Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("X11Input").finish_non_exhaustive()
    }
}

impl X11Input {
    /// Connects to an X server, whose screen has this size. A task of the group reads the
    /// connection.
    ///
    /// # Errors
    ///
    /// Where nobody listens there, or the server has no XTEST.
    pub async fn connect(
        display: &Display,
        size: watch::Receiver<Size>,
        tasks: &TaskGroup,
    ) -> Result<Self, Error> {
        let line = Line::connect(display).await?;
        let keys = ask(&line.connection, keys).await?;
        let hands = Hands {
            connection: Arc::clone(&line.connection),
            root: line.root,
            size,
            keys,
            down: HashMap::new(),
            caps_lock: false,
            finger: None,
            turned: (0, 0),
        };
        tasks.spawn("desktop input", async move {
            let why = loop {
                match line.event().await {
                    // Of a key that is mapped anew, and what the server refuses: nobody waits.
                    Ok(event) => tracing::trace!(?event, "input"),
                    Err(why) => break why,
                }
            };
            tracing::debug!(%why, "input has ended");
        });
        Ok(Self {
            hands: Mutex::new(hands),
        })
    }
}

fn keys(connection: &Connection) -> Result<Keys, Error> {
    let version = connection.xtest_get_version(2, 2).map_err(gone)?;
    version.reply().map_err(|why| lacks("XTEST", why))?;
    let (first, last) = (
        connection.setup().min_keycode,
        connection.setup().max_keycode,
    );
    let count = last.saturating_sub(first).saturating_add(1);
    let mapping = connection
        .get_keyboard_mapping(first, count)
        .map_err(gone)?;
    let mapping = mapping.reply().map_err(gone)?;
    let width = usize::from(mapping.keysyms_per_keycode);
    Ok(Keys::new(first, width, &mapping.keysyms))
}

impl InputSink for X11Input {
    fn send(&self, input: Input) -> Result<(), Error> {
        let mut hands = self.hands.lock().unwrap_or_else(PoisonError::into_inner);
        let done = hands.act(input);
        let said = hands.connection.flush().map_err(gone);
        done.and(said)
    }
}

fn refused(why: String) -> Error {
    Error::new(ErrorKind::Unsupported, why)
}

impl Hands {
    fn act(&mut self, input: Input) -> Result<(), Error> {
        match input {
            Input::Key { key, down } => self.key(key, down),
            Input::Text(text) => self.text(&text),
            Input::Move(at) => self.point(at),
            Input::MoveBy { dx, dy } => self.fake(MOTION_NOTIFY_EVENT, 1, dx, dy),
            Input::Button { button, down } => self.button(number(button), down),
            Input::Wheel { dx, dy } => self.wheel(dx, dy),
            Input::Touch { phase, finger, at } => self.touch(phase, finger, at),
        }
    }

    fn fake(&self, kind: u8, detail: u8, x: i16, y: i16) -> Result<(), Error> {
        let faked = self
            .connection
            .xtest_fake_input(kind, detail, 0, self.root, x, y, 0);
        faked.map(drop).map_err(gone)
    }

    fn press(&self, code: u8, down: bool) -> Result<(), Error> {
        let kind = if down {
            KEY_PRESS_EVENT
        } else {
            KEY_RELEASE_EVENT
        };
        self.fake(kind, code, 0, 0)
    }

    fn point(&self, at: Point) -> Result<(), Error> {
        let (x, y) = at.pixel(*self.size.borrow());
        // A side has 8,192 pixels at most.
        self.fake(MOTION_NOTIFY_EVENT, 0, x as i16, y as i16)
    }

    fn button(&self, number: u8, down: bool) -> Result<(), Error> {
        let kind = if down {
            BUTTON_PRESS_EVENT
        } else {
            BUTTON_RELEASE_EVENT
        };
        self.fake(kind, number, 0, 0)
    }

    fn wheel(&mut self, dx: i32, dy: i32) -> Result<(), Error> {
        let (right, down) = &mut self.turned;
        let turns = [(notches(down, dy), 4, 5), (notches(right, dx), 6, 7)];
        for (notches, back, forth) in turns {
            let number = if notches < 0 { back } else { forth };
            for _ in 0..notches.unsigned_abs() {
                self.button(number, true)?;
                self.button(number, false)?;
            }
        }
        Ok(())
    }

    fn touch(&mut self, phase: TouchPhase, finger: u8, at: Point) -> Result<(), Error> {
        if self.finger.is_some_and(|known| known != finger) {
            return Err(refused(
                "one finger at a time: there is no touch screen".to_owned(),
            ));
        }
        if phase != TouchPhase::Cancelled {
            self.point(at)?;
        }
        match phase {
            TouchPhase::Down => {
                self.finger = Some(finger);
                self.button(1, true)
            }
            TouchPhase::Move => Ok(()),
            TouchPhase::Up | TouchPhase::Cancelled => match self.finger.take() {
                Some(_) => self.button(1, false),
                None => Ok(()),
            },
        }
    }

    fn key(&mut self, key: Key, down: bool) -> Result<(), Error> {
        if !down {
            // What did not go down does not go up.
            return match self.down.remove(&key) {
                Some(code) => self.press(code, false),
                None => Ok(()),
            };
        }
        let code = match key.code() {
            0 => {
                let stroke = self.stroke(key.keysym())?;
                self.give(stroke, key.keysym())?;
                stroke.code
            }
            CAPS_LOCK => {
                self.caps_lock = !self.caps_lock;
                (CAPS_LOCK + OFFSET) as u8
            }
            code => u8::try_from(code.saturating_add(OFFSET))
                .map_err(|_| refused(format!("there is no key {code}")))?,
        };
        self.down.insert(key, code);
        self.press(code, true)
    }

    /// Types text as it is, whatever modifiers are down.
    fn text(&mut self, text: &str) -> Result<(), Error> {
        let is_modifier = |code: &u8| MODIFIERS.contains(&(u16::from(*code) - OFFSET));
        let held: Vec<u8> = self.down.values().copied().filter(is_modifier).collect();
        for code in &held {
            self.press(*code, false)?;
        }
        self.lock_caps()?;
        let mut outcome = Ok(());
        for character in text.chars() {
            let keysym = keysym::of(character);
            match self.stroke(keysym) {
                Ok(stroke) => self.strike(stroke, keysym)?,
                Err(why) => outcome = Err(why),
            }
        }
        self.lock_caps()?;
        for code in held {
            self.press(code, true)?;
        }
        outcome
    }

    /// Undoes Caps Lock where it is on, and does it again.
    fn lock_caps(&self) -> Result<(), Error> {
        if self.caps_lock {
            let code = (CAPS_LOCK + OFFSET) as u8;
            self.press(code, true)?;
            self.press(code, false)?;
        }
        Ok(())
    }

    fn strike(&self, stroke: Stroke, keysym: u32) -> Result<(), Error> {
        self.give(stroke, keysym)?;
        let shift = self.keys.shift().filter(|_| stroke.shift);
        if let Some(shift) = shift {
            self.press(shift, true)?;
        }
        self.press(stroke.code, true)?;
        self.press(stroke.code, false)?;
        match shift {
            Some(shift) => self.press(shift, false),
            None => Ok(()),
        }
    }

    fn stroke(&mut self, keysym: u32) -> Result<Stroke, Error> {
        let held: Vec<_> = self.down.values().copied().collect();
        let stroke = self.keys.stroke(keysym, &held);
        stroke.ok_or_else(|| refused(format!("there is no key for {keysym:#x}")))
    }

    /// Gives a key its keysym, with Shift and without.
    fn give(&self, stroke: Stroke, keysym: u32) -> Result<(), Error> {
        if !stroke.is_new {
            return Ok(());
        }
        let keysyms = [keysym, keysym];
        let given = self
            .connection
            .change_keyboard_mapping(1, stroke.code, 2, &keysyms);
        given.map(drop).map_err(gone)
    }
}

/// As X11 counts them: 4 to 7 are the wheel.
const fn number(button: Button) -> u8 {
    match button {
        Button::Left => 1,
        Button::Middle => 2,
        Button::Right => 3,
        Button::Back => 8,
        Button::Forward => 9,
    }
}

/// The whole notches of what was turned; the rest is kept. A viewer turns it by 100 at a time
/// at most.
fn notches(turned: &mut i32, by: i32) -> i32 {
    let all = turned.saturating_add(by);
    *turned = all % NOTCH;
    (all / NOTCH).clamp(-100, 100)
}

#[cfg(test)]
mod tests {
    use super::notches;

    #[test]
    fn small_turns_of_the_wheel_add_up_to_notches() {
        let mut turned = 0;
        let got: Vec<_> = [50, 50, 50, -240, 30, i32::MAX]
            .into_iter()
            .map(|by| notches(&mut turned, by))
            .collect();
        assert_eq!(got, [0, 0, 1, -1, 0, 100]);
    }
}
