use std::path::PathBuf;

use helix_base::SecretString;
use helix_proto::{
    InstanceId,
    model::{ModelSettings, ModelSource},
    runner::{Device, DeviceKind, Progress, StartInstance},
};
use tokio::sync::watch;
use url::Url;

use crate::process::ProcessSpec;

/// What an instance is to run, and where.
#[derive(Debug, Clone)]
pub struct Job {
    /// The instance.
    pub id: InstanceId,
    /// What the control plane asked for.
    pub start: StartInstance,
    /// The devices it asked for, with the bytes set aside on each.
    pub devices: Vec<(Device, u64)>,
    /// A secret that the engine asks of its clients, so that other users of
    /// the machine cannot use it.
    pub key: SecretString,
}

impl Job {
    /// How to run the model.
    pub const fn settings(&self) -> &ModelSettings {
        &self.start.settings
    }

    /// Where the weights come from.
    pub const fn source(&self) -> &ModelSource {
        &self.start.source
    }

    /// The GPUs it runs on, as `CUDA_VISIBLE_DEVICES` wants them; empty on a
    /// processor, so that an engine there leaves GPUs alone.
    pub fn visible_gpus(&self) -> String {
        let gpus = self
            .devices
            .iter()
            .filter(|(device, _)| device.kind == DeviceKind::Cuda);
        gpus.map(|(device, _)| device.id.as_str())
            .collect::<Vec<_>>()
            .join(",")
    }

    /// Whether it runs on GPUs.
    pub fn on_gpu(&self) -> bool {
        self.devices
            .iter()
            .any(|(device, _)| device.kind == DeviceKind::Cuda)
    }
}

/// Where the weights are on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Weights {
    /// A GGUF file.
    File(PathBuf),
    /// A folder of safetensors and what belongs to them.
    Folder(PathBuf),
    /// The engine finds them by itself.
    Engines,
}

/// What to run, and how to reach it.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The command; none when someone else runs the engine.
    pub process: Option<ProcessSpec>,
    /// The base of the engine's HTTP API, without `/v1`.
    pub url: Url,
    /// The secret that requests must carry as a bearer token.
    pub key: Option<SecretString>,
    /// The name under which the engine knows the model.
    pub engine_model: String,
}

/// How an engine that answers is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// It is coming up.
    Loading,
    /// It answers requests.
    Ready,
}

/// What kind of progress is being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Weights are on their way. The deadline to become ready stands still.
    Downloading,
    /// The engine is loading them.
    Starting,
}

/// Where progress is told. Only the last word counts, so telling never waits.
#[derive(Debug, Clone)]
pub struct ProgressSink {
    sender: watch::Sender<Option<(Stage, Progress)>>,
}

impl ProgressSink {
    /// A sink, and where to read what it was told last.
    pub fn new() -> (Self, watch::Receiver<Option<(Stage, Progress)>>) {
        let (sender, receiver) = watch::channel(None);
        (Self { sender }, receiver)
    }

    /// Tells how far it has come.
    pub fn tell(&self, stage: Stage, step: impl Into<String>, done_of: Option<(u64, u64)>) {
        let progress = Progress {
            step: step.into(),
            done_bytes: done_of.map(|(done, _)| done),
            total_bytes: done_of.map(|(_, total)| total).filter(|&total| total > 0),
        };
        self.sender.send_replace(Some((stage, progress)));
    }
}

#[cfg(test)]
pub(super) mod testing {
    use helix_proto::{
        InstanceId, ModelId, TypedId as _,
        model::{EngineKind, ModelSettings, ModelSource},
        runner::{DeviceMemory, StartInstance},
    };

    use super::Job;
    use crate::devices::{Devices as _, ScriptedDevices};

    /// A job on so many GPUs of 80 GB, 10 GB set aside on each.
    pub(in crate::engine) fn job_on(gpus: u32) -> Job {
        let devices = ScriptedDevices::gpus(gpus, 80_000_000_000).list().unwrap();
        let start = StartInstance {
            model_id: ModelId::from_parts(0, 1),
            model_name: "demo".to_owned(),
            engine: EngineKind::LlamaCpp,
            source: ModelSource::File {
                path: "/m".to_owned(),
            },
            settings: ModelSettings::default(),
            devices: devices
                .iter()
                .map(|device| DeviceMemory {
                    device: device.id.clone(),
                    bytes: 10_000_000_000,
                })
                .collect(),
        };
        Job {
            id: InstanceId::from_parts(0, 1),
            start,
            devices: devices
                .into_iter()
                .map(|device| (device, 10_000_000_000))
                .collect(),
            key: "secret".to_owned().into(),
        }
    }
}
