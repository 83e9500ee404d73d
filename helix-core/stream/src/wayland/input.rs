//! Input by virtual devices.

use std::{
    collections::HashMap,
    fmt,
    os::fd::AsFd as _,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use helix_base::{Clock, TaskGroup};
use helix_proto::desktop::{Button, Key, Point, TouchPhase};
use wayland_client::{
    Connection, Dispatch, QueueHandle, delegate_noop,
    globals::GlobalListContents,
    protocol::{
        wl_keyboard::KeymapFormat,
        wl_pointer::{Axis, AxisSource, ButtonState},
        wl_registry::{self, WlRegistry},
        wl_seat::WlSeat,
    },
};
use wayland_protocols_misc::zwp_virtual_keyboard_v1::client::{
    zwp_virtual_keyboard_manager_v1::ZwpVirtualKeyboardManagerV1 as KeyboardManager,
    zwp_virtual_keyboard_v1::ZwpVirtualKeyboardV1 as VirtualKeyboard,
};
use wayland_protocols_wlr::virtual_pointer::v1::client::{
    zwlr_virtual_pointer_manager_v1::ZwlrVirtualPointerManagerV1 as PointerManager,
    zwlr_virtual_pointer_v1::ZwlrVirtualPointerV1 as VirtualPointer,
};

use super::{
    keyboard::Keymap,
    line::{self, lacks},
    modifiers::Modifiers,
};
use crate::{
    Error, ErrorKind,
    input::{Input, InputSink},
    keysym, memory,
};

/// What a wheel's notch is in a pointer's own units, as libinput has it.
const NOTCH: f64 = 15.0;
/// Places across the picture; the last is 65,535.
const EXTENT: u32 = 65_536;

/// Input for a compositor, by a virtual pointer and a virtual keyboard.
///
/// There is no virtual touch screen: the first finger is the pointer with its left button, and
/// others are refused.
pub struct WaylandInput {
    hands: Mutex<Hands>,
    connection: Connection,
    clock: Arc<dyn Clock>,
    start: Instant,
}

struct Hands {
    pointer: VirtualPointer,
    keyboard: VirtualKeyboard,
    keymap: Keymap,
    modifiers: Modifiers,
    /// Keys that are down: what they were given as.
    down: HashMap<Key, u16>,
    /// The finger that is the pointer.
    finger: Option<u8>,
}

impl fmt::Debug for WaylandInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaylandInput").finish_non_exhaustive()
    }
}

impl WaylandInput {
    /// Connects to the compositor that listens at `socket`. The keyboard's `layout` is one of
    /// XKB's, such as `us` or `de(nodeadkeys)`. A task of the group reads the connection.
    ///
    /// # Errors
    ///
    /// Where nobody listens there, the compositor lacks one of the protocols, or the layout is
    /// no name.
    pub async fn connect(
        socket: &Path,
        layout: &str,
        clock: Arc<dyn Clock>,
        tasks: &TaskGroup,
    ) -> Result<Self, Error> {
        let keymap = Keymap::new(layout).ok_or_else(|| {
            Error::new(
                ErrorKind::Invalid,
                format!("{layout:?} is no name of a keyboard's layout"),
            )
        })?;
        let fresh = line::connect::<Quiet>(socket).await?;
        let (queue, globals) = (fresh.queue.handle(), &fresh.globals);
        let seat: WlSeat = globals.bind(&queue, 1..=1, ()).map_err(|_| lacks("seat"))?;
        let pointers = globals.bind::<PointerManager, _, _>(&queue, 1..=2, ());
        let pointers = pointers.map_err(|_| lacks("wlr-virtual-pointer"))?;
        let keyboards = globals.bind::<KeyboardManager, _, _>(&queue, 1..=1, ());
        let keyboards = keyboards.map_err(|_| lacks("virtual-keyboard"))?;
        let hands = Hands {
            pointer: pointers.create_virtual_pointer(Some(&seat), &queue, ()),
            keyboard: keyboards.create_virtual_keyboard(&seat, &queue, ()),
            modifiers: Modifiers::new(!layout.starts_with("us")),
            keymap,
            down: HashMap::new(),
            finger: None,
        };
        hands.give_keymap()?;
        let connection = fresh.connection.clone();
        line::flush(&connection)?;
        let mut line = fresh.with(Quiet)?;
        tasks.spawn("desktop input", async move {
            let why = loop {
                if let Err(why) = line.dispatch().await {
                    break why;
                }
            };
            tracing::debug!(%why, "input has ended");
        });
        Ok(Self {
            hands: Mutex::new(hands),
            connection,
            start: clock.now(),
            clock,
        })
    }
}

