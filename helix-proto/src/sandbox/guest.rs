//! What runs inside a sandbox and answers for it: programs, terminals, files, ports.
//!
//! The same routes at every level: the guest serves them inside the sandbox, the
//! host relays `/host/v1/sandboxes/{id}/guest/{path}` to it, and the control plane
//! relays `/api/v1/sandboxes/{id}/{path}` to the host. Nobody on the way looks into
//! a body. Errors are the usual envelope, [`ApiError`](crate::ApiError).
//!
//! | route | what |
//! |---|---|
//! | `POST /exec` | [`ExecRequest`]; with `stream` newline-delimited [`ExecEvent`], with `background` 201 and [`Exec`], else [`ExecResult`] when it ended |
//! | `GET /exec` | [`ExecList`]: what runs, and what ended of late |
//! | `GET /exec/{exec}` | [`Exec`] |
//! | `GET /exec/{exec}/events?after=N` | newline-delimited [`ExecEvent`] with a sequence number above N, to its end |
//! | `POST /exec/{exec}/stdin?close=true` | the body is its input; 204 |
//! | `POST /exec/{exec}/signal` | [`SignalRequest`]; 204 |
//! | `DELETE /exec/{exec}` | kills it, with its descendants; idempotent; 204 |
//! | `POST /terminals` | [`TerminalRequest`]; 201 and [`Terminal`] |
//! | `GET /terminals` | [`TerminalList`] |
//! | `GET /terminals/{terminal}/attach?after=N` | a WebSocket, see below |
//! | `DELETE /terminals/{terminal}` | hangs up; idempotent; 204 |
//! | `GET /files/stat?path=P` | [`FileEntry`] |
//! | `GET /files/list?path=P` | [`FileList`], at most 10,000 entries, sorted by name |
//! | `GET /files/content?path=P&offset=N&length=N` | the bytes |
//! | `PUT /files/content?path=P&append=true&parents=true&mode=644` | writes the body; [`FileEntry`] |
//! | `POST /files/directory?path=P&parents=true` | makes a directory; [`FileEntry`] |
//! | `POST /files/move` | [`MoveRequest`]; [`FileEntry`] |
//! | `DELETE /files?path=P&recursive=true` | 204 |
//! | `GET /files/archive?path=P` | a tar of it |
//! | `PUT /files/archive?path=P` | unpacks a tar below it; entries that would leave it are refused; 204 |
//! | `GET /files/watch?path=P` | newline-delimited [`FileEvent`] until the reader leaves |
//! | `PUT /environment` | [`Environment`]: variables of every program that starts from then on; 204 |
//! | `GET /ports` | [`PortList`] |
//! | `ANY /ports/{port}/{path}` | HTTP and WebSocket to that port on the sandbox's localhost |
//! | `PUT /forwards/{name}` | [`Forward`]: listens on the sandbox's loopback for its host; idempotent |
//! | `GET /forwards/{name}/next` | an upgrade to [`FORWARDED`]: the next connection made there; 204 where there was none for 20 s |
//! | `GET /calls` | an upgrade to [`FORWARDED`]: the next program inside that calls its host; 204 where there was none for 20 s |
//! | `GET /docker?wait_ms=N` | [`ServiceStatus`]; waits so long, up to a minute, for it to be no longer starting |
//! | `GET /docker/names/{name}` | [`DockerNames`]: the addresses of a container, alias or service |
//! | `GET /docker/log?tail=N` | [`SandboxLog`](super::SandboxLog): what the Docker daemon wrote |
//! | `GET /desktop` | the WebSocket of [`desktop`](crate::desktop) |
//! | `GET /desktop/screenshot?format=png\|jpeg&quality=1..100` | one picture, without the pointer |
//! | `GET /desktop/status` | [`ServiceStatus`] of what serves it |
//! | `GET /desktop/log?tail=N` | [`SandboxLog`](super::SandboxLog): what that wrote |
//!
//! `path` is absolute, percent-encoded bytes: names need not be UTF-8, and `+` is a
//! space. Relative paths start at the user's home. File routes act as the user `user`
//! unless `user=root` is given. A parameter that a route does not know is refused.
//!
//! **Reading and writing** is of regular files, through links; pipes and devices are
//! refused. What `PUT` writes takes the old content's place when all of it is there, with
//! the old owner and permissions; where the file has other names or another owner, or its
//! directory cannot be written, it is written in place.
//!
//! **An archive** of a directory has its entries named from the directory on, so that
//! unpacking it elsewhere makes the same directory; one of a file has the file's name.
//! It holds files, directories and links: other kinds are left out, and anything else is
//! refused when it is unpacked. Owners are those of who unpacks. A `GET` that cannot read
//! something ends without its end; what a refused `PUT` had unpacked before stays.
//!
//! **Programs** have `HELIX_PROGRAM_ID` in their environment, the id of their exec or
//! terminal, by which descendants are found that left their session. A foreground exec
//! is killed when its caller leaves. One with `stream` never loses output: the program
//! waits for a slow caller, and one in the background with `waits` for whoever follows its
//! events. All others keep the newest 4 MiB of each stream, and never wait.
//!
//! **A terminal** whose viewers all fall behind waits for the fastest of them, 2 seconds
//! at a time; one who is further behind than the scroll-back of 1 MiB is let go with close
//! code 1013, and may attach again.
//!
//! **A port's** request has `Host: localhost:{port}`, and what was asked for in
//! `X-Forwarded-Host`; headers of one connection only are not passed on.
//!
//! **A forward** is for whoever holds the sandbox, and nobody further away is led to it. Its
//! connections wait for up to a minute while nobody asks for them.
//!
//! **A terminal's WebSocket**: binary messages are bytes, both ways. The first
//! message down is text, [`TerminalEvent::Attached`]; then everything since `after` that
//! is still kept (all of the scroll-back without `after`), then live output.
//! Text messages are [`TerminalEvent`] down and [`TerminalCommand`] up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{ExecId, TerminalId};

