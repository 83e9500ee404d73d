//! Editors that are not ours, in the conversation of an agent: official clients of ACP, several at
//! once.

use helix_agent::control::Act;
use helix_proto::{
    TurnId, TypedId as _,
    agents::{Content, Entry, TurnEnd},
};
use serde_json::{Value, json};

use super::{
    conversing::Conversing,
    editing::{Editor, python},
    world::World,
};

/// A world with a conversation.
struct Office {
    world: World,
    control: Conversing,
    python: String,
    turns: u128,
}

impl Office {
    /// None where the client was not set up.
    async fn new() -> Option<Self> {
        let Some(python) = python() else {
            eprintln!("skipped: HELIX_TEST_PYTHON is not set");
            return None;
        };
        let control = Conversing::new(World::thread());
        let world = World::serving(control.routes()).await;
        control.open(world.opening(&["python3", "agent.py"], &[]));
        Some(Self {
            world,
            control,
            python,
            turns: 0,
        })
    }

    async fn editor(&self) -> Editor {
        Editor::begin(&self.world, &self.python).await
    }

    /// Somebody asks on the session's page.
    fn page_asks(&mut self, text: &str) -> TurnId {
        self.turns += 1;
        let turn = TurnId::from_parts(1, self.turns);
        let content = vec![Content::text(text)];
        self.control.act(Act::Prompt { turn, content }).unwrap();
        turn
    }

    async fn eventually(&self, what: &str, is_so: impl Fn(&[Entry]) -> bool) {
        let control = self.control.clone();
        self.world
            .eventually(what, move || is_so(&control.log()))
            .await;
    }

    fn prompts(&self) -> usize {
        let log = self.control.log();
        let queued = log
            .iter()
            .filter(|entry| matches!(entry, Entry::PromptQueued { .. }));
        queued.count()
    }
}

fn asked(said: &Value) -> bool {
    said.get("asked").is_some()
}

