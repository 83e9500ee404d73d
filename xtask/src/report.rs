//! What was done, how long it took, and how it went.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::{process::now, workspace::Workspace};

/// Stages in the order in which they ran.
#[derive(Debug)]
pub(crate) struct Report {
    started: Instant,
    stages: Vec<Stage>,
}

#[derive(Debug)]
struct Stage {
    name: &'static str,
    took: Duration,
    error: Option<String>,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            started: now(),
            stages: Vec::new(),
        }
    }
}

impl Report {
    /// Runs one stage. A failure is kept for the end, so that what does not
    /// depend on the stage still runs; says whether it went well.
    pub(crate) fn stage(
        &mut self,
        workspace: &Workspace,
        name: &'static str,
        run: impl FnOnce() -> Result<()>,
    ) -> bool {
        if workspace.stopped() {
            return false;
        }
        println!("\n==> {name}");
        let started = now();
        self.note(name, started, run())
    }

    /// Runs one stage beside others: what it has to say is shown in one piece when it has
    /// ended.
    pub(crate) fn stage_aside(
        &mut self,
        workspace: &Workspace,
        name: &'static str,
        run: impl FnOnce(&mut String) -> Result<()>,
    ) -> bool {
        if workspace.stopped() {
            return false;
        }
        println!("\n(beside it begins: {name})");
        let started = now();
        let mut said = String::new();
        let outcome = run(&mut said);
        println!("\n==> {name}, which ran beside\n{said}");
        self.note(name, started, outcome)
    }

    /// Runs stages `here` and, at the same time, stages `aside`.
    pub(crate) fn beside(
        &mut self,
        here: impl FnOnce(&mut Self),
        aside: impl FnOnce(&mut Self) + Send,
    ) {
        let mut others = Self::default();
        std::thread::scope(|scope| {
            scope.spawn(|| aside(&mut others));
            here(self);
        });
        self.stages.append(&mut others.stages);
    }

    fn note(&mut self, name: &'static str, started: Instant, outcome: Result<()>) -> bool {
        let error = outcome.err().map(|error| format!("{error:#}"));
        if let Some(error) = &error {
            eprintln!("{name} failed: {error}");
        }
        let went_well = error.is_none();
        self.stages.push(Stage {
            name,
            took: started.elapsed(),
            error,
        });
        went_well
    }

    /// Notes a stage that cannot run because of one that failed.
    pub(crate) fn cannot_run(&mut self, name: &'static str, needs: &str) {
        let error = Some(format!("not run: {needs} failed"));
        self.stages.push(Stage {
            name,
            took: Duration::ZERO,
            error,
        });
    }

    /// Prints every stage with its time; fails if any did.
    pub(crate) fn finish(&self, workspace: &Workspace) -> Result<()> {
        println!();
        for stage in &self.stages {
            let outcome = if stage.error.is_none() {
                "ok"
            } else {
                "FAILED"
            };
            println!(
                "{:<28} {:>7.1} s  {outcome}",
                stage.name,
                stage.took.as_secs_f64()
            );
        }
        let all = self.started.elapsed().as_secs_f64();
        println!("{:<28} {all:>7.1} s", "all");
        if workspace.stopped() {
            bail!("interrupted");
        }
        let failed: Vec<_> = self
            .stages
            .iter()
            .filter(|stage| stage.error.is_some())
            .collect();
        for stage in &failed {
            let first_lines: Vec<_> = stage
                .error
                .as_deref()
                .unwrap_or_default()
                .lines()
                .take(6)
                .collect();
            println!("failed: {}: {}", stage.name, first_lines.join("\n    "));
        }
        match failed.len() {
            0 => Ok(()),
            1 => bail!("one stage failed"),
            count => bail!("{count} stages failed"),
        }
    }
}
