//! The host's other firewalls: a packet goes only where all of them let it.

use std::{io, process::Stdio, time::Duration};

use tokio::process::Command;

use super::{nft::Nft, ruleset::Layout};
use crate::Error;

/// The chain that Docker leaves to others, and asks before it drops.
const DOCKER: &str = "DOCKER-USER";
/// For one run of `iptables`, the wait for its lock included.
const DEADLINE: Duration = Duration::from_secs(10);

/// Where the host has a Docker daemon, whose rules drop what it does not know, lets the
/// sandboxes' packets through, as Docker's documentation says to. Our own table has judged
/// them before.
pub(super) async fn open(layout: &Layout) -> Result<(), Error> {
    if !iptables(&["-S", DOCKER]).await? {
        return Ok(());
    }
    for rule in rules(layout) {
        let rule: Vec<&str> = rule.iter().map(String::as_str).collect();
        let known = iptables(&[&["-C", DOCKER][..], &rule].concat()).await?;
        if !known && iptables(&[&["-I", DOCKER][..], &rule].concat()).await? {
            tracing::info!(
                chain = DOCKER,
                "Docker's rules let the sandboxes' packets through"
            );
        }
    }
    Ok(())
}

/// Takes back what [`open`] did.
pub(super) async fn close(layout: &Layout) -> Result<(), Error> {
    for rule in rules(layout) {
        let rule: Vec<&str> = rule.iter().map(String::as_str).collect();
        iptables(&[&["-D", DOCKER][..], &rule].concat()).await?;
    }
    Ok(())
}

/// Says which other firewalls drop what they do not know, for a person to see to.
pub(super) async fn warn(nft: &Nft, layout: &Layout) -> Result<(), Error> {
    let chains = nft.list(&["list", "chains"]).await?.unwrap_or_default();
    let all = chains["nftables"].as_array().into_iter().flatten();
    for chain in all.map(|object| &object["chain"]) {
        let table = chain["table"].as_str().unwrap_or_default();
        if chain["hook"] == "forward" && chain["policy"] == "drop" && table != layout.table() {
            tracing::warn!(
                table,
                chain = chain["name"].as_str(),
                "a firewall of this host drops packets that it has no rule for: unless it has \
                 one for the interfaces {}*, sandboxes reach nothing",
                layout.prefix()
            );
        }
    }
    Ok(())
}

fn rules(layout: &Layout) -> [[String; 4]; 2] {
    let interfaces = format!("{}+", layout.prefix());
    ["-i", "-o"].map(|way| {
        [
            way.to_owned(),
            interfaces.clone(),
            "-j".to_owned(),
            "ACCEPT".to_owned(),
        ]
    })
}

/// Whether `iptables` did it; without the program there is nothing to do it to.
async fn iptables(arguments: &[&str]) -> Result<bool, Error> {
    let mut command = Command::new("iptables");
    command
        .args(["-w", "5"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    match tokio::time::timeout(DEADLINE, command.status()).await {
        Ok(Ok(status)) => Ok(status.success()),
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Ok(Err(error)) => Err(Error::io("cannot run iptables", error)),
        Err(_) => {
            let late = io::Error::from(io::ErrorKind::TimedOut);
            Err(Error::io("iptables does not end", late))
        }
    }
}
