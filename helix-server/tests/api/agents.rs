//! Sessions with an agent, from the prompt to the log, with a scripted host.

mod hello;
mod secrets;

use helix_proto::{
    ErrorCode, SessionId, ThreadId, TurnId, TypedId as _,
    agents::{Command, Down, Entry, PermissionAnswer, TurnEnd, Up},
    page::Page,
    sandbox::{Sandbox, SandboxState},
    session::{Session, SessionAgentState, SessionEvent, SessionEventBody},
};
use http::Method;
use serde_json::{Value, json};

use crate::{
    agent_host::{self, AgentHost, asks, ended, event, message, started},
    host::Host,
    person::{Answer, Person, Proof},
    sandboxes::made,
    world::{Kind, World, eventually},
};

on_both_databases!(
    a_prompt_becomes_events_a_permission_and_an_end,
    a_cut_loses_and_doubles_nothing,
    a_turn_outlives_the_control_plane,
    another_agent_or_model_goes_on_in_the_same_sandbox,
    prompts_queue_and_can_be_changed,
    what_a_session_with_an_agent_is_not_for_is_refused,
    what_an_agent_chooses_is_kept_as_it_is,
    a_host_reads_the_log_for_an_editor_and_hears_what_comes_of_its_wishes,
);

/// A person with a sandbox on a host that is connected for agents, too.
struct Stage {
    world: World,
    admin: Person,
    person: Person,
    host: Host,
    agents: AgentHost,
    sandbox: Sandbox,
}

impl Stage {
    async fn new(world: World) -> Self {
        let admin = world.admin().await;
        let host = Host::connect(&world, &admin).await;
        let agents = AgentHost::connect(&world, &host.created.credential).await;
        let person = world.member("ada").await;
        let sandbox = made(&person, json!({})).await;
        Self {
            world,
            admin,
            person,
            host,
            agents,
            sandbox,
        }
    }

    async fn session(&self) -> Session {
        let agent = json!({"agent": "opencode", "sandbox_id": self.sandbox.id});
        let body = json!({"model": "scripted/m", "agent": agent});
        self.person.post("/api/v1/sessions", body).await.expect(201)
    }

    /// A session whose agent has a prompt.
    async fn asked(&mut self) -> (SessionId, ThreadId, TurnId) {
        let session = self.session().await.id;
        let turn = prompt(&self.person, session, "write hello.txt").await;
        let (thread, _, prompted) = self.agents.opened().await;
        assert_eq!(prompted, turn);
        self.agents.tell(thread, vec![started(turn)]).await;
        (session, thread, turn)
    }

    /// The session's log as entries, once `is_there` holds for it.
    async fn log(
        &self,
        session: SessionId,
        what: &str,
        is_there: impl Fn(&[Entry]) -> bool,
    ) -> Vec<Entry> {
        eventually(what, async || {
            let log = entries(&self.world, session).await;
            is_there(&log).then_some(log)
        })
        .await
    }

    async fn state(&self, session: SessionId) -> SessionAgentState {
        let path = format!("/api/v1/sessions/{session}/agent");
        self.person.get(&path).await.expect(200)
    }
}

async fn prompt(person: &Person, session: SessionId, text: &str) -> TurnId {
    let answer = try_prompt(
        person,
        session,
        json!({"content": [{"type": "text", "text": text}]}),
    );
    let answer: Value = answer.await.expect(202);
    answer["turn_id"].as_str().unwrap().parse().unwrap()
}

async fn try_prompt(person: &Person, session: SessionId, body: Value) -> Answer {
    let path = format!("/api/v1/sessions/{session}/prompts");
    person.post(&path, body).await
}

/// What is in the log, as stored.
async fn events(world: &World, session: SessionId) -> Vec<SessionEvent> {
    let rows: Vec<(i64, i64, String)> = sqlx::query_as(
        "SELECT seq, at_ms, body FROM session_events WHERE session_id = $1 ORDER BY seq",
    )
    .bind(session.to_string())
    .fetch_all(world.app.store().pool())
    .await
    .unwrap();
    let read = |(index, (seq, at_ms, body)): (usize, (i64, i64, String))| {
        let (seq, at_ms) = (u64::try_from(seq).unwrap(), u64::try_from(at_ms).unwrap());
        assert_eq!(seq, index as u64 + 1);
        let body = serde_json::from_str(&body).unwrap();
        SessionEvent { seq, at_ms, body }
    };
    rows.into_iter().enumerate().map(read).collect()
}

async fn entries(world: &World, session: SessionId) -> Vec<Entry> {
    let events = events(world, session).await.into_iter();
    let entry = |event: SessionEvent| match event.body {
        SessionEventBody::Agent { entry } => Some(*entry),
        _ => None,
    };
    events.filter_map(entry).collect()
}

