//! A machine with devices that runs models for a Helix control plane: library and daemon
