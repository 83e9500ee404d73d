use helix_proto::{
    ErrorCode, SessionId,
    page::Page,
    session::{Session, SessionEvent, SessionEventBody, SessionMessages, Turn, TurnState},
};
use serde_json::json;

use crate::{
    person::{Answer, Person},
    world::{World, eventually},
};

on_both_databases!(
    a_question_is_answered_and_the_log_tells_it_without_gaps,
    a_title_comes_from_the_first_message_until_someone_renames_it,
    two_sends_at_once_begin_one_turn,
    the_same_idempotency_key_begins_one_turn,
    a_cancel_ends_the_turn_and_keeps_what_was_answered,
    asking_again_and_editing_replace_the_turn_and_all_after_it,
    the_reason_of_a_failure_reaches_the_user,
    a_crash_in_the_middle_ends_the_turn_and_doubles_nothing,
    deleting_a_session_stops_its_turn,
    sessions_are_found_by_title_and_content_page_by_page,
);

pub(crate) async fn session(person: &Person) -> SessionId {
    let body = json!({"model": "scripted/m"});
    person
        .post("/api/v1/sessions", body)
        .await
        .expect::<Session>(201)
        .id
}

pub(crate) async fn send(person: &Person, session: SessionId, content: &str) -> Answer {
    person
        .post(
            &format!("/api/v1/sessions/{session}/messages"),
            json!({"content": content}),
        )
        .await
}

pub(crate) async fn messages(person: &Person, session: SessionId) -> SessionMessages {
    person
        .get(&format!("/api/v1/sessions/{session}/messages"))
        .await
        .expect(200)
}

async fn turn_action(
    person: &Person,
    turn: &Turn,
    action: &str,
    body: serde_json::Value,
) -> Answer {
    let Turn { session_id, id, .. } = turn;
    person
        .post(
            &format!("/api/v1/sessions/{session_id}/turns/{id}/{action}"),
            body,
        )
        .await
}

pub(crate) async fn ended(person: &Person, session: SessionId) -> Turn {
    eventually("the turn to end", async || {
        let last = messages(person, session).await.turns.pop()?;
        last.state.is_terminal().then_some(last)
    })
    .await
}

/// Waits until a part of the answer is in the log.
pub(crate) async fn answering(person: &Person, session: SessionId, text: &str) {
    eventually("the answer to begin", async || {
        let last = messages(person, session).await.turns.pop()?;
        (last.assistant_content == text).then_some(())
    })
    .await;
}

async fn ask(person: &Person, session: SessionId, content: &str) -> Turn {
    assert_eq!(send(person, session, content).await.status, 202);
    ended(person, session).await
}

/// The whole log, as the events route tells it.
pub(crate) async fn log(world: &World, person: &Person, session: SessionId) -> Vec<SessionEvent> {
    let last = messages(person, session).await.seq;
    crate::live::read_events(world, person, session, 0, last as usize).await
}