/// The texts that an agent said, in order.
fn texts(log: &[Entry]) -> Vec<String> {
    let value = |entry: &Entry| serde_json::to_value(entry).unwrap();
    let text = |value: Value| match value["event"]["type"].as_str() {
        Some("message") => value["event"]["content"]["text"]
            .as_str()
            .map(str::to_owned),
        _ => None,
    };
    log.iter().map(value).filter_map(text).collect()
}

fn ends(log: &[Entry]) -> Vec<(TurnId, TurnEnd)> {
    let end = |entry: &Entry| match entry {
        Entry::TurnEnded { turn, end } => Some((*turn, end.clone())),
        _ => None,
    };
    log.iter().filter_map(end).collect()
}

fn is_over(log: &[Entry]) -> bool {
    !ends(log).is_empty()
}

async fn a_prompt_becomes_events_a_permission_and_an_end(world: World) {
    let mut stage = Stage::new(world).await;
    let session = stage.session().await;
    let agent = session.agent.clone().unwrap();
    assert_eq!((&*agent.agent, &*agent.title), ("opencode", "opencode"));
    assert_eq!(agent.directory, "/home/user");
    let turn = prompt(&stage.person, session.id, "write hello.txt").await;

    let (thread, open, prompted) = stage.agents.opened().await;
    assert_eq!(prompted, turn);
    assert_eq!(open.sandbox, stage.sandbox.id);
    assert_eq!(open.agent.command, ["opencode", "acp"]);
    let config = &open.agent.environment[0].value;
    assert!(config.contains("{HELIX_API}/v1"), "{config}");
    assert!(config.contains("helix/scripted/m"), "{config}");
    let settings: Value = serde_json::from_str(config).unwrap();
    let key = settings["provider"]["helix"]["options"]["apiKey"].as_str();
    let agent = stage
        .world
        .stranger()
        .with(Proof::Bearer(key.unwrap().to_owned()));
    assert_eq!(agent.get("/v1/models").await.status, 200);
    assert_eq!(agent.get("/api/v1/sessions").await.status, 403);

    stage
        .agents
        .tell(thread, vec![started(turn), message("I "), message("will.")])
        .await;
    let request = stage.agents.tell(thread, vec![asks()]).await;
    let path = format!(
        "/api/v1/sessions/{}/permissions/{thread}/{request}",
        session.id
    );
    stage
        .log(session.id, "the request", |log| {
            log.iter()
                .any(|entry| matches!(entry, Entry::TurnAwaiting { .. }))
        })
        .await;
    let state = stage.state(session.id).await;
    assert_eq!(state.permissions.len(), 1);
    assert!(state.host_connected);
    assert_eq!(state.turn.map(|turn| turn.id), Some(turn));

    let other = stage
        .person
        .post(&path, json!({"outcome": "selected", "option": "maybe"}));
    other.await.error(ErrorCode::Conflict);
    // Two browsers answer at once: one of them counts.
    let yes = json!({"outcome": "selected", "option": "yes"});
    let (one, two) = tokio::join!(
        stage.person.post(&path, yes.clone()),
        stage.person.post(&path, json!({"outcome": "cancelled"})),
    );
    let mut statuses = [one.status.as_u16(), two.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 409]);
    let (_, answer) = stage.agents.command().await;
    assert!(matches!(answer, Command::Answer { request: to, .. } if to == request));
    let late = stage
        .person
        .post(&path, yes)
        .await
        .error(ErrorCode::Conflict);
    assert!(late.message.contains("answered before"), "{}", late.message);

    let resolved = event(json!({"type": "permission_resolved", "request": request,
        "answer": PermissionAnswer::Cancelled}));
    let title = event(json!({"type": "title", "title": "Hello, file"}));
    stage
        .agents
        .tell(thread, vec![resolved, title, ended(turn)])
        .await;
    stage.agents.all_acknowledged(thread).await;
    let log = stage.log(session.id, "the end", is_over).await;
    assert_eq!(texts(&log), ["I ", "will."]);
    let answers = log
        .iter()
        .filter(|entry| matches!(entry, Entry::PermissionAnswered { .. }));
    assert_eq!(answers.count(), 1);
    assert!(matches!(&ends(&log)[..], [(id, TurnEnd::Completed { .. })] if *id == turn));

    let page: Page<Session> = stage
        .person
        .get("/api/v1/sessions?q=HELLO.txt")
        .await
        .expect(200);
    let listed = &page.items[0];
    assert_eq!((&*listed.title, listed.active_turn), ("Hello, file", None));
    assert_eq!(listed.agent, session.agent);
    let (live, ()) = tokio::join!(
        crate::live::read_events(&stage.world, &stage.person, session.id, 0, log.len() + 2),
        async {}
    );
    assert_eq!(live, events(&stage.world, session.id).await);
    let metrics = stage.world.stranger().get("/metrics").await;
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(metrics.contains("helix_agent_hosts 1"), "{metrics}");
    assert!(metrics.contains(r#"helix_agent_turns_total{outcome="completed"} 1"#));
}

async fn a_cut_loses_and_doubles_nothing(world: World) {
    let mut stage = Stage::new(world).await;
    let (session, thread, turn) = stage.asked().await;
    // Half of it arrives, and then the line is cut.
    let said = ["one ", "two ", "three ", "four "];
    let all: Vec<_> = said.iter().map(|text| message(text)).collect();
    let kept = stage.agents.keep(thread, all);
    let events = kept[..2].to_vec();
    stage.agents.say(Up::Events { thread, events }).await;
    stage.agents.reconnect(&stage.world).await;
    assert!(stage.agents.forget.is_empty());
    stage.agents.tell(thread, vec![ended(turn)]).await;
    let log = stage.log(session, "the end", is_over).await;
    assert_eq!(texts(&log), said);

    // An event is left out: the connection is closed, and the next one makes up for it.
    let turn = prompt(&stage.person, session, "go on").await;
    assert!(matches!(
        stage.agents.command().await.1,
        Command::Prompt { .. }
    ));
    stage.agents.keep(thread, vec![started(turn)]);
    stage
        .agents
        .tell(thread, vec![message("after a gap")])
        .await;
    let (code, _) = agent_host::closing(&mut stage.agents.socket).await;
    assert_eq!(code, 4010);
    stage.agents.reconnect(&stage.world).await;
    stage.agents.tell(thread, vec![ended(turn)]).await;
    let log = stage
        .log(session, "both ends", |log| ends(log).len() == 2)
        .await;
    assert_eq!(texts(&log).last().unwrap(), "after a gap");

    // A host that has lost its disk: the thread is over, and the next prompt begins another.
    stage
        .agents
        .tell(
            thread,
            vec![event(
                json!({"type": "session", "session": "own-1", "resumed": false}),
            )],
        )
        .await;
    stage.agents.all_acknowledged(thread).await;
    stage.agents.threads.clear();
    stage.agents.reconnect(&stage.world).await;
    prompt(&stage.person, session, "once more").await;
    let (another, open, _) = stage.agents.opened().await;
    assert_ne!(another, thread);
    assert_eq!(open.resume.as_deref(), Some("own-1"));
}

async fn a_turn_outlives_the_control_plane(world: World) {
    let mut stage = Stage::new(world).await;
    let (session, thread, turn) = stage.asked().await;
    stage.agents.tell(thread, vec![message("before ")]).await;
    stage.agents.all_acknowledged(thread).await;
    let request = stage.agents.tell(thread, vec![asks()]).await;
    stage.agents.all_acknowledged(thread).await;

    let kept = stage.agents.keep(thread, vec![message("meanwhile ")]);
    assert_eq!(kept.len(), 1);
    let world = stage.world.crash_and_restart().await;
    let person = Person {
        url: world.url(),
        ..stage.person
    };
    let state: SessionAgentState = person
        .get(&format!("/api/v1/sessions/{session}/agent"))
        .await
        .expect(200);
    assert!(!state.host_connected);
    assert_eq!(state.turn.map(|turn| turn.id), Some(turn));
    let path = format!("/api/v1/sessions/{session}/permissions/{thread}/{request}");
    let yes = json!({"outcome": "selected", "option": "yes"});
    assert_eq!(person.post(&path, yes).await.status, 204);

    stage.agents.reconnect(&world).await;
    let (_, answer) = stage.agents.command().await;
    assert!(matches!(answer, Command::Answer { .. }));
    stage.agents.tell(thread, vec![ended(turn)]).await;
    stage.agents.all_acknowledged(thread).await;
    let log = entries(&world, session).await;
    assert_eq!(texts(&log), ["before ", "meanwhile "]);
    assert!(matches!(&ends(&log)[..], [(_, TurnEnd::Completed { .. })]));
    // And the next prompt goes to the same thread.
    let next = prompt(&person, session, "and now?").await;
    let (same, command) = stage.agents.command().await;
    assert_eq!(same, thread);
    assert!(matches!(command, Command::Prompt { turn, .. } if turn == next));
}

async fn put(person: &Person, path: &str, body: Value) -> Answer {
    Person::send(person.request(Method::PUT, path).json(&body)).await
}

async fn another_agent_or_model_goes_on_in_the_same_sandbox(world: World) {
    let mut stage = Stage::new(world).await;
    let (session, thread, turn) = stage.asked().await;
    let path = format!("/api/v1/sessions/{session}/agent");
    let other = json!({"agent": "qwen-code"});
    // Not while it is at work, not what is not there, and not nothing.
    let refused = put(&stage.person, &path, other.clone()).await;
    let refused = refused.error(ErrorCode::Conflict);
    assert!(refused.message.contains("at work"), "{}", refused.message);
    for nothing in [json!({"agent": "nobody"}), json!({}), json!({"model": ""})] {
        let refused = put(&stage.person, &path, nothing).await;
        refused.error(ErrorCode::Invalid);
    }
    let begun = event(json!({"type": "session", "session": "s", "resumed": false}));
    stage.agents.tell(thread, vec![begun, ended(turn)]).await;
    stage.log(session, "the end", is_over).await;

    let model = json!({"model": "scripted/other"});
    let chosen: Session = put(&stage.person, &path, model).await.expect(200);
    assert_eq!(chosen.model, "scripted/other");
    prompt(&stage.person, session, "go on").await;
    let (thread, open, turn) = stage.agents.opened().await;
    assert_eq!(open.resume.as_deref(), Some("s"));
    let config = &open.agent.environment[0].value;
    assert!(config.contains("helix/scripted/other"), "{config}");
    stage
        .agents
        .tell(thread, vec![started(turn), ended(turn)])
        .await;
    let two = |log: &[Entry]| ends(log).len() == 2;
    stage.log(session, "the second end", two).await;

    let chosen: Session = put(&stage.person, &path, other).await.expect(200);
    let agent = chosen.agent.unwrap();
    assert_eq!((&*agent.agent, &*agent.title), ("qwen-code", "Qwen Code"));
    prompt(&stage.person, session, "and on").await;
    let (_, open, _) = stage.agents.opened().await;
    assert_eq!(open.agent.name, "qwen-code");
    assert_eq!((open.sandbox, open.resume), (stage.sandbox.id, None));
    let log = entries(&stage.world, session).await;
    let reasons = log.iter().filter_map(|entry| match entry {
        Entry::ThreadOver { reason, wanted, .. } => Some((&**reason, *wanted)),
        _ => None,
    });
    assert_eq!(
        reasons.collect::<Vec<_>>(),
        [
            ("the session goes on with the model scripted/other", true),
            ("the session goes on with Qwen Code", true),
        ]
    );
}

async fn prompts_queue_and_can_be_changed(world: World) {
    let mut stage = Stage::new(world).await;
    let (session, thread, turn) = stage.asked().await;
    let person = stage.person.clone();
    let key = json!({"content": [{"type": "text", "text": "b"}], "idempotency_key": "k"});
    let a = prompt(&person, session, "a").await;
    let first: Value = try_prompt(&person, session, key.clone()).await.expect(202);
    let again: Value = try_prompt(&person, session, key).await.expect(202);
    assert_eq!(first, again);
    let b: TurnId = first["turn_id"].as_str().unwrap().parse().unwrap();
    let c = prompt(&person, session, "c").await;
    let of = |turn: TurnId| format!("/api/v1/sessions/{session}/prompts/{turn}");
    let to_front = format!("{}/move", of(c));
    let moved = person.post(&to_front, json!({"position": 0})).await;
    assert_eq!(moved.status, 204);
    let edit = json!({"content": [{"type": "text", "text": "B"}]});
    let edited = Person::send(person.request(Method::PUT, &of(b)).json(&edit)).await;
    assert_eq!(edited.status, 204);
    assert_eq!(person.delete(&of(a)).await.status, 204);
    person.delete(&of(a)).await.error(ErrorCode::Conflict);
    let queue = stage.state(session).await.queue;
    let turns: Vec<_> = queue.iter().map(|prompt| prompt.turn).collect();
    assert_eq!(turns, [c, b]);

    let interrupt = format!("/api/v1/sessions/{session}/interrupt");
    assert_eq!(person.post(&interrupt, json!({})).await.status, 204);
    let (_, cancel) = stage.agents.command().await;
    assert!(matches!(cancel, Command::Cancel { turn: id } if id == turn));
    let cancelled = event(json!({"type": "turn_ended", "turn": turn, "outcome": "cancelled"}));
    stage.agents.tell(thread, vec![cancelled]).await;
    stage.log(session, "the end", is_over).await;
    assert!(stage.state(session).await.held.is_some());
    let release = format!("/api/v1/sessions/{session}/release");
    assert_eq!(person.post(&release, json!({})).await.status, 204);
    let (_, next) = stage.agents.command().await;
    assert!(matches!(next, Command::Prompt { turn, .. } if turn == c));

    // The sandbox stops: what is in flight fails and says why, and more is refused.
    let why = helix_proto::sandbox::SandboxEnd {
        kind: helix_proto::sandbox::SandboxEndKind::Idle,
        message: "nobody used it".into(),
    };
    stage
        .host
        .becomes(stage.sandbox.id, SandboxState::Stopped, Some(why));
    let failed = |log: &[Entry]| {
        let end = ends(log).into_iter().find(|(turn, _)| *turn == c);
        matches!(end, Some((_, TurnEnd::Failed { reason })) if reason.contains("nobody used it"))
    };
    stage.log(session, "the failure", failed).await;
    let more = json!({"content": [{"type": "text", "text": "more"}]});
    try_prompt(&person, session, more)
        .await
        .error(ErrorCode::Conflict);
}

/// A reader of a host, until it has read so much that it waits.
async fn read(host: &mut AgentHost, thread: ThreadId, after: &mut u64) -> Vec<Entry> {
    let mut read = Vec::new();
    loop {
        let reader = 7;
        let follow = Up::Follow {
            thread,
            reader,
            after: *after,
        };
        host.say(follow).await;
        let page = loop {
            match host.hear().await {
                Down::Log(page) => break page,
                Down::Acknowledge { .. } | Down::Command { .. } => {}
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((page.thread, page.reader), (thread, reader));
        assert!(page.through > *after);
        *after = page.through;
        read.extend(page.entries);
        if !page.more {
            return read;
        }
    }
}

async fn a_host_reads_the_log_for_an_editor_and_hears_what_comes_of_its_wishes(world: World) {
    let mut stage = Stage::new(world).await;
    let (session, thread, turn) = stage.asked().await;
    let said = (0..600).map(|number| message(&number.to_string()));
    for bodies in said.collect::<Vec<_>>().chunks(200) {
        stage.agents.tell(thread, bodies.to_vec()).await;
    }
    stage.agents.all_acknowledged(thread).await;
    let mut after = 0;
    let log = read(&mut stage.agents, thread, &mut after).await;
    assert_eq!(log, entries(&stage.world, session).await);
    // What an editor wants is in the log, with what it was wanted by, and so is read by all.
    let want = |text: &str| {
        let content = json!([{"type": "text", "text": text}]);
        event(json!({"type": "wanted", "what": "prompt", "content": content}))
    };
    let wanted = stage
        .agents
        .tell(thread, vec![want("from the editor")])
        .await;
    let by = |entry: &Entry| match entry {
        Entry::PromptQueued { prompt, .. } => prompt.wanted.map(|by| (by.thread, by.seq)),
        _ => None,
    };
    let mut log = Vec::new();
    while log.iter().find_map(by).is_none() {
        log.extend(read(&mut stage.agents, thread, &mut after).await);
    }
    assert_eq!(log.iter().find_map(by), Some((thread, wanted)));
    // A mode is an editor's to set, as it is everybody's; an empty prompt is nobody's.
    let mode = event(json!({"type": "wanted", "what": "set_mode", "mode": "plan"}));
    let empty = event(json!({"type": "wanted", "what": "prompt", "content": []}));
    let wanted = stage.agents.tell(thread, vec![mode, empty]).await;
    let (_, command) = stage.agents.command().await;
    assert!(matches!(command, Command::SetMode { mode } if mode == "plan"));
    let (_, command) = stage.agents.command().await;
    assert!(
        matches!(&command, Command::Unwanted { wanted: seq, reason } if *seq == wanted && reason.contains("empty")),
        "{command:?}"
    );
    // On the next connection it goes on where it was.
    stage.agents.reconnect(&stage.world).await;
    stage.agents.tell(thread, vec![ended(turn)]).await;
    let ended =
        |entry: &Entry| matches!(entry, Entry::TurnEnded { turn: other, .. } if *other == turn);
    while !log.iter().any(ended) {
        log.extend(read(&mut stage.agents, thread, &mut after).await);
    }
    // The threads of others are none of its business.
    let thread = ThreadId::from_parts(1, 1);
    let (reader, after) = (8, 0);
    let follow = Up::Follow {
        thread,
        reader,
        after,
    };
    stage.agents.say(follow).await;
    loop {
        match stage.agents.hear().await {
            Down::Forget { thread: other } => break assert_eq!(other, thread),
            Down::Log(page) => panic!("{page:?}"),
            _ => {}
        }
    }
    let readers = u64::try_from(helix_proto::agents::MAX_READERS).unwrap();
    let thread = *stage.agents.threads.keys().next().unwrap();
    for reader in 0..=readers {
        let after = u64::MAX >> 1;
        stage
            .agents
            .say(Up::Follow {
                thread,
                reader,
                after,
            })
            .await;
    }
    let (code, reason) = stage.agents.closed().await;
    assert_eq!(code, helix_proto::agents::TOO_LARGE, "{reason}");
}

async fn what_a_session_with_an_agent_is_not_for_is_refused(world: World) {
    let mut stage = Stage::new(world).await;
    let (session, thread, turn) = stage.asked().await;
    let person = stage.person.clone();
    let base = format!("/api/v1/sessions/{session}");
    let hello = json!({"content": "hello"});
    person
        .get(&format!("{base}/messages"))
        .await
        .error(ErrorCode::Conflict);
    person
        .post(&format!("{base}/messages"), hello.clone())
        .await
        .error(ErrorCode::Conflict);
    for act in ["regenerate", "edit", "cancel"] {
        let path = format!("{base}/turns/{turn}/{act}");
        person
            .post(&path, hello.clone())
            .await
            .error(ErrorCode::Conflict);
    }
    let chat: Session = person
        .post("/api/v1/sessions", json!({"model": "scripted/m"}))
        .await
        .expect(201);
    let text = json!({"content": [{"type": "text", "text": "hello"}]});
    try_prompt(&person, chat.id, text.clone())
        .await
        .error(ErrorCode::Conflict);
    let other = stage.world.member("eve").await;
    try_prompt(&other, session, text)
        .await
        .error(ErrorCode::NotFound);
    let theirs = json!({"agent": {"agent": "opencode", "sandbox_id": stage.sandbox.id}});
    for body in [
        theirs,
        json!({"agent": {"agent": "opencode"}}),
        json!({"agent": {"agent": "nobody", "sandbox": {}}}),
        json!({"agent": {"agent": "opencode", "sandbox": {}, "directory": "relative"}}),
    ] {
        other
            .post("/api/v1/sessions", body)
            .await
            .error(ErrorCode::Invalid);
    }
    let long = "x".repeat(3 << 20);
    let long = json!({"content": [{"type": "text", "text": long}]});
    try_prompt(&person, session, long)
        .await
        .error(ErrorCode::Conflict);

    // A session that is deleted: its host forgets the thread, and its own sandbox goes with it.
    assert_eq!(person.delete(&base).await.status, 204);
    loop {
        match stage.agents.hear().await {
            Down::Forget { thread: gone } => {
                assert_eq!(gone, thread);
                break;
            }
            Down::Acknowledge { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    let own = json!({"agent": {"agent": "opencode", "sandbox": {}}});
    let own: Session = person.post("/api/v1/sessions", own).await.expect(201);
    let agent = own.agent.unwrap();
    assert!(agent.owns_sandbox);
    // A prompt waits for a sandbox that is being made.
    prompt(&person, own.id, "hello").await;
    let (_, open, _) = stage.agents.opened().await;
    assert_eq!(open.sandbox, agent.sandbox_id);
    assert_eq!(
        person
            .delete(&format!("/api/v1/sessions/{}", own.id))
            .await
            .status,
        204
    );
    let sandbox = format!("/api/v1/sandboxes/{}", agent.sandbox_id);
    person.get(&sandbox).await.error(ErrorCode::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_says_what_cannot_be_is_sent_away_with_a_reason() {
    use futures_util::SinkExt as _;
    use tokio_tungstenite::tungstenite::Message;

    let stage = Stage::new(World::start(Kind::Sqlite).await).await;
    let credential = stage.host.created.credential.clone();
    let hello = r#"{"type":"hello","version":1,"threads":[]}"#;
    for (messages, code) in [
        (vec!["nonsense"], 1002),
        (
            vec![r#"{"type":"accepted","thread":"thr_01KBG7W4Y3QJ6T8N2V5X9Z0ABC","through":1}"#],
            1002,
        ),
        (vec![r#"{"type":"hello","version":2,"threads":[]}"#], 1002),
        (vec![hello, "nonsense"], 1002),
        (vec![hello, hello], 1002),
    ] {
        let mut socket = agent_host::dial(&stage.world, &credential).await;
        for message in &messages {
            socket.send(Message::Text((*message).into())).await.unwrap();
        }
        let (closed, reason) = agent_host::closing(&mut socket).await;
        assert_eq!(closed, code, "{messages:?}: {reason}");
        assert!(!reason.is_empty());
    }
    // A thread that is not this host's is to be forgotten, whoever's it is.
    let mut agents = AgentHost::connect(&stage.world, &credential).await;
    let thread = ThreadId::from_parts(1, 1);
    agents.threads.insert(thread, agent_host::Kept::default());
    agents.tell(thread, vec![message("mine")]).await;
    assert!(matches!(agents.hear().await, Down::Forget { thread: gone } if gone == thread));

    let newer = AgentHost::connect(&stage.world, &credential).await;
    assert_eq!(agents.closed().await.0, 4001);
    let path = format!("{}/credential", stage.host.path());
    assert_eq!(stage.admin.post(&path, json!({})).await.status, 200);
    assert_eq!(newer.closed().await.0, 4003);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn administrators_keep_the_catalogue_and_others_see_its_names() {
    let world = World::start(Kind::Sqlite).await;
    let admin = world.admin().await;
    let member = world.member("ada").await;
    let names = async || -> Vec<String> {
        let listed: Vec<Value> = member.get("/api/v1/agents").await.expect(200);
        assert!(
            listed
                .iter()
                .all(|agent| agent.get("environment").is_none())
        );
        listed
            .iter()
            .map(|agent| agent["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let seeded = [
        "claude-code",
        "codex",
        "gemini-cli",
        "goose",
        "helix",
        "opencode",
        "qwen-code",
    ];
    assert_eq!(names().await, seeded);
    member
        .get("/api/v1/agents/goose")
        .await
        .error(ErrorCode::Forbidden);
    let put = async |name: &str, body: Value| {
        let path = format!("/api/v1/agents/{name}");
        Person::send(admin.request(Method::PUT, &path).json(&body)).await
    };
    let mine = json!({"title": "Mine", "model_api": "none", "command": ["mine"]});
    let details: Value = put("mine", mine.clone()).await.expect(200);
    assert_eq!(
        (&details["built_in"], &details["enabled"]),
        (&json!(false), &json!(true))
    );
    put("Not a name", mine.clone())
        .await
        .error(ErrorCode::Invalid);
    for (field, value) in [
        ("command", json!([])),
        ("environment", json!([{"name": "1", "value": ""}])),
        (
            "environment",
            json!([{"name": "BIG", "value": "x".repeat(40_000)}]),
        ),
        ("title", json!("")),
    ] {
        let mut body = mine.clone();
        body[field] = value;
        put("mine", body).await.error(ErrorCode::Invalid);
    }
    let goose: Value = admin.get("/api/v1/agents/goose").await.expect(200);
    let mut off = goose.clone();
    off["enabled"] = json!(false);
    let changed: Value = put("goose", off).await.expect(200);
    assert_eq!(
        (&changed["built_in"], &changed["enabled"]),
        (&json!(true), &json!(false))
    );
    let session = json!({"agent": {"agent": "goose", "sandbox": {}}});
    member
        .post("/api/v1/sessions", session)
        .await
        .error(ErrorCode::Invalid);

    // What an administrator changed survives a start; what is deleted is as it came, or gone.
    let world = world.crash_and_restart().await;
    let admin = Person {
        url: world.url(),
        ..admin
    };
    let kept: Value = admin.get("/api/v1/agents/goose").await.expect(200);
    assert_eq!(kept, changed);
    assert_eq!(admin.delete("/api/v1/agents/goose").await.status, 204);
    let reset: Value = admin.get("/api/v1/agents/goose").await.expect(200);
    assert_eq!(reset, goose);
    assert_eq!(admin.delete("/api/v1/agents/mine").await.status, 204);
    admin
        .get("/api/v1/agents/mine")
        .await
        .error(ErrorCode::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prompt_whose_sandbox_is_never_there_ends_with_the_reason() {
    let mut stage = Stage::new(World::start(Kind::Sqlite).await).await;
    stage.host.lock().makes = crate::host::Makes::Never;
    let own = json!({"agent": {"agent": "helix", "sandbox": {}}});
    let own: Session = stage.person.post("/api/v1/sessions", own).await.expect(201);
    let sandbox = own.agent.unwrap().sandbox_id;
    let turn = prompt(&stage.person, own.id, "hello").await;
    let behind = prompt(&stage.person, own.id, "and then").await;
    // It waits while the sandbox is being made: nothing but the queue is there.
    let state = stage.state(own.id).await;
    assert_eq!((state.turn, state.queue.len()), (None, 2));
    let why = helix_proto::sandbox::SandboxEnd {
        kind: helix_proto::sandbox::SandboxEndKind::DiskFull,
        message: "the disk is full".into(),
    };
    stage.host.becomes(sandbox, SandboxState::Failed, Some(why));
    let failed = |log: &[Entry]| {
        let ends = ends(log);
        matches!(&ends[..], [(id, TurnEnd::Failed { reason })]
            if *id == turn && reason.contains("the disk is full"))
    };
    stage.log(own.id, "the failure", failed).await;
    let state = stage.state(own.id).await;
    assert!(state.held.is_some());
    assert_eq!(state.queue[0].turn, behind);

    // A host that is removed: the turn of a session there fails, and the host is sent away.
    let (session, _, turn) = stage.asked().await;
    let path = format!("{}?force=true", stage.host.path());
    assert_eq!(stage.admin.delete(&path).await.status, 204);
    let log = stage.log(session, "the failure", is_over).await;
    let ends = ends(&log);
    assert!(
        matches!(&ends[..], [(id, TurnEnd::Failed { reason })]
            if *id == turn && reason.contains("deleted")),
        "{ends:?}"
    );
    assert_eq!(agent_host::closing(&mut stage.agents.socket).await.0, 4003);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_sessions_stream_at_once_through_cuts_and_every_event_is_there_once() {
    const SESSIONS: usize = 20;
    const SAID: usize = 300;
    let mut stage = Stage::new(World::start(Kind::Sqlite).await).await;
    let mut turns = Vec::new();
    for _ in 0..SESSIONS {
        turns.push(stage.asked().await);
    }
    for part in 0..3 {
        for at in 0..SAID {
            for (_, thread, _) in &turns {
                let body = vec![message(&format!("{part}-{at} "))];
                let events = stage.agents.keep(*thread, body);
                let thread = *thread;
                stage.agents.say(Up::Events { thread, events }).await;
                stage.agents.take();
            }
        }
        // What the control plane has read of it by now, it says in the welcome.
        stage.agents.reconnect(&stage.world).await;
    }
    for (_, thread, turn) in &turns {
        stage.agents.tell(*thread, vec![ended(*turn)]).await;
    }
    let expected: Vec<_> = (0..3)
        .flat_map(|part| (0..SAID).map(move |at| format!("{part}-{at} ")))
        .collect();
    for (session, _, _) in &turns {
        let log = stage.log(*session, "the end", is_over).await;
        assert_eq!(texts(&log), expected);
    }
    let metrics = stage.world.stranger().get("/metrics").await;
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    let of = |name: &str| -> f64 {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().trim().parse().unwrap()
    };
    let (entries, batches) = (
        of("helix_agent_log_entries_total"),
        of("helix_agent_batches_total"),
    );
    // No transaction for each event: what comes while one is under way is the next.
    assert!(
        batches * 2.0 < entries,
        "{batches} batches, {entries} entries"
    );
}

/// Texts with every byte that a database may not like.
async fn what_an_agent_chooses_is_kept_as_it_is(world: World) {
    let mut stage = Stage::new(world).await;
    let (session, thread, turn) = stage.asked().await;
    let odd = "a\0b\u{1f980}\u{feff}'\\\"";
    let wanted = json!({"type": "wanted", "what": "prompt",
        "content": [{"type": "text", "text": format!("{odd} from an editor")}]});
    let deep = (0..100).fold(json!(odd), |inner, _| json!([inner]));
    let bodies = vec![
        event(json!({"type": "session", "session": odd, "resumed": false})),
        event(json!({"type": "title", "title": odd})),
        event(json!({"type": "tool_call", "id": odd, "title": odd, "input": deep})),
        event(json!({"type": "of_tomorrow", "with": {"anything": odd}})),
        event(wanted),
        message(odd),
        ended(turn),
    ];
    stage.agents.tell(thread, bodies).await;
    let (_, command) = stage.agents.command().await;
    let Command::Prompt { turn: next, .. } = command else {
        panic!("{command:?}");
    };
    stage
        .agents
        .tell(thread, vec![started(next), ended(next)])
        .await;
    stage.agents.all_acknowledged(thread).await;
    let log = entries(&stage.world, session).await;
    assert_eq!(texts(&log), [odd]);
    let said = serde_json::to_string(&log).unwrap();
    assert!(said.contains("of_tomorrow"));
    let path = format!("/api/v1/sessions/{session}");
    let shown: Session = stage.person.get(&path).await.expect(200);
    assert!(shown.title.starts_with("a b"), "{}", shown.title);
    // The next thread goes on with the very same session of the agent.
    stage.agents.threads.clear();
    stage.agents.reconnect(&stage.world).await;
    prompt(&stage.person, session, "go on").await;
    let (_, open, _) = stage.agents.opened().await;
    assert_eq!(open.resume.as_deref(), Some(odd));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_that_cannot_be_cloned_ends_the_first_prompt_and_no_other() {
    let mut stage = Stage::new(World::start(Kind::Sqlite).await).await;
    let with = |url: &str| {
        json!({"agent": {"agent": "opencode", "sandbox_id": stage.sandbox.id,
            "repository": {"url": url}}})
    };
    let bad = stage
        .person
        .post("/api/v1/sessions", with("--upload-pack=evil"));
    bad.await.error(ErrorCode::Invalid);
    // This host runs no programs, git neither.
    let session = with("https://git.example.org/helix/hello.git");
    let session: Session = stage
        .person
        .post("/api/v1/sessions", session)
        .await
        .expect(201);
    assert_eq!(session.agent.unwrap().directory, "/home/user/hello");
    let turn = prompt(&stage.person, session.id, "fix it").await;
    let log = stage.log(session.id, "the failure", is_over).await;
    let clones = |entry: &Entry| matches!(entry, Entry::Cloning { .. });
    assert!(log.iter().any(clones), "{log:?}");
    let ends = ends(&log);
    assert!(
        matches!(&ends[..], [(id, TurnEnd::Failed { reason })]
            if *id == turn && reason.contains("not cloned")),
        "{ends:?}"
    );
    let next = prompt(&stage.person, session.id, "fix it all the same").await;
    let (_, open, prompted) = stage.agents.opened().await;
    assert_eq!(prompted, next);
    assert_eq!(open.agent.directory, "/home/user/hello");
}
