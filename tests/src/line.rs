//! A line between a runner and its control plane that carries little and can be cut.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use helix_base::TaskGroup;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// The most that is carried at a time, each way.
const PIECE: usize = 2 << 10;

/// How long each piece takes: 400 KiB a second, so that an answer is on its way for
/// longer than it takes to cut the line a few times.
const PER_PIECE: Duration = Duration::from_millis(5);

/// A TCP line on loopback. Dropping it cuts it for good.
#[derive(Debug)]
pub struct Line {
    address: SocketAddr,
    group: TaskGroup,
    carrying: Arc<Mutex<TaskGroup>>,
    open: Arc<AtomicUsize>,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.group.cancel();
    }
}

/// Counts a connection for as long as it lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(open))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Line {
    /// A line that comes out at `url`.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn to(url: &str) -> Self {
        let target = url.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let group = TaskGroup::new();
        let line = Self {
            address: listener.local_addr().unwrap(),
            carrying: Arc::new(Mutex::new(group.child())),
            group,
            open: Arc::default(),
        };
        let (carrying, open) = (Arc::clone(&line.carrying), Arc::clone(&line.open));
        line.group.spawn("line", async move {
            while let Ok((near, _)) = listener.accept().await {
                let (target, counted) = (target.clone(), Counted::new(&open));
                let group = carrying.lock().unwrap_or_else(PoisonError::into_inner);
                group.clone().spawn("carry", async move {
                    let _counted = counted;
                    // Nobody at the other end: the one who dialled sees it hung up.
                    if let Ok(far) = TcpStream::connect(target).await {
                        carry(near, far).await;
                    }
                });
            }
        });
        line
    }

    /// Where it begins.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Hangs up on both sides; new connections work.
    pub fn cut(&self) {
        let mut carrying = self.carrying.lock().unwrap_or_else(PoisonError::into_inner);
        carrying.cancel();
        *carrying = self.group.child();
    }

    /// Connections on it now.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

async fn carry(near: TcpStream, far: TcpStream) {
    let (from_near, to_near) = near.into_split();
    let (from_far, to_far) = far.into_split();
    tokio::select! {
        () = slowly(from_near, to_far) => {}
        () = slowly(from_far, to_near) => {}
    }
}

/// Ends when either side is gone.
async fn slowly(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    let mut piece = vec![0; PIECE];
    let mut pace = tokio::time::interval(PER_PIECE);
    while let Ok(read @ 1..) = from.read(&mut piece).await {
        if to.write_all(&piece[..read]).await.is_err() {
            return;
        }
        pace.tick().await;
    }
}
