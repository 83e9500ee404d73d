//! The desktop's sound.

use std::{env, path::Path, sync::Arc};

use async_trait::async_trait;
use helix_base::{Clock, TaskGroup};
use helix_proto::desktop::Size;
use helix_stream::{
    Error,
    desktop::Desktop,
    serve::Starter,
    sound::{
        Sound,
        pulse::{Options, Pulse},
    },
};

/// A sound server for what runs on the desktop; none where this system has none, and the log
/// says why.
pub(crate) fn server(
    runtime_dir: &Path,
    clock: &Arc<dyn Clock>,
    tasks: &TaskGroup,
) -> Option<Arc<Pulse>> {
    let options = Options {
        program: "pulseaudio".into(),
        runtime_dir: runtime_dir.to_owned(),
        env: env::vars_os().collect(),
    };
    match Pulse::prepare(options, Arc::clone(clock), tasks) {
        Ok(pulse) => Some(Arc::new(pulse)),
        Err(why) => {
            tracing::info!(%why, "this desktop has no sound");
            None
        }
    }
}

/// Starts desktops of one kind, with sound.
#[derive(Debug)]
pub(crate) struct WithSound {
    pub(crate) starter: Arc<dyn Starter>,
    pub(crate) sound: Option<Arc<dyn Sound>>,
}

#[async_trait]
impl Starter for WithSound {
    fn size(&self) -> Size {
        self.starter.size()
    }

    async fn start(&self) -> Result<Arc<dyn Desktop>, Error> {
        self.starter.start().await
    }

    fn sound(&self) -> Option<Arc<dyn Sound>> {
        self.sound.clone()
    }
}
