//! A real PostgreSQL for the tests of this program: one server, a database for
//! each test. It ends with the program, however that ends.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

/// Starts the server, says so, and stops it once nobody holds its standard
/// input any more.
const SCRIPT: &str = r#"
"$1/initdb" --no-sync --auth=trust --username=helix --pgdata "$2/data" >"$2/log" 2>&1 || { cat "$2/log"; exit 1; }
"$1/postgres" -D "$2/data" -k "$2" -h "" -c fsync=off -c max_connections=500 >>"$2/log" 2>&1 &
until "$1/pg_isready" -q -h "$2" -U helix -d postgres; do
  kill -0 $! 2>/dev/null || { cat "$2/log"; exit 1; }
  sleep 0.05
done
echo ready
read -r _
kill -INT $!
wait $!
rm -rf "$2"
"#;

struct Server {
    programs: PathBuf,
    folder: PathBuf,
    /// Its standard input is what keeps the server up.
    _script: Child,
}

/// The newest installed version's programs.
fn installed() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let version = |path: &PathBuf| {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        name.and_then(|name| name.parse::<u32>().ok())
    };
    let newest = versions
        .map(|entry| entry.path())
        .filter(|path| path.join("bin/initdb").exists())
        .max_by_key(version);
    let message = "PostgreSQL is not installed: run `cargo xtask test`, which installs it";
    newest.expect(message).join("bin")
}

/// PostgreSQL refuses to run as root: the user that Debian's package makes.
fn owner() -> Option<(u32, u32)> {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let uid = status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))
        .unwrap();
    if uid.split_whitespace().nth(1) != Some("0") {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let postgres = users
        .lines()
        .find_map(|line| line.strip_prefix("postgres:"))
        .expect("PostgreSQL's user is missing: run `cargo xtask test`, which installs PostgreSQL");
    let mut fields = postgres.split(':').skip(1);
    let mut id = || fields.next().unwrap().parse().unwrap();
    Some((id(), id()))
}

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let programs = installed();
        let folder = tempfile::Builder::new()
            .prefix("helix-pg-")
            .tempdir()
            .unwrap()
            .keep();
        let mut shell = Command::new("sh");
        shell
            .args(["-c", SCRIPT, "sh"])
            .arg(&programs)
            .arg(&folder)
            .current_dir(&folder);
        shell
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0);
        if let Some((uid, gid)) = owner() {
            std::os::unix::fs::chown(&folder, Some(uid), Some(gid)).unwrap();
            shell.uid(uid).gid(gid);
        }
        let mut script = shell.spawn().unwrap();
        let mut said = String::new();
        let mut lines = BufReader::new(script.stdout.take().unwrap());
        while !said.ends_with("ready\n") {
            let read = lines.read_line(&mut said).unwrap();
            assert!(read > 0, "PostgreSQL does not start: {said}");
        }
        script.stdin.as_mut().unwrap().flush().unwrap();
        Server {
            programs,
            folder,
            _script: script,
        }
    })
}

/// Makes a database, and says its URL.
pub(crate) fn database() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let Server {
        programs, folder, ..
    } = server();
    let name = format!("helix_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let mut create = Command::new(programs.join("createdb"));
    create.arg("-h").arg(folder).args(["-U", "helix", &name]);
    let done = create.output().unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    format!("postgres:///{name}?user=helix&host={}", folder.display())
}
