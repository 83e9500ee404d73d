//! A Docker daemon of a sandbox's own, inside it.
