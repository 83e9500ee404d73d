//! The command and the environment of `ollama serve`.

use std::path::{Path, PathBuf};

use crate::{
    engine::{Error, Job, Plan},
    process::ProcessSpec,
};

pub(super) fn plan(
    program: PathBuf,
    job: &Job,
    name: &str,
    models: &Path,
    port: u16,
) -> Result<Plan, Error> {
    let settings = job.settings();
    let mut env = settings.engine_env.clone();
    let mut set = |name: &str, value: String| env.insert(name.to_owned(), value);
    set("OLLAMA_HOST", format!("127.0.0.1:{port}"));
    set("OLLAMA_MODELS", models.display().to_string());
    // The scheduler decides when a model goes, not a timer of Ollama's.
    set("OLLAMA_KEEP_ALIVE", "-1".to_owned());
    set("OLLAMA_MAX_LOADED_MODELS", "1".to_owned());
    set("OLLAMA_NUM_PARALLEL", settings.parallel.to_string());
    set("CUDA_VISIBLE_DEVICES", job.visible_gpus());
    if let Some(context) = settings.context_tokens {
        set("OLLAMA_CONTEXT_LENGTH", context.to_string());
    }
    let mut args = vec!["serve".into()];
    args.extend(settings.engine_args.iter().map(Into::into));
    Ok(Plan {
        process: Some(ProcessSpec { program, args, env }),
        url: crate::engine::loopback(port)?,
        // Ollama asks its clients for nothing.
        key: None,
        engine_model: name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::job::testing::job_on;

    #[test]
    fn an_instance_has_one_model_its_own_port_and_its_own_gpus() {
        let mut job = job_on(1);
        job.start.settings.context_tokens = Some(4096);
        let plan = plan(
            "/bin/ollama".into(),
            &job,
            "qwen3:4b",
            Path::new("/data"),
            4711,
        )
        .unwrap();
        let env = plan.process.unwrap().env;
        let shown: Vec<String> = env
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(
            shown,
            [
                "CUDA_VISIBLE_DEVICES=gpu-0",
                "OLLAMA_CONTEXT_LENGTH=4096",
                "OLLAMA_HOST=127.0.0.1:4711",
                "OLLAMA_KEEP_ALIVE=-1",
                "OLLAMA_MAX_LOADED_MODELS=1",
                "OLLAMA_MODELS=/data",
                "OLLAMA_NUM_PARALLEL=4",
            ]
        );
        assert_eq!(plan.engine_model, "qwen3:4b");
    }
}