/// The user whose programs have no privileges: uid and gid 1000 inside.
pub const USER: &str = "user";

/// Runs a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecRequest {
    /// The program and its arguments. 1 to 4,096 of them, 1 MiB in all.
    pub command: Vec<String>,
    /// Variables besides the sandbox's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Where it starts; the user's home if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Who it runs as: a name or a number; `user` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Its input, after which comes the end of input. Without it, the input is
    /// empty, or with `stream` or `background` what is posted to `stdin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// It is killed when it runs for longer. Without it: 10 minutes, or with
    /// `background` never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Answer with events as they come.
    #[serde(default)]
    pub stream: bool,
    /// Answer at once; it runs on when the caller leaves.
    #[serde(default)]
    pub background: bool,
    /// With `background`: nothing that it writes is lost while the sandbox runs. It waits
    /// while somebody has 1 MiB of it still to read, and what was read of late can be read
    /// again: the newest 3 MiB.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub waits: bool,
}

/// Variables that a sandbox is given while it runs. They are in the memory of what runs
/// inside, and nowhere else: gone when the sandbox stops, and in no snapshot.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// All of them: others that were given before are forgotten. A program's own win, and
    /// these before what the sandbox was made with.
    pub variables: BTreeMap<String, String>,
}

crate::redact::redacted_debug! {
    Environment { }
}

/// Bytes that are mostly text: a string where they are UTF-8, else base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// UTF-8.
    Text(String),
    /// Base64 of the bytes.
    Base64(String),
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExecExit {
    /// Its exit code, if it exited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// The signal that ended it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Whether it was killed for running longer than it may.
    pub timed_out: bool,
}

/// What a program did, in the order it happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExecEvent {
    /// Counts from 1.
    pub seq: u64,
    /// What.
    #[serde(flatten)]
    pub what: ExecEventKind,
}

/// One thing a program did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "type", content = "data")]
pub enum ExecEventKind {
    /// It started.
    Started(Exec),
    /// It wrote to its output.
    Stdout(Output),
    /// It wrote to its error output.
    Stderr(Output),
    /// Older events, so many bytes of output, are no longer kept.
    Dropped(u64),
    /// It ended. The last event.
    Exit(ExecExit),
}

/// A program that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Exec {
    /// Its id.
    pub id: ExecId,
    /// Its process id inside the sandbox.
    pub pid: i32,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Who it runs as.
    pub user: String,
    /// When it started.
    pub started_at_ms: u64,
    /// How it ended, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<ExecExit>,
}

/// Programs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct ExecList {
    /// Newest first. At most 1,024: those that run, and then those that ended last.
    pub execs: Vec<Exec>,
}

/// A program that ended, with what it wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExecResult {
    /// Its id.
    pub id: ExecId,
    /// How it ended.
    #[serde(flatten)]
    pub exit: ExecExit,
    /// What it wrote to its output: the last 4 MiB.
    pub stdout: Output,
    /// What it wrote to its error output: the last 4 MiB.
    pub stderr: Output,
    /// How many bytes before these were dropped.
    pub dropped_bytes: u64,
    /// How long it ran.
    pub duration_ms: u64,
}

