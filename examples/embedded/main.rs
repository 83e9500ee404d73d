//! A control plane and a runner inside one program, through the libraries: asks
//! the demo model a question and prints the answer.
//!
//! ```sh
//! cargo run --example embedded [FOLDER]
//! ```
//!
//! The runner keeps its engine in FOLDER, `.data/embedded` if absent.

#![expect(clippy::print_stdout, reason = "it shows what it does")]

mod admin;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result, ensure};
use helix_base::TaskGroup;
use helix_proto::{
    fleet::{CreateRunnerRequest, CreatedRunner},
    model::{CreateModelRequest, EngineKind, Model, ModelSettings, ModelSource},
};
use helix_runner::{
    Runner, RunnerOptions, Supervisor,
    engine::llamacpp::{ManagedOptions, managed::Managed},
};
use helix_server::{Options, Server};
use serde_json::{Value, json};

use admin::Admin;

fn main() -> ExitCode {
    // A runner starts each engine below a process that outlives neither: this
    // program again, which is why it comes before everything else.
    let supervisor = match Supervisor::this_program(std::env::args_os()) {
        Ok(supervisor) => supervisor,
        Err(exit_code) => return exit_code,
    };
    let outcome = tokio::runtime::Runtime::new()
        .context("starting the runtime")
        .and_then(|runtime| runtime.block_on(run(supervisor)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(supervisor: Supervisor) -> Result<()> {
    let engine_folder = std::env::args_os()
        .nth(1)
        .map_or_else(|| ".data/embedded".into(), PathBuf::from);
    let engine_folder = std::path::absolute(engine_folder)?;
    let managed = Managed::new(ManagedOptions::default(), &engine_folder);
    managed.install(&|step| println!("{step}")).await?;
    let tasks = TaskGroup::new();

    // The control plane, on a port that is free.
    let data = tempfile::tempdir()?;
    let server = Server::build(Options {
        data_dir: data.path().to_owned(),
        listen: ([127, 0, 0, 1], 0).into(),
        ..Options::default()
    })
    .await?;
    let app = server.app();
    let draining = tasks.draining_token().clone();
    let served = tasks.spawn("control plane", server.run(draining.cancelled_owned()));
    let admin = Admin::first(&app).await?;

    // The runner, with a credential of its own.
    let request = CreateRunnerRequest {
        name: "embedded".to_owned(),
    };
    let created: CreatedRunner = admin.post("/api/v1/runners", &request).await?;
    let options = RunnerOptions {
        data_dir: engine_folder,
        server: Some(admin.url().parse()?),
        credential: Some(created.credential.into()),
        ..RunnerOptions::default()
    };
    let runner = Runner::builder(options, supervisor).build(&tasks).await?;
    let draining = tasks.draining_token().clone();
    let ran = tasks.spawn("runner", runner.run(draining.cancelled_owned()));

    let answer = ask(&admin).await?;
    println!("{answer}");
    ensure!(
        answer == "The capital of France is Paris.",
        "the demo model knows better"
    );

    let report = tasks.shutdown(Duration::from_secs(60)).await;
    ensure!(
        report.aborted.is_empty(),
        "did not stop in time: {:?}",
        report.aborted
    );
    served.await?;
    ran.await?.transpose()?;
    Ok(())
}

/// Registers the demo model and asks it something. The request waits until the
/// runner is connected and the engine is up.
async fn ask(admin: &Admin) -> Result<String> {
    let weights = std::path::absolute(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/tiny.gguf"))?;
    let request = CreateModelRequest {
        name: "tiny".to_owned(),
        description: String::new(),
        engine: EngineKind::LlamaCpp,
        source: ModelSource::File {
            path: weights.display().to_string(),
        },
        settings: ModelSettings::default(),
        default: true,
    };
    let model: Model = admin.post("/api/v1/models", &request).await?;
    let question = json!({
        "model": model.name,
        "messages": [{ "role": "user", "content": "What is the capital of France?" }],
        "temperature": 0,
    });
    let answer: Value = admin.post("/v1/chat/completions", &question).await?;
    let content = answer["choices"][0]["message"]["content"].as_str();
    content
        .map(str::to_owned)
        .with_context(|| format!("no answer in {answer}"))
}
