//! A line between two ends: so much delay each way, so many bits per second, and cuts
//! on demand.
//!
//! The line shares its rate fairly among its connections, keeps at most what fits on
//! the way plus [`RECEIVE_BUFFER`] per connection, and lets a new connection wait for
//! TCP's own handshake, which the relay's ends on loopback do not.

mod cuts;
mod rate;

use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use helix_base::TaskGroup;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    net::{TcpSocket, TcpStream},
    sync::{mpsc, watch},
};

use self::{cuts::Cuts, rate::Rate};
use crate::{control, now};

/// What the bottleneck buffers for one connection and direction, as asked of the system.
const RECEIVE_BUFFER: u32 = 64 << 10;

/// What is read at a time.
const CHUNK: usize = 16 << 10;

/// Chunks on the way; a line of 100 Mbit/s and 25 ms holds 20.
const ON_THE_WAY: usize = 64;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) control: u16,
    pub(crate) port: u16,
    pub(crate) target: u16,
    pub(crate) delay_ms: u64,
    /// Zero: as fast as it goes.
    pub(crate) mbit: u64,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum Command {
    /// Resets all connections, so often, each time so many bytes came through.
    CutEvery { bytes: u64, times: u32 },
    /// Carries nothing more on the connections of now, and does not say so.
    Freeze,
    /// What the cuts did.
    Cuts,
    /// Carries so much from now on, in Mbit/s each way.
    Rate { mbit: u64 },
    /// Bytes that came through so far.
    Carried,
}

#[derive(Debug)]
struct Relay {
    options: Options,
    /// Up and down.
    rates: [Rate; 2],
    came_through: [AtomicU64; 2],
    connections: Mutex<Connections>,
    /// Connections with a smaller number are frozen.
    frozen: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Connections {
    next: u64,
    live: HashMap<u64, watch::Sender<bool>>,
    cuts: Cuts,
}

pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let listener = socket(options)?;
    listener.bind((Ipv4Addr::LOCALHOST, options.port).into())?;
    let listener = listener.listen(1_024).context("listening as a relay")?;
    let relay = Arc::new(Relay {
        options: *options,
        rates: [Rate::new(options.mbit), Rate::new(options.mbit)],
        came_through: <[AtomicU64; 2]>::default(),
        connections: Mutex::default(),
        frozen: watch::Sender::new(0),
    });
    let tasks = TaskGroup::new();
    let (inner, lines) = (tasks.clone(), Arc::clone(&relay));
    tasks.spawn("accepting", async move {
        while let Ok((socket, _)) = listener.accept().await {
            inner.spawn("connection", connection(Arc::clone(&lines), socket));
        }
    });
    control::serve(options.control, async |command| relay.answer(&command)).await
}

fn socket(options: &Options) -> anyhow::Result<TcpSocket> {
    let socket = TcpSocket::new_v4().context("making a socket")?;
    if options.mbit > 0 {
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    }
    socket.set_reuseaddr(true)?;
    Ok(socket)
}

/// One connection to its end, whoever ends it.
async fn connection(relay: Arc<Relay>, client: TcpStream) {
    let (number, mut cut) = relay.enter();
    let client = Arc::new(client);
    let carried = carry(&relay, number, &client);
    tokio::select! {
        ended = carried => drop(ended),
        _ = cut.wait_for(|cut| *cut) => {
            // Dropped with this, it is reset.
            let _ = client.set_zero_linger();
        }
    }
    relay.lock().live.remove(&number);
}

async fn carry(relay: &Relay, number: u64, client: &Arc<TcpStream>) -> anyhow::Result<()> {
    let accepted = now();
    let delay = Duration::from_millis(relay.options.delay_ms);
    // SYN and SYN-ACK pass before the client may send.
    tokio::time::sleep_until((accepted + 2 * delay).into()).await;
    let target = SocketAddr::from((Ipv4Addr::LOCALHOST, relay.options.target));
    let server = socket(&relay.options)?.connect(target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let back = async {
        // The third packet of the handshake passes before the server may.
        tokio::time::sleep_until((accepted + 3 * delay).into()).await;
        pump(relay, number, &server, client, 1).await
    };
    let reset = Reset(&server);
    tokio::try_join!(pump(relay, number, client, &server, 0), back)?;
    std::mem::forget(reset);
    Ok(())
}

/// Resets a connection that does not come to its own end.
struct Reset<'a>(&'a TcpStream);

