//! Placement, queue, fairness and eviction of models on devices, as a pure state machine
