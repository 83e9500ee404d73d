//! The model of `helix_tests::scripted_model` as a program, for trying agents by hand:
//! `scripted-model PORT`. `GET /requests` shows what it was asked.

use std::net::Ipv4Addr;

use anyhow::Context as _;
use helix_base::TaskGroup;
use helix_tests::ScriptedModel;
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let port: u16 = std::env::args()
        .nth(1)
        .context("scripted-model PORT")?
        .parse()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let tasks = TaskGroup::new();
    let _model = ScriptedModel::on(listener, &tasks)?;
    tasks.cancelled().await;
    Ok(())
}
