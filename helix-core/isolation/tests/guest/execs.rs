//! Programs.

use bytes::Bytes;
use helix_proto::{
    ErrorCode,
    sandbox::guest::{Exec, ExecEvent, ExecEventKind, ExecExit, ExecList, ExecResult, Output},
};
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::support::{Running, eventually, is_root, me, runs};

fn sh(script: &str) -> Value {
    json!({"command": ["sh", "-c", script], "user": me()})
}

fn with(mut request: Value, more: Value) -> Value {
    if let Value::Object(more) = more {
        for (name, value) in more {
            request[name] = value;
        }
    }
    request
}

fn text(output: &Output) -> &str {
    match output {
        Output::Text(text) => text,
        Output::Base64(text) => panic!("not text: {text}"),
    }
}

fn events(body: &Bytes) -> Vec<ExecEvent> {
    body.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

async fn result(guest: &Running, request: Value) -> ExecResult {
    guest.post("/exec", request).await
}

async fn exited(guest: &Running, exec: &Exec) -> ExecExit {
    let path = format!("/exec/{}", exec.id);
    eventually("the program ends", async || {
        guest.get::<Exec>(&path).await.exit.is_some()
    })
    .await;
    guest.get::<Exec>(&path).await.exit.unwrap()
}

#[tokio::test]
async fn a_program_answers_with_its_output_and_its_exit_code() {
    let guest = Running::start();
    let done = result(&guest, sh("echo out; echo err >&2; exit 3")).await;
    assert_eq!((text(&done.stdout), text(&done.stderr)), ("out\n", "err\n"));
    assert_eq!(
        done.exit,
        ExecExit {
            code: Some(3),
            signal: None,
            timed_out: false
        }
    );
    let killed = result(&guest, sh("kill -9 $$")).await;
    assert_eq!(
        killed.exit,
        ExecExit {
            code: None,
            signal: Some(9),
            timed_out: false
        }
    );
}

#[tokio::test]
async fn a_program_has_its_directory_its_variables_and_its_input() {
    let guest = Running::start();
    let more = json!({"cwd": "/usr", "env": {"MINE": "1", "LANG": "xx"}, "stdin": "input"});
    let script = "pwd; echo $FROM_SANDBOX $MINE $LANG $HOSTNAME; cat";
    let done = result(&guest, with(sh(script), more)).await;
    assert_eq!(text(&done.stdout), "/usr\nyes 1 xx box\ninput");
    assert_eq!(
        text(&result(&guest, sh("cat; echo end")).await.stdout),
        "end\n"
    );
}

#[tokio::test]
async fn a_user_without_privileges_has_none_and_cannot_get_any() {
    if !is_root() {
        return;
    }
    let guest = Running::start();
    let script = "id -u; id -g; grep -E '^(Cap|NoNewPrivs|Groups)' /proc/self/status";
    let request = json!({"command": ["sh", "-c", script], "user": "1000", "cwd": "/"});
    let done = result(&guest, request).await;
    let out = text(&done.stdout);
    let none = "0000000000000000";
    assert!(out.starts_with("1000\n1000\n"), "{out}");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(out.contains(&format!("{set}:\t{none}")), "{set}: {out}");
    }
    assert!(
        out.contains("NoNewPrivs:\t1") && out.contains("Groups:\t1000 \n"),
        "{out}"
    );
    let root = result(
        &guest,
        json!({"command": ["id", "-un"], "user": "root", "cwd": "/"}),
    )
    .await;
    assert_eq!(text(&root.stdout), "root\n");
}

