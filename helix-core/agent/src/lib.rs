#![doc = include_str!("../README.md")]

pub mod control;
pub mod host;
mod step;
pub mod turn;

pub use step::{Gap, Step};
