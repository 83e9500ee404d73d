//! Terminals.

use futures_util::{SinkExt as _, StreamExt as _};
use helix_proto::{
    ErrorCode,
    sandbox::guest::{Terminal, TerminalCommand, TerminalEvent, TerminalList},
};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::UnixStream;
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

use crate::support::{Running, WITHIN, eventually, is_root, me, runs};

/// One who looks at a terminal.
struct Viewer {
    socket: WebSocketStream<UnixStream>,
    /// The number of the byte that comes next.
    at: u64,
    /// The first byte that nobody had seen.
    fresh: u64,
    seen: Vec<u8>,
    exit: Option<TerminalEvent>,
    sizes: Vec<(u16, u16)>,
}

impl Viewer {
    async fn attach(guest: &Running, terminal: &Terminal, after: Option<u64>) -> Self {
        let query = after
            .map(|after| format!("?after={after}"))
            .unwrap_or_default();
        let url = format!("ws://guest/terminals/{}/attach{query}", terminal.id);
        let (socket, _) = client_async(url, guest.connect().await).await.unwrap();
        let mut viewer = Self {
            socket,
            at: 0,
            fresh: 0,
            seen: Vec::new(),
            exit: None,
            sizes: Vec::new(),
        };
        let Some(Ok(Message::Text(first))) = viewer.socket.next().await else {
            panic!("no text")
        };
        let Ok(TerminalEvent::Attached { offset, seen }) = serde_json::from_str(&first) else {
            panic!("{first}")
        };
        (viewer.at, viewer.fresh) = (offset, seen);
        viewer
    }

    /// Takes one message; false at the end.
    async fn next(&mut self) -> bool {
        match tokio::time::timeout(WITHIN, self.socket.next())
            .await
            .expect("a message in time")
        {
            Some(Ok(Message::Binary(bytes))) => {
                self.at += bytes.len() as u64;
                self.seen.extend_from_slice(&bytes);
            }
            Some(Ok(Message::Text(text))) => match serde_json::from_str(&text).unwrap() {
                TerminalEvent::Resized { cols, rows } => self.sizes.push((cols, rows)),
                event => self.exit = Some(event),
            },
            Some(Ok(Message::Close(_)) | Err(_)) | None => return false,
            Some(Ok(_)) => {}
        }
        true
    }

    async fn until(&mut self, text: &str) {
        while !self.text().contains(text) {
            assert!(
                self.next().await,
                "it ended without {text:?}: {:?}",
                self.text()
            );
        }
    }

    async fn finish(&mut self) {
        while self.next().await {}
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }

    async fn types(&mut self, text: &str) {
        self.socket
            .send(Message::binary(text.as_bytes().to_vec()))
            .await
            .unwrap();
    }

    async fn resize(&mut self, cols: u16, rows: u16) {
        let command = serde_json::to_string(&TerminalCommand::Resize { cols, rows }).unwrap();
        self.socket.send(Message::text(command)).await.unwrap();
    }
}

async fn open(guest: &Running, script: &str) -> Terminal {
    let request = json!({"command": ["sh", "-c", script], "user": me()});
    guest.post("/terminals", request).await
}

#[tokio::test]
async fn a_terminal_is_one_with_a_size_and_job_control() {
    let guest = Running::start();
    let request =
        json!({"command": ["bash", "--norc", "-i"], "user": me(), "cols": 100, "rows": 30});
    let terminal: Terminal = guest.post("/terminals", request).await;
    assert_eq!((terminal.cols, terminal.rows), (100, 30));
    let mut viewer = Viewer::attach(&guest, &terminal, None).await;
    viewer
        .types("tty; stty size; echo $TERM-$FROM_SANDBOX\n")
        .await;
    viewer.until("30 100").await;
    viewer.until("xterm-256color-yes").await;
    assert!(viewer.text().contains("/dev/pts/"), "{}", viewer.text());
    assert!(
        !viewer.text().contains("no job control"),
        "{}",
        viewer.text()
    );
    viewer.resize(120, 40).await;
    // The program itself says that it is in the foreground: an echo of what was typed does not.
    viewer
        .types("sh -c \"echo star''ted; exec sleep 600\"\n")
        .await;
    viewer.until("started").await;
    viewer.types("\u{3}").await;
    viewer.until("^C").await;
    viewer.types("stty size; echo do''ne\n").await;
    viewer.until("done").await;
    assert!(viewer.text().contains("40 120"), "{}", viewer.text());
    assert_eq!(viewer.sizes, [(120, 40)]);
    viewer.types("exit 5\n").await;
    viewer.finish().await;
    assert!(matches!(viewer.exit, Some(TerminalEvent::Exit(exit)) if exit.code == Some(5)));
}

