//! Secrets and git repositories in sandboxes, through the whole path: a git server that
//! wants a password, git's own helper, clone, commit and push.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use helix_proto::{
    sandbox::{
        Sandbox, SandboxState,
        git::{GitBranches, GitChange, GitCloneEvent, GitCommit, GitDiff, GitPush, GitStatus},
    },
    secret::{SandboxSecrets, Secret},
};
use helix_tests::{
    DatabaseKind, SandboxHost, World, eventually, eventually::SOON, sandbox_host::may_host,
};
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The password of the git server, with what has to be escaped somewhere.
const PASSWORD: &str = "s3cr3t/+&%'\"$(touch /tmp/x)";

/// A git server on localhost that wants a password: git's own `http-backend` behind HTTP.
const SERVER: &str = r#"
import base64, http.server, os, subprocess, sys
WANTED = "Basic " + base64.b64encode(("me:" + sys.argv[1]).encode()).decode()
class Server(http.server.BaseHTTPRequestHandler):
    def answer(self):
        if self.headers.get("Authorization") != WANTED:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        env = dict(os.environ, GIT_PROJECT_ROOT="/home/user/srv", GIT_HTTP_EXPORT_ALL="1",
            PATH_INFO=path, QUERY_STRING=query, REQUEST_METHOD=self.command, REMOTE_USER="me",
            REMOTE_ADDR="127.0.0.1", CONTENT_TYPE=self.headers.get("Content-Type", ""),
            CONTENT_LENGTH=self.headers.get("Content-Length", ""),
            HTTP_CONTENT_ENCODING=self.headers.get("Content-Encoding", ""),
            HTTP_GIT_PROTOCOL=self.headers.get("Git-Protocol", ""))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        said = subprocess.run(["git", "http-backend"], input=body, env=env, stdout=subprocess.PIPE).stdout
        head, _, rest = said.partition(b"\r\n\r\n")
        lines = [line.split(": ", 1) for line in head.decode().split("\r\n")]
        status = [value for name, value in lines if name == "Status"]
        self.send_response(int(status[0].split()[0]) if status else 200)
        for name, value in lines:
            if name != "Status":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest)
    do_GET = do_POST = answer
http.server.ThreadingHTTPServer(("127.0.0.1", 8418), Server).serve_forever()
"#;

/// Asks the control plane, and reads the answer.
async fn asked<T: DeserializeOwned>(
    host: &SandboxHost,
    sandbox: &Sandbox,
    method: Method,
    path: &str,
    body: Value,
) -> T {
    let (status, body) = host.call(method, sandbox, path, body.to_string()).await;
    let said = String::from_utf8_lossy(&body).into_owned();
    assert_eq!(status, StatusCode::OK, "{path}: {said}");
    serde_json::from_slice(&body).unwrap_or_else(|why| panic!("{path}: {why}: {said}"))
}

