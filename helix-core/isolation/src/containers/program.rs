//! The guest's program and everything that it is linked with, in one folder.
//!
//! An image may have another C library or none, so the program brings its own: the host's
//! dynamic loader and the libraries that the loader says it uses. A statically linked
//! program comes alone.

use std::{
    ffi::OsStr,
    fs::{self, File, Permissions},
    io::{self, Read as _},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{PermissionsExt as _, symlink},
    },
    path::{Path, PathBuf},
    process::Command,
};

use super::places::gone;

/// Where the folder is inside.
pub(super) const INSIDE: &str = "/.helix/program";

const PROGRAM: &str = "guest";
const LOADER: &str = "loader";
const LIBRARIES: &str = "lib";
/// What starts the program for others.
const TOOLS: &str = "helix-sandbox";

/// The longest head of a program that is looked at, and the longest path of a loader.
const HEAD: u64 = 4096;
/// The kind of a segment that names the loader.
const INTERPRETER: u32 = 3;

/// Puts everything into `folder`, replacing each file at once: guests that run keep theirs.
/// Returns how it is started inside, without its own arguments.
pub(super) fn collect(program: &Path, folder: &Path) -> io::Result<Vec<String>> {
    let program = program.canonicalize()?;
    let libraries = folder.join(LIBRARIES);
    fs::create_dir_all(&libraries)?;
    for place in [folder, &libraries] {
        fs::set_permissions(place, Permissions::from_mode(0o755))?;
    }
    place(&program, &folder.join(PROGRAM))?;
    let inside = |name: &str| format!("{INSIDE}/{name}");
    let Some(loader) = interpreter(&program)? else {
        return Ok(vec![inside(PROGRAM)]);
    };
    place(&loader, &folder.join(LOADER))?;
    let listed = Command::new(&loader).arg("--list").arg(&program).output()?;
    if !listed.status.success() {
        let loader = loader.display();
        let message = format!("{loader} does not list what {} uses", program.display());
        return Err(io::Error::other(message));
    }
    for library in linked(&String::from_utf8_lossy(&listed.stdout)) {
        let name = library.file_name().unwrap_or_default();
        place(&library, &libraries.join(name))?;
    }
    Ok(vec![
        inside(LOADER),
        "--library-path".to_owned(),
        inside(LIBRARIES),
        inside(PROGRAM),
    ])
}

/// Lets others than the host start the program, or does not: a line of sh in `folder`.
pub(super) fn offer(start: &[String], folder: &Path, offered: bool) -> io::Result<()> {
    let script = folder.join(TOOLS);
    if !offered {
        return gone(fs::remove_file(script));
    }
    let temporary = folder.join("helix-sandbox.new");
    fs::write(
        &temporary,
        format!("#!/bin/sh\nexec {} \"$@\"\n", start.join(" ")),
    )?;
    fs::set_permissions(&temporary, Permissions::from_mode(0o755))?;
    fs::rename(&temporary, script)
}

/// Inside: puts what was offered, if anything was, where programs look for it. A link, since what is
/// offered may change while the container is there.
pub(super) fn link_offered() -> io::Result<()> {
    let (offered, link) = (Path::new(INSIDE).join(TOOLS), Path::new(crate::TOOLS));
    if let Some(folder) = link.parent() {
        fs::create_dir_all(folder)?;
    }
    gone(fs::remove_file(link))?;
    symlink(offered, link)
}

/// The files in what a loader lists: `name => path (address)`.
fn linked(list: &str) -> Vec<PathBuf> {
    list.lines()
        .filter_map(|line| {
            let (_, path) = line.split_once(" => ")?;
            let path = path.rsplit_once(" (").map_or(path, |(path, _)| path).trim();
            path.starts_with('/').then(|| PathBuf::from(path))
        })
        .collect()
}