#[tokio::test]
async fn a_terminal_belongs_to_its_user() {
    if !is_root() {
        return;
    }
    let guest = Running::start();
    let script = "id -u; stat -c 'owner %u' $(tty); echo ok > /dev/tty; ls -l /proc/self/fd/0";
    let request = json!({"command": ["sh", "-c", script], "user": "1000", "cwd": "/"});
    let terminal: Terminal = guest.post("/terminals", request).await;
    let mut viewer = Viewer::attach(&guest, &terminal, None).await;
    viewer.finish().await;
    let text = viewer.text();
    assert!(text.starts_with("1000\r\nowner 1000\r\nok\r\n"), "{text}");
}

#[tokio::test]
async fn a_viewer_that_comes_back_misses_nothing_and_sees_nothing_twice() {
    let guest = Running::start();
    let script = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo line $i; done; echo THE END; cat";
    let terminal = open(&guest, script).await;
    let mut all = Vec::new();
    let mut after = 0;
    while !String::from_utf8_lossy(&all).contains("THE END") {
        let mut viewer = Viewer::attach(&guest, &terminal, Some(after)).await;
        assert_eq!(viewer.at, after);
        while viewer.seen.is_empty() {
            assert!(viewer.next().await);
        }
        all.append(&mut viewer.seen);
        after = viewer.at;
    }
    let expected: String = (1..=3000).map(|n| format!("line {n}\r\n")).collect();
    assert_eq!(String::from_utf8(all).unwrap(), expected + "THE END\r\n");
    let list: TerminalList = guest.get("/terminals").await;
    assert_eq!(list.terminals.len(), 1);
    assert!(list.terminals[0].exit.is_none());
}

#[tokio::test]
async fn whoever_comes_later_is_told_what_somebody_saw_before() {
    let guest = Running::start();
    let terminal = open(&guest, "echo ready; cat").await;
    let mut first = Viewer::attach(&guest, &terminal, None).await;
    assert_eq!(first.fresh, 0);
    first.until("ready\r\n").await;
    // It is noted right after it was sent.
    eventually("all of it was seen", async || {
        let next = Viewer::attach(&guest, &terminal, None).await;
        (next.at, next.fresh) == (0, first.at)
    })
    .await;
}

#[tokio::test]
async fn several_viewers_see_the_same_and_are_counted() {
    let guest = Running::start();
    let terminal = open(&guest, "stty -echo; echo ready; cat").await;
    let mut one = Viewer::attach(&guest, &terminal, None).await;
    one.until("ready").await;
    let mut two = Viewer::attach(&guest, &terminal, None).await;
    two.until("ready").await;
    one.types("hello\n").await;
    one.until("hello").await;
    two.until("hello").await;
    let list: TerminalList = guest.get("/terminals").await;
    assert_eq!(list.terminals[0].attached, 2);
    drop(one);
    eventually("one is gone", async || {
        guest.get::<TerminalList>("/terminals").await.terminals[0].attached == 1
    })
    .await;
    two.types("\u{4}").await;
    two.finish().await;
    assert!(matches!(two.exit, Some(TerminalEvent::Exit(exit)) if exit.code == Some(0)));
}

