//! The one runner, and the model it answers with.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use helix_proto::{
    RunnerId,
    fleet::{CreateRunnerRequest, CreatedRunner, Runner, RunnerState},
    model::{CreateModelRequest, EngineKind, Model, ModelSettings, ModelSource},
};

use super::{
    api::Api,
    data::{Data, write_private},
};
use crate::workspace::Workspace;

/// The name of the demo model.
const DEMO: &str = "tiny";

/// The runner's id; it is registered on the first run, and again if someone
/// deleted it since.
pub(crate) fn runner_id(api: &Api, data: &Data) -> Result<RunnerId> {
    let id_file = data.runner().join("id");
    let known = fs::read_to_string(&id_file)
        .ok()
        .and_then(|text| text.trim().parse().ok());
    if let Some(id) = known
        && data.credential_file().exists()
        && api
            .get::<Vec<Runner>>("/api/v1/runners")?
            .iter()
            .any(|runner| runner.id == id)
    {
        return Ok(id);
    }
    let request = CreateRunnerRequest {
        name: "this machine".to_owned(),
    };
    let created: CreatedRunner = api.post("/api/v1/runners", &request)?;
    write_private(&data.credential_file(), &created.credential)?;
    write_private(&id_file, &created.id.to_string())?;
    Ok(created.id)
}

/// Whether the runner takes work.
pub(crate) fn is_online(api: &Api, id: RunnerId) -> Result<bool> {
    Ok(runner(api, id)?.state != RunnerState::Offline)
}

/// Says what keeps llama.cpp from running here, if anything does.
pub(crate) fn say_what_cannot_run(api: &Api, id: RunnerId) -> Result<()> {
    for engine in runner(api, id)?.engines {
        if engine.kind == EngineKind::LlamaCpp && !engine.available {
            println!("no model can run on this machine: {}", engine.detail);
        }
    }
    Ok(())
}

fn runner(api: &Api, id: RunnerId) -> Result<Runner> {
    api.get(&format!("/api/v1/runners/{id}"))
}

/// A GGUF file that someone named.
#[derive(Debug)]
pub(crate) struct GivenModel {
    name: String,
    path: PathBuf,
}

/// Looks at the file before anything else is done.
pub(crate) fn given_model(path: &Path) -> Result<GivenModel> {
    let path = path
        .canonicalize()
        .with_context(|| format!("looking at {}", path.display()))?;
    ensure!(
        path.extension().is_some_and(|end| end == "gguf"),
        "{} is no GGUF file",
        path.display()
    );
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "._-".contains(c) {
            c
        } else {
            '-'
        }
    };
    Ok(GivenModel {
        name: stem.chars().map(plain).take(200).collect(),
        path,
    })
}

/// Registers the demo model, and the one that was given as the default.
pub(crate) fn register(
    api: &Api,
    workspace: &Workspace,
    data: &Data,
    given: Option<GivenModel>,
) -> Result<()> {
    let registered: Vec<Model> = api.get("/api/v1/models")?;
    let copy = data.models().join("tiny.gguf");
    copy_unless_there(&workspace.root().join("models/tiny.gguf"), &copy)?;
    if !registered.iter().any(|model| model.name == DEMO) {
        let default = !registered.iter().any(|model| model.default) && given.is_none();
        let description = "A demo that knows a few sentences by heart; not a useful model.";
        create(api, DEMO, description, &copy, default)?;
    }
    let Some(given) = given else { return Ok(()) };
    let path = given.path.display().to_string();
    let same = registered.iter().find(|model| model.name == given.name);
    if let Some(model) = same {
        let unchanged =
            matches!(&model.source, ModelSource::File { path: known } if *known == path);
        if unchanged && model.default {
            return Ok(());
        }
        // It names another file, or is not the default: registered anew.
        api.delete(&format!("/api/v1/models/{}", model.id))?;
    }
    create(
        api,
        &given.name,
        "Given to `cargo xtask up`.",
        &given.path,
        true,
    )
}

fn create(api: &Api, name: &str, description: &str, path: &Path, default: bool) -> Result<()> {
    let request = CreateModelRequest {
        name: name.to_owned(),
        description: description.to_owned(),
        engine: EngineKind::LlamaCpp,
        source: ModelSource::File {
            path: path.display().to_string(),
        },
        settings: ModelSettings::default(),
        default,
    };
    let model: Model = api.post("/api/v1/models", &request)?;
    println!(
        "registered the model {} from {}",
        model.name,
        path.display()
    );
    Ok(())
}

/// So that the checkout may move, or be deleted.
fn copy_unless_there(from: &Path, to: &Path) -> Result<()> {
    let wanted = fs::read(from).with_context(|| format!("reading {}", from.display()))?;
    if fs::read(to).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    let beside = to.with_extension("new");
    fs::write(&beside, wanted).with_context(|| format!("writing {}", beside.display()))?;
    fs::rename(&beside, to).with_context(|| format!("writing {}", to.display()))
}
