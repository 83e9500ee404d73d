//! Databases: a SQLite file, or one of a real PostgreSQL of the test program's own.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::disk::SmallDisk;

/// Starts the server as an unprivileged user, where there is a choice, says so,
/// and stops it once nobody holds its standard input any more. A root's server
/// has a small disk, `small`.
const SCRIPT: &str = r#"
programs=$1; folder=$2; user=$3; group=$4; size=$5; as=
if [ -n "$user" ]; then
  as="setpriv --reuid=$user --regid=$group --clear-groups"
  chown "$user:$group" "$folder"
  mkdir "$folder/small"
  mount -t tmpfs -o "size=$size,mode=700,uid=$user,gid=$group" tmpfs "$folder/small" || exit 1
fi
$as "$programs/initdb" --no-sync --auth=trust --username=helix --pgdata "$folder/data" >"$folder/log" 2>&1 ||
  { cat "$folder/log"; exit 1; }
$as "$programs/postgres" -D "$folder/data" -k "$folder" -h "" -c fsync=off -c max_connections=500 >>"$folder/log" 2>&1 &
until "$programs/pg_isready" -q -h "$folder" -U helix -d postgres; do
  kill -0 $! 2>/dev/null || { cat "$folder/log"; exit 1; }
  sleep 0.05
done
echo ready
read -r _
kill -INT $!
wait $!
umount "$folder/small" 2>/dev/null
rm -rf "$folder"
"#;

/// What a database takes before anything is in it, and what is to fit.
const SMALL: u64 = (12 << 20) + SmallDisk::SIZE;

/// Which database the control plane keeps its state in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseKind {
    /// A file in its data folder.
    Sqlite,
    /// A server.
    Postgres,
}

/// A database.
#[derive(Debug)]
pub enum Database {
    /// A file in the control plane's data folder.
    Sqlite,
    /// One of a server's, at this URL.
    Postgres(String),
}

impl Database {
    /// Makes an empty one.
    pub fn start(kind: DatabaseKind) -> Self {
        match kind {
            DatabaseKind::Sqlite => Self::Sqlite,
            DatabaseKind::Postgres => Self::Postgres(postgres().database(&[])),
        }
    }

    /// Makes an empty one on a small disk. SQLite's is where the control plane's
    /// data folder is.
    ///
    /// # Panics
    /// When the server will not.
    pub(crate) fn on_a_small_disk(kind: DatabaseKind) -> (Self, Option<SmallDisk>) {
        if kind == DatabaseKind::Sqlite {
            return (Self::Sqlite, None);
        }
        let postgres = postgres();
        let path = postgres.folder.join("small");
        let space = format!("CREATE TABLESPACE small LOCATION '{}'", path.display());
        postgres.run("psql", &["-d", "postgres", "-c", &space]);
        let url = postgres.database(&["--tablespace", "small"]);
        let pid = i32::try_from(postgres.script.id()).unwrap();
        (Self::Postgres(url), Some(SmallDisk::new(pid, path)))
    }

    /// Its URL; none for the file in the data folder.
    pub fn url(&self) -> Option<&str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres(url) => Some(url),
        }
    }
}

/// One PostgreSQL server for all tests of a program. It ends with the program,
/// however that ends.
#[derive(Debug)]
struct Postgres {
    programs: PathBuf,
    folder: PathBuf,
    /// Its standard input is what keeps the server up.
    script: Child,
}

fn postgres() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(Postgres::start)
}

impl Postgres {
    fn start() -> Self {
        let programs = installed();
        let mut builder = tempfile::Builder::new();
        let folder = builder.prefix("helix-pg-").tempdir().unwrap().keep();
        let mut shell = match unprivileged() {
            Some(_) => {
                let mut shell = Command::new("unshare");
                shell.args(["--mount", "sh"]);
                shell
            }
            None => Command::new("sh"),
        };
        let (user, group) = unprivileged().unwrap_or_default();
        shell.args(["-c", SCRIPT, "sh"]).arg(&programs).arg(&folder);
        shell.args([user, group, SMALL.to_string()]);
        shell.current_dir(&folder).env("LC_ALL", "C.UTF-8");
        shell.stdin(Stdio::piped()).stdout(Stdio::piped());
        // Ctrl-C is for the tests: the server ends when they have.
        let mut script = shell.process_group(0).spawn().unwrap();
        let mut said = String::new();
        let mut lines = BufReader::new(script.stdout.take().unwrap());
        while !said.ends_with("ready\n") {
            let read = lines.read_line(&mut said).unwrap();
            assert!(read > 0, "PostgreSQL does not start: {said}");
        }
        Self {
            programs,
            folder,
            script,
        }
    }

    /// Makes a database, and says its URL.
    fn database(&self, more: &[&str]) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("helix_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.run("createdb", &[more, &[&name]].concat());
        let folder = self.folder.display();
        format!("postgres:///{name}?user=helix&host={folder}")
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = Command::new(self.programs.join(program));
        command.arg("-h").arg(&self.folder).args(["-U", "helix"]);
        let done = command.args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{program}: {said}");
    }
}

/// The folder with the newest installed PostgreSQL's programs.
fn installed() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let newest = versions
        .filter(|entry| entry.path().join("bin/postgres").exists())
        .max_by_key(|entry| {
            entry
                .file_name()
                .to_string_lossy()
                .parse::<u32>()
                .unwrap_or_default()
        });
    newest
        .expect("PostgreSQL is installed (Debian: apt-get install postgresql)")
        .path()
        .join("bin")
}

/// PostgreSQL refuses to run as root: the user and group it runs as then.
fn unprivileged() -> Option<(String, String)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let fields = users
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>());
    let user = fields
        .into_iter()
        .find(|fields| fields[0] == "postgres")
        .expect("a postgres user");
    Some((user[2].to_owned(), user[3].to_owned()))
}

/// A port that was free a moment ago.
///
/// # Panics
/// When there is none.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}
