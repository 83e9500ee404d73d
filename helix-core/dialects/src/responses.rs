//! OpenAI's Responses API.
//!
//! Nothing is stored: what refers to an answer of before (`previous_response_id`, `conversation`,
//! `item_reference`) is refused, and `store` is answered with `false`. Tools that OpenAI's service
//! runs (`web_search`, `code_interpreter` and the like) are not offered to the model, which the
//! answer's `tools` shows; to demand one is refused. Custom tools become functions with one text,
//! `input`; a grammar is described to the model, and not enforced.

mod answer;
mod input;
mod item;
mod request;
mod tools;

pub use answer::Answer;
pub use request::Request;
