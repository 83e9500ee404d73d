//! An MCP client talks to `helix-media mcp`, which asks a `helix-media` with the made-up desktop:
//! both are the real program.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{path::Path, process::Stdio, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rmcp::{
    RoleClient, ServiceExt as _,
    model::{CallToolRequestParams, CallToolResult, ContentBlock},
    service::RunningService,
    transport::TokioChildProcess,
};
use serde_json::{Value, json};
use tokio::{
    net::UnixStream,
    process::{Child, Command},
    time::timeout,
};

const MEDIA: &str = env!("CARGO_BIN_EXE_helix-media");
const SOON: Duration = Duration::from_secs(60);

type Client = RunningService<RoleClient, ()>;

fn media(socket: &Path, more: &[&str]) -> Child {
    Command::new(MEDIA)
        .args(more)
        .args(["--desktop", "pattern", "--size", "640x360", "--socket"])
        .arg(socket)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn answers(socket: &Path) {
    let up = async {
        while UnixStream::connect(socket).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, up).await.unwrap();
}

async fn client(socket: &Path) -> Client {
    let mut command = Command::new(MEDIA);
    command.arg("mcp").arg("--socket").arg(socket);
    let begun = ().serve(TokioChildProcess::new(command).unwrap());
    timeout(SOON, begun).await.unwrap().unwrap()
}

async fn call(client: &Client, tool: &'static str, arguments: Value) -> CallToolResult {
    let Value::Object(arguments) = arguments else {
        panic!("arguments are an object");
    };
    let asked = CallToolRequestParams::new(tool).with_arguments(arguments);
    let answer = timeout(SOON, client.call_tool(asked)).await.unwrap();
    answer.unwrap()
}

fn text(result: &CallToolResult) -> &str {
    match &result.content[..] {
        [ContentBlock::Text(text)] => &text.text,
        other => panic!("no text: {other:?}"),
    }
}

#[tokio::test]
async fn an_agent_sees_and_drives_the_desktop() {
    let place = tempfile::tempdir().unwrap();
    let socket = place.path().join("socket");
    let _media = media(&socket, &[]);
    answers(&socket).await;
    let client = client(&socket).await;
    let server = client.peer_info().unwrap().server_info.clone();
    assert_eq!(server.unwrap().name, "helix-desktop");
    let tools = client.list_all_tools().await.unwrap();
    let mut names: Vec<_> = tools.iter().map(|tool| tool.name.as_ref()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "click",
            "close_window",
            "drag",
            "focus_window",
            "key",
            "move",
            "read_clipboard",
            "screenshot",
            "scroll",
            "type",
            "windows",
            "write_clipboard",
        ]
    );
    assert!(tools.iter().all(|tool| tool.description.is_some()));

    // It starts with the first call, and paints no pointer.
    let picture = async {
        loop {
            let shot = call(&client, "screenshot", json!({ "pointer": false })).await;
            if let [ContentBlock::Image(image)] = &shot.content[..] {
                return (
                    image.mime_type.clone(),
                    STANDARD.decode(&image.data).unwrap(),
                );
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let (mime, picture) = timeout(SOON, picture).await.unwrap();
    // The made-up picture is a noisy one: a JPEG, since a PNG would have more than people are shown.
    assert_eq!(mime, "image/jpeg");
    assert!(picture.starts_with(b"\xff\xd8\xff"));
    assert!(picture.len() < 112 << 10, "{}", picture.len());

    for (tool, arguments) in [
        (
            "click",
            json!({ "x": 639, "y": 359, "button": "right", "count": 2, "modifiers": ["shift"] }),
        ),
        ("move", json!({ "x": 1, "y": 2 })),
        (
            "drag",
            json!({ "path": [{ "x": 1, "y": 2 }, { "x": 30, "y": 40 }], "duration_ms": 20 }),
        ),
        ("scroll", json!({ "at": { "x": 1, "y": 1 }, "dy": -3 })),
        ("type", json!({ "text": "Grüße" })),
        ("key", json!({ "keys": "ctrl+shift+t" })),
        ("write_clipboard", json!({ "text": "copied Ü" })),
    ] {
        let done = call(&client, tool, arguments).await;
        assert_eq!(
            (done.is_error, text(&done)),
            (Some(false), "done"),
            "{tool}"
        );
    }
    let copied = call(&client, "read_clipboard", json!({})).await;
    assert_eq!(text(&copied), "copied Ü");

    // What cannot be is said to the agent, and the conversation goes on.
    for (tool, arguments, why) in [
        (
            "click",
            json!({ "x": 640, "y": 0 }),
            "action 0: 640,0 is outside the desktop of 640x360",
        ),
        (
            "windows",
            json!({}),
            "this kind of desktop does not tell of its windows",
        ),
        (
            "focus_window",
            json!({ "id": 1 }),
            "this kind of desktop does not tell of its windows",
        ),
    ] {
        let failed = call(&client, tool, arguments).await;
        assert_eq!(
            (failed.is_error, text(&failed)),
            (Some(true), why),
            "{tool}"
        );
    }
    client.cancel().await.unwrap();
}

#[tokio::test]
async fn a_clipboard_that_is_switched_off_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let socket = place.path().join("socket");
    let _media = media(&socket, &["--no-clipboard"]);
    answers(&socket).await;
    let client = client(&socket).await;
    for (tool, arguments) in [
        ("read_clipboard", json!({})),
        ("write_clipboard", json!({ "text": "x" })),
    ] {
        let failed = call(&client, tool, arguments).await;
        assert_eq!(
            (failed.is_error, text(&failed)),
            (Some(true), "the clipboard of this desktop is switched off"),
            "{tool}"
        );
    }
    client.cancel().await.unwrap();
}

#[tokio::test]
async fn without_a_desktop_each_tool_says_so() {
    let place = tempfile::tempdir().unwrap();
    let client = client(&place.path().join("none")).await;
    let failed = call(&client, "screenshot", json!({})).await;
    assert_eq!(failed.is_error, Some(true));
    assert!(
        text(&failed).starts_with("there is no desktop at "),
        "{failed:?}"
    );
    client.cancel().await.unwrap();
}
