//! Headers of weights, read for how a model is run and what it needs.

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};

use helix_scheduler::estimate::{self, ModelProfile, gguf, safetensors};

use super::Error;

/// No header is longer: those of models with large vocabularies have some 30 MiB.
const MAX_HEADER_BYTES: u64 = 256 << 20;

/// How many files a model may be split over.
const MAX_PARTS: u64 = 512;

/// What of a GGUF file's header decides how it is run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct GgufHeader {
    /// The longest context the model was made for.
    pub(crate) context_tokens: Option<u32>,
    /// The model was made for embeddings: it says how to pool.
    pub(crate) pools: bool,
}

/// Reads what decides how a GGUF file is run.
pub(crate) async fn gguf_header(path: &Path) -> Result<GgufHeader, Error> {
    let path = path.to_owned();
    blocking(move || {
        let header = read_gguf(&path)?;
        let profile = ModelProfile::from_gguf(std::slice::from_ref(&header));
        // A header without the figures for an estimate may still be run.
        let context = profile.ok().and_then(|profile| profile.context_tokens);
        let context_tokens = context.and_then(|context| u32::try_from(context).ok());
        Ok(GgufHeader {
            context_tokens,
            pools: header.pools(),
        })
    })
    .await
}

/// The shape of a GGUF model, all its parts counted.
pub(crate) async fn gguf_profile(path: &Path) -> Result<ModelProfile, Error> {
    let path = path.to_owned();
    blocking(move || {
        let first = read_gguf(&path)?;
        let parts = first.split_count().min(MAX_PARTS);
        let mut headers = vec![first];
        for number in 2..=parts {
            headers.push(read_gguf(&part_path(&path, number, parts)?)?);
        }
        ModelProfile::from_gguf(&headers).map_err(|error| unusable(&path, &error))
    })
    .await
}

/// The shape of a model in a folder of safetensors.
pub(crate) async fn folder_profile(folder: &Path) -> Result<ModelProfile, Error> {
    let folder = folder.to_owned();
    blocking(move || {
        let config_path = folder.join("config.json");
        let config = std::fs::read(&config_path).map_err(Error::disk(&config_path))?;
        let mut headers = Vec::new();
        for entry in std::fs::read_dir(&folder)
            .map_err(Error::disk(&folder))?
            .flatten()
        {
            let path = entry.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "safetensors")
            {
                let file = open(&path)?;
                let header = safetensors::read(file, MAX_HEADER_BYTES);
                headers.push(header.map_err(|error| unusable(&path, &error))?);
            }
        }
        ModelProfile::from_safetensors(&config, &headers).map_err(|error| unusable(&folder, &error))
    })
    .await
}

fn read_gguf(path: &Path) -> Result<gguf::Header, Error> {
    gguf::read(open(path)?, MAX_HEADER_BYTES).map_err(|error| unusable(path, &error))
}

fn open(path: &Path) -> Result<BufReader<File>, Error> {
    File::open(path)
        .map(BufReader::new)
        .map_err(Error::disk(path))
}

/// `m-00001-of-00003.gguf` and a number to the path of that part.
fn part_path(first: &Path, number: u64, of: u64) -> Result<PathBuf, Error> {
    let name = first
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let stem = name.strip_suffix(&format!("-00001-of-{of:05}.gguf"));
    let not_first = || Error::NotAModel {
        path: first.to_owned(),
        why: format!("it is split into {of} files and this is not the first"),
    };
    Ok(first.with_file_name(format!(
        "{}-{number:05}-of-{of:05}.gguf",
        stem.ok_or_else(not_first)?
    )))
}

fn unusable(path: &Path, error: &estimate::Error) -> Error {
    Error::NotAModel {
        path: path.to_owned(),
        why: error.to_string(),
    }
}

async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(read).await.unwrap_or_else(|_| {
        Err(Error::BadSource(
            "reading the model's header was cut off".to_owned(),
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_split_model_are_found_from_the_first() {
        let first = Path::new("/m/q-00001-of-00003.gguf");
        assert_eq!(
            part_path(first, 3, 3).unwrap(),
            Path::new("/m/q-00003-of-00003.gguf")
        );
        assert!(part_path(Path::new("/m/q-00002-of-00003.gguf"), 3, 3).is_err());
    }

    #[tokio::test]
    async fn the_demo_models_header_says_how_to_run_it() {
        let model = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/tiny.gguf"));
        let header = gguf_header(model).await.unwrap();
        assert!(
            header.context_tokens.is_some() && !header.pools,
            "{header:?}"
        );
        assert!(gguf_profile(model).await.unwrap().weight_bytes() > 1_000_000);
    }
}
