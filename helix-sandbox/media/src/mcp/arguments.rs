//! What tools are given. What is out of its bounds the desktop refuses, with the bounds.

use rmcp::schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Of a screenshot.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub(super) struct Screenshot {
    /// Whether the pointer is in the picture; it is if absent.
    pub(super) pointer: Option<bool>,
}

/// Which button of the pointer.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(crate = "rmcp::schemars")]
pub(super) enum Button {
    Left,
    Middle,
    Right,
    Back,
    Forward,
}

/// A key that is held meanwhile.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(crate = "rmcp::schemars")]
pub(super) enum Modifier {
    Shift,
    Ctrl,
    Alt,
    Super,
}

/// A pixel.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub(super) struct Place {
    /// From the left.
    x: u16,
    /// From the top.
    y: u16,
}

/// Of a click.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub(super) struct Click {
    /// Pixels from the left.
    x: u16,
    /// Pixels from the top.
    y: u16,
    /// The left one if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    button: Option<Button>,
    /// How often: 2 is a double click. Once if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u8>,
    /// Keys that are held meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    modifiers: Option<Vec<Modifier>>,
}

/// Of a move.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub(super) struct Move {
    /// Pixels from the left.
    x: u16,
    /// Pixels from the top.
    y: u16,
}

/// Of a drag.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub(super) struct Drag {
    /// Two places or more.
    path: Vec<Place>,
    /// The left one if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    button: Option<Button>,
    /// Keys that are held meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    modifiers: Option<Vec<Modifier>>,
    /// How long it takes, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u32>,
}

/// Of a turn of the wheel.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub(super) struct Scroll {
    /// Where; where the pointer is if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Place>,
    /// Notches to the right.
    #[serde(skip_serializing_if = "Option::is_none")]
    dx: Option<i16>,
    /// Notches down.
    #[serde(skip_serializing_if = "Option::is_none")]
    dy: Option<i16>,
    /// Keys that are held meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    modifiers: Option<Vec<Modifier>>,
}

/// Text.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub(super) struct Text {
    /// As it is to be.
    pub(super) text: String,
}

/// Of keys that are pressed together.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub(super) struct Key {
    /// X11's names, joined by `+`, such as `ctrl+shift+t`.
    keys: String,
    /// How often; once if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u8>,
}

/// A window.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub(super) struct Window {
    /// Its number, of `windows`.
    pub(super) id: u64,
}
