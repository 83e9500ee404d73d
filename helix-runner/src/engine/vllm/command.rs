//! vLLM's command line.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

use helix_base::ExposeSecret as _;
use helix_proto::runner::DeviceKind;

use crate::{
    engine::{Error, Job, Plan},
    process::ProcessSpec,
};

pub(super) fn plan(
    program: PathBuf,
    first_args: &[String],
    job: &Job,
    folder: &Path,
    port: u16,
) -> Result<Plan, Error> {
    let settings = job.settings();
    let mut args: Vec<OsString> = first_args.iter().map(OsString::from).collect();
    args.push(folder.into());
    let mut add = |flag: &str, value: String| args.extend([flag.into(), value.into()]);
    add("--served-model-name", job.start.model_name.clone());
    add("--host", "127.0.0.1".to_owned());
    add("--port", port.to_string());
    add("--max-num-seqs", settings.parallel.to_string());
    add(
        "--tensor-parallel-size",
        job.devices.len().max(1).to_string(),
    );
    if let Some(context) = settings.context_tokens {
        add("--max-model-len", context.to_string());
    }
    if let Some(share) = share_of_gpu(job) {
        add("--gpu-memory-utilization", format!("{share:.4}"));
    }
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

/// The share of each GPU that was set aside: vLLM takes all of it, for weights,
/// activations and cache together, and refuses to start when it is not free.
/// GPUs of different sizes get the smallest share, for vLLM knows only one.
fn share_of_gpu(job: &Job) -> Option<f64> {
    let gpus = job
        .devices
        .iter()
        .filter(|(device, _)| device.kind == DeviceKind::Cuda);
    let shares = gpus.map(|(device, bytes)| ratio(*bytes, device.total_bytes));
    shares
        .min_by(f64::total_cmp)
        .filter(|&share| share > 0.0)
        .map(|share| share.min(1.0))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "four digits of the quotient are used"
)]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

fn environment(job: &Job) -> BTreeMap<String, String> {
    let mut env = job.settings().engine_env.clone();
    let mut set = |name: &str, value: String| env.insert(name.to_owned(), value);
    set("VLLM_API_KEY", job.key.expose_secret().to_owned());
    set("CUDA_VISIBLE_DEVICES", job.visible_gpus());
    // The weights are here: nothing is to be looked up elsewhere, or told.
    set("HF_HUB_OFFLINE", "1".to_owned());
    set("VLLM_NO_USAGE_STATS", "1".to_owned());
    if !job.on_gpu() && !job.devices.is_empty() {
        let gibibytes = job
            .devices
            .iter()
            .map(|(_, bytes)| bytes >> 31)
            .sum::<u64>()
            .max(1);
        // Half of what was set aside is for the cache, half for the weights.
        env.entry("VLLM_CPU_KVCACHE_SPACE".to_owned())
            .or_insert_with(|| gibibytes.to_string());
    }
    env
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::job::testing::job_on;

    #[test]
    fn what_was_set_aside_becomes_a_share_of_each_gpu() {
        let mut job = job_on(2);
        job.start.settings.context_tokens = Some(4096);
        let first = ["serve".to_owned()];
        let plan = plan("/bin/vllm".into(), &first, &job, Path::new("/m"), 4711).unwrap();
        let process = plan.process.unwrap();
        let args: Vec<_> = process
            .args
            .iter()
            .map(|arg| arg.to_string_lossy())
            .collect();
        assert_eq!(
            args.join(" "),
            "serve /m --served-model-name demo --host 127.0.0.1 --port 4711 --max-num-seqs 4 \
             --tensor-parallel-size 2 --max-model-len 4096 --gpu-memory-utilization 0.1250"
        );
        assert_eq!(process.env["CUDA_VISIBLE_DEVICES"], "gpu-0,gpu-1");
        assert_eq!(process.env["HF_HUB_OFFLINE"], "1");
    }
}
