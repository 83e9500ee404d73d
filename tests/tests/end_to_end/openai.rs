//! The unmodified `openai` package.

use helix_tests::{DatabaseKind, World, python, world::TINY};

crate::on_each_database!(the_openai_package_works_unmodified);

async fn the_openai_package_works_unmodified(database: DatabaseKind) {
    let (world, _runner) = World::with_runner(database).await;
    python::run(
        "openai_client.py",
        world.server.url(),
        world.admin.key(),
        &[TINY],
    )
    .await;
}
