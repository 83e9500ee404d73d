//! What is stored and read back is what the machine has, after every step of random lives.

use helix_agent::{
    Step,
    control::{Act, Change, Conversation, Effect, Limits, Saved},
};
use helix_proto::{
    SandboxHostId, SandboxId, SessionId, ThreadId, TurnId, TypedId as _, UserId,
    agents::{
        AgentPhase, AgentSpec, Content, Event, EventBody, Held, OptionKind, PermissionAnswer,
        PermissionOption, StopReason, ToolUpdate, TurnEnd, Variable, Wanted,
    },
    session::{Session, SessionAgent, SessionEvent, SessionEventBody},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{Batch, NewAgent};
use crate::{Options, seal::Seal, store::Store};

fn batch(session: SessionId, changes: Vec<Change>) -> Batch {
    Batch {
        session,
        changes,
        key: None,
        title: None,
        is_news: false,
    }
}

struct World {
    store: Store,
    seal: Seal,
    user: UserId,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            data_dir: folder.path().to_owned(),
            ..Options::default()
        };
        let url = Store::default_url(folder.path()).unwrap();
        let store = Store::open(&url, 2).await.unwrap();
        let seal = Seal::start(&options, &store, 1).await.unwrap();
        let user = UserId::from_parts(1, 1);
        sqlx::query(
            "INSERT INTO users (id, email, name, role, password_hash, created_at_ms)
             VALUES ($1, 'a@example.org', 'a', 'member', '', 1)",
        )
        .bind(user.to_string())
        .execute(store.pool())
        .await
        .unwrap();
        Self {
            store,
            seal,
            user,
            _folder: folder,
        }
    }

    async fn append(&self, session: SessionId, changes: &[Change], now_ms: u64) {
        let batches = [batch(session, changes.to_vec())];
        let stored = self.store.append_agents(&self.seal, &batches, now_ms);
        assert!(stored.await.unwrap()[0].is_some());
    }

    async fn events(&self, session: SessionId, after: u64) -> Vec<SessionEvent> {
        let stored = self.store.events(session, after, 1_000_000).await.unwrap();
        let read = stored.iter().map(|logged| {
            let event = logged.event().unwrap();
            assert_eq!(event.seq, logged.seq);
            event
        });
        read.collect()
    }

    async fn session(&self, number: u64) -> SessionId {
        let id = SessionId::from_parts(1, u128::from(number));
        let agent = SessionAgent {
            agent: "opencode".to_owned(),
            title: "opencode".to_owned(),
            sandbox_id: SandboxId::from_parts(1, 1),
            directory: "/home/user".to_owned(),
            owns_sandbox: false,
        };
        let session = Session {
            id,
            title: "New chat".to_owned(),
            model: "m".to_owned(),
            created_at_ms: 1,
            updated_at_ms: 1,
            last_seq: 0,
            active_turn: None,
            agent: Some(agent.clone()),
            shared: None,
        };
        let new = NewAgent {
            agent,
            host_id: SandboxHostId::from_parts(1, 1),
            repository: None,
        };
        self.store
            .add_session(self.user, &session, false, Some(&new))
            .await
            .unwrap();
        id
    }

    async fn load(&self, session: SessionId) -> Saved {
        let loaded = self.store.load_agent(&self.seal, session).await.unwrap();
        loaded.unwrap().saved
    }
}

/// A life of one conversation, with everything that can happen to it.
struct Life {
    machine: Conversation,
    random: StdRng,
    now_ms: u64,
    turns: u128,
    threads: u64,
    /// The next event of the thread that there is, and of which it is.
    thread: Option<ThreadId>,
    next_seq: u64,
    sent: u64,
}

impl Life {
    fn new(seed: u64) -> Self {
        Self {
            machine: Conversation::new(Limits {
                commands: 12,
                queue: 5,
                ..Limits::default()
            }),
            random: StdRng::seed_from_u64(seed),
            now_ms: 1,
            turns: u128::from(seed) << 40,
            threads: seed << 20,
            thread: None,
            next_seq: 1,
            sent: 0,
        }
    }

    fn turn(&mut self) -> TurnId {
        let saved = self.machine.saved();
        let mut known: Vec<_> = saved.queue().map(|prompt| prompt.turn).collect();
        known.extend(saved.turn().map(|turn| turn.id()));
        match self.random.random_range(0..=known.len()) {
            at if at < known.len() => known[at],
            _ => TurnId::from_parts(9, 9),
        }
    }

    fn act(&mut self) -> Act {
        let content = vec![Content::text("Write HELLO.txt 🦀")];
        match self.random.random_range(0..14_u32) {
            0..=4 => {
                self.turns += 1;
                let turn = TurnId::from_parts(1, self.turns);
                Act::Prompt { turn, content }
            }
            5 => {
                self.turns += 1;
                let turn = TurnId::from_parts(1, self.turns);
                Act::Steer { turn, content }
            }
            6 => {
                let turn = self.turn();
                let content = vec![Content::text("Another wording")];
                Act::Edit { turn, content }
            }
            7 | 8 => Act::Move {
                turn: self.turn(),
                position: self.random.random_range(0..6),
            },
            9 => Act::Cancel { turn: self.turn() },
            10 => Act::Interrupt,
            11 => Act::Release,
            12 => Act::Stop { restart: true },
            _ => self.answer(),
        }
    }

