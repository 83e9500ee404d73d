//! The Helix control plane: API, accounts, scheduling, sessions, web app; library and daemon