/// Copies a file, unless the same is there already.
fn place(from: &Path, to: &Path) -> io::Result<()> {
    let source = fs::metadata(from)?;
    let same = fs::metadata(to).is_ok_and(|there| {
        there.len() == source.len() && there.modified().ok() == source.modified().ok()
    });
    if same {
        return Ok(());
    }
    let temporary = to.with_extension("new");
    fs::copy(from, &temporary)?;
    fs::set_permissions(&temporary, Permissions::from_mode(0o755))?;
    File::options()
        .write(true)
        .open(&temporary)?
        .set_modified(source.modified()?)?;
    fs::rename(&temporary, to)
}

/// The loader that an ELF program of this machine names, if it has one.
fn interpreter(program: &Path) -> io::Result<Option<PathBuf>> {
    let mut head = Vec::new();
    File::open(program)?.take(HEAD).read_to_end(&mut head)?;
    named_loader(&head).ok_or_else(|| {
        let message = format!("{} is not a 64-bit ELF program", program.display());
        io::Error::new(io::ErrorKind::InvalidData, message)
    })
}

/// As in elf(5): the table of segments is at `e_phoff`, one of `e_phentsize` bytes for each
/// of `e_phnum`. `None` for what is no such program.
fn named_loader(head: &[u8]) -> Option<Option<PathBuf>> {
    let bytes = |at: usize, count: usize| head.get(at..at.checked_add(count)?);
    let short = |at| Some(u16::from_le_bytes(bytes(at, 2)?.try_into().ok()?));
    let word = |at| Some(u32::from_le_bytes(bytes(at, 4)?.try_into().ok()?));
    let long = |at| usize::try_from(u64::from_le_bytes(bytes(at, 8)?.try_into().ok()?)).ok();
    // 64 bits, little-endian.
    if bytes(0, 6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let (table, size, count) = (long(32)?, short(54)?, short(56)?);
    for number in 0..usize::from(count) {
        let segment = table.checked_add(number.checked_mul(size.into())?)?;
        if word(segment)? == INTERPRETER {
            let (at, length) = (
                long(segment.checked_add(8)?)?,
                long(segment.checked_add(32)?)?,
            );
            let path = bytes(at, length)?.split(|byte| *byte == 0).next()?;
            return Some(Some(PathBuf::from(OsStr::from_bytes(path))));
        }
    }
    Some(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_libraries_are_read_from_what_a_loader_lists() {
        let list = "\tlinux-vdso.so.1 (0x00007ffd)\n\
                    \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\
                    \tlibodd.so => not found\n\
                    \tlibm.so.6 => /a b/libm.so.6 (0x00007f)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let expected = ["/lib/x86_64-linux-gnu/libc.so.6", "/a b/libm.so.6"];
        assert_eq!(linked(list), expected.map(PathBuf::from));
    }

    #[test]
    fn the_loader_of_this_very_program_is_found_and_what_is_cut_is_refused() {
        let mut head = Vec::new();
        let program = File::open("/proc/self/exe").unwrap();
        program.take(HEAD).read_to_end(&mut head).unwrap();
        let loader = named_loader(&head).unwrap();
        assert!(loader.is_none_or(|loader| loader.exists()));
        for cut in [0, 5, 40, 60, 70] {
            assert_eq!(named_loader(&head[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn a_program_that_was_collected_runs_with_the_loader_that_came_along() {
        let folder = tempfile::tempdir().unwrap();
        let started = collect(Path::new("/bin/true"), folder.path()).unwrap();
        let here: Vec<_> = started
            .iter()
            .map(|part| part.replace(INSIDE, &folder.path().to_string_lossy()))
            .collect();
        assert!(
            Command::new(&here[0])
                .args(&here[1..])
                .status()
                .unwrap()
                .success()
        );
        offer(&here, folder.path(), true).unwrap();
        let offered = folder.path().join(TOOLS);
        assert!(
            Command::new(&offered)
                .arg("more")
                .status()
                .unwrap()
                .success()
        );
        offer(&here, folder.path(), false).unwrap();
        assert!(!offered.exists());
        offer(&here, folder.path(), false).unwrap();
        // Again, over what is there.
        assert_eq!(
            collect(Path::new("/bin/true"), folder.path()).unwrap(),
            started
        );
    }
}
