//! What a model may be registered as.

use helix_proto::model::{CreateModelRequest, EngineKind, ModelSettings, ModelSource};
use url::Url;

use super::routes::check_name;

/// Longest path, name or URL in a source.
const MAX_TEXT: usize = 4_096;

/// Most arguments and variables for an engine.
const MAX_EXTRAS: usize = 256;

/// The field that is not acceptable, and why.
type Refused = (&'static str, String);

fn refuse<T>(field: &'static str, why: impl Into<String>) -> Result<T, Refused> {
    Err((field, why.into()))
}

/// Checks everything that can be known without a runner.
pub(super) fn model(request: &CreateModelRequest) -> Result<(), Refused> {
    check_name(&request.name).or_else(|why| refuse("name", why))?;
    if request.description.chars().count() > 1_000 {
        return refuse("description", "at most 1,000 characters");
    }
    source(request.engine, &request.source)?;
    settings(&request.settings)
}

fn source(engine: EngineKind, source: &ModelSource) -> Result<(), Refused> {
    let fits = match engine {
        EngineKind::LlamaCpp | EngineKind::Vllm => {
            matches!(
                source,
                ModelSource::File { .. } | ModelSource::HuggingFace { .. }
            )
        }
        EngineKind::Ollama => matches!(source, ModelSource::Ollama { .. }),
        EngineKind::External => matches!(source, ModelSource::External { .. }),
    };
    if !fits {
        return refuse(
            "source",
            format!("the engine `{}` cannot use it", engine.as_str()),
        );
    }
    match source {
        ModelSource::File { path } => {
            if !path.starts_with('/') || path.len() > MAX_TEXT || path.contains('\0') {
                return refuse("source.path", "an absolute path on the runner's disk");
            }
        }
        ModelSource::HuggingFace {
            repo,
            revision,
            file,
        } => hub(repo, revision, file)?,
        ModelSource::Ollama { name } => {
            if name.is_empty() || name.len() > MAX_TEXT || name.contains(char::is_whitespace) {
                return refuse("source.name", "a name that `ollama pull` takes");
            }
        }
        ModelSource::External { url, .. } => {
            let valid = Url::parse(url).is_ok_and(|url| {
                matches!(url.scheme(), "http" | "https") && url.username().is_empty()
            });
            if !valid || url.len() > MAX_TEXT {
                return refuse(
                    "source.url",
                    "an `http://` or `https://` URL without credentials",
                );
            }
        }
    }
    Ok(())
}

fn hub(repo: &str, revision: &Option<String>, file: &Option<String>) -> Result<(), Refused> {
    let plain = |text: &str| {
        !text.is_empty()
            && text.len() <= MAX_TEXT
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c))
            && text
                .split('/')
                .all(|part| !part.is_empty() && part != "." && part != "..")
    };
    if !plain(repo) || repo.split('/').count() != 2 {
        return refuse("source.repo", "`owner/name`");
    }
    if revision.as_deref().is_some_and(|it| !plain(it)) {
        return refuse("source.revision", "a branch, tag or commit");
    }
    if file.as_deref().is_some_and(|it| !plain(it)) {
        return refuse("source.file", "a file's path inside the repository");
    }
    Ok(())
}

fn settings(settings: &ModelSettings) -> Result<(), Refused> {
    if settings
        .context_tokens
        .is_some_and(|it| !(128..=16_777_216).contains(&it))
    {
        return refuse("settings.context_tokens", "128 to 16,777,216");
    }
    for (field, value, most) in [
        ("settings.parallel", settings.parallel, 1_024),
        ("settings.devices", settings.devices, 64),
        ("settings.max_instances", settings.max_instances, 1_024),
    ] {
        if !(1..=most).contains(&value) {
            return refuse(field, format!("1 to {most}"));
        }
    }
    if settings.memory_bytes == Some(0) {
        return refuse(
            "settings.memory_bytes",
            "at least 1; leave it out to have it estimated",
        );
    }
    if !(1_000..=86_400_000).contains(&settings.ready_timeout_ms) {
        return refuse("settings.ready_timeout_ms", "1,000 to 86,400,000");
    }
    let extras = settings.engine_args.len() + settings.engine_env.len();
    let long = |text: &String| text.len() > MAX_TEXT || text.contains('\0');
    let variables = settings
        .engine_env
        .iter()
        .flat_map(|(name, value)| [name, value]);
    if extras > MAX_EXTRAS || settings.engine_args.iter().chain(variables).any(long) {
        return refuse("settings.engine_args", "too many or too long");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut CreateModelRequest), field: Option<&str>) {
        let mut request = CreateModelRequest {
            name: "tiny".into(),
            description: String::new(),
            engine: EngineKind::LlamaCpp,
            source: ModelSource::File {
                path: "/models/tiny.gguf".into(),
            },
            settings: ModelSettings::default(),
            default: false,
        };
        change(&mut request);
        assert_eq!(
            model(&request).err().map(|(field, _)| field),
            field,
            "{request:?}"
        );
    }

    #[test]
    fn what_cannot_work_is_refused_by_field() {
        let hub = |repo: &str| ModelSource::HuggingFace {
            repo: repo.into(),
            revision: None,
            file: Some("a.gguf".into()),
        };
        let external = |url: &str| ModelSource::External {
            url: url.into(),
            model: None,
        };
        check(|_| (), None);
        check(|it| it.name = "default".into(), Some("name"));
        check(|it| it.description = "x".repeat(1_001), Some("description"));
        check(|it| it.engine = EngineKind::Ollama, Some("source"));
        check(
            |it| {
                it.source = ModelSource::File {
                    path: "tiny.gguf".into(),
                }
            },
            Some("source.path"),
        );
        check(|it| it.source = hub("org/name"), None);
        check(|it| it.source = hub("org/../name"), Some("source.repo"));
        check(|it| it.source = hub("name"), Some("source.repo"));
        check(
            |it| {
                it.engine = EngineKind::External;
                it.source = external("file:///etc/passwd");
            },
            Some("source.url"),
        );
        check(
            |it| {
                it.engine = EngineKind::External;
                it.source = external("http://127.0.0.1:9000");
            },
            None,
        );
        check(
            |it| it.settings.context_tokens = Some(1),
            Some("settings.context_tokens"),
        );
        check(|it| it.settings.parallel = 0, Some("settings.parallel"));
        check(|it| it.settings.devices = 65, Some("settings.devices"));
        check(
            |it| it.settings.ready_timeout_ms = 0,
            Some("settings.ready_timeout_ms"),
        );
        check(
            |it| it.settings.memory_bytes = Some(0),
            Some("settings.memory_bytes"),
        );
    }
}
