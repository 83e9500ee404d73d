//! Where a sandbox is in its life: a pure state machine.
