//! Where the time of a start goes. Not run unless asked for: `-- --ignored speed`.

use std::{sync::Mutex, time::Instant};

use helix_isolation::{Isolation as _, Watch};
use helix_proto::sandbox::SandboxPhase;
use libtest_mimic::Trial;

use crate::support::{Place, sh, trial};

pub(crate) fn trials(trials: &mut Vec<Trial>) {
    trials.push(
        trial("speed: create, start, first output, remove", in_a_row).with_ignored_flag(true),
    );
}

struct Clocked(Instant, Mutex<Vec<(&'static str, f64)>>);

impl Clocked {
    fn mark(&self, what: &'static str) {
        self.1
            .lock()
            .unwrap()
            .push((what, self.0.elapsed().as_secs_f64() * 1e3));
    }
}

impl Watch for Clocked {
    fn phase(&self, phase: SandboxPhase) {
        self.mark(if phase == SandboxPhase::Guest {
            "isolation"
        } else {
            "waited"
        });
    }
}

#[expect(clippy::disallowed_methods, reason = "it measures")]
async fn in_a_row() {
    let place = Place::new().await;
    let mut rows: Vec<Vec<(&str, f64)>> = Vec::new();
    for _ in 0..40 {
        let spec = place.spec();
        let clocked = Clocked(Instant::now(), Mutex::default());
        let sandbox = place.backend().create(&spec).await.unwrap();
        clocked.mark("create");
        sandbox.start(&clocked).await.unwrap();
        clocked.mark("guest");
        sh(&sandbox, "true").await;
        clocked.mark("first output");
        place.backend().remove(spec.id).await.unwrap();
        clocked.mark("remove");
        rows.push(clocked.1.into_inner().unwrap());
    }
    for (column, (what, _)) in rows[0].iter().enumerate() {
        let mut times: Vec<f64> = rows
            .iter()
            .map(|row| row[column].1 - if column == 0 { 0.0 } else { row[column - 1].1 })
            .collect();
        times.sort_by(f64::total_cmp);
        println!(
            "{what:14} p50 {:7.2} ms  p90 {:7.2}  max {:7.2}",
            times[20], times[36], times[39]
        );
    }
    let mut first: Vec<f64> = rows.iter().map(|row| row[row.len() - 2].1).collect();
    first.sort_by(f64::total_cmp);
    println!(
        "create to first output: p50 {:.2} ms  p90 {:.2}  max {:.2}",
        first[20], first[36], first[39]
    );
    place.close().await;
}