impl Drop for Reset<'_> {
    fn drop(&mut self) {
        // A socket that is gone already needs no reset.
        let _ = self.0.set_zero_linger();
    }
}

/// One direction of a connection.
async fn pump(
    relay: &Relay,
    number: u64,
    from: &TcpStream,
    to: &TcpStream,
    direction: usize,
) -> anyhow::Result<()> {
    let delay = Duration::from_millis(relay.options.delay_ms);
    let (sender, receiver) = mpsc::channel::<(Instant, Bytes)>(ON_THE_WAY);
    let take = async move {
        let mut buffer = vec![0; CHUNK];
        loop {
            from.readable().await?;
            relay.unfrozen(number).await;
            let place = sender.reserve().await.context("the other half ended")?;
            let mut turn = relay.rates[direction].turn().await;
            match from.try_read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => {
                    turn.charge(read);
                    relay.came_through[direction].fetch_add(read as u64, Ordering::Relaxed);
                    let bytes = Bytes::copy_from_slice(&buffer[..read]);
                    place.send((now() + delay, bytes));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).context("reading"),
            }
        }
    };
    let give = give(relay, number, to, receiver);
    tokio::try_join!(take, give).map(drop)
}

async fn give(
    relay: &Relay,
    number: u64,
    to: &TcpStream,
    mut receiver: mpsc::Receiver<(Instant, Bytes)>,
) -> anyhow::Result<()> {
    while let Some((due, bytes)) = receiver.recv().await {
        tokio::time::sleep_until(due.into()).await;
        relay.unfrozen(number).await;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            to.writable().await?;
            match to.try_write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).context("writing"),
            }
        }
        relay.carried(number, bytes.len());
    }
    rustix::net::shutdown(to, rustix::net::Shutdown::Write).context("ending a direction")
}

impl Relay {
    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self) -> (u64, watch::Receiver<bool>) {
        let mut connections = self.lock();
        let number = connections.next;
        connections.next += 1;
        let (sender, receiver) = watch::channel(false);
        connections.live.insert(number, sender);
        (number, receiver)
    }

    /// Waits for ever on a connection that is frozen.
    async fn unfrozen(&self, number: u64) {
        if number < *self.frozen.borrow() {
            std::future::pending::<()>().await;
        }
    }

    fn carried(&self, number: u64, bytes: usize) {
        let mut connections = self.lock();
        let next = connections.next;
        if connections.cuts.carried(number, bytes, next, now()) {
            for connection in connections.live.values() {
                connection.send_replace(true);
            }
        }
    }

    fn answer(&self, command: &Command) -> anyhow::Result<Value> {
        let mut connections = self.lock();
        match *command {
            Command::CutEvery { bytes, times } => {
                connections.cuts = Cuts::planned(bytes, times);
                Ok(json!({}))
            }
            Command::Freeze => {
                ensure!(!connections.live.is_empty(), "nobody is connected");
                self.frozen.send_replace(connections.next);
                Ok(json!({}))
            }
            Command::Rate { mbit } => {
                for rate in &self.rates {
                    rate.set(mbit);
                }
                Ok(json!({}))
            }
            Command::Carried => Ok(json!({
                "up": self.came_through[0].load(Ordering::Relaxed),
                "down": self.came_through[1].load(Ordering::Relaxed),
            })),
            Command::Cuts => Ok(json!({
                "cuts": connections.cuts.gaps().len(),
                "gaps_seconds": connections.cuts.gaps(),
            })),
        }
    }
}
