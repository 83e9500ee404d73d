//! What becomes of what the control plane no longer knows.

use std::collections::HashMap;

use helix_proto::sandbox::host::LiveSetDecision;

/// Since when the control plane does not know what is here. A host that starts anew
/// grants everything its grace anew.
#[derive(Debug, Default)]
pub(crate) struct Unknown {
    since: HashMap<String, u64>,
}

impl Unknown {
    /// What to do with each of `here`, of which `known` says whether the control plane
    /// knows it. A dry run remembers nothing.
    pub(crate) fn decide(
        &mut self,
        here: impl IntoIterator<Item = (String, bool)>,
        grace_ms: u64,
        now: u64,
        dry_run: bool,
    ) -> Vec<LiveSetDecision> {
        let mut since = HashMap::new();
        let mut decisions = Vec::new();
        for (id, known) in here {
            if known {
                let reason = "the control plane knows it".to_owned();
                decisions.push(LiveSetDecision {
                    id,
                    remove: false,
                    reason,
                });
                continue;
            }
            let first = self.since.get(&id).copied().unwrap_or(now);
            since.insert(id.clone(), first);
            let unknown = now.saturating_sub(first);
            let remove = unknown >= grace_ms;
            let reason = format!(
                "the control plane has not known it for {} s; it is removed after {} s",
                unknown / 1000,
                grace_ms / 1000
            );
            decisions.push(LiveSetDecision { id, remove, reason });
        }
        if !dry_run {
            self.since = since;
        }
        decisions.sort_by(|one, other| one.id.cmp(&other.id));
        decisions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn removed(unknown: &mut Unknown, known: bool, now: u64, dry_run: bool) -> bool {
        let here = [("sbx_1".to_owned(), known), ("sbx_2".to_owned(), true)];
        let decisions = unknown.decide(here, 60_000, now, dry_run);
        assert_eq!(decisions.len(), 2, "each has one");
        assert!(!decisions[1].remove);
        decisions[0].remove
    }

    #[test]
    fn what_is_unknown_is_removed_after_its_grace_and_not_before() {
        let mut unknown = Unknown::default();
        assert!(!removed(&mut unknown, false, 0, false));
        assert!(!removed(&mut unknown, false, 59_999, false));
        assert!(
            removed(&mut unknown, false, 60_000, true),
            "a dry run says it"
        );
        assert!(removed(&mut unknown, false, 60_000, false));
    }

    #[test]
    fn what_was_known_in_between_has_its_grace_anew_and_a_dry_run_begins_none() {
        let mut unknown = Unknown::default();
        assert!(!removed(&mut unknown, false, 0, true));
        assert!(!removed(&mut unknown, false, 60_000, false));
        assert!(!removed(&mut unknown, true, 100_000, false));
        assert!(!removed(&mut unknown, false, 120_000, false));
        assert!(removed(&mut unknown, false, 180_000, false));
    }
}
