//! A TCP server behind what is measured. The first byte of a connection says what it
//! is for.

use std::{net::Ipv4Addr, time::Duration};

use anyhow::{Context as _, bail};
use helix_base::TaskGroup;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::{now, pattern};

/// Bytes without end.
pub(crate) const DOWN: u8 = b'D';
/// Takes bytes without end, and says how many came, 8 bytes at a time.
pub(crate) const UP: u8 = b'U';
/// Sends back what comes.
pub(crate) const ECHO: u8 = b'E';
/// One byte, then nothing.
pub(crate) const HOLD: u8 = b'H';
/// One byte, then the end.
pub(crate) const SMALL: u8 = b'S';
/// As many numbered bytes as the next eight say.
pub(crate) const EXACT: u8 = b'X';

/// How often a transfer up is told how much of it came.
pub(crate) const TOLD_EVERY: Duration = Duration::from_millis(10);

pub(crate) async fn run(port: u16) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .context("listening as the backend")?;
    let tasks = TaskGroup::new();
    loop {
        let (socket, _) = listener.accept().await.context("accepting")?;
        socket.set_nodelay(true)?;
        tasks.spawn("connection", async move {
            // Clients leave in the middle; that is how a transfer ends.
            let _ = serve(socket).await;
        });
    }
}

async fn serve(mut socket: TcpStream) -> anyhow::Result<()> {
    match socket.read_u8().await? {
        DOWN => loop {
            socket.write_all(&pattern::chunk()).await?;
        },
        UP => count(socket).await,
        ECHO => {
            let mut buffer = vec![0; 4 << 10];
            loop {
                let read = socket.read(&mut buffer).await?;
                if read == 0 {
                    return Ok(());
                }
                socket.write_all(&buffer[..read]).await?;
            }
        }
        HOLD => {
            socket.write_u8(HOLD).await?;
            // Until the client leaves.
            let mut byte = [0];
            socket.read(&mut byte).await.map(drop).map_err(Into::into)
        }
        SMALL => socket.write_u8(SMALL).await.map_err(Into::into),
        EXACT => {
            let total = socket.read_u64_le().await?;
            for index in 0.. {
                let chunk = pattern::numbered(index, total);
                if chunk.is_empty() {
                    break;
                }
                socket.write_all(&chunk).await?;
            }
            socket.shutdown().await.map_err(Into::into)
        }
        other => bail!("no such kind of connection: {other}"),
    }
}

async fn count(mut socket: TcpStream) -> anyhow::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    let (mut total, mut told) = (0_u64, now());
    loop {
        let read = socket.read(&mut buffer).await?;
        total += read as u64;
        if read == 0 {
            return Ok(());
        }
        if told.elapsed() >= TOLD_EVERY {
            socket.write_u64_le(total).await?;
            told = now();
        }
    }
}
