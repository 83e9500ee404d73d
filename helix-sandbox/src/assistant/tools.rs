//! What the built-in agent can do: files by itself, programs by its client.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

/// Bytes of a file that are read at most, and that the model is given of anything.
const READ: u64 = 4 << 20;
const GIVEN: usize = 48 << 10;

/// A tool that is called, with what it needs.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tool {
    Shell {
        command: String,
    },
    Read {
        path: PathBuf,
        line: usize,
        limit: usize,
    },
    Write {
        path: PathBuf,
        content: String,
    },
    Edit {
        path: PathBuf,
        old: String,
        new: String,
    },
}

/// A change to a file, made or to be made.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) path: PathBuf,
    pub(super) before: Option<String>,
    pub(super) after: String,
}

/// The tools, as the model is told of them.
pub(super) fn offered(shell: bool) -> Vec<Value> {
    let tool = |name: &str, description: &str, properties: Value, required: &[&str]| {
        json!({"type": "function", "function": {
            "name": name,
            "description": description,
            "parameters": {"type": "object", "properties": properties, "required": required},
        }})
    };
    let mut tools = vec![
        tool(
            "read_file",
            "Reads a text file. Lines count from 1.",
            json!({
                "path": {"type": "string"},
                "line": {"type": "integer", "description": "The first line; 1 if absent"},
                "limit": {"type": "integer", "description": "How many lines; 2000 if absent"},
            }),
            &["path"],
        ),
        tool(
            "write_file",
            "Writes a text file whole, with the directories that it needs.",
            json!({"path": {"type": "string"}, "content": {"type": "string"}}),
            &["path", "content"],
        ),
        tool(
            "edit_file",
            "Replaces a text in a file, which must be there exactly once.",
            json!({
                "path": {"type": "string"},
                "old": {"type": "string"},
                "new": {"type": "string"},
            }),
            &["path", "old", "new"],
        ),
    ];
    if shell {
        tools.push(tool(
            "shell",
            "Runs a line of sh in the working directory, and answers what it wrote and its exit code.",
            json!({"command": {"type": "string"}}),
            &["command"],
        ));
    }
    tools
}

impl Tool {
    /// The tool that is called, from a directory.
    ///
    /// # Errors
    ///
    /// What is wrong, for the model.
    pub(super) fn read(name: &str, arguments: &str, directory: &Path) -> Result<Self, String> {
        let arguments: Value = serde_json::from_str(arguments)
            .map_err(|error| format!("the arguments are no JSON: {error}"))?;
        let text = |name: &str| {
            let text = arguments.get(name).and_then(Value::as_str);
            text.map(str::to_owned)
                .ok_or_else(|| format!("{name} is missing"))
        };
        let number = |name: &str, or: u64| {
            let number = arguments.get(name).and_then(Value::as_u64).unwrap_or(or);
            usize::try_from(number).unwrap_or(usize::MAX)
        };
        let path = || text("path").map(|path| directory.join(path));
        Ok(match name {
            "shell" => Self::Shell {
                command: text("command")?,
            },
            "read_file" => Self::Read {
                path: path()?,
                line: number("line", 1),
                limit: number("limit", 2_000),
            },
            "write_file" => Self::Write {
                path: path()?,
                content: text("content")?,
            },
            "edit_file" => Self::Edit {
                path: path()?,
                old: text("old")?,
                new: text("new")?,
            },
            other => return Err(format!("there is no tool {other:?}")),
        })
    }

    /// What it does, for people; its kind; and where.
    pub(super) fn shown(&self) -> (String, &'static str, Option<&Path>) {
        match self {
            Self::Shell { command } => (cut(command, 300), "execute", None),
            Self::Read { path, .. } => (format!("Read {}", path.display()), "read", Some(path)),
            Self::Write { path, .. } => (format!("Write {}", path.display()), "edit", Some(path)),
            Self::Edit { path, .. } => (format!("Edit {}", path.display()), "edit", Some(path)),
        }
    }

    /// Whether it only looks.
    pub(super) const fn is_harmless(&self) -> bool {
        matches!(self, Self::Read { .. })
    }

