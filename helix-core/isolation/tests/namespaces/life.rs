//! A sandbox's life.

use libtest_mimic::Trial;

use helix_isolation::{FoundState, Isolation as _};

use crate::support::{Phases, Place, sh, trial};

pub(crate) fn trials(trials: &mut Vec<Trial>) {
    trials.push(trial(
        "a sandbox starts, answers, stops, keeps its files and is removed",
        || async {
            let place = Place::new().await;
            let sandbox = place.start(&place.spec()).await;
            assert_eq!(
                sh(&sandbox, "id -u; hostname; echo $$")
                    .await
                    .lines()
                    .take(2)
                    .collect::<Vec<_>>(),
                ["0", "test-box"]
            );
            assert_eq!(
                sh(&sandbox, "echo kept > /etc/kept; cat /etc/kept").await,
                "kept\n"
            );
            sandbox.stop().await.unwrap();
            sandbox.start(&Phases::default()).await.unwrap();
            assert_eq!(sh(&sandbox, "cat /etc/kept").await, "kept\n");
            assert!(!std::path::Path::new("/etc/kept").exists());
            let found = place.backend().found().await.unwrap();
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].state, FoundState::Running);
            place.close().await;
        },
    ));
}
