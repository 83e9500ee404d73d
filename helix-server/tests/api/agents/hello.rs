//! The hello of a host that has as many threads as there may be.

use helix_proto::agents::{Down, Held, MAX_MESSAGE, MAX_THREADS, VERSION};

use super::*;

/// Threads of which the control plane knows.
const KNOWN: usize = 24;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hello_with_as_many_threads_as_there_may_be_is_answered_for_each() {
    use futures_util::SinkExt as _;
    use tokio_tungstenite::tungstenite::Message;

    let mut stage = Stage::new(World::start(Kind::Sqlite).await).await;
    let mut known = Vec::new();
    for _ in 0..KNOWN {
        let (_, thread, _) = stage.asked().await;
        stage.agents.all_acknowledged(thread).await;
        known.push(thread);
    }
    let held = |thread| Held {
        thread,
        accepted: 2,
        first_seq: u64::MAX - 1,
        last_seq: u64::MAX - 1,
    };
    let foreign: Vec<ThreadId> = (1..)
        .map(|number| ThreadId::from_parts(1, number))
        .take(MAX_THREADS - KNOWN)
        .collect();
    let mut threads: Vec<Held> = foreign.iter().copied().map(held).collect();
    threads.extend(known.iter().map(|thread| Held {
        first_seq: 2,
        last_seq: 1,
        ..held(*thread)
    }));
    let hello = |threads: &[Held]| {
        let (version, threads) = (VERSION, threads.to_vec());
        let text = serde_json::to_string(&Up::Hello { version, threads }).unwrap();
        assert!(text.len() < MAX_MESSAGE / 4, "{}", text.len());
        Message::Text(text.into())
    };

    // It is all that this connection says: a gap or a flood would close it.
    let credential = stage.host.created.credential.clone();
    stage.agents.socket = agent_host::dial(&stage.world, &credential).await;
    stage.agents.socket.send(hello(&threads)).await.unwrap();
    let Down::Welcome {
        threads: go_on,
        forget,
        ..
    } = stage.agents.hear().await
    else {
        panic!("no welcome");
    };
    let go_on: Vec<_> = go_on
        .iter()
        .map(|known| (known.thread, known.acknowledged))
        .collect();
    let expected: Vec<_> = known.iter().map(|thread| (*thread, 1)).collect();
    assert_eq!(go_on, expected);
    assert_eq!(forget, foreign);
    // They go on.
    stage
        .agents
        .tell(known[0], vec![message("still here")])
        .await;
    stage.agents.all_acknowledged(known[0]).await;

    threads.push(held(ThreadId::from_parts(2, 1)));
    let mut socket = agent_host::dial(&stage.world, &credential).await;
    socket.send(hello(&threads)).await.unwrap();
    let (code, reason) = agent_host::closing(&mut socket).await;
    assert_eq!(code, 1009, "{reason}");
}
