//! How a program is started: who it is, where it stands, what it sees.

use std::{
    collections::BTreeMap,
    ffi::{CString, OsString},
    io::{self, PipeReader, PipeWriter, Read as _},
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::{ffi::OsStrExt as _, process::CommandExt as _},
    },
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, PoisonError, RwLock},
};

use helix_proto::error::ErrorCode;
use rustix::{
    process::{Gid, Uid, chdir, geteuid, ioctl_tiocsctty, setsid},
    thread::{
        CapabilitySet, CapabilitySets, clear_ambient_capability_set,
        remove_capability_from_bounding_set, set_capabilities, set_no_new_privs, set_thread_groups,
        set_thread_res_gid, set_thread_res_uid,
    },
};

use super::{
    GuestConfig,
    acting::may_act_as,
    failure::{Answer, Failed},
    reaper::{Process, Reaper},
    tree,
    users::User,
};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Arguments of a program: how many, and how many bytes in all.
const ARGUMENTS: usize = 4096;
const ARGUMENT_BYTES: usize = 1 << 20;
/// Variables of a program: how many, and how many bytes in all.
const VARIABLES: usize = 1024;
const VARIABLE_BYTES: usize = 1 << 20;

const LAST_SIGNAL: i32 = 64;

/// Starts programs.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    config: GuestConfig,
    /// What the sandbox was given while it runs.
    given: Arc<RwLock<BTreeMap<String, String>>>,
    reaper: Reaper,
}

/// A program to start.
#[derive(Debug)]
pub(crate) struct Launch {
    /// The id by which its descendants are known.
    pub(crate) id: String,
    pub(crate) command: Vec<String>,
    pub(crate) cwd: Option<String>,
    pub(crate) streams: Streams,
}

/// What a program's standard streams are.
#[derive(Debug)]
pub(crate) enum Streams {
    /// Pipes; an empty input without one.
    Pipes {
        stdin: Option<OwnedFd>,
        stdout: OwnedFd,
        stderr: OwnedFd,
    },
    /// A terminal, which it controls.
    Terminal(OwnedFd),
}

impl Programs {
    pub(crate) fn new(config: GuestConfig, reaper: Reaper) -> Self {
        Self {
            config,
            given: Arc::default(),
            reaper,
        }
    }

    /// Has every program that starts from now on see these variables, instead of those
    /// that were given before.
    pub(crate) fn give(&self, variables: BTreeMap<String, String>) {
        *self.given.write().unwrap_or_else(PoisonError::into_inner) = variables;
    }

    pub(crate) const fn reaper(&self) -> &Reaper {
        &self.reaper
    }

    /// What every program of `user` sees; a request's own variables win.
    pub(crate) fn environment(
        &self,
        user: &User,
        request: BTreeMap<String, String>,
    ) -> BTreeMap<OsString, OsString> {
        let given = self.given.read().unwrap_or_else(PoisonError::into_inner);
        let home = user.home.clone().into_os_string();
        let own: [(&str, OsString); 7] = [
            ("PATH", PATH.into()),
            ("HOME", home),
            ("USER", user.name.clone().into()),
            ("LOGNAME", user.name.clone().into()),
            ("SHELL", user.shell.clone().into()),
            ("LANG", "C.UTF-8".into()),
            ("HOSTNAME", self.config.hostname.clone().into()),
        ];
        own.into_iter()
            .map(|(name, value)| (OsString::from(name), value))
            .chain(
                self.config
                    .env
                    .clone()
                    .into_iter()
                    .chain(given.clone())
                    .chain(request)
                    .map(|(n, v)| (n.into(), v.into())),
            )
            .collect()
    }
}

/// Starts `launch` as `user`. Blocks until it runs, or is known not to.
pub(crate) fn start(
    reaper: &Reaper,
    user: &User,
    env: BTreeMap<OsString, OsString>,
    launch: Launch,
) -> Answer<Process> {
    may_act_as(user)?;
    let (program, arguments) = launch.command.split_first().ok_or_else(no_command)?;
    let cwd = launch
        .cwd
        .as_ref()
        .map_or_else(|| user.home.clone(), |cwd| user.home.join(cwd));
    let (steps, reached) = io::pipe().map_err(|error| Failed::io("cannot make a pipe", &error))?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(env)
        .env(tree::MARK, &launch.id);
    let terminal = matches!(launch.streams, Streams::Terminal(_));
    attach(&mut command, launch.streams)
        .map_err(|error| Failed::io("cannot prepare the program's streams", &error))?;
    prepare(&mut command, user, &cwd, terminal, reached)?;
    let started = reaper.spawn(&mut command);
    // The parent's copy of the pipe's other end goes with it.
    drop(command);
    started.map_err(|error| why_not(&error, last_step(steps), program, &cwd, user))
}

fn no_command() -> Failed {
    Failed::invalid(
        "command",
        "the command is empty: give a program and its arguments",
    )
}

fn attach(command: &mut Command, streams: Streams) -> io::Result<()> {
    match streams {
        Streams::Pipes {
            stdin,
            stdout,
            stderr,
        } => {
            command
                .stdin(stdin.map_or_else(Stdio::null, Stdio::from))
                .stdout(stdout)
                .stderr(stderr);
        }
        Streams::Terminal(terminal) => {
            command
                .stdin(terminal.try_clone()?)
                .stdout(terminal.try_clone()?)
                .stderr(terminal);
        }
    }
    Ok(())
}

/// What the child does between fork and exec, in this order. It writes one byte before
/// each step, so that a failure is known for what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Step {
    Session = 1,
    User,
    Directory,
    Program,
}