    fn answer(&mut self) -> Act {
        let saved = self.machine.saved();
        let request = saved.permissions().keys().next().copied();
        Act::Answer {
            thread: self.thread.unwrap_or(ThreadId::from_parts(9, 9)),
            request: request.unwrap_or(99),
            answer: PermissionAnswer::Selected {
                option: "yes".to_owned(),
            },
        }
    }

    fn event(&mut self) -> EventBody {
        let turn = self.turn();
        match self.random.random_range(0..10_u32) {
            0 | 1 => EventBody::TurnStarted { turn },
            2 => EventBody::TurnEnded {
                turn,
                end: match self.random.random_range(0..2_u32) {
                    0 => TurnEnd::Completed {
                        stop: StopReason::EndTurn,
                    },
                    _ => TurnEnd::Failed {
                        reason: "it broke".to_owned(),
                    },
                },
            },
            3 | 4 => EventBody::PermissionRequested {
                call: Box::new(serde_json::from_str::<ToolUpdate>(r#"{"id":"c"}"#).unwrap()),
                options: vec![PermissionOption {
                    id: "yes".to_owned(),
                    name: "Yes".to_owned(),
                    kind: OptionKind::AllowOnce,
                }],
            },
            5 => EventBody::Session {
                session: format!("own-{}", self.next_seq),
                resumed: false,
            },
            6 => EventBody::Agent {
                phase: AgentPhase::Ready,
                detail: String::new(),
            },
            7 => EventBody::Wanted(Wanted::Prompt {
                content: vec![Content::text("from an editor")],
            }),
            _ => EventBody::Message {
                content: Content::text("More of it"),
            },
        }
    }

    fn events(&mut self) -> Step<Change, Effect> {
        let Some(thread) = self.thread else {
            return Step::default();
        };
        let count = self.random.random_range(1..80_u64);
        let events = (0..count)
            .map(|_| {
                let body = self.event();
                self.next_seq += 1;
                let (seq, at_ms) = (self.next_seq - 1, self.now_ms);
                Event { seq, at_ms, body }
            })
            .collect();
        self.machine.events(thread, events, self.now_ms).unwrap()
    }

    /// Something happens.
    fn step(&mut self) -> Step<Change, Effect> {
        let passed = match self.random.random_range(0..30_u32) {
            0 => 1_000_000,
            1 => 50_000_000,
            _ => 100,
        };
        self.now_ms += passed;
        let now_ms = self.now_ms;
        match self.random.random_range(0..20_u32) {
            0..=7 => {
                let act = self.act();
                self.machine.act(act, now_ms).unwrap_or_default()
            }
            8..=12 => self.events(),
            13 | 14 => match self.thread {
                Some(thread) => self.machine.accepted(thread, self.sent, now_ms).unwrap(),
                None => Step::default(),
            },
            15 | 16 => {
                let held = self.thread.map(|thread| Held {
                    thread,
                    accepted: self.sent,
                    first_seq: self.next_seq,
                    last_seq: self.next_seq - 1,
                });
                self.machine.connected(held, now_ms)
            }
            17 => self.machine.disconnected(now_ms),
            18 if self.random.random_range(0..4_u32) == 0 => {
                self.machine.host_gone("the sandbox was deleted", now_ms)
            }
            _ => self.machine.tick(now_ms),
        }
    }

    /// What follows from a step: a thread, where one is needed.
    fn follow(&mut self, step: &mut Step<Change, Effect>) {
        while step.effects.contains(&Effect::NeedsThread) {
            step.effects.retain(|effect| *effect != Effect::NeedsThread);
            self.threads += 1;
            let id = ThreadId::from_parts(1, u128::from(self.threads));
            let next = self.machine.open(id, open(), self.now_ms);
            step.then(next);
        }
        let thread = self.machine.saved().thread();
        if thread.map(|thread| thread.id) != self.thread {
            self.thread = thread.map(|thread| thread.id);
            self.next_seq = 1;
        }
        self.sent = thread.map_or(0, |thread| thread.last_number);
    }
}

fn open() -> helix_proto::agents::Open {
    helix_proto::agents::Open {
        sandbox: SandboxId::from_parts(1, 1),
        agent: AgentSpec {
            name: "opencode".to_owned(),
            command: vec!["opencode".to_owned(), "acp".to_owned()],
            install: Vec::new(),
            environment: vec![Variable {
                name: "KEY".to_owned(),
                value: "a-secret-that-is-sealed".to_owned(),
            }],
            directory: "/home/user".to_owned(),
        },
        resume: None,
    }
}

/// As it is written: what of a turn is not stored is not compared.
fn written(saved: &Saved) -> serde_json::Value {
    serde_json::to_value(saved).unwrap()
}

#[tokio::test]
async fn what_is_stored_is_what_the_machine_has_after_every_step() {
    let world = World::new().await;
    let (mut entries, mut seen) = (0, std::collections::BTreeSet::new());
    for seed in 1..=40 {
        let session = world.session(seed).await;
        let mut life = Life::new(seed);
        let mut log = Vec::new();
        for at in 0..50 {
            let mut step = life.step();
            life.follow(&mut step);
            if step.changes.is_empty() {
                continue;
            }
            for change in &step.changes {
                let change_name = serde_json::to_value(change).unwrap();
                seen.insert(change_name["change"].as_str().unwrap().to_owned());
                if let Change::Log { entry } = change {
                    log.push(SessionEventBody::Agent {
                        entry: entry.clone(),
                    });
                }
            }
            world.append(session, &step.changes, life.now_ms).await;
            let loaded = world.load(session).await;
            assert_eq!(
                written(&loaded),
                written(life.machine.saved()),
                "seed {seed}, step {at}: {:?}",
                step.changes
            );
        }
        let stored = world.events(session, 0).await;
        entries += stored.len();
        let numbers: Vec<_> = stored.iter().map(|event| event.seq).collect();
        assert_eq!(numbers, (1..=stored.len() as u64).collect::<Vec<_>>());
        let bodies: Vec<_> = stored.into_iter().map(|event| event.body).collect();
        assert_eq!(bodies, log, "seed {seed}");
    }
    // Everything there is happened, but the end, which a deleted session does not need.
    let all =
        "accepted acknowledged answered asked command held log queued session thread turn unqueued";
    assert_eq!(seen.into_iter().collect::<Vec<_>>().join(" "), all);
    assert!(entries > 2_000, "{entries}");
}

#[tokio::test]
async fn the_environment_of_an_agent_is_sealed_and_goes_once_its_host_has_it() {
    let world = World::new().await;
    let session = world.session(1).await;
    let mut machine = Conversation::new(Limits::default());
    let turn = TurnId::from_parts(1, 1);
    let content = vec![Content::text("Hello")];
    let mut step = machine.act(Act::Prompt { turn, content }, 1).unwrap();
    let thread = ThreadId::from_parts(1, 1);
    step.then(machine.open(thread, open(), 1));
    world.append(session, &step.changes, 1).await;
    let file = std::fs::read(world._folder.path().join("helix.db-wal")).unwrap();
    let secret = b"a-secret-that-is-sealed";
    assert!(!file.windows(secret.len()).any(|bytes| bytes == secret));
    assert_eq!(
        written(&world.load(session).await),
        written(machine.saved())
    );
    let kept = async || {
        let query = sqlx::query("SELECT 1 FROM agent_environments");
        query.fetch_all(world.store.pool()).await.unwrap().len()
    };
    assert_eq!(kept().await, 1);
    let accepted = machine.accepted(thread, 1, 2).unwrap();
    world.append(session, &accepted.changes, 1).await;
    assert_eq!(kept().await, 0);
}

#[tokio::test]
async fn several_sessions_are_stored_together_and_one_that_is_gone_is_left_out() {
    let world = World::new().await;
    let gone = SessionId::from_parts(9, 9);
    let mut machines = Vec::new();
    // More than one statement takes.
    for number in 1..=70 {
        let session = world.session(number).await;
        let thread = ThreadId::from_parts(1, number.into());
        let mut machine = Conversation::new(Limits::default());
        let mut step = machine.open(thread, open(), 1);
        step.then(machine.connected(None, 1));
        world.append(session, &step.changes, 1).await;
        machines.push((session, thread, machine));
    }
    let message = |seq| Event {
        seq,
        at_ms: 1,
        body: EventBody::Message {
            content: Content::text(format!("{seq}")),
        },
    };
    let mut batches = vec![batch(gone, Vec::new())];
    for (number, (session, thread, machine)) in machines.iter_mut().enumerate() {
        let count = number as u64 % 3 + 1;
        let step = machine.events(*thread, (1..=count).map(message).collect(), 2);
        let mut batch = batch(*session, step.unwrap().changes);
        batch.is_news = number == 5;
        batches.push(batch);
    }
    let stored = world.store.append_agents(&world.seal, &batches, 7);
    let stored = stored.await.unwrap();
    assert!(stored[0].is_none());
    for (number, ((session, _, machine), stored)) in machines.iter().zip(&stored[1..]).enumerate() {
        let stored = stored.as_ref().unwrap();
        assert_eq!(stored.events.len(), number % 3 + 1);
        let read = world.events(*session, 1).await;
        assert_eq!(read, stored.events, "after that its thread began");
        assert_eq!(
            written(&world.load(*session).await),
            written(machine.saved())
        );
        let news = stored.session.as_ref().map(|session| session.updated_at_ms);
        assert_eq!(news, (number == 5).then_some(7));
    }
}
