//! Desktops through the whole path: what they sound like, and what is left when what serves
//! them is killed.

use std::{path::Path, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use helix_base::{Outbound, OutboundOptions};
use helix_proto::{
    desktop::{Codec, Down, Greeting, Size, Up},
    sandbox::Sandbox,
};
use helix_tests::{
    DatabaseKind, SandboxHost, World, eventually, eventually::SOON, sandbox_host::may_host,
};
use reqwest::{Method, StatusCode};
use serde_json::json;

/// A viewer says something this often.
const PING_EVERY: Duration = Duration::from_secs(2);
/// Until what comes has come.
const WITHIN: Duration = Duration::from_secs(60);

async fn until_drawn(host: &SandboxHost, sandbox: &Sandbox) {
    let picture = eventually("the desktop", SOON, async || {
        match host
            .call(Method::GET, sandbox, "/desktop/screenshot", "")
            .await
        {
            (StatusCode::OK, picture) => Ok(picture),
            other => Err(other),
        }
    });
    assert!(picture.await.starts_with(b"\x89PNG"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_x11_is_heard_and_nothing_is_left_when_what_serves_it_is_killed() {
    let programs = ["Xvfb", "openbox", "xterm", "pulseaudio"];
    let missing = programs
        .iter()
        .find(|program| !Path::new("/usr/bin").join(program).exists());
    if let Some(missing) = missing {
        println!("skipped: there is no {missing}");
        return;
    }
    if !may_host() {
        return;
    }
    let world = World::empty(DatabaseKind::Sqlite).await;
    let host = SandboxHost::join(&world, "10.213.0.0/16").await;
    let desktop = json!({ "kind": "x11", "width": 640, "height": 360 });
    let sandbox = host
        .sandbox(json!({ "name": "desk", "desktop": desktop }))
        .await;
    until_drawn(&host, &sandbox).await;
    let running = async |program: &str| {
        let line = format!("pgrep -x {program} || true");
        host.shell(&sandbox, &line).await.trim().to_owned()
    };
    let server = running("Xvfb").await;
    assert!(server.parse::<u32>().is_ok(), "{server}");
    assert_eq!(running("pulseaudio").await, "", "nobody wants sound");

    let url = format!(
        "{}/api/v1/sandboxes/{}/desktop",
        world.server.url().replace("http", "ws"),
        sandbox.id
    );
    let mut headers = reqwest::header::HeaderMap::new();
    let bearer = format!("Bearer {}", world.admin.key());
    headers.insert("authorization", bearer.parse().unwrap());
    let outbound = Outbound::new(&OutboundOptions::default()).unwrap();
    let mut socket = outbound
        .websocket(&url.parse().unwrap(), headers)
        .await
        .unwrap();
    let hello = Up::Hello(Greeting {
        looks_on: false,
        patches: false,
        size: Size::new(640, 360).unwrap(),
        codecs: vec![Codec::H264],
        name: "a test".to_owned(),
    });
    for message in [hello, Up::Audio(true)] {
        socket.send(message.encode().unwrap().into()).await.unwrap();
    }
    let noise =
        "head -c 576000 /dev/urandom | pacat --raw --rate=48000 --channels=2 --format=s16le";
    let hear = async {
        let (mut pieces, mut cursor) = (0, false);
        let mut ping = tokio::time::interval(PING_EVERY);
        while pieces < 50 || !cursor {
            let message: bytes::Bytes = tokio::select! {
                message = socket.next() => message.unwrap().unwrap().into(),
                _ = ping.tick() => {
                    let ping = Up::Ping { token: 1 }.encode().unwrap();
                    socket.send(ping.into()).await.unwrap();
                    continue;
                }
            };
            match Down::decode(message) {
                // Silence takes a few bytes, noise some hundred.
                Ok(Down::Audio(audio)) if audio.opus.len() > 100 => pieces += 1,
                Ok(Down::Cursor(_)) => cursor = true,
                _ => {}
            }
        }
    };
    let heard = tokio::time::timeout(WITHIN, hear);
    let (heard, _) = tokio::join!(heard, host.shell(&sandbox, noise));
    heard.expect("a second of noise, and the pointer's look");
    let player = running("pulseaudio").await;
    assert!(player.parse::<u32>().is_ok(), "{player}");

    host.shell(&sandbox, "pkill -KILL -f '^/run/helix/media'")
        .await;
    drop(socket);
    eventually("another server", SOON, async || {
        let now = running("Xvfb").await;
        let other = now.parse::<u32>().is_ok() && now != server;
        if other { Ok(()) } else { Err(now) }
    })
    .await;
    until_drawn(&host, &sandbox).await;
    assert_ne!(running("pulseaudio").await, player, "it goes on");
    host.delete(&sandbox).await;
    host.end().await;
}
