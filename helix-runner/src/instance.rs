//! One model instance: its life as a pure state machine, and the driver that
//! carries it out.

mod diagnosis;
mod driver;
mod flight;
mod gate;
mod machine;
mod policy;
mod work;

pub(crate) use driver::{Context, Driver, Order};
pub(crate) use flight::{Flight, InFlight};
pub(crate) use gate::{Gate, Upstream};
pub use machine::{Action, Event, Fault, Machine};
pub use policy::LifeOptions;
