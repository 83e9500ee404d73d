//! A process that runs: it is read and told until it ends or is stopped.

use std::time::Duration;

use helix_agent::host::{Fact, Tell};
use helix_isolation::{ErrorKind, ExecEvents, GuestClient};
use helix_proto::sandbox::guest::{ExecEvent, ExecEventKind, ExecExit, Output};
use tokio::{sync::mpsc, time::Instant};

use super::{
    super::{
        acp::{Calls, Out},
        batch::Batch,
        lines::{self, Lines},
        notes::Notes,
        place::Standing,
        prepare::text,
    },
    Around, Order,
    terminals::{News, Terminals},
    write::Writer,
};
use crate::sandbox::InUse;

/// How long a sandbox that runs may not answer before its agent is given up.
const SILENT: Duration = Duration::from_secs(60);
/// Between two attempts to follow the program.
const AGAIN: Duration = Duration::from_millis(500);
/// How often it is looked how its sandbox is.
const LOOK: Duration = Duration::from_secs(1);
/// How long an agent that cannot be told anything may go on: most have ended, which is seen last.
const DEAF: Duration = Duration::from_secs(5);
/// From the word to end until it is killed.
const POLITE: Duration = Duration::from_secs(2);
/// What is kept of what it writes beside its messages.
const SAID: usize = 2 << 10;
/// Requests of the agent that are served at once.
const CALLS: usize = 64;

/// Why a talk ends, for people.
type Ended = String;

/// What a talk is about.
#[derive(Debug)]
pub(super) struct Talk {
    pub(super) around: Around,
    pub(super) notes: Notes,
    pub(super) terminals: Terminals,
    pub(super) writer: Writer,
    /// What waits to be said.
    waiting: Batch,
    lines: Lines,
    /// The last event of the program that was taken.
    event: u64,
    reading: bool,
    /// The end of what it wrote beside its messages.
    stderr: String,
    silent_since: Option<Instant>,
    /// It could not be told something, and why, and until when its end is waited for.
    deaf: Option<(Ended, Instant)>,
    /// A turn is in flight: its sandbox is used.
    in_use: Option<InUse>,
    ended: Option<Ended>,
    /// Nobody listens any more: the process runs on, for the host that is started next.
    let_go: bool,
    /// It is to be stopped as soon as its sandbox goes on.
    to_stop: bool,
}

impl Talk {
    pub(super) fn begin(around: Around, notes: Notes, reading: bool) -> Self {
        let terminals = Terminals::new(&around);
        Self {
            around,
            notes,
            terminals,
            writer: Writer::default(),
            waiting: Batch::default(),
            lines: Lines::default(),
            event: 0,
            reading,
            stderr: String::new(),
            silent_since: None,
            deaf: None,
            in_use: None,
            ended: None,
            let_go: false,
            to_stop: false,
        }
    }

    /// With a process that another host began, whose output was read up to a place.
    pub(super) fn go_on(around: Around, notes: Notes, place: u64) -> Self {
        let mut this = Self::begin(around, notes, true);
        this.lines = Lines::after(place);
        this.event = lines::event_before(place);
        this.in_use = this.around.place.used();
        this.serve_again();
        this
    }

    pub(super) async fn live(mut self, mut orders: mpsc::Receiver<Order>) {
        let mut events = None;
        while self.ended.is_none() && !self.let_go {
            let guest = match self.around.place.standing() {
                Standing::Runs(environment) => GuestClient::new(environment),
                // A sandbox that is paused has its programs stand still.
                Standing::Waits(_) => {
                    self.wait(&mut orders).await;
                    continue;
                }
                Standing::Ended(why) => {
                    self.ended = Some(why);
                    break;
                }
                Standing::Gone => {
                    self.ended = Some("the sandbox is gone".to_owned());
                    break;
                }
            };
            if self.to_stop {
                self.stop().await;
                break;
            }
            self.writer.advance(&guest, self.notes.exec);
            if events.is_none() {
                events = self.follow(&guest).await;
                if events.is_none() {
                    self.wait(&mut orders).await;
                    continue;
                }
            }
            if let Err(why) = self.turn(&guest, &mut events, &mut orders).await {
                self.ended = Some(why);
            }
        }
        let Some(why) = self.ended.take() else {
            return;
        };
        self.flush().await;
        self.terminals.end(&self.around, &self.notes).await;
        self.around.exited(why).await;
    }

    /// A while in which the program cannot be reached.
    async fn wait(&mut self, orders: &mut mpsc::Receiver<Order>) {
        tokio::select! {
            order = orders.recv() => self.order(order).await,
            () = tokio::time::sleep(AGAIN) => {}
        }
    }

    async fn follow(&mut self, guest: &GuestClient) -> Option<ExecEvents> {
        match guest.follow(self.notes.exec, self.event).await {
            Ok(events) => {
                self.silent_since = None;
                Some(events)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.ended = Some("the sandbox was started anew".to_owned());
                None
            }
            Err(error) => {
                self.silent(&error.to_string());
                None
            }
        }
    }

