//! The command line of llama.cpp's server.

use std::{collections::BTreeMap, ffi::OsString, path::Path};

use helix_base::ExposeSecret as _;

use super::{Server, managed};
use crate::{
    engine::{Error, Job, Plan},
    process::ProcessSpec,
    sources::GgufHeader,
};

/// As many layers as any model has: all of them go to the GPU.
const ALL_LAYERS: &str = "999";

pub(super) fn plan(
    server: &Server,
    job: &Job,
    file: &Path,
    header: &GgufHeader,
    port: u16,
) -> Result<Plan, Error> {
    let settings = job.settings();
    let (program, mut args) = match server {
        Server::Native(program) => (program.clone(), Vec::new()),
        Server::Managed(python) => (python.clone(), managed::args()),
    };
    let per_request = settings
        .context_tokens
        .or(header.context_tokens)
        .unwrap_or(4096);
    let context = u64::from(per_request) * u64::from(settings.parallel);
    let layers = if job.on_gpu() { ALL_LAYERS } else { "0" };
    let mut add = |flag: &str, value: OsString| args.extend([OsString::from(flag), value]);
    add("--model", file.into());
    add("--alias", job.start.model_name.clone().into());
    add("--host", "127.0.0.1".into());
    add("--port", port.to_string().into());
    add("--ctx-size", context.to_string().into());
    add("--parallel", settings.parallel.to_string().into());
    add("--n-gpu-layers", layers.into());
    args.extend(["--jinja", "--metrics"].map(OsString::from));
    args.extend(embeddings(server, header).map(OsString::from));
    args.extend(settings.engine_args.iter().map(OsString::from));
    Ok(Plan {
        process: Some(ProcessSpec {
            program,
            args,
            env: environment(job),
        }),
        url: crate::engine::loopback(port)?,
        key: Some(job.key.clone()),
        engine_model: job.start.model_name.clone(),
    })
}

/// A model that was made for embeddings says how to pool. For any other, the
/// managed server answers embeddings beside chat with their mean; a
/// `llama-server` of unknown age may give up chat for it, so there it is left to
/// `engine_args`.
fn embeddings(server: &Server, header: &GgufHeader) -> impl Iterator<Item = &'static str> {
    let flags: &[&str] = match (header.pools, server) {
        (true, _) => &["--embeddings"],
        (false, Server::Managed(_)) => &["--embeddings", "--pooling", "mean"],
        (false, Server::Native(_)) => &[],
    };
    flags.iter().copied()
}

fn environment(job: &Job) -> BTreeMap<String, String> {
    let mut env = job.settings().engine_env.clone();
    env.insert(
        "LLAMA_API_KEY".to_owned(),
        job.key.expose_secret().to_owned(),
    );
    env.insert("CUDA_VISIBLE_DEVICES".to_owned(), job.visible_gpus());
    env
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::engine::job::testing::job_on;

    fn command_line(server: &Server, gpus: u32, pools: bool) -> String {
        let mut job = job_on(gpus);
        job.start.settings.context_tokens = Some(2048);
        job.start.settings.engine_args = vec!["--threads".to_owned(), "2".to_owned()];
        let header = GgufHeader {
            context_tokens: Some(8192),
            pools,
        };
        let plan = plan(server, &job, Path::new("/m/a b.gguf"), &header, 4711).unwrap();
        let process = plan.process.unwrap();
        assert_eq!(
            process.env["CUDA_VISIBLE_DEVICES"],
            ["", "gpu-0", "gpu-0,gpu-1"][gpus as usize]
        );
        let skip = if matches!(server, Server::Managed(_)) {
            managed::args().len()
        } else {
            0
        };
        let args: Vec<_> = process.args[skip..]
            .iter()
            .map(|arg| arg.to_string_lossy())
            .collect();
        args.join(" ")
    }

    #[test]
    fn the_context_is_for_all_slots_and_layers_go_to_the_gpu_when_there_is_one() {
        let native = Server::Native(PathBuf::from("/usr/bin/llama-server"));
        assert_eq!(
            command_line(&native, 1, false),
            "--model /m/a b.gguf --alias demo --host 127.0.0.1 --port 4711 --ctx-size 8192 \
             --parallel 4 --n-gpu-layers 999 --jinja --metrics --threads 2"
        );
        assert!(
            command_line(&native, 0, true)
                .contains("--n-gpu-layers 0 --jinja --metrics --embeddings --threads")
        );
        assert!(command_line(&native, 2, false).contains("--n-gpu-layers 999"));
    }

    #[test]
    fn the_managed_server_answers_embeddings_beside_chat() {
        let managed = Server::Managed(PathBuf::from("/venv/bin/python"));
        assert!(command_line(&managed, 0, false).contains("--embeddings --pooling mean"));
        assert!(!command_line(&managed, 0, true).contains("--pooling"));
    }
}
