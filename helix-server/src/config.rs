//! Resolves [`Options`](crate::Options) from file, variables and flags.