#[tokio::test]
async fn what_ended_can_still_be_read_until_it_is_deleted() {
    let guest = Running::start();
    let terminal = open(&guest, "echo last words; exit 2").await;
    let list = async || guest.get::<TerminalList>("/terminals").await.terminals;
    eventually("it ends", async || list().await[0].exit.is_some()).await;
    let mut viewer = Viewer::attach(&guest, &terminal, None).await;
    viewer.finish().await;
    assert_eq!(viewer.text(), "last words\r\n");
    assert!(matches!(viewer.exit, Some(TerminalEvent::Exit(exit)) if exit.code == Some(2)));
    for _ in 0..2 {
        let path = format!("/terminals/{}", terminal.id);
        let (status, _) = guest.call(Method::DELETE, &path, "").await;
        assert_eq!(status, StatusCode::NO_CONTENT);
    }
    assert!(list().await.is_empty());
}

#[tokio::test]
async fn hanging_up_ends_the_program_even_if_it_will_not() {
    let guest = Running::start();
    for script in [
        "echo $$; sleep 600",
        "trap '' HUP; echo $$; while :; do sleep 1; done",
    ] {
        let terminal = open(&guest, script).await;
        let mut viewer = Viewer::attach(&guest, &terminal, None).await;
        viewer.until("\r\n").await;
        let pid: i32 = viewer.text().trim().parse().unwrap();
        guest
            .call(Method::DELETE, &format!("/terminals/{}", terminal.id), "")
            .await;
        viewer.finish().await;
        assert!(viewer.exit.is_some());
        eventually("it ends", async || !runs(pid)).await;
    }
}

#[tokio::test]
async fn a_flood_is_read_in_full_by_one_that_reads_and_does_not_wait_for_one_that_does_not() {
    let guest = Running::start();
    let terminal = open(
        &guest,
        "read go; head -c 8000000 /dev/zero | tr '\\0' a; echo END",
    )
    .await;
    let sleeper = Viewer::attach(&guest, &terminal, None).await;
    let mut viewer = Viewer::attach(&guest, &terminal, None).await;
    viewer.types("\n").await;
    viewer.finish().await;
    let all = viewer.seen.iter().filter(|byte| **byte == b'a').count();
    assert_eq!(all, 8_000_000);
    drop(sleeper);
    let terminal = open(
        &guest,
        "read go; head -c 8000000 /dev/zero | tr '\\0' a; echo END",
    )
    .await;
    let mut sleeper = Viewer::attach(&guest, &terminal, None).await;
    sleeper.types("\n").await;
    eventually("it ends without a reader", async || {
        guest.get::<TerminalList>("/terminals").await.terminals[1]
            .exit
            .is_some()
    })
    .await;
    let mut late = Viewer::attach(&guest, &terminal, Some(0)).await;
    assert!(late.at > 6_000_000, "the oldest that is kept: {}", late.at);
    late.finish().await;
    assert!(late.text().ends_with("END\r\n"));
    assert!(late.seen.len() <= 1 << 20);
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let guest = Running::start();
    let refused = async |request: Value| {
        guest
            .refused(Method::POST, "/terminals", request.to_string())
            .await
            .field
            .unwrap()
    };
    assert_eq!(refused(json!({"cols": 0})).await, "cols");
    assert_eq!(refused(json!({"rows": 1001})).await, "rows");
    assert_eq!(refused(json!({"user": "who-is-this"})).await, "user");
    assert_eq!(
        refused(json!({"command": ["no-such-thing"], "user": me()})).await,
        "command"
    );
    assert_eq!(
        refused(json!({"cwd": "/nowhere", "user": me()})).await,
        "cwd"
    );
    let path = "/terminals/trm_01ARZ3NDEKTSV4RRFFQ69G5FAV/attach";
    assert_eq!(
        guest.refused(Method::GET, path, "").await.code,
        ErrorCode::NotFound
    );
    let terminal = open(&guest, "cat").await;
    let path = format!("/terminals/{}/attach", terminal.id);
    assert_eq!(
        guest.refused(Method::GET, &path, "").await.code,
        ErrorCode::BadRequest
    );
    let mut viewer = Viewer::attach(&guest, &terminal, None).await;
    viewer.resize(0, 1).await;
    viewer.finish().await;
    assert!(viewer.exit.is_none());
}