impl InputSink for WaylandInput {
    fn send(&self, input: Input) -> Result<(), Error> {
        let since = self.clock.now().saturating_duration_since(self.start);
        // Wraps around after 49 days, as the protocol's own time does.
        let time = since.as_millis() as u32;
        let mut hands = self.hands.lock().unwrap_or_else(PoisonError::into_inner);
        let done = hands.act(input, time);
        let said = line::flush(&self.connection);
        done.and(said)
    }
}

fn refused(why: String) -> Error {
    Error::new(ErrorKind::Unsupported, why)
}

impl Hands {
    fn act(&mut self, input: Input, time: u32) -> Result<(), Error> {
        match input {
            Input::Key { key, down } => self.key(key, down, time)?,
            Input::Text(text) => self.text(&text, time)?,
            Input::Move(at) => self.point(at, time),
            Input::MoveBy { dx, dy } => {
                self.pointer.motion(time, dx.into(), dy.into());
                self.pointer.frame();
            }
            Input::Button { button, down } => self.button(button, down, time),
            Input::Wheel { dx, dy } => {
                self.wheel(Axis::HorizontalScroll, dx, time);
                self.wheel(Axis::VerticalScroll, dy, time);
            }
            Input::Touch { phase, finger, at } => self.touch(phase, finger, at, time)?,
        }
        Ok(())
    }

    fn point(&self, at: Point, time: u32) {
        let (x, y) = (at.x.into(), at.y.into());
        self.pointer.motion_absolute(time, x, y, EXTENT, EXTENT);
        self.pointer.frame();
    }

    fn button(&self, button: Button, down: bool, time: u32) {
        // As linux/input-event-codes.h has them.
        let code = match button {
            Button::Left => 0x110,
            Button::Right => 0x111,
            Button::Middle => 0x112,
            Button::Back => 0x113,
            Button::Forward => 0x114,
        };
        let state = if down {
            ButtonState::Pressed
        } else {
            ButtonState::Released
        };
        self.pointer.button(time, code, state);
        self.pointer.frame();
    }

    fn wheel(&self, axis: Axis, by: i32, time: u32) {
        if by == 0 {
            return;
        }
        let value = f64::from(by) / 120.0 * NOTCH;
        if by % 120 == 0 {
            self.pointer.axis_source(AxisSource::Wheel);
            self.pointer.axis_discrete(time, axis, value, by / 120);
        } else {
            self.pointer.axis_source(AxisSource::Continuous);
            self.pointer.axis(time, axis, value);
        }
        self.pointer.frame();
    }

    fn touch(&mut self, phase: TouchPhase, finger: u8, at: Point, time: u32) -> Result<(), Error> {
        if self.finger.is_some_and(|known| known != finger) {
            return Err(refused(
                "one finger at a time: there is no touch screen".to_owned(),
            ));
        }
        match phase {
            TouchPhase::Down => {
                self.finger = Some(finger);
                self.point(at, time);
                self.button(Button::Left, true, time);
            }
            TouchPhase::Move => self.point(at, time),
            TouchPhase::Up => {
                self.point(at, time);
                self.lift(time);
            }
            TouchPhase::Cancelled => self.lift(time),
        }
        Ok(())
    }

    fn lift(&mut self, time: u32) {
        if self.finger.take().is_some() {
            self.button(Button::Left, false, time);
        }
    }

