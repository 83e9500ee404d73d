//! How the bench steers its programs: a line of JSON in, a line of JSON out. What
//! fails is answered by `{"error": …}`.

use std::net::Ipv4Addr;

use anyhow::Context as _;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

/// Answers one command after the other.
pub(crate) async fn serve<C: DeserializeOwned>(
    port: u16,
    mut answer: impl AsyncFnMut(C) -> anyhow::Result<Value>,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .context("listening for commands")?;
    loop {
        let (socket, _) = listener.accept().await.context("taking commands")?;
        // Whoever steers has left: the next one may come.
        let _ = converse(socket, &mut answer).await;
    }
}

async fn converse<C: DeserializeOwned>(
    socket: TcpStream,
    answer: &mut impl AsyncFnMut(C) -> anyhow::Result<Value>,
) -> anyhow::Result<()> {
    let (read, mut write) = socket.into_split();
    let mut lines = BufReader::new(read).lines();
    while let Some(line) = lines.next_line().await? {
        let answered = match serde_json::from_str(&line) {
            Ok(command) => answer(command).await,
            Err(error) => Err(error).with_context(|| format!("the command {line}")),
        };
        let value = answered.unwrap_or_else(|error| json!({"error": format!("{error:#}")}));
        write.write_all(format!("{value}\n").as_bytes()).await?;
    }
    Ok(())
}
