//! A control plane that listens on a port of its own, and who uses it.

use std::{sync::Arc, time::Duration};

use helix_base::{Outbound, OutboundOptions, ShutdownReport, SystemClock, TaskGroup};
use helix_server::{
    App, Options, Server,
    options::{ProviderKind, ProviderOptions},
};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::{
    model::Model,
    person::{Person, Proof},
    postgres,
};

pub(crate) const PASSWORD: &str = "correct horse battery";

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// A control plane and what it stands on.
pub(crate) struct World {
    pub(crate) kind: Kind,
    pub(crate) app: App,
    pub(crate) model: Model,
    pub(crate) folder: TempDir,
    options: Options,
    tasks: TaskGroup,
    stop: Option<oneshot::Sender<()>>,
    ended: Option<tokio::task::JoinHandle<Option<ShutdownReport>>>,
}

/// Options of a control plane in a folder.
pub(crate) fn options(folder: &TempDir) -> Options {
    Options {
        data_dir: folder.path().to_owned(),
        listen: "127.0.0.1:0".parse().unwrap(),
        registration_open: true,
        shutdown_budget: Duration::from_secs(6),
        ..Options::default()
    }
}

impl World {
    pub(crate) async fn start(kind: Kind) -> Self {
        Self::start_with(kind, |_| {}).await
    }

    pub(crate) async fn start_with(kind: Kind, change: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tasks = TaskGroup::new();
        let model = Model::start(&tasks).await;
        let mut options = options(&folder);
        if kind == Kind::Postgres {
            options.database_url = Some(postgres::database().into());
        }
        options.providers.push(ProviderOptions {
            name: "scripted".into(),
            base_url: model.base_url.parse().unwrap(),
            kind: ProviderKind::Openai,
            api_key: None,
            models: Vec::new(),
            timeout: None,
        });
        change(&mut options);
        Self::serve(options, folder, model, tasks).await
    }

    async fn serve(options: Options, folder: TempDir, model: Model, tasks: TaskGroup) -> Self {
        let server = Server::build_with(options.clone(), Arc::new(SystemClock))
            .await
            .unwrap();
        let app = server.app();
        let (stop, stopped) = oneshot::channel::<()>();
        let ended = tasks.spawn("server", async move {
            server
                .run(async {
                    let _ = stopped.await;
                })
                .await
        });
        let kind = match options.database_url {
            None => Kind::Sqlite,
            Some(_) => Kind::Postgres,
        };
        Self {
            kind,
            app,
            model,
            folder,
            options,
            tasks,
            stop: Some(stop),
            ended: Some(ended),
        }
    }

    /// Stops the control plane as SIGTERM does.
    pub(crate) async fn stop(&mut self) -> ShutdownReport {
        drop(self.stop.take());
        self.ended.take().unwrap().await.unwrap().unwrap()
    }

    /// Ends the control plane where it stands, as a crash does, and starts one
    /// on the same database.
    pub(crate) async fn crash_and_restart(mut self) -> Self {
        self.app.foundation().tasks.cancel();
        self.stop().await;
        self.restart().await
    }

    /// Starts another control plane on the database of one that ended.
    pub(crate) async fn restart(self) -> Self {
        assert!(self.ended.is_none(), "it still runs");
        Self::serve(self.options, self.folder, self.model, self.tasks).await
    }

    /// As [`Self::restart`], with other options.
    pub(crate) async fn restart_with(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(&mut self.options);
        self.restart().await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.app.foundation().listening)
    }

    /// Nobody that the control plane knows.
    pub(crate) fn stranger(&self) -> Person {
        let outbound = Outbound::new(&OutboundOptions::default()).unwrap();
        Person {
            http: outbound.http().clone(),
            url: self.url(),
            proof: Proof::None,
        }
    }

    /// The first administrator, made with the set-up link.
    pub(crate) async fn admin(&self) -> Person {
        let link = self.app.setup_link().expect("a set-up link");
        let (_, token) = link.split_once("token=").unwrap();
        let body = json!({"email": "admin@example.org", "name": "Admin", "password": PASSWORD, "setup_token": token});
        let answer = self.stranger().post("/api/v1/auth/register", body).await;
        assert_eq!(answer.status, 201, "{:?}", answer.body);
        self.stranger().with(Proof::Cookie(answer.cookie()))
    }

    /// A member, who registered; needs the admin to be there.
    pub(crate) async fn member(&self, name: &str) -> Person {
        let email = format!("{name}@example.org");
        let body = json!({"email": email, "name": name, "password": PASSWORD});
        let answer = self.stranger().post("/api/v1/auth/register", body).await;
        assert_eq!(answer.status, 201, "{:?}", answer.body);
        self.stranger().with(Proof::Cookie(answer.cookie()))
    }
}

/// Waits until `ask` gives an answer, within 20 s.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(found) = ask().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), asking)
        .await
        .unwrap_or_else(|_| panic!("waited too long for {what}"))
}
