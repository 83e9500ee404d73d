//! Names for sandboxes: a resolver of its own for each.