/// Sends a signal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignalRequest {
    /// Its name, such as `INT` or `SIGTERM`, or its number.
    pub signal: String,
}

/// Opens a terminal.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TerminalRequest {
    /// What runs in it; the user's shell if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Variables besides the sandbox's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Where it starts; the user's home if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Who it runs as; `user` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Columns, 1 to 1,000; 80 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cols: Option<u16>,
    /// Rows, 1 to 1,000; 24 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u16>,
}

/// A terminal. It outlives whoever looks at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Terminal {
    /// Its id.
    pub id: TerminalId,
    /// What was started in it.
    pub command: Vec<String>,
    /// Who it runs as.
    pub user: String,
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
    /// When it was opened.
    pub started_at_ms: u64,
    /// How many look at it now.
    pub attached: u32,
    /// How its program ended, if it did. It stays until it is deleted, or for 10 minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<ExecExit>,
}

/// Terminals.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct TerminalList {
    /// Oldest first. At most 64.
    pub terminals: Vec<Terminal>,
}

/// Text messages down a terminal's WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum TerminalEvent {
    /// The first message.
    Attached {
        /// The number of the first byte that follows, counted from the terminal's start. Give
        /// the number of bytes seen so far as `after` to attach again without a gap.
        offset: u64,
        /// The bytes before this one were sent to somebody before: what they ask of the
        /// terminal (its kind, where the cursor is) was answered then, and an answer now
        /// would be typed into whatever runs by now.
        seen: u64,
    },
    /// The size changed.
    Resized {
        /// Columns.
        cols: u16,
        /// Rows.
        rows: u16,
    },
    /// The program ended; the socket closes.
    Exit(ExecExit),
}

/// Text messages up a terminal's WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum TerminalCommand {
    /// Change the size.
    Resize {
        /// Columns, 1 to 1,000.
        cols: u16,
        /// Rows, 1 to 1,000.
        rows: u16,
    },
}

/// What a name in a directory stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A device, pipe or socket.
    Other,
}

/// A file, directory or link. Links are not followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileEntry {
    /// Its name, with a replacement character for what is not UTF-8.
    pub name: String,
    /// Its whole path, percent-encoded where it is not plain: what to give as `path`.
    pub path: String,
    /// What it is.
    pub kind: FileKind,
    /// Its size.
    pub size_bytes: u64,
    /// Its permission bits, such as `0o644`.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// When it was last written.
    pub modified_at_ms: u64,
    /// Where a link points, with a replacement character for what is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// What is in a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileList {
    /// Sorted by name.
    pub entries: Vec<FileEntry>,
    /// Whether there are more than these.
    pub truncated: bool,
}

/// Moves a file or directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MoveRequest {
    /// Which, percent-encoded as everywhere.
    pub from: String,
    /// Its new path.
    pub to: String,
    /// Whether a file that stands there is replaced.
    #[serde(default)]
    pub overwrite: bool,
}

/// Something changed below a watched path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileEvent {
    /// What happened.
    pub kind: FileEventKind,
    /// To what, percent-encoded.
    pub path: String,
}

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileEventKind {
    /// It is new.
    Created,
    /// It was written or changed.
    Modified,
    /// It is gone.
    Removed,
    /// Changes were lost: list again.
    Overflow,
}

/// What listens in a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct PortList {
    /// Sorted by port. At most 1,024.
    pub ports: Vec<Port>,
}

/// Something listens for TCP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Port {
    /// Its port.
    pub port: u16,
    /// The address it listens on.
    pub address: String,
    /// The program, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
}

/// What a connection of a forward is taken by, as `Upgrade` names it.
pub const FORWARDED: &str = "helix-forward";

/// Where programs inside reach what the sandbox's host serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Forward {
    /// The port on the sandbox's loopback (IPv4); the same for as long as its guest runs.
    pub port: u16,
}

/// A service of a sandbox's own: its Docker daemon, or what serves its desktop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServiceStatus {
    /// How it is.
    pub state: ServiceState,
    /// How often it was started since the sandbox was.
    pub starts: u32,
    /// Why it failed, stopped or starts again; empty otherwise.
    pub message: String,
}

/// How a service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServiceState {
    /// It does not answer yet, or is being started again.
    Starting,
    /// It answers.
    Ready,
    /// It was asked to end, from inside the sandbox.
    Stopped,
    /// It cannot be started, or broke too often.
    Failed,
}

/// The addresses of a sandbox's containers with one name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct DockerNames {
    /// None where there is no such name.
    #[schema(value_type = Vec<String>)]
    pub addresses: Vec<std::net::IpAddr>,
}
