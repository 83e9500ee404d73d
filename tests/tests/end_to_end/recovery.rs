//! What dies is replaced, and who asked hears of it.

use std::time::Duration;

use helix_proto::{model::ModelSettings, runner::InstanceState};
use helix_tests::{
    DatabaseKind, World, eventually, eventually::SOON, process::signal_to, world::TINY,
};
use rustix::process::Signal;

crate::on_each_database!(
    an_engine_that_dies_in_the_middle_of_an_answer_is_an_error_and_the_next_question_works,
    a_runner_that_was_killed_leaves_no_engine_and_recovers_by_being_started_again,
    a_runner_that_is_told_to_stop_leaves_no_engine,
    the_control_plane_started_again_finds_its_runner_and_the_engine_goes_on,
    two_runners_share_the_work,
);

async fn an_engine_that_dies_in_the_middle_of_an_answer_is_an_error_and_the_next_question_works(
    database: DatabaseKind,
) {
    let (world, _runner) = World::with_runner(database).await;
    let answer = world.admin.endless(TINY).await;
    let engines = world.engines();
    assert_eq!(engines.len(), 1);
    signal_to(engines[0], Signal::KILL);
    let said = answer.to_its_end().await;
    assert!(
        said.contains("\"error\""),
        "the stream ends with an error event: {said}"
    );
    assert!(
        !said.contains("[DONE]"),
        "a broken answer does not end as a whole one: {said}"
    );
    world.admin.ask_for_paris(TINY).await;
    assert_ne!(world.engines(), engines);
}

async fn a_runner_that_was_killed_leaves_no_engine_and_recovers_by_being_started_again(
    database: DatabaseKind,
) {
    let (world, mut runner) = World::with_runner(database).await;
    let answer = world.admin.endless(TINY).await;
    runner.process.kill().await;
    world.until_no_engine().await;
    // Nobody can tell a dead runner from a broken line before the grace is over, or the
    // runner is back and has forgotten.
    runner.start_again();
    let said = answer.to_its_end().await;
    assert!(
        said.contains("\"error\""),
        "the stream ends with an error event: {said}"
    );
    world.admin.ask_for_paris(TINY).await;
}

async fn a_runner_that_is_told_to_stop_leaves_no_engine(database: DatabaseKind) {
    let (world, mut runner) = World::with_runner(database).await;
    world.admin.ask_for_paris(TINY).await;
    assert_eq!(world.engines().len(), 1);
    assert!(
        runner.process.stop().await.success(),
        "{}",
        runner.process.log()
    );
    assert_eq!(world.engines(), Vec::<i32>::new());
}

async fn the_control_plane_started_again_finds_its_runner_and_the_engine_goes_on(
    database: DatabaseKind,
) {
    let (mut world, runner) = World::with_runner(database).await;
    world.admin.ask_for_paris(TINY).await;
    let engines = world.engines();
    assert!(world.server.process().stop().await.success());
    world.server.start().await;
    world.until_online(runner.id).await;
    world.admin.ask_for_paris(TINY).await;
    assert_eq!(
        world.engines(),
        engines,
        "the instance that ran was taken over"
    );
}

async fn two_runners_share_the_work(database: DatabaseKind) {
    let world = World::empty(database).await;
    world
        .register_tiny(ModelSettings {
            parallel: 1,
            ..ModelSettings::default()
        })
        .await;
    let runners = [world.runner("one").await, world.runner("two").await];
    // One place on each: the second answer begins while the first goes on.
    let first = world.admin.endless(TINY).await;
    let second = world.admin.endless(TINY).await;
    for runner in &runners {
        let busy = eventually("an instance at work on each runner", SOON, async || {
            let instances = world.view(runner.id).await.instances;
            let at_work = instances
                .iter()
                .filter(|instance| instance.in_flight == 1)
                .count();
            if at_work == 1 {
                Ok(instances)
            } else {
                Err(instances)
            }
        });
        let busy = busy.await;
        assert_eq!(busy[0].status.state, InstanceState::Ready);
    }
    drop((first, second));
    // Without one of them, the other does it alone.
    let [mut gone, _stays] = runners;
    gone.process.kill().await;
    eventually("the work to go on", Duration::from_secs(60), async || {
        let (status, answer) = world.admin.chat(TINY, "ping").await;
        if status.is_success() {
            Ok(())
        } else {
            Err(answer)
        }
    })
    .await;
}
