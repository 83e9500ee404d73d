#![doc = include_str!("../README.md")]

mod decision;
pub mod estimate;
mod event;
mod fleet;
mod options;
pub mod sandboxes;
mod scheduler;
mod wait;

pub use decision::{Action, Decision, RejectReason, StopReason};
pub use event::{DeviceClass, Event, LearnedFrom, LearnedNeed, ModelSpec, Outcome, RequestSpec};
pub use options::Options;
pub use scheduler::{InstanceView, Scheduler, Stage};
pub use wait::WaitReason;
