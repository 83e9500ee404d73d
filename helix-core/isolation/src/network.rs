//! A network of its own for each sandbox, and what it may reach.
