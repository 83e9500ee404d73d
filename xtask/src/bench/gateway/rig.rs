//! Everything that is measured, as processes on this machine.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use helix_proto::{
    fleet::{CreateRunnerRequest, CreatedRunner},
    model::{CreateModelRequest, EngineKind, Model, ModelSettings, ModelSource},
};

use crate::{
    bench::programs::{Programs, free_ports, resident_bytes},
    process::run,
    setup::python,
    up::{account, api::Api, data},
    workspace::Workspace,
};

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// The mock engine itself.
    Direct,
    /// The control plane, with the engine as a provider.
    Provider,
    /// The control plane, with the engine behind a runner.
    Tunnel,
    /// vllm-router in front of the engine.
    VllmRouter,
    /// LiteLLM's proxy, one worker, in front of the engine.
    LiteLlm,
}

/// What runs.
pub(super) struct Rig {
    programs: Programs,
    release: PathBuf,
    ports: Ports,
    key: String,
    control_plane: u32,
    litellm: bool,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    engine: u16,
    control_plane: u16,
    vllm_router: u16,
    prometheus: u16,
    litellm: u16,
}

/// Builds what is measured and what measures.
pub(super) fn build(workspace: &Workspace) -> Result<()> {
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--locked", "--release", "--bins"]);
    cargo.args(["--package", "helix-server", "--package", "helix-runner"]);
    cargo.args(["--package", "helix-tests"]);
    run(workspace, &mut cargo, Duration::from_secs(3_600))
}

impl Rig {
    /// Starts everything and waits until all of it answers.
    pub(super) fn start(workspace: &Workspace, litellm: bool) -> Result<Self> {
        let [engine, control_plane, vllm_router, prometheus, litellm_port] = free_ports()?;
        let ports = Ports {
            engine,
            control_plane,
            vllm_router,
            prometheus,
            litellm: litellm_port,
        };
        let mut rig = Self {
            programs: Programs::new(workspace, "gateway")?,
            release: workspace.target().join("release"),
            ports,
            key: String::new(),
            control_plane: 0,
            litellm,
        };
        let engine = rig.release.join("bench-engine");
        rig.programs.start(
            workspace,
            "engine",
            &engine,
            [&ports.engine.to_string()],
            ports.engine,
        )?;
        rig.start_control_plane(workspace)?;
        rig.start_vllm_router(workspace)?;
        if litellm {
            rig.start_litellm(workspace)?;
        }
        Ok(rig)
    }

    fn start_control_plane(&mut self, workspace: &Workspace) -> Result<()> {
        let port = self.ports.control_plane;
        let engine = format!("http://127.0.0.1:{}", self.ports.engine);
        let config = self.programs.folder().join("helix.toml");
        let text = format!(
            "[[providers]]\nname = \"bench\"\nbase_url = \"{engine}/v1\"\nmodels = [\"bench\"]\n"
        );
        fs::write(&config, text).context("writing the control plane's configuration")?;
        let kept = data::Data::open(&self.programs.folder().join("data"))?;
        let server = self.release.join("helix-server");
        let listen = format!("127.0.0.1:{port}");
        let (config, folder) = (
            config.display().to_string(),
            kept.folder().display().to_string(),
        );
        let arguments = [
            "--config",
            &config,
            "--data-dir",
            &folder,
            "--listen",
            &listen,
        ];
        self.control_plane =
            self.programs
                .start(workspace, "control-plane", &server, arguments, port)?;
        let url = format!("http://{listen}");
        let account = account::of_admin(&Api::new(&url), &kept)?;
        self.key.clone_from(&account.api_key);
        let api = Api::new(&url).with_key(&self.key);
        self.start_runner(workspace, &api, &kept)?;
        let request = CreateModelRequest {
            name: "tunnelled".to_owned(),
            description: String::new(),
            engine: EngineKind::External,
            source: ModelSource::External {
                url: engine,
                model: Some("bench".to_owned()),
            },
            settings: ModelSettings {
                parallel: 1_024,
                ..ModelSettings::default()
            },
            default: true,
        };
        let model: Model = api.post("/api/v1/models", &request)?;
        // Its instance is there with the first answer.
        let ask = serde_json::json!({"model": model.name, "messages": []});
        let _: serde_json::Value = api.post("/v1/chat/completions", &ask)?;
        Ok(())
    }

