//! Which files of a repository a model is.

use super::{
    Error,
    hub::{Listing, RemoteFile, Repo},
};

/// The named GGUF, or the only one; all its parts if it is split.
pub(super) fn gguf(
    repo: &Repo,
    listing: &Listing,
    file: Option<&str>,
) -> Result<Vec<RemoteFile>, Error> {
    let is_model =
        |file: &&RemoteFile| file.path.ends_with(".gguf") && !file.path.contains("mmproj");
    let models: Vec<&RemoteFile> = listing.files.iter().filter(is_model).collect();
    let first = match file {
        Some(name) => listing
            .files
            .iter()
            .find(|file| file.path == name)
            .ok_or_else(|| {
                Error::Missing(format!(
                    "{repo} has no file {name}; it has {}",
                    names(&models)
                ))
            })?,
        None => {
            let mut starts = models
                .iter()
                .filter(|file| part_of(&file.path).is_none_or(|part| part.number == 1));
            match (starts.next(), starts.next()) {
                (Some(only), None) => only,
                (None, _) => return Err(Error::Missing(format!("{repo} has no GGUF file"))),
                (Some(_), Some(_)) => {
                    let message = format!(
                        "{repo} has several GGUF files, say which: {}",
                        names(&models)
                    );
                    return Err(Error::BadSource(message));
                }
            }
        }
    };
    let Some(part) = part_of(&first.path) else {
        return Ok(vec![first.clone()]);
    };
    let parts: Vec<RemoteFile> = listing
        .files
        .iter()
        .filter(|file| {
            part_of(&file.path).is_some_and(|other| other.stem == part.stem && other.of == part.of)
        })
        .cloned()
        .collect();
    if parts.len() == part.of {
        Ok(parts)
    } else {
        Err(Error::Missing(format!(
            "{repo} has {} of the {} parts of {}",
            parts.len(),
            part.of,
            part.stem
        )))
    }
}

/// Everything that an engine needs of a repository of safetensors. Formats of
/// other frameworks beside them are left out: they hold the same weights again.
pub(super) fn model(repo: &Repo, listing: &Listing) -> Result<Vec<RemoteFile>, Error> {
    const WANTED: [&str; 7] = [
        ".json",
        ".safetensors",
        ".txt",
        ".model",
        ".jinja",
        ".tiktoken",
        ".py",
    ];
    let wanted = |file: &&RemoteFile| {
        let top = !file.path.contains('/');
        top && WANTED.iter().any(|end| file.path.ends_with(end))
    };
    let files: Vec<RemoteFile> = listing.files.iter().filter(wanted).cloned().collect();
    if files.iter().any(|file| file.path.ends_with(".safetensors")) {
        return Ok(files);
    }
    Err(Error::Missing(format!("{repo} has no safetensors files")))
}

fn names(files: &[&RemoteFile]) -> String {
    const SHOWN: usize = 10;
    let mut names: Vec<&str> = files
        .iter()
        .take(SHOWN)
        .map(|file| file.path.as_str())
        .collect();
    if files.len() > SHOWN {
        names.push("…");
    }
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

struct Part<'a> {
    stem: &'a str,
    number: usize,
    of: usize,
}

/// llama.cpp splits a model into `stem-00001-of-00003.gguf` and so on.
fn part_of(path: &str) -> Option<Part<'_>> {
    let (rest, of) = path.strip_suffix(".gguf")?.rsplit_once("-of-")?;
    let (stem, number) = rest.rsplit_once('-')?;
    let five = |digits: &str| digits.len() == 5;
    (five(number) && five(of)).then_some(())?;
    Some(Part {
        stem,
        number: number.parse().ok()?,
        of: of.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(names: &[&str]) -> Listing {
        let file = |&path: &&str| RemoteFile {
            path: path.to_owned(),
            size: Some(1),
            sha256: None,
        };
        Listing {
            commit: "c".to_owned(),
            files: names.iter().map(file).collect(),
        }
    }

    fn check(names: &[&str], file: Option<&str>) -> Result<Vec<String>, String> {
        let repo = Repo::parse("o/m", None).unwrap();
        let files = gguf(&repo, &listing(names), file).map_err(|error| error.to_string())?;
        Ok(files.into_iter().map(|file| file.path).collect())
    }

    #[test]
    fn the_only_gguf_needs_no_name_and_one_of_several_does() {
        assert_eq!(
            check(&["README.md", "a.gguf", "mmproj-a.gguf"], None).unwrap(),
            ["a.gguf"]
        );
        assert_eq!(
            check(&["a.gguf", "b.gguf"], Some("b.gguf")).unwrap(),
            ["b.gguf"]
        );
        assert!(
            check(&["a.gguf", "b.gguf"], None)
                .unwrap_err()
                .contains("say which: a.gguf, b.gguf")
        );
        assert!(
            check(&["a.gguf"], Some("z.gguf"))
                .unwrap_err()
                .contains("it has a.gguf")
        );
        assert!(check(&["x.bin"], None).unwrap_err().contains("no GGUF"));
    }

    #[test]
    fn a_split_model_is_all_its_parts() {
        let parts = ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"];
        assert_eq!(check(&parts, None).unwrap(), parts);
        assert_eq!(check(&parts, Some(parts[0])).unwrap(), parts);
        assert!(
            check(&parts[..1], None)
                .unwrap_err()
                .contains("1 of the 2 parts")
        );
    }

    #[test]
    fn a_folder_leaves_out_what_holds_the_weights_again() {
        let repo = Repo::parse("o/m", None).unwrap();
        let names = [
            "config.json",
            "m.safetensors",
            "m.bin",
            "onnx/m.onnx",
            "original/x.json",
            "tok.model",
        ];
        let files = model(&repo, &listing(&names)).unwrap();
        let paths: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["config.json", "m.safetensors", "tok.model"]);
        assert!(model(&repo, &listing(&["config.json", "m.bin"])).is_err());
    }
}
