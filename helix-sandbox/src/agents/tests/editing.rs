//! An editor that is not ours, and a conversation for it.

use std::{
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use agent_client_protocol::Lines;
use futures_util::{sink, stream};
use helix_base::TaskGroup;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, tcp::OwnedWriteHalf},
    process::{Child, Command},
    sync::watch,
};

use super::world::World;

const WITHIN: Duration = Duration::from_secs(30);

/// The Python with the client; none where it was not set up.
pub(super) fn python() -> Option<String> {
    std::env::var("HELIX_TEST_PYTHON").ok()
}

/// An editor.
pub(super) struct Editor {
    child: Child,
    orders: OwnedWriteHalf,
    said: Arc<Mutex<Vec<Value>>>,
    changed: watch::Receiver<u64>,
    last: u64,
    pub(super) session: String,
    tasks: TaskGroup,
}

impl Drop for Editor {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

impl Editor {
    /// Starts one in the world's sandbox, and has it begin a session.
    pub(super) async fn begin(world: &World, python: &str) -> Self {
        let mut editor = Self::start(world, python).await;
        let answer = editor.does(json!({"do": "new"})).await.unwrap();
        editor.session = answer["sessionId"].as_str().unwrap().to_owned();
        editor
    }

    pub(super) async fn start(world: &World, python: &str) -> Self {
        let tasks = TaskGroup::new();
        let script = world.folder.path().join("editor.py");
        std::fs::write(&script, include_str!("editor.py")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut child = Command::new(python)
            .arg(script)
            .arg(port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (output, input) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let output = sink::unfold(output, async |mut output, line: String| {
            output.write_all(format!("{line}\n").as_bytes()).await?;
            Ok::<_, std::io::Error>(output)
        });
        let input = stream::try_unfold(BufReader::new(input).lines(), async |mut input| {
            Ok::<_, std::io::Error>(input.next_line().await?.map(|line| (line, input)))
        });
        let streams = Lines::new(output, input);
        let socket = world.folder.path().join("calls");
        tasks.spawn("acp", crate::editor::serve::serve(socket, streams));
        let accepted = tokio::time::timeout(WITHIN, listener.accept()).await;
        let (stream, _) = accepted.expect("the editor starts").unwrap();
        let (read, orders) = stream.into_split();
        let (changes, changed) = watch::channel(0);
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        tasks.spawn("editor", async move {
            let mut lines = BufReader::new(read).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                heard
                    .lock()
                    .unwrap()
                    .push(serde_json::from_str(&line).unwrap());
                changes.send_modify(|count| *count += 1);
            }
        });
        let mut editor = Self {
            child,
            orders,
            said,
            changed,
            last: 0,
            session: String::new(),
            tasks,
        };
        let abilities = editor.does(json!({"do": "initialize"})).await.unwrap();
        assert_eq!(abilities["agentCapabilities"]["loadSession"], true);
        editor
    }

    /// Has it do something, and does not wait for that: its number.
    pub(super) async fn order(&mut self, mut order: Value) -> u64 {
        self.last += 1;
        order["id"] = self.last.into();
        if order.get("session").is_none() {
            order["session"] = self.session.as_str().into();
        }
        let line = format!("{order}\n");
        self.orders.write_all(line.as_bytes()).await.unwrap();
        self.last
    }

    pub(super) async fn does(&mut self, order: Value) -> Result<Value, String> {
        let number = self.order(order).await;
        self.done(number).await
    }

    pub(super) async fn prompt(&mut self, text: &str) -> u64 {
        self.order(json!({"do": "prompt", "text": text})).await
    }

    /// What came of something that it did.
    pub(super) async fn done(&mut self, number: u64) -> Result<Value, String> {
        let find = |said: &Value| said["done"] == number;
        self.saw("it is done", find).await;
        let said = self.said.lock().unwrap();
        let done = said.iter().find(|said| find(said)).unwrap();
        match done.get("error") {
            Some(error) => Err(error.as_str().unwrap().to_owned()),
            None => Ok(done["result"].clone()),
        }
    }

    /// Waits until it said such a thing.
    pub(super) async fn saw(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) {
        let said = Arc::clone(&self.said);
        let waiting = self
            .changed
            .wait_for(|_| said.lock().unwrap().iter().any(&is_it));
        let seen = tokio::time::timeout(WITHIN, waiting).await;
        if !matches!(seen, Ok(Ok(_))) {
            panic!("not within {WITHIN:?}: {what}: {:#?}", said.lock().unwrap());
        }
    }

    /// Everything that it was shown, in order: kind and text, what the agent says joined.
    pub(super) fn shown(&self) -> Vec<(String, String)> {
        let mut shown: Vec<(String, String)> = Vec::new();
        for said in self.said.lock().unwrap().iter() {
            let update = &said["update"];
            let Some(kind) = update["sessionUpdate"].as_str() else {
                continue;
            };
            let text = update["content"]["text"].as_str().unwrap_or_default();
            match shown.last_mut() {
                Some((before, all)) if before == kind && kind == "agent_message_chunk" => {
                    all.push_str(text);
                }
                _ => shown.push((kind.to_owned(), text.to_owned())),
            }
        }
        shown
    }

    /// What the agent said to it.
    pub(super) fn heard(&self) -> String {
        let said = self.shown().into_iter();
        let said = said.filter(|(kind, _)| kind == "agent_message_chunk");
        said.map(|(_, text)| text).collect()
    }

    pub(super) fn count(&self, is_it: impl Fn(&Value) -> bool) -> usize {
        let said = self.said.lock().unwrap();
        said.iter().filter(|said| is_it(said)).count()
    }

    /// It is killed, with no word.
    pub(super) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}