#[tokio::test]
async fn what_cannot_start_is_refused_with_the_reason() {
    let guest = Running::start();
    let refused = async |request: Value| {
        let error = guest
            .refused(Method::POST, "/exec", request.to_string())
            .await;
        (error.code, error.field.unwrap_or_default(), error.message)
    };
    let (code, field, message) = refused(json!({"command": ["no-such-thing"], "user": me()})).await;
    assert_eq!((code, field.as_str()), (ErrorCode::Invalid, "command"));
    assert!(
        message.contains("\"no-such-thing\" was not found"),
        "{message}"
    );
    let (_, field, message) = refused(with(sh("true"), json!({"cwd": "/nowhere"}))).await;
    assert_eq!(field, "cwd");
    assert!(
        message.contains("/nowhere") && message.contains("no such file"),
        "{message}"
    );
    let (_, field, message) = refused(with(sh("true"), json!({"user": "who-is-this"}))).await;
    assert_eq!(field, "user");
    assert!(message.contains("\"who-is-this\""), "{message}");
    for (bad, field) in [
        (json!({"command": []}), "command"),
        (json!({"command": [""]}), "command"),
        (json!({"command": ["a\u{0}b"]}), "command"),
        (json!({"command": ["true"], "env": {"A=B": "1"}}), "env"),
        (json!({"command": ["true"], "timeout_ms": 0}), "timeout_ms"),
        (json!({"command": ["/etc"], "user": me()}), "command"),
    ] {
        let (code, at, _) = refused(bad).await;
        assert_eq!((code, at.as_str()), (ErrorCode::Invalid, field));
    }
    let (code, _, _) = refused(json!({"comand": ["true"]})).await;
    assert_eq!(code, ErrorCode::BadRequest);
    let huge = format!("{{\"command\": [\"{}\"]}}", "x".repeat(5 << 20));
    let error = guest.refused(Method::POST, "/exec", huge).await;
    assert_eq!(error.code, ErrorCode::PayloadTooLarge);
}

#[tokio::test]
async fn events_are_numbered_and_can_be_read_again_from_anywhere() {
    let guest = Running::start();
    let (_, body) = guest
        .call(
            Method::POST,
            "/exec",
            with(sh("echo a; echo b >&2"), json!({"stream": true})).to_string(),
        )
        .await;
    let all = events(&body);
    let seqs: Vec<u64> = all.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, (1..=all.len() as u64).collect::<Vec<_>>());
    let ExecEventKind::Started(exec) = &all[0].what else {
        panic!("{all:?}")
    };
    assert!(matches!(all.last().unwrap().what, ExecEventKind::Exit(_)));
    for after in 0..=all.len() {
        let path = format!("/exec/{}/events?after={after}", exec.id);
        let (_, body) = guest.call(Method::GET, &path, "").await;
        assert_eq!(events(&body), all[after..]);
    }
}

#[tokio::test]
async fn input_is_posted_to_a_program_in_the_background_until_it_is_closed() {
    let guest = Running::start();
    let exec: Exec = guest
        .post(
            "/exec",
            with(sh("cat; echo end"), json!({"background": true})),
        )
        .await;
    let stdin = format!("/exec/{}/stdin", exec.id);
    let (status, _) = guest.call(Method::POST, &stdin, "one ").await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    guest
        .call(Method::POST, &format!("{stdin}?close=true"), "two\n")
        .await;
    assert_eq!(exited(&guest, &exec).await.code, Some(0));
    let (_, body) = guest
        .call(Method::GET, &format!("/exec/{}/events", exec.id), "")
        .await;
    let out: String = events(&body)
        .iter()
        .filter_map(|event| match &event.what {
            ExecEventKind::Stdout(output) => Some(text(output).to_owned()),
            _ => None,
        })
        .collect();
    assert_eq!(out, "one two\nend\n");
    let error = guest.refused(Method::POST, &stdin, "three").await;
    assert_eq!(error.code, ErrorCode::Conflict);
}

