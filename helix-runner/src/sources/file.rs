use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use tokio::io::AsyncReadExt as _;

use super::Error;

/// Checks that a path is a readable GGUF file.
pub(crate) async fn gguf_file(path: &Path) -> Result<PathBuf, Error> {
    absolute(path)?;
    let mut magic = [0; 4];
    let read = async {
        let mut file = tokio::fs::File::open(path).await?;
        file.read_exact(&mut magic).await
    };
    match read.await {
        Ok(_) if magic == *b"GGUF" => Ok(path.to_owned()),
        Ok(_) => Err(not_a_model(path, "it does not begin with `GGUF`")),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
            Err(not_a_model(path, "it is shorter than any GGUF file"))
        }
        Err(error) => Err(unreadable(path, &error)),
    }
}

/// Checks that a path is a folder with a model in it.
pub(crate) async fn model_folder(path: &Path) -> Result<PathBuf, Error> {
    absolute(path)?;
    let meta = tokio::fs::metadata(path)
        .await
        .map_err(|error| unreadable(path, &error))?;
    if !meta.is_dir() {
        return Err(not_a_model(path, "it is not a folder"));
    }
    match tokio::fs::File::open(path.join("config.json")).await {
        Ok(_) => Ok(path.to_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(not_a_model(path, "there is no config.json in it"))
        }
        Err(error) => Err(unreadable(path, &error)),
    }
}

fn absolute(path: &Path) -> Result<(), Error> {
    if path.is_absolute() {
        return Ok(());
    }
    Err(Error::BadSource(format!(
        "{} is not an absolute path on the runner",
        path.display()
    )))
}

fn not_a_model(path: &Path, why: &str) -> Error {
    Error::NotAModel {
        path: path.to_owned(),
        why: why.to_owned(),
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    let what = match error.kind() {
        ErrorKind::NotFound => "does not exist on the runner".to_owned(),
        ErrorKind::PermissionDenied => "may not be read by the runner".to_owned(),
        _ => format!("cannot be read: {error}"),
    };
    Error::Missing(format!("{} {what}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_readable_gguf_file_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("good.gguf"), b"GGUF and more").unwrap();
        std::fs::write(path("bad.gguf"), b"PK and more").unwrap();
        std::fs::write(path("short.gguf"), b"GG").unwrap();
        assert_eq!(
            gguf_file(&path("good.gguf")).await.unwrap(),
            path("good.gguf")
        );
        for (name, says) in [
            ("bad.gguf", "begin with `GGUF`"),
            ("short.gguf", "shorter"),
            ("none.gguf", "does not exist"),
            (".", "cannot be read"),
        ] {
            let error = gguf_file(&path(name)).await.unwrap_err();
            assert!(
                error.is_missing() && error.to_string().contains(says),
                "{name}: {error}"
            );
        }
        let relative = gguf_file(Path::new("x.gguf")).await.unwrap_err();
        assert!(
            relative.to_string().contains("not an absolute path"),
            "{relative}"
        );
    }

    #[tokio::test]
    async fn a_model_folder_has_a_config() {
        let folder = tempfile::tempdir().unwrap();
        let error = model_folder(folder.path()).await.unwrap_err();
        assert!(error.to_string().contains("no config.json"), "{error}");
        std::fs::write(folder.path().join("config.json"), "{}").unwrap();
        assert_eq!(model_folder(folder.path()).await.unwrap(), folder.path());
    }
}