    fn start_runner(&mut self, workspace: &Workspace, api: &Api, kept: &data::Data) -> Result<()> {
        let request = CreateRunnerRequest {
            name: "bench".to_owned(),
        };
        let created: CreatedRunner = api.post("/api/v1/runners", &request)?;
        data::write_private(&kept.credential_file(), &created.credential)?;
        let runner = self.release.join("helix-runner");
        let (folder, file) = (kept.runner(), kept.credential_file());
        let (folder, file) = (folder.display().to_string(), file.display().to_string());
        let arguments = [
            "--server",
            api.url(),
            "--data-dir",
            &folder,
            "--credential-file",
            &file,
        ];
        let port = self.ports.control_plane;
        self.programs
            .start(workspace, "runner", &runner, arguments, port)?;
        Ok(())
    }

    fn start_vllm_router(&mut self, workspace: &Workspace) -> Result<()> {
        let python = self.environment(workspace, "vllm-router")?;
        let program = python.join("bin/vllm-router");
        let worker = format!("http://127.0.0.1:{}", self.ports.engine);
        let (port, prometheus) = (self.ports.vllm_router, self.ports.prometheus);
        let (text, prometheus) = (port.to_string(), prometheus.to_string());
        let arguments = [
            "--worker-urls",
            &worker,
            "--policy",
            "round_robin",
            "--host",
            "127.0.0.1",
            "--port",
            &text,
            "--prometheus-port",
            &prometheus,
            "--log-level",
            "error",
        ];
        self.programs
            .start(workspace, "vllm-router", &program, arguments, port)?;
        Ok(())
    }

    fn start_litellm(&mut self, workspace: &Workspace) -> Result<()> {
        let python = self.environment(workspace, "litellm")?;
        let config = self.programs.folder().join("litellm.yaml");
        let text = format!(
            "model_list:\n  - model_name: bench\n    litellm_params:\n      model: openai/bench\n      api_base: http://127.0.0.1:{}/v1\n      api_key: none\nlitellm_settings:\n  telemetry: false\ngeneral_settings:\n  master_key: {}\n",
            self.ports.engine, self.key
        );
        fs::write(&config, text).context("writing LiteLLM's configuration")?;
        let port = self.ports.litellm;
        let (config, text) = (config.display().to_string(), port.to_string());
        let arguments = [
            "--config",
            &config,
            "--host",
            "127.0.0.1",
            "--port",
            &text,
            "--num_workers",
            "1",
        ];
        self.programs.start(
            workspace,
            "litellm",
            &python.join("bin/litellm"),
            arguments,
            port,
        )?;
        Ok(())
    }

    fn environment(&self, workspace: &Workspace, name: &str) -> Result<PathBuf> {
        let file = format!("xtask/src/bench/gateway/requirements-{name}.txt");
        python::environment(workspace, name, &workspace.root().join(file))
    }

    /// What is measured, in the order in which it is.
    pub(super) fn targets(&self) -> Vec<Target> {
        let mut targets = vec![
            Target::Direct,
            Target::Provider,
            Target::VllmRouter,
            Target::Tunnel,
        ];
        targets.extend(self.litellm.then_some(Target::LiteLlm));
        targets
    }

    /// Where a target listens.
    pub(super) fn address(&self, target: Target) -> String {
        let port = match target {
            Target::Direct => self.ports.engine,
            Target::Provider | Target::Tunnel => self.ports.control_plane,
            Target::VllmRouter => self.ports.vllm_router,
            Target::LiteLlm => self.ports.litellm,
        };
        format!("127.0.0.1:{port}")
    }

    /// The name under which a target knows the model.
    pub(super) const fn model(&self, target: Target) -> &'static str {
        match target {
            Target::Provider => "bench/bench",
            Target::Tunnel => "tunnelled",
            Target::Direct | Target::VllmRouter | Target::LiteLlm => "bench",
        }
    }

    /// The key that the control plane and LiteLLM ask for; the others ask for none.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// The load generator.
    pub(super) fn load(&self) -> PathBuf {
        self.release.join("bench-load")
    }

    /// Resident memory of the control plane, in megabytes.
    pub(super) fn control_plane_mb(&self) -> Result<f64> {
        Ok(resident_bytes(self.control_plane)? / 1e6)
    }

    /// Stops everything, the last started first.
    pub(super) fn stop(&mut self) {
        self.programs.stop();
    }
}
