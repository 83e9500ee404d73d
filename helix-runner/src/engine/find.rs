use std::{
    ffi::OsStr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// The folders in which engines' programs are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchPath {
    folders: Vec<PathBuf>,
}

impl SearchPath {
    /// From the text of a `PATH` variable.
    pub fn new(path: &OsStr) -> Self {
        Self {
            folders: std::env::split_paths(path).collect(),
        }
    }

    /// Finds a program: a path with a slash is taken as it is, a name is
    /// looked for.
    pub fn find(&self, program: &Path) -> Option<PathBuf> {
        if program.components().count() > 1 {
            return is_executable(program).then(|| program.to_owned());
        }
        self.folders
            .iter()
            .map(|folder| folder.join(program))
            .find(|path| is_executable(path))
    }
}

impl Default for SearchPath {
    /// Where systems keep their programs.
    fn default() -> Self {
        Self::new(OsStr::new("/usr/local/bin:/usr/bin:/bin"))
    }
}

fn is_executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_for_and_a_path_is_taken_as_it_is() {
        let path = SearchPath::default();
        let shell = path.find(Path::new("sh")).unwrap();
        assert_eq!(path.find(&shell), Some(shell));
        assert_eq!(path.find(Path::new("no-such-program-here")), None);
        assert_eq!(path.find(Path::new("/etc/passwd")), None);
    }
}
