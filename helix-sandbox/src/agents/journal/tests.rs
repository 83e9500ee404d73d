use std::os::unix::fs::PermissionsExt as _;

use helix_agent::host::{Fact, Input, Limits, Thread};
use helix_proto::{
    SandboxId, TurnId, TypedId as _,
    agents::{AgentSpec, Command, Content, EventBody, Numbered, Open},
};

use super::*;

const ID: u128 = 7;

fn open() -> Open {
    Open {
        sandbox: SandboxId::from_parts(1, 1),
        agent: AgentSpec {
            name: "agent".into(),
            command: vec!["agent".into()],
            install: Vec::new(),
            environment: Vec::new(),
            directory: "/".into(),
        },
        resume: None,
    }
}

/// A thread with its journal, and how it was after each commit.
struct Kept {
    folder: tempfile::TempDir,
    thread: Thread,
    journal: Journal,
    /// The length of the file, and what is kept.
    history: Vec<(u64, Option<Saved>)>,
}

impl Kept {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let journals = Journals::open(folder.path()).unwrap();
        let id = ThreadId::from_parts(1, ID);
        let (thread, step) = Thread::open(id, open(), Limits::default(), 0);
        let mut journal = journals.begin(id);
        let commit = journal.commit_of(step.changes, thread.saved());
        journal.commit(&commit).unwrap();
        let history = vec![(journal.length, thread.saved().cloned())];
        Self {
            folder,
            thread,
            journal,
            history,
        }
    }

    fn input(&mut self, input: Input) {
        let step = self.thread.on(input, 5).unwrap();
        if !step.changes.is_empty() {
            let commit = self.journal.commit_of(step.changes, self.thread.saved());
            self.journal.commit(&commit).unwrap();
            let kept = (self.journal.length, self.thread.saved().cloned());
            self.history.push(kept);
        }
    }

    fn says(&mut self, position: u64, body: EventBody) {
        let fact = Fact::Said(Box::new(body));
        let position = Some(position);
        self.input(Input::Agent {
            run: 1,
            position,
            fact,
        });
    }

    /// A conversation with a bit of everything.
    fn lives(&mut self) {
        let session = "s".to_owned();
        self.input(Input::Agent {
            run: 1,
            position: Some(1),
            fact: Fact::Ready {
                session,
                resumed: false,
            },
        });
        self.input(Input::Command(Numbered {
            number: 2,
            command: Command::Prompt {
                turn: TurnId::from_parts(1, 1),
                content: vec![Content::text("ä🦀")],
                wanted: None,
            },
        }));
        for position in 2..9 {
            let content = Content::text(format!("word {position} "));
            self.says(position, EventBody::Message { content });
        }
        self.input(Input::Acknowledged { through: 4 });
    }

    fn path(&self) -> PathBuf {
        self.journal.path.clone()
    }

    fn restored(&self) -> Option<Saved> {
        let journals = Journals::open(self.folder.path()).unwrap();
        let mut all = journals.restore().unwrap();
        assert!(all.len() <= 1);
        all.pop().map(|(saved, _)| saved)
    }
}

#[test]
fn a_file_that_is_cut_anywhere_is_the_thread_after_its_last_whole_commit() {
    let mut kept = Kept::new();
    kept.lives();
    let path = kept.path();
    let whole = fs::read(&path).unwrap();
    assert_eq!(whole.len() as u64, kept.history.last().unwrap().0);
    for cut in 0..=whole.len() {
        // What the file system left behind the end may be anything.
        for rest in [&[][..], &[0; 32], b"rubbish, and enough of it"] {
            let mut bytes = whole[..cut].to_vec();
            bytes.extend_from_slice(rest);
            fs::write(&path, &bytes).unwrap();
            let committed = kept.history.iter().rev();
            let expected = committed
                .clone()
                .find(|(length, _)| *length <= cut as u64)
                .and_then(|(_, saved)| saved.clone());
            assert_eq!(kept.restored(), expected, "cut at {cut}");
        }
    }
}

#[test]
fn a_bit_that_changed_ends_what_is_read() {
    let mut kept = Kept::new();
    kept.lives();
    let path = kept.path();
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(&path, &bytes).unwrap();
        let good = |(length, _): &&(u64, _)| *length <= at as u64;
        let expected = kept.history.iter().rfind(good);
        let expected = expected.and_then(|(_, saved)| saved.clone());
        assert_eq!(kept.restored(), expected, "changed at {at}");
    }
}

#[test]
fn what_is_committed_after_a_torn_end_is_read() {
    let mut kept = Kept::new();
    kept.lives();
    let path = kept.path();
    let mut torn = fs::read(&path).unwrap();
    torn.extend_from_slice(&[9, 0, 0, 0, 1, 2]);
    fs::write(&path, &torn).unwrap();
    let journals = Journals::open(kept.folder.path()).unwrap();
    let (saved, journal) = journals.restore().unwrap().pop().unwrap();
    kept.journal = journal;
    kept.thread = Thread::restore(saved, Limits::default(), 9).0;
    kept.input(Input::Acknowledged { through: 6 });
    assert_eq!(kept.restored().as_ref(), kept.thread.saved());
}

#[test]
fn a_file_that_is_mostly_past_is_written_anew_and_stays_small() {
    let mut kept = Kept::new();
    kept.lives();
    let mut longest = 0;
    for position in 9..200 {
        let content = Content::text("x".repeat(200 << 10));
        kept.says(position, EventBody::Message { content });
        let through = kept.thread.saved().unwrap().held().last_seq;
        kept.input(Input::Acknowledged { through });
        longest = longest.max(fs::metadata(kept.path()).unwrap().len());
    }
    assert!(longest < 5 << 20, "{longest}");
    assert_eq!(kept.restored().as_ref(), kept.thread.saved());
    let mode = fs::metadata(kept.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it may hold secrets");
    let folder = kept.folder.path().join("threads");
    assert_eq!(
        fs::metadata(folder).unwrap().permissions().mode() & 0o777,
        0o700
    );
}

#[test]
fn a_thread_that_is_removed_is_gone() {
    let mut kept = Kept::new();
    kept.lives();
    kept.journal.commit(&Commit::Removed).unwrap();
    assert!(!kept.path().exists());
    kept.journal.commit(&Commit::Removed).unwrap();
    assert_eq!(kept.restored(), None);
}

#[test]
fn a_commit_that_failed_is_made_again_when_there_is_room() {
    let mut kept = Kept::new();
    kept.lives();
    let step = kept
        .thread
        .on(Input::Acknowledged { through: 7 }, 9)
        .unwrap();
    // A full disk, as the kernel has one for tests: nothing can be written to it.
    let good = kept.journal.file.take();
    kept.journal.file = Some(OpenOptions::new().write(true).open("/dev/full").unwrap());
    let commit = kept
        .journal
        .commit_of(step.changes.clone(), kept.thread.saved());
    let failed = kept.journal.commit(&commit);
    assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::StorageFull);
    kept.journal.file = good;
    let commit = kept.journal.commit_of(step.changes, kept.thread.saved());
    kept.journal.commit(&commit).unwrap();
    assert_eq!(kept.restored().as_ref(), kept.thread.saved());
}