#[tokio::test]
async fn a_program_that_waits_goes_on_without_its_follower_and_nothing_of_it_is_lost() {
    let guest = Running::start();
    let script = "i=0; while [ $i -lt 3000 ]; do printf '%4000d\\n' $i; i=$((i+1)); done";
    let request = with(sh(script), json!({"background": true, "waits": true}));
    let exec: Exec = guest.post("/exec", request).await;
    let path = format!("/exec/{}/events", exec.id);
    let (mut seen, mut after) = (String::new(), 0);
    // Each follower reads a little, and leaves: the last one reads to the end.
    for most in [1, 200 << 10, 1 << 20, usize::MAX] {
        let answer = guest
            .open(Method::GET, &format!("{path}?after={after}"), "")
            .await;
        let mut body = answer.into_body();
        let (mut rest, mut taken) = (Vec::new(), 0);
        while taken < most {
            let Some(frame) = body.frame().await else {
                break;
            };
            rest.extend_from_slice(&frame.unwrap().into_data().unwrap());
            while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                let event: ExecEvent = serde_json::from_slice(&line).unwrap();
                assert_eq!(event.seq, after + 1, "nothing is left out");
                after = event.seq;
                if let ExecEventKind::Stdout(output) = &event.what {
                    seen.push_str(text(output));
                    taken += text(output).len();
                }
            }
        }
    }
    let numbers: Vec<u32> = seen
        .lines()
        .map(|line| line.trim().parse().unwrap())
        .collect();
    assert_eq!(numbers, (0..3000).collect::<Vec<_>>());
    let refused = guest
        .refused(
            Method::POST,
            "/exec",
            with(sh("true"), json!({"waits": true})).to_string(),
        )
        .await;
    assert_eq!(refused.code, ErrorCode::Invalid);
}

#[tokio::test]
async fn signals_reach_a_program_by_name_and_by_number() {
    let guest = Running::start();
    for (signal, number) in [("INT", 2), ("sigterm", 15), ("9", 9)] {
        let request = json!({"command": ["sleep", "600"], "user": me(), "background": true});
        let exec: Exec = guest.post("/exec", request).await;
        let path = format!("/exec/{}/signal", exec.id);
        let (status, _) = guest
            .call(Method::POST, &path, json!({"signal": signal}).to_string())
            .await;
        assert_eq!(status, StatusCode::NO_CONTENT);
        assert_eq!(exited(&guest, &exec).await.signal, Some(number));
        let late = guest
            .refused(Method::POST, &path, json!({"signal": "INT"}).to_string())
            .await;
        assert_eq!(late.code, ErrorCode::Conflict);
        let bad = guest
            .refused(Method::POST, &path, json!({"signal": "NOPE"}).to_string())
            .await;
        assert_eq!(bad.code, ErrorCode::Invalid);
    }
}

#[tokio::test]
async fn a_timeout_kills_a_program_with_all_its_descendants() {
    let guest = Running::start();
    let script = "sleep 600 & echo $!; setsid sleep 600 & echo $!; \
                  (setsid sh -c 'sleep 600 & echo $!; exit' &) ; sleep 600";
    let done = result(&guest, with(sh(script), json!({"timeout_ms": 500}))).await;
    assert!(done.exit.timed_out);
    assert_eq!(done.exit.signal, Some(9));
    let pids: Vec<i32> = text(&done.stdout)
        .lines()
        .map(|line| line.parse().unwrap())
        .collect();
    assert_eq!(pids.len(), 3, "{done:?}");
    for pid in pids {
        assert!(!runs(pid), "{pid} runs on");
    }
}

#[tokio::test]
async fn a_caller_that_leaves_ends_its_program_and_nobody_elses() {
    let guest = Running::start();
    let stays: Exec = guest
        .post("/exec", with(sh("sleep 600"), json!({"background": true})))
        .await;
    for stream in [true, false] {
        let file = guest.dir.path().join(format!("pid-{stream}"));
        let script = format!(
            "echo $$ > {f}.new; mv {f}.new {f}; sleep 600",
            f = file.display()
        );
        let request = with(sh(&script), json!({"stream": stream})).to_string();
        let mut pid = 0;
        tokio::select! {
            _ = guest.call(Method::POST, "/exec", request) => panic!("it cannot end"),
            () = eventually("it starts", async || {
                let text = std::fs::read_to_string(&file).unwrap_or_default();
                pid = text.trim().parse().unwrap_or(0);
                pid != 0
            }) => {}
        }
        // Its connection lives in a task of the test: the answer was dropped with `call`.
        eventually("it ends", async || !runs(pid)).await;
    }
    assert!(runs(stays.pid));
    for _ in 0..2 {
        let path = format!("/exec/{}", stays.id);
        let (status, _) = guest.call(Method::DELETE, &path, "").await;
        assert_eq!(status, StatusCode::NO_CONTENT);
    }
    assert_eq!(exited(&guest, &stays).await.signal, Some(9));
}

