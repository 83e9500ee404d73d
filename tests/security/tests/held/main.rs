//! Every promise of a sandbox, tried: held inside, and broken where the confinement is
//! not. See the crate's `attempts` for what is promised, and SECURITY.md for the table.

mod attempts;
mod outside;
mod routes;
mod table;
mod world;

use std::{io::Write as _, process::ExitCode, sync::Arc};

use attempts::{ATTEMPTS, Attempt};
use libtest_mimic::{Arguments, Failed, Trial};
use world::World;

fn main() -> ExitCode {
    // This program is also what builds a sandbox around itself, and what plays the outside.
    if let Some(ended) = helix_isolation::namespaces::launch_main(std::env::args_os()) {
        return ended;
    }
    if std::env::args().nth(1).as_deref() == Some(outside::ROLE) {
        return outside::play();
    }
    let arguments = Arguments::from_args();
    if arguments.list {
        return libtest_mimic::run(&arguments, trials(None)).exit_code();
    }
    // SAFETY: no pointers; cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        return skip("sandboxes are made by root, and this is not root");
    }
    let world = match World::make() {
        Ok(world) => Arc::new(world),
        Err(error) => {
            complain(&format!("cannot make the sandboxes to try: {error:#}"));
            return ExitCode::FAILURE;
        }
    };
    let conclusion = libtest_mimic::run(&arguments, trials(Some(&world)));
    if let Err(error) = world.remove() {
        complain(&format!("something was left behind: {error:#}"));
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

fn trials(world: Option<&Arc<World>>) -> Vec<Trial> {
    let mut trials: Vec<Trial> = ATTEMPTS
        .iter()
        .map(|attempt| {
            let world = world.cloned();
            Trial::test(attempt.name, move || match &world {
                Some(world) => try_it(world, attempt),
                None => Ok(()),
            })
        })
        .collect();
    trials.push(Trial::test("SECURITY.md lists every attempt", || {
        table::check().map_err(|error| Failed::from(format!("{error:#}")))
    }));
    trials
}

fn try_it(world: &World, attempt: &Attempt) -> Result<(), Failed> {
    let outside = world.baseline(attempt)?;
    if outside.kernel_lacks_it() {
        say(&format!(
            "skipped: {}: this kernel has no such thing: {}",
            attempt.name, outside.said
        ));
    } else if outside.code != Some(0) {
        return Err(
            format!("the attempt does not bite: without confinement it said: {outside}").into(),
        );
    }
    let inside = world.inside(attempt)?;
    if inside.code == Some(1) || inside.was_killed() {
        return Ok(());
    }
    Err(format!("NOT HELD: {inside}").into())
}

fn skip(why: &str) -> ExitCode {
    say(&format!("skipped: {why}"));
    ExitCode::SUCCESS
}

fn say(what: &str) {
    let _ = writeln!(std::io::stdout(), "{what}");
}

fn complain(what: &str) {
    let _ = writeln!(std::io::stderr(), "{what}");
}