fn prepare(
    command: &mut Command,
    user: &User,
    cwd: &Path,
    terminal: bool,
    reached: PipeWriter,
) -> Answer<()> {
    let cwd = CString::new(cwd.as_os_str().as_bytes())
        .map_err(|_| Failed::invalid("cwd", "the directory has a zero byte in its name"))?;
    let uid = Uid::from_raw(user.uid);
    let gid = Gid::from_raw(user.gid);
    let groups: Vec<Gid> = user.groups.iter().copied().map(Gid::from_raw).collect();
    let switch = geteuid().is_root();
    let before_exec = move || -> io::Result<()> {
        let step = |step: Step| rustix::io::write(&reached, &[step as u8]).map(drop);
        default_signals();
        step(Step::Session)?;
        setsid()?;
        if terminal {
            // SAFETY: descriptor 0 is the terminal; std has put it there before this runs.
            let tty = unsafe { BorrowedFd::borrow_raw(0) };
            ioctl_tiocsctty(tty)?;
        }
        step(Step::User)?;
        if switch {
            become_user(uid, gid, &groups)?;
        }
        if !uid.is_root() {
            set_no_new_privs(true)?;
        }
        step(Step::Directory)?;
        chdir(cwd.as_c_str())?;
        step(Step::Program)?;
        Ok(())
    };
    // SAFETY: between fork and exec it only makes system calls on what was made before:
    // no allocation, no lock, nothing of another thread.
    unsafe { command.pre_exec(before_exec) };
    Ok(())
}

/// Undoes what the guest, or whoever started it, ignores. (std has emptied the mask.)
fn default_signals() {
    for signal in 1..=LAST_SIGNAL {
        // SAFETY: the default action runs no code of this process. Numbers that cannot be
        // changed are refused.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Changes the only thread of a forked child. Nobody but root keeps a capability, in
/// any set, so that none comes back by a program's file either.
fn become_user(uid: Uid, gid: Gid, groups: &[Gid]) -> rustix::io::Result<()> {
    set_thread_groups(groups)?;
    if !uid.is_root() {
        drop_bounding_set();
    }
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    if !uid.is_root() {
        clear_ambient_capability_set()?;
        let none = CapabilitySet::empty();
        set_capabilities(
            None,
            CapabilitySets {
                effective: none,
                permitted: none,
                inheritable: none,
            },
        )?;
    }
    Ok(())
}

/// Numbers that this kernel does not have are refused by it, and one that may not be
/// removed is of no use after `no_new_privs`.
fn drop_bounding_set() {
    for bit in 0..u64::BITS {
        let _ = remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << bit));
    }
}

fn last_step(mut steps: PipeReader) -> Option<u8> {
    let mut bytes = Vec::new();
    // The child is gone, and the parent's end is closed: this ends at once.
    steps.read_to_end(&mut bytes).ok()?;
    bytes.last().copied()
}

fn why_not(error: &io::Error, step: Option<u8>, program: &str, cwd: &Path, user: &User) -> Failed {
    let because = Failed::io("", error).0.message;
    let because = because.trim_start_matches(": ");
    match step {
        Some(step) if step == Step::Session as u8 => Failed::new(
            ErrorCode::Internal,
            format!("cannot make a session for the program: {because}"),
        ),
        Some(step) if step == Step::User as u8 => Failed::new(
            ErrorCode::Forbidden,
            format!("cannot become the user {}: {because}", user.name),
        ),
        Some(step) if step == Step::Directory as u8 => Failed::invalid(
            "cwd",
            format!(
                "cannot start in the directory {} as {}: {because}",
                cwd.display(),
                user.name
            ),
        ),
        Some(_) if error.kind() == io::ErrorKind::NotFound => Failed::invalid(
            "command",
            format!(
                "the program {program:?} was not found in the sandbox, or what it needs to run was not"
            ),
        ),
        Some(_) => Failed::invalid(
            "command",
            format!("the program {program:?} cannot be run: {because}"),
        ),
        None => Failed::new(
            ErrorCode::Unavailable,
            format!("cannot start a process: {because}"),
        ),
    }
}

/// Refuses a command that no program can be given.
pub(crate) fn check_command(command: &[String]) -> Answer<()> {
    let bytes: usize = command.iter().map(|argument| argument.len() + 1).sum();
    if command.first().is_none_or(String::is_empty) {
        return Err(no_command());
    }
    if command.len() > ARGUMENTS || bytes > ARGUMENT_BYTES {
        return Err(Failed::invalid(
            "command",
            format!("a command has at most {ARGUMENTS} arguments of {ARGUMENT_BYTES} bytes in all"),
        ));
    }
    if command.iter().any(|argument| argument.contains('\0')) {
        return Err(Failed::invalid(
            "command",
            "an argument has a zero byte in it",
        ));
    }
    Ok(())
}

/// Refuses variables and a directory that no program can be given.
pub(crate) fn check_place(env: &BTreeMap<String, String>, cwd: Option<&str>) -> Answer<()> {
    let bytes: usize = env
        .iter()
        .map(|(name, value)| name.len() + value.len() + 2)
        .sum();
    if env.len() > VARIABLES || bytes > VARIABLE_BYTES {
        return Err(Failed::invalid(
            "env",
            format!("there are at most {VARIABLES} variables of {VARIABLE_BYTES} bytes in all"),
        ));
    }
    for (name, value) in env {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(Failed::invalid(
                "env",
                format!("{name:?} cannot be a variable"),
            ));
        }
    }
    match cwd {
        Some(cwd) if cwd.is_empty() || cwd.contains('\0') => Err(Failed::invalid(
            "cwd",
            "the directory has no name, or a zero byte in it",
        )),
        _ => Ok(()),
    }
}
