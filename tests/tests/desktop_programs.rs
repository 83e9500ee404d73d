//! The desktop of a sandbox as programs use it, through the whole path: REST, control plane,
//! tunnel, host, sandbox, a real Sway.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use helix_proto::sandbox::{
    Sandbox,
    desktop::{
        DesktopInputDone, DesktopWindow, DesktopWindows, Recording, RecordingFormat, RecordingState,
    },
};
use helix_tests::{
    DatabaseKind, SandboxHost, World, eventually, eventually::SOON, sandbox_host::may_host,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

struct Desk<'a> {
    world: &'a World,
    host: &'a SandboxHost,
    sandbox: Sandbox,
}

impl Desk<'_> {
    async fn ask(&self, method: Method, path: &str, body: &Value) -> (StatusCode, Vec<u8>) {
        let path = format!("/desktop{path}");
        let body = body.to_string();
        self.host.call(method, &self.sandbox, &path, body).await
    }

    async fn act(&self, actions: Value) -> DesktopInputDone {
        let asked = json!({ "actions": actions });
        let (status, body) = self.ask(Method::POST, "/input", &asked).await;
        assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }

    async fn windows(&self) -> Vec<DesktopWindow> {
        let (status, body) = self.ask(Method::GET, "/windows", &Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&body));
        serde_json::from_slice::<DesktopWindows>(&body)
            .unwrap()
            .windows
    }

    /// Windows of a terminal, when there are that many.
    async fn terminals(&self, count: usize) -> Vec<DesktopWindow> {
        eventually("the terminals", SOON, async || {
            let windows = self.windows().await;
            if windows.len() == count {
                Ok(windows)
            } else {
                Err(windows)
            }
        })
        .await
    }

    /// A file, once it has that.
    async fn until_file(&self, path: &str, expected: &str) {
        let path = format!("/files/content?path={path}");
        eventually("the file", SOON, async || {
            let (status, body) = self.host.call(Method::GET, &self.sandbox, &path, "").await;
            let body = String::from_utf8_lossy(&body).into_owned();
            if status == StatusCode::OK && body == expected {
                Ok(())
            } else {
                Err(body)
            }
        })
        .await;
    }

    /// Content and its type.
    async fn clipboard(&self) -> (String, Vec<u8>) {
        let path = format!("/api/v1/sandboxes/{}/desktop/clipboard", self.sandbox.id);
        let request = self.world.admin.request(Method::GET, &path);
        let answer = request.send().await.unwrap();
        let mime = answer.headers().get("content-type");
        let mime = mime.map(|mime| mime.to_str().unwrap().to_owned());
        (
            mime.unwrap_or_default(),
            answer.bytes().await.unwrap().to_vec(),
        )
    }

    async fn copy(&self, mime: &str, body: &str) {
        let path = format!("/api/v1/sandboxes/{}/desktop/clipboard", self.sandbox.id);
        let request = self.world.admin.request(Method::PUT, &path);
        let request = request.header("content-type", mime).body(body.to_owned());
        let status = request.send().await.unwrap().status();
        assert_eq!(status, StatusCode::NO_CONTENT);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_type_see_windows_copy_and_record_and_an_agent_inside_does_the_same() {
    if !may_host() {
        return;
    }
    let world = World::empty(DatabaseKind::Sqlite).await;
    let host = SandboxHost::join(&world, "10.206.0.0/16").await;
    let desktop = json!({ "kind": "sway", "width": 640, "height": 360 });
    let sandbox = host
        .sandbox(json!({ "name": "desk", "desktop": desktop }))
        .await;
    let desk = Desk {
        world: &world,
        host: &host,
        sandbox,
    };
    eventually("the desktop", SOON, async || {
        match desk.ask(Method::GET, "/windows", &Value::Null).await.0 {
            StatusCode::OK => Ok(()),
            other => Err(other),
        }
    })
    .await;
    // The terminal that each desktop begins with.
    let first = desk.terminals(1).await.remove(0);
    assert_eq!(
        (first.app_id.as_str(), first.workspace.as_str()),
        ("foot", "1")
    );
    assert!(first.focused && first.visible && first.rectangle.width > 300);

    let line = "echo 'Hello-WORLD, Grüße' > /tmp/x";
    let done = desk
        .act(json!([
            { "type": "click", "x": 320, "y": 200 },
            { "type": "type", "text": line },
            { "type": "key", "keys": "Return" },
        ]))
        .await;
    assert_eq!(done.actions, 3);
    desk.until_file("/tmp/x", "Hello-WORLD, Grüße\n").await;

    // A second terminal by a shortcut; keys go to the one that they are given to.
    desk.act(json!([{ "type": "key", "keys": "alt+Return" }]))
        .await;
    let two = desk.terminals(2).await;
    let other = two.iter().find(|window| window.id != first.id).unwrap();
    for (window, name) in [(&first, "first"), (other, "other")] {
        let path = format!("/windows/{}/focus", window.id);
        let (status, _) = desk.ask(Method::POST, &path, &Value::Null).await;
        assert_eq!(status, StatusCode::NO_CONTENT);
        let line = format!("tty > /tmp/{name}\n");
        desk.act(json!([{ "type": "type", "text": line }])).await;
    }
    let ttys = eventually("both", SOON, async || {
        let ttys = host
            .shell(&desk.sandbox, "cat /tmp/first /tmp/other || true")
            .await;
        let lines = ttys.lines().count();
        if lines == 2 { Ok(ttys) } else { Err(ttys) }
    });
    let ttys = ttys.await;
    let ttys: Vec<_> = ttys.lines().collect();
    assert_ne!(ttys[0], ttys[1]);
    let path = format!("/windows/{}/close", other.id);
    assert_eq!(
        desk.ask(Method::POST, &path, &Value::Null).await.0,
        StatusCode::NO_CONTENT
    );
    desk.terminals(1).await;
    let missing = desk.ask(Method::POST, &path, &Value::Null).await;
    assert_eq!(missing.0, StatusCode::NOT_FOUND);

    // In by REST and out by paste; out by a program and read by REST.
    desk.copy("text/plain;charset=utf-8", "pasted Ü").await;
    let (mime, text) = desk.clipboard().await;
    assert_eq!(
        (mime.as_str(), text.as_slice()),
        ("text/plain;charset=utf-8", "pasted Ü".as_bytes())
    );
    desk.act(json!([
        { "type": "type", "text": "cat > /tmp/pasted\n" },
        { "type": "key", "keys": "ctrl+shift+v" },
        { "type": "type", "text": "\n" },
        { "type": "key", "keys": "ctrl+d" },
    ]))
    .await;
    desk.until_file("/tmp/pasted", "pasted Ü\n").await;

    recorded(&desk).await;
    agent(&desk).await;
    host.delete(&desk.sandbox).await;
    host.end().await;
}

/// Two seconds of a terminal that scrolls. From its first picture to its last they are less.
async fn recorded(desk: &Desk<'_>) {
    let asked = json!({ "format": "mp4", "path": "films/desk.mp4", "fps": 20 });
    let (status, body) = desk.ask(Method::POST, "/recording", &asked).await;
    assert_eq!(
        status,
        StatusCode::CREATED,
        "{}",
        String::from_utf8_lossy(&body)
    );
    desk.act(json!([
        { "type": "type", "text": "seq 100000\n" },
        { "type": "wait", "ms": 2_000 },
    ]))
    .await;
    let (status, body) = desk.ask(Method::DELETE, "/recording", &Value::Null).await;
    assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&body));
    let recording: Recording = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (recording.state, recording.format, recording.path.as_str()),
        (
            RecordingState::Finished,
            RecordingFormat::Mp4,
            "/home/user/films/desk.mp4"
        ),
        "{recording:?}"
    );
    assert!(
        (1_000..20_000).contains(&recording.duration_ms),
        "{recording:?}"
    );
    let path = "/files/content?path=/home/user/films/desk.mp4";
    let (status, film) = desk.host.call(Method::GET, &desk.sandbox, path, "").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(film.len() as u64, recording.bytes);
    assert_eq!(&film[4..8], b"ftyp");
    let outside = json!({ "path": "../../tmp/x.mp4" });
    let (status, _) = desk.ask(Method::POST, "/recording", &outside).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
}