/// Why it said no.
async fn refused(host: &SandboxHost, sandbox: &Sandbox, path: &str, body: Value) -> (u16, String) {
    let (status, body) = host
        .call(Method::POST, sandbox, path, body.to_string())
        .await;
    let said: Value = serde_json::from_slice(&body).unwrap();
    (
        status.as_u16(),
        said["error"]["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    )
}

async fn put_secret(world: &World, name: &str, value: &str, kind: Value) -> Secret {
    let path = format!("/api/v1/secrets/{name}");
    let body = json!({ "value": value, "kind": kind });
    let request = world.admin.request(Method::PUT, &path).json(&body);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    answer.json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_is_cloned_changed_and_pushed_with_a_secret_that_is_nowhere_on_disk() {
    if !may_host() {
        return;
    }
    let world = World::empty(DatabaseKind::Sqlite).await;
    let host = SandboxHost::join(&world, "10.209.0.0/16").await;
    let git = json!({ "type": "git", "host": "http://localhost:8418", "username": "me" });
    put_secret(&world, "local-git", PASSWORD, git).await;
    let variable = json!({ "type": "environment", "variable": "PROVIDER_KEY" });
    let shown = put_secret(&world, "provider", "sk-0123456789abcdefghij", variable).await;
    assert_eq!(shown.hint, "ghij");

    let one = host.sandbox(json!({ "name": "one" })).await;
    host.shell(&one, "git init -q --bare -b main srv/repo.git && git -C srv/repo.git config http.receivepack true && git init -q -b main seed && cd seed && echo one > file && git add . && git -c user.name=a -c user.email=a@b commit -qm first && git push -q ../srv/repo.git main").await;
    let serve = json!({ "command": ["python3", "-c", SERVER, PASSWORD], "background": true });
    let (status, _) = host
        .call(Method::POST, &one, "/exec", serve.to_string())
        .await;
    assert_eq!(status, StatusCode::CREATED);
    eventually("the git server", SOON, async || {
        let ask = "GIT_TERMINAL_PROMPT=0 GIT_ASKPASS=true git ls-remote http://localhost:8418/repo.git 2>&1 || true";
        let said = host.shell(&one, ask).await;
        if ["Authentication failed", "could not read"].iter().any(|it| said.contains(it)) { Ok(()) } else { Err(said) }
    })
    .await;

    // Without the secret, no; and the message says what to do.
    let url = "http://localhost:8418/repo.git";
    let (status, why) = refused(&host, &one, "/git/clone", json!({ "url": url })).await;
    assert_eq!(status, 409, "{why}");
    assert!(why.contains("add it as a secret"), "{why}");
    assert_eq!(host.shell(&one, "echo $PROVIDER_KEY").await, "\n");

    let all = json!({ "names": ["local-git", "provider"] });
    let given: SandboxSecrets = asked(&host, &one, Method::PUT, "/secrets", all).await;
    assert_eq!(given.names, ["local-git", "provider"]);
    assert_eq!(
        host.shell(&one, "echo $PROVIDER_KEY").await,
        "sk-0123456789abcdefghij\n"
    );

    let clone = json!({ "url": url, "branch": "main", "directory": "work", "stream": true });
    let (status, lines) = host
        .call(Method::POST, &one, "/git/clone", clone.to_string())
        .await;
    assert_eq!(status, StatusCode::OK);
    let lines = String::from_utf8(lines).unwrap();
    let events: Vec<GitCloneEvent> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let Some(GitCloneEvent::Done { repository }) = events.last() else {
        panic!("{events:?}");
    };
    assert!(
        matches!(&events[0], GitCloneEvent::Progress { .. }),
        "{events:?}"
    );
    assert_eq!(
        (repository.directory.as_str(), repository.branch.as_deref()),
        ("/home/user/work", Some("main"))
    );

    // What anybody types in the sandbox is served, too.
    host.shell(&one, "git -C work pull -q").await;

    host.shell(
        &one,
        "cd work && echo two >> file && echo new > 'a new file' && printf 'x\\0' > ignored",
    )
    .await;
    let status: GitStatus = asked(
        &host,
        &one,
        Method::GET,
        "/git/status?directory=work",
        json!({}),
    )
    .await;
    let seen: Vec<_> = status
        .files
        .iter()
        .map(|it| (it.path.as_str(), it.unstaged))
        .collect();
    assert_eq!(
        seen,
        [
            ("file", Some(GitChange::Modified)),
            ("a new file", Some(GitChange::Untracked)),
            ("ignored", Some(GitChange::Untracked)),
        ]
    );
    assert_eq!(
        (status.upstream.as_deref(), status.ahead),
        (Some("origin/main"), 0)
    );
    let diff: GitDiff = asked(
        &host,
        &one,
        Method::GET,
        "/git/diff?directory=work&path=file",
        json!({}),
    )
    .await;
    assert!(diff.patch.contains("\n+two\n"), "{}", diff.patch);
    let diff: GitDiff = asked(
        &host,
        &one,
        Method::GET,
        "/git/diff?directory=work&path=a%20new%20file",
        json!({}),
    )
    .await;
    assert!(diff.patch.contains("\n+new\n"), "{}", diff.patch);

    let branch = json!({ "directory": "work", "branch": "feature/x", "create": true });
    let status: GitStatus = asked(&host, &one, Method::POST, "/git/checkout", branch).await;
    assert_eq!(status.branch.as_deref(), Some("feature/x"));
    let some = json!({ "directory": "work", "message": "second\n\n# no comment", "paths": ["file", "a new file"] });
    let commit: GitCommit = asked(&host, &one, Method::POST, "/git/commit", some).await;
    let status: GitStatus = asked(
        &host,
        &one,
        Method::GET,
        "/git/status?directory=work",
        json!({}),
    )
    .await;
    assert_eq!(status.commit.as_ref(), Some(&commit.commit));
    assert_eq!(status.files.len(), 1, "{:?}", status.files);
    let push: GitPush = asked(
        &host,
        &one,
        Method::POST,
        "/git/push",
        json!({ "directory": "work" }),
    )
    .await;
    assert_eq!(
        (push.branch.as_str(), push.up_to_date),
        ("feature/x", false)
    );
    let there = host
        .shell(&one, "git -C srv/repo.git rev-parse feature/x")
        .await;
    assert_eq!(there.trim(), commit.commit);
    let push: GitPush = asked(
        &host,
        &one,
        Method::POST,
        "/git/push",
        json!({ "directory": "work" }),
    )
    .await;
    assert!(push.up_to_date);
    let branches: GitBranches = asked(
        &host,
        &one,
        Method::GET,
        "/git/branches?directory=work",
        json!({}),
    )
    .await;
    let names: Vec<_> = branches
        .branches
        .iter()
        .map(|it| (it.name.as_str(), it.current))
        .collect();
    assert!(
        names.contains(&("feature/x", true)) && names.contains(&("origin/feature/x", false)),
        "{names:?}"
    );
    let who = host
        .shell(&one, "git -C work log -1 --format=%an:%ae")
        .await;
    assert!(who.contains('@'), "{who}");

    // Bad input is refused, each with a reason.
    for (path, body) in [
        ("/git/clone", json!({ "url": "ext::sh -c 'touch /tmp/x'" })),
        ("/git/clone", json!({ "url": "--upload-pack=touch /tmp/x" })),
        ("/git/clone", json!({ "url": url, "branch": "--config=x" })),
        ("/git/clone", json!({ "url": url, "directory": "-x" })),
        (
            "/git/checkout",
            json!({ "directory": "work", "branch": "--orphan" }),
        ),
        (
            "/git/push",
            json!({ "directory": "work", "remote": "--force" }),
        ),
        (
            "/git/commit",
            json!({ "directory": "work", "message": " " }),
        ),
        (
            "/git/commit",
            json!({ "directory": "work", "message": "x", "paths": ["--amend"] }),
        ),
    ] {
        let (status, why) = refused(&host, &one, path, body.clone()).await;
        assert_eq!(status, 422, "{path} {body}: {why}");
    }
    let (status, _) = refused(&host, &one, "/git/push", json!({ "directory": "/tmp" })).await;
    assert_eq!(status, 404);

    // The secrets are in memory only: on none of its files, nor in what is stored of it.
    // (The server's own command line has the password, and is no file.)
    let found = host.shell(&one, "grep -rlaF -e 's3cr3t/+' -e 'sk-0123456789' /home/user /tmp /etc /var 2>/dev/null || true").await;
    assert_eq!(found, "");
    let data = world.folder().join("server/data");
    let mut stored = std::fs::read(data.join("helix.db")).unwrap();
    stored.extend(std::fs::read(data.join("helix.db-wal")).unwrap());
    let has = |text: &str| {
        stored
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    };
    assert!(has("PROVIDER_KEY"), "what is looked for would be found");
    assert!(!has("sk-0123456789") && !has("s3cr3t/+"));

    // It has them again when it runs again; a fork has none.
    let (status, _) = host.call(Method::POST, &one, "/stop", "").await;
    assert_eq!(status, StatusCode::OK);
    let (status, body) = host
        .call(Method::POST, &one, "/fork", "{\"name\":\"two\"}")
        .await;
    assert!(status.is_success());
    let two: Sandbox = serde_json::from_slice(&body).unwrap();
    let two = host.until(&two, SandboxState::Running).await;
    let (status, _) = host.call(Method::POST, &one, "/start", "").await;
    assert_eq!(status, StatusCode::OK);
    host.until(&one, SandboxState::Running).await;
    const ASK: &str = "echo $PROVIDER_KEY; printf 'protocol=http\\nhost=localhost:8418\\n\\n' | GIT_TERMINAL_PROMPT=0 GIT_ASKPASS=true git credential fill 2>/dev/null | grep password || true";
    eventually("the secrets", SOON, async || {
        let said = host.shell(&one, ASK).await;
        if said == format!("sk-0123456789abcdefghij\npassword={PASSWORD}\n") {
            Ok(())
        } else {
            Err(said)
        }
    })
    .await;
    assert_eq!(host.shell(&two, ASK).await, "\npassword=\n");

    // What is deleted is taken back.
    for name in ["local-git", "provider"] {
        let gone = world
            .admin
            .request(Method::DELETE, &format!("/api/v1/secrets/{name}"));
        assert_eq!(gone.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    }
    eventually("the secrets to be gone", SOON, async || {
        let said = host.shell(&one, ASK).await;
        if said == "\npassword=\n" {
            Ok(())
        } else {
            Err(said)
        }
    })
    .await;
    host.delete(&one).await;
    host.delete(&two).await;
    host.end().await;
}