async fn a_question_is_answered_and_the_log_tells_it_without_gaps(world: World) {
    let admin = world.admin().await;
    let id = session(&admin).await;
    let turn: Turn = send(&admin, id, "What is it?").await.expect(202);
    assert_eq!(turn.state, TurnState::Queued);
    let turn = ended(&admin, id).await;
    assert_eq!(turn.state, TurnState::Completed);
    assert_eq!(turn.assistant_content, "You said: 🎈What is it?");
    assert_eq!(turn.usage.unwrap().prompt_tokens, 5);

    let log = log(&world, &admin, id).await;
    assert!(log.iter().map(|event| event.seq).eq(1..=log.len() as u64));
    let deltas: String = log
        .iter()
        .filter_map(|event| match &event.body {
            SessionEventBody::TurnDelta { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(deltas, turn.assistant_content);
    assert!(matches!(
        log.last().unwrap().body,
        SessionEventBody::TurnEnded {
            state: TurnState::Completed,
            ..
        }
    ));

    ask(&admin, id, "And now?").await;
    let asked = world.model.requests().pop().unwrap();
    let roles: Vec<_> = asked["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["role"].clone())
        .collect();
    assert_eq!(roles, ["user", "assistant", "user"]);
    assert_eq!(asked["model"], "m");
}

async fn a_title_comes_from_the_first_message_until_someone_renames_it(world: World) {
    let admin = world.admin().await;
    let id = session(&admin).await;
    ask(&admin, id, "How do magnets work?").await;
    let path = format!("/api/v1/sessions/{id}");
    let session: Session = admin.get(&path).await.expect(200);
    assert_eq!(session.title, "How do magnets work?");
    let session: Session = admin
        .patch(&path, json!({"title": "Magnets"}))
        .await
        .expect(200);
    assert_eq!(session.title, "Magnets");
    ask(&admin, id, "Really?").await;
    let session: Session = admin.get(&path).await.expect(200);
    assert_eq!(session.title, "Magnets");
}

async fn two_sends_at_once_begin_one_turn(world: World) {
    let admin = world.admin().await;
    let id = session(&admin).await;
    let sends = (0..8).map(|n| {
        let admin = admin.clone();
        async move { send(&admin, id, &format!("{n} hold")).await }
    });
    let answers = futures_util::future::join_all(sends).await;
    let begun = answers.iter().filter(|answer| answer.status == 202).count();
    let busy = answers.iter().filter(|answer| answer.status == 409).count();
    assert_eq!((begun, busy), (1, 7));
    assert_eq!(messages(&admin, id).await.turns.len(), 1);
    world.model.go_on();
    assert_eq!(ended(&admin, id).await.assistant_content, "first second");
}

async fn the_same_idempotency_key_begins_one_turn(world: World) {
    let admin = world.admin().await;
    let id = session(&admin).await;
    let body = json!({"content": "hold", "idempotency_key": "once"});
    let path = format!("/api/v1/sessions/{id}/messages");
    let first: Turn = admin.post(&path, body.clone()).await.expect(202);
    let second: Turn = admin.post(&path, body.clone()).await.expect(202);
    assert_eq!(first.id, second.id);
    world.model.go_on();
    ended(&admin, id).await;
    let third: Turn = admin.post(&path, body).await.expect(202);
    assert_eq!(third.id, first.id);
    assert_eq!(third.state, TurnState::Completed);
    assert_eq!(world.model.requests().len(), 1);
}

async fn a_cancel_ends_the_turn_and_keeps_what_was_answered(world: World) {
    let admin = world.admin().await;
    let id = session(&admin).await;
    let turn: Turn = send(&admin, id, "hold").await.expect(202);
    answering(&admin, id, "first ").await;
    let cancelled: Turn = turn_action(&admin, &turn, "cancel", json!({}))
        .await
        .expect(200);
    assert_eq!(cancelled.state, TurnState::Cancelled);
    assert_eq!(cancelled.assistant_content, "first ");
    eventually("the model to be freed", async || {
        (world.model.left() == 1).then_some(())
    })
    .await;
    let again: Turn = turn_action(&admin, &turn, "cancel", json!({}))
        .await
        .expect(200);
    assert_eq!(again, cancelled);
    assert_eq!(ask(&admin, id, "next").await.state, TurnState::Completed);
}

async fn asking_again_and_editing_replace_the_turn_and_all_after_it(world: World) {
    let admin = world.admin().await;
    let id = session(&admin).await;
    let first = ask(&admin, id, "one").await;
    let second = ask(&admin, id, "two").await;
    let again: Turn = turn_action(&admin, &second, "regenerate", json!({}))
        .await
        .expect(202);
    assert_eq!(again.user_content, "two");
    ended(&admin, id).await;
    assert_eq!(messages(&admin, id).await.turns.len(), 2);

    let edited: Turn = turn_action(&admin, &first, "edit", json!({"content": "uno"}))
        .await
        .expect(202);
    ended(&admin, id).await;
    let turns = messages(&admin, id).await.turns;
    assert_eq!(
        turns.iter().map(|turn| turn.id).collect::<Vec<_>>(),
        [edited.id]
    );
    let asked = world.model.requests().pop().unwrap();
    assert_eq!(asked["messages"].as_array().unwrap().len(), 1);
    turn_action(&admin, &second, "regenerate", json!({}))
        .await
        .error(ErrorCode::NotFound);
    let started = log(&world, &admin, id)
        .await
        .into_iter()
        .rev()
        .find_map(|event| match event.body {
            SessionEventBody::TurnStarted { replaces, .. } => Some(replaces),
            _ => None,
        });
    assert_eq!(started, Some(Some(first.id)));
}

async fn the_reason_of_a_failure_reaches_the_user(world: World) {
    let admin = world.admin().await;
    let id = session(&admin).await;
    let refused = ask(&admin, id, "please refuse").await;
    assert_eq!(refused.state, TurnState::Failed);
    assert_eq!(refused.error.as_deref(), Some("the prompt is too long"));
    let stumbled = ask(&admin, id, "please stumble").await;
    assert_eq!(
        (stumbled.state, &*stumbled.assistant_content),
        (TurnState::Failed, "before")
    );
    assert_eq!(stumbled.error.as_deref(), Some("out of memory"));
    let broken = ask(&admin, id, "please break").await;
    assert_eq!(
        (broken.state, &*broken.assistant_content),
        (TurnState::Failed, "half of an ans")
    );
    let body = json!({"content": "hello", "model": "nowhere/at-all"});
    let path = format!("/api/v1/sessions/{id}/messages");
    admin.post(&path, body).await.expect::<Turn>(202);
    let unknown = ended(&admin, id).await;
    assert!(unknown.error.unwrap().contains("nowhere/at-all"));
}

async fn a_crash_in_the_middle_ends_the_turn_and_doubles_nothing(world: World) {
    let admin = world.admin().await;
    let id = session(&admin).await;
    let turn: Turn = send(&admin, id, "hold").await.expect(202);
    answering(&admin, id, "first ").await;
    let before = messages(&admin, id).await.seq;

    let world = world.crash_and_restart().await;
    let admin = Person {
        url: world.url(),
        ..admin
    };
    let turns = messages(&admin, id).await.turns;
    assert_eq!(turns.len(), 1);
    assert_eq!((turns[0].id, turns[0].state), (turn.id, TurnState::Failed));
    assert_eq!(turns[0].assistant_content, "first ");
    assert!(turns[0].error.as_deref().unwrap().contains("restarted"));
    let log = log(&world, &admin, id).await;
    assert!(log.iter().map(|event| event.seq).eq(1..=before + 1));
    let session: Session = admin
        .get(&format!("/api/v1/sessions/{id}"))
        .await
        .expect(200);
    assert_eq!(session.active_turn, None);
    assert_eq!(ask(&admin, id, "next").await.state, TurnState::Completed);

    let world = world.crash_and_restart().await;
    let admin = Person {
        url: world.url(),
        ..admin
    };
    let after: Vec<_> = messages(&admin, id)
        .await
        .turns
        .iter()
        .map(|turn| turn.state)
        .collect();
    assert_eq!(after, [TurnState::Failed, TurnState::Completed]);
}

async fn deleting_a_session_stops_its_turn(world: World) {
    let admin = world.admin().await;
    let id = session(&admin).await;
    send(&admin, id, "hold").await;
    answering(&admin, id, "first ").await;
    let path = format!("/api/v1/sessions/{id}");
    assert_eq!(admin.delete(&path).await.status, 204);
    eventually("the model to be freed", async || {
        (world.model.left() == 1).then_some(())
    })
    .await;
    admin.get(&path).await.error(ErrorCode::NotFound);
    admin.delete(&path).await.error(ErrorCode::NotFound);
}

async fn sessions_are_found_by_title_and_content_page_by_page(world: World) {
    let admin = world.admin().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        let id = session(&admin).await;
        ask(&admin, id, &format!("ÄPFEL number {n} 100%")).await;
        ids.push(id);
    }
    let find = async |q: &str| {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("q", q)
            .finish();
        let page: Page<Session> = admin
            .get(&format!("/api/v1/sessions?{query}"))
            .await
            .expect(200);
        page.items
            .iter()
            .map(|session| session.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(find("äpfel NUMBER 3").await, [ids[3]]);
    assert_eq!(find("you said").await.len(), 5);
    assert_eq!(find("0% pure").await.len(), 0);
    assert_eq!(find("100%").await.len(), 5);
    assert_eq!(find("_").await.len(), 0);

    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let page: Page<Session> = admin
            .get(&format!("/api/v1/sessions?limit=2{cursor}"))
            .await
            .expect(200);
        found.extend(page.items.iter().map(|session| session.id));
        let Some(next) = page.next_cursor else { break };
        cursor = format!("&cursor={next}");
    }
    ids.reverse();
    assert_eq!(found, ids);
}