#[tokio::test]
async fn a_flood_without_a_reader_is_bounded_and_does_not_block_the_program() {
    let guest = Running::start();
    let script = "head -c 20000000 /dev/zero | tr '\\0' a; echo end >&2";
    let done = result(&guest, sh(script)).await;
    assert_eq!(text(&done.stderr), "end\n");
    let kept = text(&done.stdout).len() as u64;
    assert!(kept <= 4 << 20 && kept > 3 << 20, "{kept}");
    assert_eq!(kept + done.dropped_bytes, 20_000_000);
    let exec: Exec = guest
        .post("/exec", with(sh(script), json!({"background": true})))
        .await;
    assert_eq!(exited(&guest, &exec).await.code, Some(0));
    let (_, body) = guest
        .call(Method::GET, &format!("/exec/{}/events", exec.id), "")
        .await;
    let all = events(&body);
    assert!(matches!(all[1].what, ExecEventKind::Dropped(bytes) if bytes > 15_000_000));
}

#[tokio::test]
async fn a_caller_that_follows_gets_everything_however_slowly_it_reads() {
    let guest = Running::start();
    let script = "head -c 20000000 /dev/zero | tr '\\0' a";
    let request = with(sh(script), json!({"stream": true})).to_string();
    let mut body = guest.open(Method::POST, "/exec", request).await.into_body();
    let mut bytes = Vec::new();
    let mut frames = 0;
    while let Some(frame) = body.frame().await {
        frames += 1;
        if frames < 20 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        bytes.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
    let read: usize = events(&bytes.into())
        .iter()
        .map(|event| match &event.what {
            ExecEventKind::Stdout(output) => text(output).len(),
            ExecEventKind::Dropped(_) => panic!("lost output"),
            _ => 0,
        })
        .sum();
    assert_eq!(read, 20_000_000);
}

#[tokio::test]
async fn what_a_program_leaves_in_the_background_does_not_hold_its_answer() {
    let guest = Running::start();
    let done = result(&guest, sh("sleep 5 & echo $!")).await;
    assert!(done.duration_ms < 4000, "{done:?}");
    let pid: i32 = text(&done.stdout).trim().parse().unwrap();
    assert!(runs(pid), "it was left to run");
    guest
        .call(Method::DELETE, &format!("/exec/{}", done.id), "")
        .await;
    assert!(!runs(pid), "it is killed with what started it");
}

#[tokio::test]
async fn binary_output_survives_and_characters_are_not_cut() {
    let guest = Running::start();
    let done = result(&guest, sh("printf '\\377\\000a'")).await;
    assert_eq!(done.stdout, Output::Base64("/wBh".to_owned()));
    let script = "for i in 1 2 3 4 5; do printf '\\303'; sleep 0.02; printf '\\244'; done";
    let request = with(sh(script), json!({"stream": true})).to_string();
    let (_, body) = guest.call(Method::POST, "/exec", request).await;
    let out: String = events(&body)
        .iter()
        .filter_map(|event| match &event.what {
            ExecEventKind::Stdout(output) => Some(text(output).to_owned()),
            _ => None,
        })
        .collect();
    assert_eq!(out, "äääää");
}

#[tokio::test]
async fn fifty_programs_run_at_once_and_each_gets_its_own_output() {
    let guest = Running::start();
    let all = (0..50).map(|n| {
        let guest = &guest;
        async move {
            let done = result(guest, sh(&format!("sleep 0.05; echo {n}"))).await;
            assert_eq!(text(&done.stdout), format!("{n}\n"));
        }
    });
    futures_util::future::join_all(all).await;
    let list: ExecList = guest.get("/exec").await;
    assert_eq!(list.execs.len(), 50);
    assert!(list.execs.iter().all(|exec| exec.exit.is_some()));
}

#[tokio::test]
async fn a_program_that_is_not_known_is_not_found() {
    let guest = Running::start();
    for path in [
        "/exec/exe_01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "/exec/x",
        "/nothing",
    ] {
        assert_eq!(
            guest.refused(Method::GET, path, "").await.code,
            ErrorCode::NotFound
        );
    }
    let error = guest.refused(Method::PATCH, "/exec", "").await;
    assert_eq!(error.code, ErrorCode::BadRequest);
}
