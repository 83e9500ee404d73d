//! Connections: what was sent arrives in order, but for the end of it when one breaks. Beyond
//! what a WebSocket does, messages are doubled and swapped.

use std::{collections::VecDeque, fmt::Debug};

use helix_proto::agents::{Down, Up};
use rand::{RngExt as _, rngs::StdRng};

/// What of the transport is faulty.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    pub(crate) double: f64,
    pub(crate) swap: f64,
}

#[derive(Debug, Default)]
pub(crate) struct Connection {
    pub(crate) up: VecDeque<Up>,
    pub(crate) down: VecDeque<Down>,
    pub(crate) broken: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Network {
    pub(crate) connections: Vec<Connection>,
    pub(crate) faults: Faults,
    /// Whether messages are written and read on their way: it takes most of the time.
    pub(crate) writes: bool,
}

impl Network {
    pub(crate) fn dial(&mut self) -> usize {
        self.connections.push(Connection::default());
        self.connections.len() - 1
    }

    /// Breaks a connection: some of what is on its way arrives still.
    pub(crate) fn cut(&mut self, at: usize, random: &mut StdRng) {
        let connection = &mut self.connections[at];
        connection.broken = true;
        let kept = random.random_range(0..=connection.up.len());
        connection.up.truncate(kept);
        let kept = random.random_range(0..=connection.down.len());
        connection.down.truncate(kept);
    }

    pub(crate) fn send_up(&mut self, at: usize, up: Up, random: &mut StdRng) {
        let up = if self.writes {
            let read = Up::decode(&up.encode().unwrap()).unwrap();
            assert_eq!(read, up);
            read
        } else {
            up
        };
        let connection = &mut self.connections[at];
        if !connection.broken {
            let greets = |up: &Up| matches!(up, Up::Hello { .. });
            push(&mut connection.up, up, greets, self.faults, random);
        }
    }

    pub(crate) fn send_down(&mut self, at: usize, down: Down, random: &mut StdRng) {
        let down = if self.writes {
            let read = Down::decode(&down.encode().unwrap()).unwrap();
            assert_eq!(read, down);
            read
        } else {
            down
        };
        let connection = &mut self.connections[at];
        if !connection.broken {
            let greets = |down: &Down| matches!(down, Down::Welcome { .. });
            push(&mut connection.down, down, greets, self.faults, random);
        }
    }
}

fn push<T: Clone + Debug>(
    way: &mut VecDeque<T>,
    message: T,
    greets: impl Fn(&T) -> bool,
    faults: Faults,
    random: &mut StdRng,
) {
    let greeting = greets(&message);
    if !greeting && random.random_bool(faults.double) {
        way.push_back(message.clone());
    }
    way.push_back(message);
    let last = way.len() - 1;
    if last > 0 && !greeting && !greets(&way[last - 1]) && random.random_bool(faults.swap) {
        way.swap(last - 1, last);
    }
}
