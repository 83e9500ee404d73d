#![doc = include_str!("../README.md")]

pub mod dns;
pub mod docker;
pub mod guest;
pub mod images;
mod isolation;
pub mod lifecycle;
pub mod namespaces;
pub mod network;

pub use isolation::{
    Connection, Environment, Error, ErrorKind, Found, FoundState, Isolation, Watch,
};
