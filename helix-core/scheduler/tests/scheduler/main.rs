//! The scheduler's rules, one by one, and a simulated world in which all of
//! them meet.

mod away;
mod disorder;
mod life;
mod placement;
mod queue;
mod simulation;
mod world;