    fn silent(&mut self, why: &str) {
        let since = *self.silent_since.get_or_insert_with(Instant::now);
        if since.elapsed() > SILENT {
            self.ended = Some(format!("the sandbox does not answer: {why}"));
        }
    }

    /// Whatever comes first.
    async fn turn(
        &mut self,
        guest: &GuestClient,
        events: &mut Option<ExecEvents>,
        orders: &mut mpsc::Receiver<Order>,
    ) -> Result<(), Ended> {
        let read = self.reading && !self.writer.tells();
        let next = async {
            match events {
                Some(events) if read => events.next().await,
                _ => std::future::pending().await,
            }
        };
        let flush = at(self.waiting.due(Instant::now()));
        let given_up = at(self.deaf.as_ref().filter(|_| read).map(|(_, until)| *until));
        tokio::select! {
            biased;
            order = orders.recv() => self.order(order).await,
            written = self.writer.written() => match written {
                Ok(told) => {
                    if let Some(number) = told {
                        self.say(None, vec![Fact::Told(number)]).await;
                    }
                    self.writer.advance(guest, self.notes.exec);
                }
                // What it said, and how it ended, tells more than that it does not read.
                Err(why) => self.deaf = Some((why, Instant::now() + DEAF)),
            },
            () = flush => self.flush().await,
            event = next => match event {
                Ok(Some(event)) => self.event(event).await?,
                Ok(None) => *events = None,
                Err(error) => {
                    self.silent(&error.to_string());
                    *events = None;
                }
            },
            () = given_up => {
                self.kill().await;
                return Err(self.unread());
            }
            news = self.terminals.news() => self.news(news).await?,
            // The sandbox may be another by now: its program would just say nothing.
            () = tokio::time::sleep(LOOK) => {}
        }
        Ok(())
    }

    async fn order(&mut self, order: Option<Order>) {
        match order {
            None => self.let_go = true,
            Some(Order::Read(on)) => {
                self.reading = on;
                if let Some((_, until)) = &mut self.deaf {
                    *until = Instant::now() + DEAF;
                }
            }
            Some(Order::Stop) => self.stop().await,
            Some(Order::Tell {
                number,
                tell,
                content,
            }) => {
                if matches!(tell, Tell::Prompt { .. }) {
                    self.in_use = self.around.place.used();
                }
                let out = self.notes.acp.tell(&tell, &content);
                self.act(Some(number), out).await;
            }
        }
    }

    /// Stops it, politely at first.
    async fn stop(&mut self) {
        self.to_stop = matches!(self.around.place.standing(), Standing::Waits(_));
        if self.to_stop {
            return;
        }
        self.ended = Some("stopped".to_owned());
        let Ok(guest) = self.around.place.guest() else {
            return;
        };
        let exec = self.notes.exec;
        if guest.signal(exec, "TERM").await.is_ok() {
            let until = Instant::now() + POLITE;
            while Instant::now() < until {
                match guest.program(exec).await {
                    Ok(program) if program.exit.is_none() => tokio::time::sleep(AGAIN / 5).await,
                    _ => break,
                }
            }
        }
        // What it started may be left.
        if let Err(error) = guest.kill(exec).await {
            tracing::warn!(thread = %self.around.thread, %error, "an agent could not be killed");
        }
    }

    async fn event(&mut self, event: ExecEvent) -> Result<(), Ended> {
        self.silent_since = None;
        // Only what comes next: what is inside may say anything.
        if event.seq <= self.event {
            return Ok(());
        }
        match event.what {
            ExecEventKind::Started(_) => {}
            ExecEventKind::Stdout(output) => self.output(event.seq, &output).await?,
            ExecEventKind::Stderr(output) => {
                self.stderr.push_str(text(&output));
                let from = self.stderr.len().saturating_sub(SAID);
                self.stderr.drain(..self.stderr.ceil_char_boundary(from));
            }
            ExecEventKind::Dropped(_) => {
                self.kill().await;
                return Err("some of what the agent said was lost".to_owned());
            }
            ExecEventKind::Exit(exit) => return Err(self.exit(exit)),
        }
        self.event = event.seq;
        Ok(())
    }

    async fn output(&mut self, seq: u64, output: &Output) -> Result<(), Ended> {
        let bytes = match output {
            Output::Text(text) => text.as_bytes(),
            // Not UTF-8, and so no messages.
            Output::Base64(_) => b"(bytes that are no text)\n",
        };
        let Ok(lines) = self.lines.read(seq, bytes) else {
            self.kill().await;
            return Err("the agent said a line beyond all bounds".to_owned());
        };
        for (place, line) in lines {
            let out = self.notes.acp.line(&line);
            self.line(place, out).await?;
        }
        Ok(())
    }