    /// The change to a file that it makes, before it is made.
    ///
    /// # Errors
    ///
    /// Why it cannot be.
    pub(super) fn change(&self) -> Result<Option<Change>, String> {
        let change = |path: &Path, before, after| Change {
            path: path.to_owned(),
            before,
            after,
        };
        match self {
            Self::Write { path, content } => {
                let before = if path.exists() {
                    Some(contents(path)?)
                } else {
                    None
                };
                Ok(Some(change(path, before, content.clone())))
            }
            Self::Edit { path, old, new } => {
                let before = contents(path)?;
                match before.matches(old.as_str()).count() {
                    1 if !old.is_empty() => {}
                    0 => return Err("the old text is not in the file".to_owned()),
                    times => return Err(format!("the old text is in the file {times} times")),
                }
                let after = before.replacen(old.as_str(), new, 1);
                Ok(Some(change(path, Some(before), after)))
            }
            Self::Shell { .. } | Self::Read { .. } => Ok(None),
        }
    }
}

impl Change {
    /// Makes it. Blocks.
    pub(super) fn make(&self) -> Result<(), String> {
        let made = self.path.parent().map_or(Ok(()), fs::create_dir_all);
        let made = made.and_then(|()| fs::write(&self.path, &self.after));
        made.map_err(|error| format!("{}: {error}", self.path.display()))
    }
}

/// Lines of a file. Blocks.
pub(super) fn lines(path: &Path, line: usize, limit: usize) -> Result<String, String> {
    let text = contents(path)?;
    let lines = text
        .split_inclusive('\n')
        .skip(line.saturating_sub(1))
        .take(limit);
    Ok(given(&lines.collect::<String>()))
}

fn contents(path: &Path) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    // A pipe would be waited for.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(format!("{} is no file", path.display()));
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(failed)?;
    file.take(READ + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > READ {
        return Err(format!(
            "{} is larger than {} MiB",
            path.display(),
            READ >> 20
        ));
    }
    String::from_utf8(bytes).map_err(|_| format!("{} is no text", path.display()))
}

/// As much as the model is given: the beginning and the end.
pub(super) fn given(text: &str) -> String {
    if text.len() <= GIVEN {
        return text.to_owned();
    }
    let half = GIVEN / 2;
    let (begin, end) = (
        text.floor_char_boundary(half),
        text.ceil_char_boundary(text.len() - half),
    );
    let left_out = end - begin;
    format!(
        "{}\n… ({left_out} bytes left out) …\n{}",
        &text[..begin],
        &text[end..]
    )
}

pub(super) fn cut(text: &str, most: usize) -> String {
    text[..text.floor_char_boundary(most)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_written_edited_and_read() {
        let folder = tempfile::tempdir().unwrap();
        let call = |name: &str, arguments: Value| {
            Tool::read(name, &arguments.to_string(), folder.path()).unwrap()
        };
        let write = call(
            "write_file",
            json!({"path": "a/b.txt", "content": "one\ntwo\nthree\n"}),
        );
        let change = write.change().unwrap().unwrap();
        assert_eq!(change.before, None);
        change.make().unwrap();
        let edit = call(
            "edit_file",
            json!({"path": "a/b.txt", "old": "two", "new": "zwei"}),
        );
        edit.change().unwrap().unwrap().make().unwrap();
        let path = folder.path().join("a/b.txt");
        assert_eq!(lines(&path, 2, 1).unwrap(), "zwei\n");
        for (old, why) in [("e", "times"), ("nine", "not in"), ("", "times")] {
            let edit = call(
                "edit_file",
                json!({"path": "a/b.txt", "old": old, "new": "x"}),
            );
            let error = edit.change().unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        assert!(Tool::read("write_file", "{}", folder.path()).is_err());
        assert!(lines(folder.path(), 1, 1).is_err());
    }

    #[test]
    fn the_model_is_given_the_ends_of_what_is_long() {
        let long = format!("begin{}end", "ä".repeat(GIVEN));
        let given = given(&long);
        assert!(given.starts_with("begin") && given.ends_with("end"));
        assert!(given.len() < GIVEN + 100);
    }
}
