//! Nothing is left.
pub(crate) fn trials(_trials: &mut Vec<libtest_mimic::Trial>) {}