fn stop(reason: &str) -> Result<Value, String> {
    Ok(json!({"stopReason": reason}))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_editors_and_the_page_are_in_one_conversation() {
    let Some(mut office) = Office::new().await else {
        return;
    };
    let (mut one, mut two) = (office.editor().await, office.editor().await);
    assert_eq!(one.session, two.session);
    let prompt = one.prompt("say hello\nplan it").await;
    assert_eq!(one.done(prompt).await, stop("end_turn"));
    assert_eq!(one.heard(), "hello");
    let planned = |said: &Value| said["update"]["sessionUpdate"] == "plan";
    two.saw("the plan", planned).await;
    assert_eq!(two.heard(), "hello");
    let user = |text: &str| ("user_message_chunk".to_owned(), text.to_owned());
    assert!(two.shown().contains(&user("say hello\nplan it")));
    // Who asked shows its own words already.
    assert!(!one.shown().contains(&user("say hello\nplan it")));
    // The page's prompt is seen by both, and waits for one of an editor.
    let prompt = two.prompt("wait").await;
    office
        .eventually("it is asked", |log| {
            let running = |entry: &&Entry| matches!(entry, Entry::TurnRunning { .. });
            log.iter().filter(running).count() == 2
        })
        .await;
    office.page_asks("say from the page");
    one.does(json!({"do": "cancel"})).await.unwrap();
    assert_eq!(two.done(prompt).await, stop("cancelled"));
    for editor in [&mut one, &mut two] {
        let answered = |said: &Value| said["update"]["content"]["text"] == "from the page";
        editor.saw("the page's answer", answered).await;
        assert!(editor.shown().contains(&user("say from the page")));
    }
    assert_eq!(office.prompts(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_is_asked_of_all_and_the_first_answer_counts() {
    let Some(mut office) = Office::new().await else {
        return;
    };
    let (mut one, mut two) = (office.editor().await, office.editor().await);
    let path = format!("{}/hello.txt", office.world.work());
    let prompt = one.prompt(&format!("write {path} hello")).await;
    one.saw("one is asked", asked).await;
    two.saw("two is asked", asked).await;
    two.order(json!({"do": "answer", "option": "yes"})).await;
    assert_eq!(one.done(prompt).await, stop("end_turn"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "hello");
    let diff = |said: &Value| said["update"]["content"][0]["type"] == "diff";
    for editor in [&mut one, &mut two] {
        editor.saw("the change", diff).await;
        assert_eq!(editor.count(asked), 1);
    }
    // Too late, and no answer to anything.
    one.order(json!({"do": "answer", "option": "no"})).await;
    // The page answers: nobody else has to.
    let turn = office.page_asks(&format!("write {path} again"));
    let twice = |editor: &Editor| editor.count(asked) == 2;
    one.saw("one is asked again", |_| true).await;
    office
        .eventually("both are asked", |_| twice(&one) && twice(&two))
        .await;
    let log = office.control.log();
    let request = log.iter().rev().find_map(|entry| match entry {
        Entry::TurnAwaiting { request, .. } => Some(*request),
        _ => None,
    });
    let answer = helix_proto::agents::PermissionAnswer::Selected {
        option: "no".to_owned(),
    };
    let act = Act::Answer {
        thread: World::thread(),
        request: request.unwrap(),
        answer,
    };
    // An answer of before may be on its way: whoever is first.
    let _ = office.control.act(act);
    office
        .eventually("the turn ends", |log| {
            let end = |entry: &Entry| matches!(entry, Entry::TurnEnded { turn: other, .. } if *other == turn);
            log.iter().any(end)
        })
        .await;
    let refused = |said: &Value| said["update"]["status"] == "failed";
    two.saw("it was refused", refused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_editor_that_is_killed_takes_nothing_along_and_one_that_comes_sees_all() {
    let Some(office) = Office::new().await else {
        return;
    };
    let (mut one, mut two) = (office.editor().await, office.editor().await);
    one.prompt("count 30\nslowly 50\nsay done").await;
    let begun = |said: &Value| said["update"]["sessionUpdate"] == "agent_message_chunk";
    two.saw("it begins", begun).await;
    one.kill().await;
    office
        .eventually("the turn ends", |log| {
            let end = |entry: &Entry| matches!(entry, Entry::TurnEnded { end, .. } if matches!(end, TurnEnd::Completed { .. }));
            log.iter().any(end)
        })
        .await;
    two.saw("the end", |said| {
        let text = said["update"]["content"]["text"].as_str();
        text.is_some_and(|text| text.ends_with("done"))
    })
    .await;
    let mut three = Editor::start(&office.world, &office.python).await;
    let list = three.does(json!({"do": "list"})).await.unwrap();
    let session = list["sessions"][0]["sessionId"]
        .as_str()
        .unwrap()
        .to_owned();
    let loaded = three.does(json!({"do": "load", "session": session})).await;
    assert_eq!(loaded.unwrap()["modes"]["currentModeId"], "ask");
    assert_eq!(three.heard(), two.heard());
    let user = |text: &str| ("user_message_chunk".to_owned(), text.to_owned());
    assert!(
        three
            .shown()
            .contains(&user("count 30\nslowly 50\nsay done"))
    );
    three.session = session;
    let mode = json!({"do": "mode", "mode": "yolo"});
    three.does(mode).await.unwrap();
    let set = |said: &Value| said["update"]["currentModeId"] == "yolo";
    two.saw("the mode", set).await;
    let refused = three
        .does(json!({"do": "load", "session": "thr_none"}))
        .await;
    assert!(refused.unwrap_err().contains("no session"));
}

#[tokio::test(flavor = "multi_thread")]
async fn cuts_and_a_host_that_is_killed_in_the_middle_of_a_turn_lose_and_double_nothing() {
    let Some(mut office) = Office::new().await else {
        return;
    };
    let (mut one, mut two) = (office.editor().await, office.editor().await);
    let prompt = one.prompt("slowly 300\nsay end").await;
    let begun = |said: &Value| said["update"]["sessionUpdate"] == "agent_message_chunk";
    two.saw("it begins", begun).await;
    office.control.cut();
    office.world.kill_host().await;
    // Said while nobody hears it.
    let late = two.prompt("say late").await;
    office.world.start().await;
    office.control.cut();
    assert_eq!(one.done(prompt).await, stop("end_turn"));
    assert_eq!(two.done(late).await, stop("end_turn"));
    let expected: String = (0..300).map(|number| format!("{number} ")).collect();
    let expected = format!("{expected}endlate");
    one.saw("what came last", |said| {
        said["update"]["content"]["text"] == "late"
    })
    .await;
    assert_eq!(one.heard(), expected);
    assert_eq!(two.heard(), expected);
    assert_eq!(office.prompts(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_said() {
    let Some(office) = Office::new().await else {
        return;
    };
    let mut one = office.editor().await;
    let large = one.prompt(&"x".repeat(1 << 20)).await;
    assert!(one.done(large).await.unwrap_err().contains("262144"));
    let prompt = one.prompt("exit").await;
    let failed = one.done(prompt).await.unwrap_err();
    assert!(failed.contains("the agent ended"), "{failed}");
    office.control.act(Act::Close).unwrap();
    let closed = |entry: &Entry| matches!(entry, Entry::ThreadOver { .. });
    office
        .eventually("it is over", |log| log.iter().any(closed))
        .await;
    let prompt = one.prompt("say more").await;
    assert!(one.done(prompt).await.is_err());
    let none = one.does(json!({"do": "new"})).await.unwrap_err();
    assert!(none.contains("no agent is at work"), "{none}");
}
