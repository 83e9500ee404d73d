//! Talks to the programs that measure: a line of JSON there, a line of JSON back.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// No command takes longer.
const ANSWER_WITHIN: Duration = Duration::from_secs(180);

/// The control port of one program.
#[derive(Debug)]
pub(super) struct Control {
    name: String,
    stream: BufReader<TcpStream>,
}

impl Control {
    pub(super) fn connect(name: &str, port: u16) -> Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .with_context(|| format!("connecting to the control port of {name}"))?;
        stream
            .set_read_timeout(Some(ANSWER_WITHIN))
            .context("bounding a wait")?;
        Ok(Self {
            name: name.to_owned(),
            stream: BufReader::new(stream),
        })
    }

    /// Asks, and waits for the answer.
    pub(super) fn ask<T: DeserializeOwned>(&mut self, command: &Value) -> Result<T> {
        let name = &self.name;
        writeln!(self.stream.get_mut(), "{command}")
            .with_context(|| format!("telling {name} {command}"))?;
        let mut line = String::new();
        self.stream
            .read_line(&mut line)
            .with_context(|| format!("waiting for what {name} says to {command}"))?;
        let answer: Value = serde_json::from_str(&line)
            .with_context(|| format!("{name} says {line:?} to {command}"))?;
        if let Some(error) = answer.get("error") {
            bail!("{name} failed at {command}: {error}");
        }
        serde_json::from_value(answer).with_context(|| format!("{name} says {line:?} to {command}"))
    }
}
