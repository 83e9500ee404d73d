//! The unmodified `openai` and `anthropic` packages by the APIs that agents speak, against a real
//! engine and a model that calls tools.

use helix_base::TaskGroup;
use helix_proto::model::ModelSettings;
use helix_tests::{DatabaseKind, Runner, ScriptedModel, World, python, world::TINY};

crate::on_each_database!(
    the_openai_package_gets_responses,
    the_anthropic_package_gets_messages,
);

const WRITER: &str = "scripted/writer";

async fn world(database: DatabaseKind, tasks: &TaskGroup) -> (World, Runner) {
    let model = ScriptedModel::start(tasks).await;
    let world = World::with_options(database, &model.provider("scripted")).await;
    world.register_tiny(ModelSettings::default()).await;
    let runner = world.runner("one").await;
    (world, runner)
}

async fn the_openai_package_gets_responses(database: DatabaseKind) {
    let tasks = TaskGroup::new();
    let (world, _runner) = world(database, &tasks).await;
    let (url, key) = (world.server.url(), world.admin.key());
    python::run("responses_client.py", url, key, &[TINY, WRITER]).await;
    tasks.cancel();
}

async fn the_anthropic_package_gets_messages(database: DatabaseKind) {
    let tasks = TaskGroup::new();
    let (world, _runner) = world(database, &tasks).await;
    let (url, key) = (world.server.url(), world.admin.key());
    python::run("anthropic_client.py", url, key, &[TINY, WRITER]).await;
    tasks.cancel();
}
