//! Listens for one sandbox's questions.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use helix_base::{Clock, TaskGroup};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::{Answerer, Firewall, LocalNames, Upstream, rate::Rate};
use crate::Error;

/// Questions of one sandbox that are being answered at a time.
const MOST_QUESTIONS: usize = 128;
/// Its TCP connections at a time.
const MOST_CONNECTIONS: usize = 16;
/// A TCP connection that says nothing for so long is closed.
const IDLE: Duration = Duration::from_secs(10);

/// A resolver for one sandbox.
#[derive(Debug)]
pub struct Server {
    tasks: TaskGroup,
}

#[derive(Debug)]
struct Shared {
    answerer: Answerer,
    questions: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    rate: Mutex<Rate>,
    clock: Arc<dyn Clock>,
    tasks: TaskGroup,
}

impl Server {
    /// Listens on an address, over UDP and TCP.
    ///
    /// # Errors
    ///
    /// Where the address cannot be listened on.
    pub fn start(
        address: SocketAddr,
        firewall: Arc<dyn Firewall>,
        names: Arc<dyn LocalNames>,
        upstream: Arc<Upstream>,
        clock: Arc<dyn Clock>,
        tasks: &TaskGroup,
    ) -> Result<Self, Error> {
        let failed = |error| Error::io(format!("cannot listen for names on {address}"), error);
        let udp = bind_udp(address).map_err(failed)?;
        let tcp = bind_tcp(address).map_err(failed)?;
        let tasks = tasks.child();
        let shared = Arc::new(Shared {
            answerer: Answerer::new(firewall, names, upstream),
            questions: Arc::new(Semaphore::new(MOST_QUESTIONS)),
            connections: Arc::new(Semaphore::new(MOST_CONNECTIONS)),
            rate: Mutex::new(Rate::new(clock.now())),
            clock,
            tasks: tasks.clone(),
        });
        tasks.spawn("dns udp", serve_udp(Arc::new(udp), shared.clone()));
        tasks.spawn("dns tcp", serve_tcp(tcp, shared));
        Ok(Self { tasks })
    }

    /// Stops listening.
    pub async fn stop(self) {
        self.tasks.cancel();
        self.tasks.shutdown(Duration::from_secs(3)).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

impl Shared {
    /// Leave to answer one more question, unless the sandbox asks too many.
    fn admit(&self) -> Option<OwnedSemaphorePermit> {
        let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        if !rate.take(self.clock.now()) {
            return None;
        }
        self.questions.clone().try_acquire_owned().ok()
    }
}

async fn serve_udp(socket: Arc<UdpSocket>, shared: Arc<Shared>) {
    let mut buffer = vec![0; 4_096];
    loop {
        let (length, from) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                // Such as an earlier answer that nobody took.
                tracing::debug!(%error, "a question was not received");
                tokio::task::yield_now().await;
                continue;
            }
        };
        // Dropped like a lost packet: whoever asked asks again.
        let Some(permit) = shared.admit() else {
            continue;
        };
        let question = buffer[..length].to_vec();
        let (socket, answerer) = (socket.clone(), shared.clone());
        shared.tasks.spawn("dns question", async move {
            if let Some(answer) = answerer.answerer.answer(&question, true).await {
                let _ = socket.send_to(&answer, from).await;
            }
            drop(permit);
        });
    }
}

async fn serve_tcp(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok(permit) = shared.connections.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let shared_by = shared.clone();
                shared.tasks.spawn("dns connection", async move {
                    // What ends it is the asker's business.
                    let _ = converse(stream, &shared_by).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a connection for questions was not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn converse(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    loop {
        let question = tokio::time::timeout(IDLE, read(&mut stream)).await??;
        let Some(permit) = shared.admit() else {
            return Ok(());
        };
        let Some(answer) = shared.answerer.answer(&question, false).await else {
            return Ok(());
        };
        drop(permit);
        let length = u16::try_from(answer.len()).unwrap_or(0).to_be_bytes();
        let sent = [&length[..], &answer].concat();
        tokio::time::timeout(IDLE, stream.write_all(&sent)).await??;
    }
}

async fn read(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut question = vec![0; length.into()];
    stream.read_exact(&mut question).await?;
    Ok(question)
}

fn bind_udp(address: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

fn bind_tcp(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    // A next process takes the place of one that has just ended.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(128)?;
    TcpListener::from_std(socket.into())
}
