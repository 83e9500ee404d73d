//! What every part stands on, and the handle on the whole.

use std::{net::SocketAddr, sync::Arc};

use helix_base::{Clock, Ids, Outbound, TaskGroup};

use crate::{
    Options,
    agents::Agents,
    api::streams::Streams,
    auth::{Auth, SessionKeys},
    events::Bus,
    fleet::Fleet,
    inference::Inference,
    metrics::Metrics,
    sandboxes::Sandboxes,
    seal::Seal,
    secrets::Secrets,
    sessions::{Direct, Sessions},
    sharing::Sharing,
    store::Store,
    workspaces::Workspaces,
};

/// What every part of a control plane stands on. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Foundation {
    /// How it was told to run.
    pub options: Arc<Options>,
    /// The database.
    pub store: Store,
    /// What secrets are sealed with on their way into the database.
    pub seal: Seal,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: Ids,
    /// Notices between writers and readers.
    pub bus: Arc<dyn Bus>,
    /// Where every task belongs.
    pub tasks: TaskGroup,
    /// Everything that dials out.
    pub outbound: Outbound,
    /// What is counted and measured.
    pub metrics: Metrics,
    /// The address that is listened on.
    pub listening: SocketAddr,
    /// How people reach the control plane, without a slash at the end.
    pub public_url: Arc<str>,
    /// When it started, in milliseconds since the Unix epoch.
    pub started_at_ms: u64,
}

/// The handle on a running control plane, and the state of every route. Cheap
/// to clone.
#[derive(Debug, Clone)]
pub struct App {
    parts: Arc<Parts>,
}

#[derive(Debug)]
struct Parts {
    foundation: Foundation,
    auth: Auth,
    session_keys: SessionKeys,
    fleet: Fleet,
    inference: Inference,
    sessions: Sessions,
    sandboxes: Sandboxes,
    agents: Agents,
    secrets: Secrets,
    sharing: Sharing,
    workspaces: Workspaces,
    setup_link: Option<String>,
    streams: Streams,
    relays: Streams,
}

impl App {
    /// Starts every part.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn start(foundation: Foundation) -> Result<Self, crate::serve::Error> {
        let auth = Auth::new(&foundation);
        let session_keys = SessionKeys::start(&foundation, &auth);
        let setup_link = auth.prepare_setup(&foundation.public_url).await?;
        let fleet = Fleet::start(&foundation).await?;
        let inference = Inference::start(&foundation, &fleet).await?;
        let direct = Direct {
            inference: inference.clone(),
            deadline: foundation.options.queue.deadline,
        };
        let sessions = Sessions::start(&foundation, Arc::new(direct)).await?;
        let sandboxes = Sandboxes::start(&foundation).await?;
        let secrets = Secrets::new(&foundation);
        let sharing = Sharing::new(&foundation);
        let workspaces = Workspaces::new(sandboxes.clone());
        let agents = Agents::start(
            &foundation,
            &sessions,
            &sandboxes,
            &workspaces,
            &secrets,
            &session_keys,
        )
        .await?;
        Ok(Self {
            parts: Arc::new(Parts {
                foundation,
                auth,
                session_keys,
                fleet,
                inference,
                sessions,
                sandboxes,
                agents,
                secrets,
                sharing,
                workspaces,
                setup_link,
                streams: Streams::default(),
                relays: Streams::default(),
            }),
        })
    }

    /// What every part stands on.
    pub fn foundation(&self) -> &Foundation {
        &self.parts.foundation
    }

    /// How it was told to run.
    pub fn options(&self) -> &Options {
        &self.parts.foundation.options
    }

    /// The database.
    pub fn store(&self) -> &Store {
        &self.parts.foundation.store
    }

    /// What secrets are sealed with on their way into the database.
    pub fn seal(&self) -> &Seal {
        &self.parts.foundation.seal
    }

    /// Accounts, sign-in and API keys.
    pub fn auth(&self) -> &Auth {
        &self.parts.auth
    }

    /// Keys bound to sessions, for the agents in them.
    pub fn session_keys(&self) -> &SessionKeys {
        &self.parts.session_keys
    }

    /// Live streams.
    pub(crate) fn streams(&self) -> &Streams {
        &self.parts.streams
    }

    /// Requests into sandboxes.
    pub(crate) fn relays(&self) -> &Streams {
        &self.parts.relays
    }

    /// The link that makes the first administrator, when the control plane
    /// started without any account.
    pub fn setup_link(&self) -> Option<&str> {
        self.parts.setup_link.as_deref()
    }

    /// Runners.
    pub fn fleet(&self) -> &Fleet {
        &self.parts.fleet
    }

    /// Models, queue, providers.
    pub fn inference(&self) -> &Inference {
        &self.parts.inference
    }

    /// Conversations.
    pub fn sessions(&self) -> &Sessions {
        &self.parts.sessions
    }

    /// Users' secrets.
    pub fn secrets(&self) -> &Secrets {
        &self.parts.secrets
    }

    /// Who may do what in a session and in a sandbox.
    pub fn sharing(&self) -> &Sharing {
        &self.parts.sharing
    }

    /// Git repositories in sandboxes.
    pub fn workspaces(&self) -> &Workspaces {
        &self.parts.workspaces
    }

    /// Sandboxes and their hosts.
    pub fn sandboxes(&self) -> &Sandboxes {
        &self.parts.sandboxes
    }

    /// Agents at work in sandboxes.
    pub fn agents(&self) -> &Agents {
        &self.parts.agents
    }
}
