//! From a dialled transport to one that belongs to a link.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::timeout;

use super::{Dial, DialError};
use crate::{
    CloseCode, CloseReason, Lane,
    handle::first_message,
    link::greeting::{Hello, Instance, Resume, Welcome},
    session,
    transport::{Message, Transport, TransportError},
};

/// How long the control plane may take to answer the greeting.
const WELCOME_WITHIN: Duration = Duration::from_secs(10);

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum GreetError {
    /// Dialling failed.
    Dial(DialError),
    /// It was dialled, and closed before it was welcome.
    Closed(CloseReason),
}

impl std::fmt::Display for GreetError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dial(error) => error.fmt(f),
            Self::Closed(reason) => reason.fmt(f),
        }
    }
}

/// Dials for one running agent.
#[derive(Debug)]
pub(super) struct Greeter {
    dial: Arc<dyn Dial>,
    instance: Instance,
    attempts: AtomicU64,
    window: u32,
}

impl Greeter {
    pub(super) fn new(dial: Arc<dyn Dial>, window: u32) -> Self {
        Self {
            dial,
            instance: Instance::random(&mut rand::rng()),
            attempts: AtomicU64::new(1),
            window,
        }
    }

    /// One attempt.
    pub(super) async fn greet(
        &self,
        lane: Lane,
        resume: Option<Resume>,
    ) -> Result<(Box<dyn Transport>, Welcome), GreetError> {
        let hello = Hello {
            lane,
            instance: self.instance,
            attempt: self.attempts.fetch_add(1, Ordering::Relaxed),
            window: self.window,
            resume,
        };
        let mut transport = self.dial.dial().await.map_err(GreetError::Dial)?;
        let welcome = timeout(WELCOME_WITHIN, exchange(&mut *transport, &hello)).await;
        let welcome = welcome.unwrap_or_else(|_| {
            let within = WELCOME_WITHIN.as_secs();
            let why = format!("no answer to the greeting within {within} s");
            Err(CloseReason::local(CloseCode::PROTOCOL, why))
        });
        match welcome {
            Ok(welcome) => Ok((transport, welcome)),
            Err(reason) => {
                session::refuse(transport, &reason).await;
                Err(GreetError::Closed(reason))
            }
        }
    }
}

async fn exchange(transport: &mut dyn Transport, hello: &Hello) -> Result<Welcome, CloseReason> {
    say(transport, hello).await?;
    let answer = first_message(transport).await?;
    Welcome::read(answer)
        .map_err(|violation| CloseReason::local(CloseCode::PROTOCOL, violation.to_string()))
}

async fn say(transport: &mut dyn Transport, hello: &Hello) -> Result<(), TransportError> {
    poll_fn(|cx| transport.poll_ready(cx)).await?;
    transport.start_send(Message::Binary(hello.write()))?;
    poll_fn(|cx| transport.poll_flush(cx)).await
}
