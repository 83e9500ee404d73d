//! What was done, how long it took, and how it went.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::{process::now, workspace::Workspace};

/// Stages in the order in which they ran.
#[derive(Debug, Default)]
pub(crate) struct Report {
    stages: Vec<Stage>,
}

#[derive(Debug)]
struct Stage {
    name: &'static str,
    took: Duration,
    error: Option<String>,
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
        let error = run().err().map(|error| format!("{error:#}"));
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
        let total: Duration = self.stages.iter().map(|stage| stage.took).sum();
        println!("{:<28} {:>7.1} s", "all", total.as_secs_f64());
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