    /// Does what comes of one line.
    async fn line(&mut self, place: u64, out: Vec<Out>) -> Result<(), Ended> {
        let mut facts = Vec::new();
        let mut noted = false;
        for out in out {
            match out {
                Out::Fact(fact) => {
                    if matches!(fact, Fact::Done { .. }) {
                        self.in_use = None;
                    }
                    noted |= !matches!(fact, Fact::Said(_));
                    facts.push(fact);
                }
                Out::Send(line) => {
                    noted = true;
                    self.writer.push(line, None)?;
                }
                Out::Call(call) if place > self.notes.served => {
                    noted = true;
                    if self.notes.calls.len() >= CALLS {
                        let why = format!("{CALLS} requests are being served: wait for one");
                        self.writer.push(call.answer(Err(why)), None)?;
                    } else {
                        self.serve(call);
                    }
                }
                // Another host took it.
                Out::Call(_) => {}
                Out::Broken(why) => {
                    self.kill().await;
                    return Err(self.with_stderr(why));
                }
            }
        }
        if noted {
            self.notes.served = self.notes.served.max(place);
            self.note();
        }
        if let Ok(guest) = self.around.place.guest() {
            self.writer.advance(&guest, self.notes.exec);
        }
        self.say(Some(place), facts).await;
        Ok(())
    }

    /// Does what is wanted without a line: with the number of what the agent is told by it.
    pub(super) async fn act(&mut self, number: Option<u64>, out: Vec<Out>) {
        // Before it is written: an answer may be what another host reads.
        self.note();
        let last = out.iter().rposition(|out| matches!(out, Out::Send(_)));
        if let (None, Some(number)) = (last, number) {
            self.say(None, vec![Fact::Told(number)]).await;
        }
        for (at, out) in out.into_iter().enumerate() {
            match out {
                Out::Send(line) => {
                    let told = number.filter(|_| Some(at) == last);
                    if let Err(why) = self.writer.push(line, told) {
                        self.kill().await;
                        self.ended = Some(why);
                    }
                }
                Out::Fact(fact) => self.say(None, vec![fact]).await,
                Out::Call(_) | Out::Broken(_) => {}
            }
        }
    }

    pub(super) fn note(&self) {
        if let Err(error) = self.around.notebook.write(&self.notes) {
            tracing::warn!(thread = %self.around.thread, %error, "an agent cannot be noted: it will not be found again");
        }
    }

    pub(super) async fn say(&mut self, place: Option<u64>, facts: Vec<Fact>) {
        if facts.is_empty() {
            return;
        }
        self.waiting.push(place, facts);
        let now = Instant::now();
        if self.waiting.due(now).is_some_and(|due| due <= now) {
            self.flush().await;
        }
    }

    async fn flush(&mut self) {
        let facts = self.waiting.take(Instant::now());
        if !facts.is_empty() {
            self.around.say(facts).await;
        }
    }

    async fn news(&mut self, news: News) -> Result<(), Ended> {
        match news {
            News::Shown { name, noted, facts } => {
                if let Some(known) = self.notes.terminals.get_mut(&name) {
                    *known = noted;
                    self.note();
                }
                self.say(None, facts).await;
            }
            News::Answered { call, made, answer } => {
                if let Some(call) = self.notes.calls.remove(&call) {
                    if let Some((name, terminal)) = made {
                        self.notes.terminals.insert(name.clone(), terminal.clone());
                        self.watch(name, terminal);
                    }
                    if let Calls::Release { terminal } = &call.what {
                        self.release(terminal);
                    }
                    self.writer.push(call.answer(answer), None)?;
                    self.note();
                }
                if let Ok(guest) = self.around.place.guest() {
                    self.writer.advance(&guest, self.notes.exec);
                }
            }
        }
        Ok(())
    }

    async fn kill(&mut self) {
        if let Ok(guest) = self.around.place.guest()
            && let Err(error) = guest.kill(self.notes.exec).await
        {
            tracing::warn!(thread = %self.around.thread, %error, "an agent could not be killed");
        }
    }

    fn exit(&self, exit: ExecExit) -> Ended {
        self.with_stderr(match exit {
            ExecExit {
                signal: Some(signal),
                ..
            } => format!("it was ended by signal {signal}"),
            ExecExit {
                code: Some(127), ..
            } => "its program was not found".to_owned(),
            ExecExit {
                code: Some(code), ..
            } => format!("it ended with code {code}"),
            _ => "how is not known".to_owned(),
        })
    }

    /// It goes on, and cannot be told anything.
    fn unread(&self) -> Ended {
        let why = self.deaf.as_ref().map_or("", |(why, _)| why);
        self.with_stderr(format!("it does not read what it is told: {why}"))
    }

    fn with_stderr(&self, why: String) -> Ended {
        match self.stderr.trim() {
            "" => why,
            said => format!("{why}: {said}"),
        }
    }
}

/// Waits until then; for ever without a time.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}
