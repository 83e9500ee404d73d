//! An engine brought up for a check.

use std::time::Duration;

use helix_base::{ExposeSecret as _, TaskGroup};
use helix_proto::model::ModelSource;
use http::Method;
use serde_json::{Value, json};

use super::{Subject, client};
use crate::{
    engine::{Endpoint, Error, Job, Plan, ProgressSink, Readiness},
    process::{Exit, LogBuffer, Running},
};

/// A running engine. Dropping it kills its process.
pub(super) struct Up {
    pub(super) endpoint: Endpoint,
    pub(super) process: Option<Running>,
    plan: Plan,
    log: LogBuffer,
    ends_within: Duration,
    _tasks: TaskGroup,
}

/// Why an engine did not come up.
pub(super) enum Down {
    /// The engine said so.
    Refused(Error),
    /// Its process ended.
    Ended(Exit, Vec<String>),
    /// Something else.
    Other(String),
}

impl Down {
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Refused(error) => error.to_string(),
            Self::Ended(exit, log) => format!("the process {exit}: {log:?}"),
            Self::Other(why) => why.clone(),
        }
    }
}

impl From<Error> for Down {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<String> for Down {
    fn from(why: String) -> Self {
        Self::Other(why)
    }
}

impl Up {
    pub(super) async fn bring(subject: &Subject, source: &ModelSource) -> Result<Self, Down> {
        let job = subject.job(source);
        let (sink, _progress) = ProgressSink::new();
        let engine = &subject.engine;
        let weights = engine.fetch(&job, &sink).await?;
        let plan = engine.plan(&job, &weights, free_port()?).await?;
        let (tasks, log) = (TaskGroup::new(), LogBuffer::new(200));
        let process = match &plan.process {
            Some(spec) => {
                let started = Running::start(&subject.supervisor, spec, &log, &tasks);
                Some(started.map_err(|error| error.to_string())?)
            }
            None => None,
        };
        let endpoint = Endpoint {
            url: plan.url.clone(),
            key: plan.key.clone(),
            client: client()?,
        };
        let mut up = Self {
            endpoint,
            process,
            plan,
            log,
            ends_within: subject.ends_within,
            _tasks: tasks,
        };
        up.until_ready(subject, &job, &sink).await?;
        Ok(up)
    }

    async fn until_ready(
        &mut self,
        subject: &Subject,
        job: &Job,
        sink: &ProgressSink,
    ) -> Result<(), Down> {
        let (engine, endpoint) = (&subject.engine, &self.endpoint);
        let coming_up = async {
            while !matches!(engine.probe(endpoint).await, Ok(Readiness::Ready)) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            // Twice, for it is to be idempotent.
            engine.load(job, endpoint, sink).await?;
            engine.load(job, endpoint, sink).await.map_err(Down::from)
        };
        let ended = async {
            match &mut self.process {
                Some(process) => process.wait().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            came = tokio::time::timeout(subject.ready_within, coming_up) => match came {
                Ok(came) => came,
                Err(_) => Err(format!("not ready in time: {:?}", self.log.tail(20)).into()),
            },
            exit = ended => Err(Down::Ended(exit, self.log.tail(20))),
        }
    }

    fn chat(&self, question: &str, more: &Value) -> reqwest::RequestBuilder {
        let mut body = json!({
            "model": self.plan.engine_model,
            "temperature": 0,
            "messages": [{ "role": "user", "content": question }],
        });
        if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) {
            body.extend(more.clone());
        }
        self.endpoint
            .request(Method::POST, "/v1/chat/completions")
            .json(&body)
    }

    /// Asks, and waits for the whole answer.
    pub(super) async fn ask(&self, question: &str) -> Result<String, String> {
        let request = self
            .chat(question, &json!({}))
            .timeout(Duration::from_secs(60));
        let answer = request.send().await.map_err(|error| error.to_string())?;
        answer.text().await.map_err(|error| error.to_string())
    }

    /// Asks for a very long answer, and waits for its beginning.
    pub(super) async fn begin_long_answer(
        &self,
        question: &str,
    ) -> Result<reqwest::Response, String> {
        let long = json!({ "stream": true, "max_tokens": 100_000_000, "ignore_eos": true });
        let mut answer = self
            .chat(question, &long)
            .send()
            .await
            .map_err(|error| error.to_string())?;
        let first = tokio::time::timeout(Duration::from_secs(60), answer.chunk()).await;
        match first {
            Ok(Ok(Some(_))) => Ok(answer),
            _ => Err("a long answer did not begin".to_owned()),
        }
    }

    /// Waits until `text` is, or is not, on a page.
    pub(super) async fn until_page(
        &self,
        path: &str,
        text: &str,
        wanted: bool,
    ) -> Result<(), String> {
        let asking = async {
            loop {
                let page = self.endpoint.request(Method::GET, path).send().await;
                let page = match page {
                    Ok(page) => page.text().await.unwrap_or_default(),
                    Err(_) => String::new(),
                };
                if page.contains(text) == wanted {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let within = tokio::time::timeout(Duration::from_secs(15), asking).await;
        within.map_err(|_| format!("{path} never became `{text}` = {wanted}"))
    }

    /// Whether the secret, if there is one, is asked for.
    pub(super) async fn asks_for_key(&self) -> Result<(), String> {
        let Some(key) = &self.plan.key else {
            return Ok(());
        };
        let stranger = Endpoint {
            key: None,
            ..self.endpoint.clone()
        };
        let request = stranger.request(Method::POST, "/v1/chat/completions");
        let body = json!({ "model": self.plan.engine_model, "messages": [] });
        let answer = request
            .json(&body)
            .send()
            .await
            .map_err(|error| error.to_string())?;
        let refused = matches!(answer.status().as_u16(), 401 | 403);
        if refused && !key.expose_secret().is_empty() {
            Ok(())
        } else {
            Err(format!("a stranger is answered with {}", answer.status()))
        }
    }

    /// Asks the process to end, and waits.
    pub(super) async fn end(mut self) -> Result<(), String> {
        let Some(process) = &mut self.process else {
            return Ok(());
        };
        process.terminate();
        let within = self.ends_within;
        let ended = tokio::time::timeout(within, process.wait()).await;
        ended
            .map(drop)
            .map_err(|_| format!("the process does not end within {within:?} of SIGTERM"))
    }
}

pub(super) fn free_port() -> Result<u16, String> {
    let listener =
        std::net::TcpListener::bind(("127.0.0.1", 0)).map_err(|error| error.to_string())?;
    listener
        .local_addr()
        .map(|address| address.port())
        .map_err(|error| error.to_string())
}
