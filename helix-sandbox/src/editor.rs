//! An editor in a sandbox joins the conversation with its agent: to the editor this program is an
//! agent that speaks the Agent Client Protocol on standard input and output; what it says is the
//! session's log, which the sandbox's host reads for it, and what it is asked goes into the same
//! queue as everybody's prompts.
//!
//! [`desk`] decides, and is pure; [`view`] makes of the log what an editor shows; [`link`] is the
//! way to the host, which may be away for a while.

mod desk;
mod link;
pub(crate) mod serve;
mod view;
mod words;

use std::path::PathBuf;

use agent_client_protocol::Stdio;

use crate::Error;

/// What the program for editors is told.
#[derive(Debug)]
pub struct EditorOptions {
    /// The Unix socket at which the sandbox's host takes calls.
    pub socket: PathBuf,
}

/// Speaks on this process' standard input and output until they end.
///
/// # Errors
///
/// The streams break.
pub async fn edit(options: EditorOptions) -> Result<(), Error> {
    serve::serve(options.socket, Stdio::new()).await
}