    fn key(&mut self, key: Key, down: bool, time: u32) -> Result<(), Error> {
        let code = if !down {
            // What did not go down does not go up.
            match self.down.remove(&key) {
                Some(code) => code,
                None => return Ok(()),
            }
        } else if key.code() == 0 {
            self.symbol(key.keysym())?
        } else if Keymap::has(key.code()) {
            key.code()
        } else {
            return Err(refused(format!("there is no key {}", key.code())));
        };
        if down {
            self.down.insert(key, code);
        }
        self.keyboard.key(time, code.into(), down.into());
        if self.modifiers.key(code, down) {
            self.give_modifiers();
        }
        Ok(())
    }

    /// Types text as it is, whatever modifiers are down.
    fn text(&mut self, text: &str, time: u32) -> Result<(), Error> {
        let mut outcome = Ok(());
        for character in text.chars() {
            let keysym = keysym::of(character);
            // A key that is down cannot go down.
            let own = self.keymap.stroke(keysym);
            let own = own.filter(|(code, _)| !self.down.values().any(|down| down == code));
            let stroke = match own {
                Some(stroke) => Ok(stroke),
                None => self.place(keysym).map(|code| (code, false)),
            };
            match stroke {
                Ok((code, shift)) => {
                    self.keyboard.modifiers(shift.into(), 0, 0, 0);
                    self.keyboard.key(time, code.into(), 1);
                    self.keyboard.key(time, code.into(), 0);
                }
                Err(why) => outcome = Err(why),
            }
        }
        self.give_modifiers();
        outcome
    }

    /// The key of a keysym that was meant. With a modifier that makes a shortcut of it, it is the
    /// layout's own, where that is known: programs look for shortcuts there.
    fn symbol(&mut self, keysym: u32) -> Result<u16, Error> {
        let own = self.keymap.stroke(keysym);
        match own.filter(|_| self.modifiers.makes_shortcuts()) {
            Some((code, shift)) if !shift || self.modifiers.has_shift() => Ok(code),
            _ => self.place(keysym),
        }
    }

    /// The key of a keysym, after the compositor knows of it.
    fn place(&mut self, keysym: u32) -> Result<u16, Error> {
        let held: Vec<_> = self.down.values().copied().collect();
        let place = self.keymap.place(keysym, &held);
        let place = place.ok_or_else(|| refused(format!("there is no key for {keysym:#x}")))?;
        if place.is_new {
            // A compositor takes modifiers for known that it has not told the program of, which
            // has forgotten them with the keymap: both are told of none, then of those that are.
            self.keyboard.modifiers(0, 0, 0, 0);
            self.give_keymap()?;
            self.keyboard.modifiers(0, 0, 0, 0);
            self.give_modifiers();
        }
        Ok(place.code)
    }

    fn give_modifiers(&self) {
        let (depressed, locked) = (self.modifiers.depressed(), self.modifiers.locked());
        self.keyboard.modifiers(depressed, 0, locked, 0);
    }

    fn give_keymap(&self) -> Result<(), Error> {
        let failed = |why: &dyn fmt::Display| Error::failed("cannot give a keymap", why);
        let mut text = self.keymap.text().into_bytes();
        text.push(0);
        let size = u32::try_from(text.len()).map_err(|why| failed(&why))?;
        let file = memory::file("helix-keymap", size.into()).map_err(|why| failed(&why))?;
        rustix::io::pwrite(&file, &text, 0).map_err(|why| failed(&why))?;
        let format = KeymapFormat::XkbV1 as u32;
        self.keyboard.keymap(format, file.as_fd(), size);
        Ok(())
    }
}

/// Hears nothing of what it needs.
#[derive(Debug)]
struct Quiet;

impl Dispatch<WlRegistry, GlobalListContents> for Quiet {
    fn event(
        _: &mut Self,
        _: &WlRegistry,
        _: wl_registry::Event,
        _: &GlobalListContents,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
    }
}

delegate_noop!(Quiet: ignore WlSeat);
delegate_noop!(Quiet: PointerManager);
delegate_noop!(Quiet: VirtualPointer);
delegate_noop!(Quiet: KeyboardManager);
delegate_noop!(Quiet: VirtualKeyboard);