/// An agent in the sandbox, that starts the MCP server as `docs/desktops.md` says.
async fn agent(desk: &Desk<'_>) {
    let call = |id: u32, tool: &str, arguments: &Value| {
        json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call",
            "params": { "name": tool, "arguments": arguments } })
    };
    let hello = json!({ "protocolVersion": "2025-06-18", "capabilities": {},
        "clientInfo": { "name": "a test", "version": "1" } });
    let said = [
        json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello }),
        json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
        call(2, "windows", &json!({})),
        call(3, "screenshot", &json!({})),
    ];
    let lines: Vec<_> = said.iter().map(Value::to_string).collect();
    let script = format!(
        "(cat <<'END'\n{}\nEND\nsleep 5) | /run/helix/media mcp",
        lines.join("\n")
    );
    let answers = desk.host.shell(&desk.sandbox, &script).await;
    let answers: Vec<Value> = answers
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let answer = |id: u32| {
        let found = answers.iter().find(|answer| answer["id"] == id);
        &found.unwrap_or_else(|| panic!("no answer {id}: {answers:?}"))["result"]
    };
    assert_eq!(answer(1)["serverInfo"]["name"], "helix-desktop");
    let windows = answer(2)["content"][0]["text"].as_str().unwrap();
    assert!(windows.contains("\"foot\""), "{windows}");
    assert_eq!(answer(3)["content"][0]["mimeType"], "image/png");

    // Nobody else in the sandbox reaches it: an ordinary user that is not the sandbox's own.
    let stranger = "setpriv --reuid 12345 --clear-groups ls /run/user/helix-desktop 2>&1; true";
    let body = json!({ "command": ["sh", "-c", stranger], "user": "root" }).to_string();
    let (_, body) = desk
        .host
        .call(Method::POST, &desk.sandbox, "/exec", body)
        .await;
    let said = String::from_utf8_lossy(&body);
    assert!(said.contains("ermission denied"), "{said}");
}
