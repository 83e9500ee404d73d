//! The checks, in the order of the contract.

use std::time::Duration;

use helix_proto::{model::ModelSource, runner::FailureKind};

use super::{
    Subject, client,
    up::{Down, Up, free_port},
};
use crate::engine::{Endpoint, Error, ProgressSink, Readiness, Weights};

type Checked = Result<(), String>;

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(otherwise()) }
}

pub(super) async fn detect(subject: &Subject) -> Checked {
    let info = subject.engine.detect().await;
    ensure(info.kind == subject.engine.capability().kind, || {
        "it is another kind".to_owned()
    })?;
    ensure(info.available, || {
        format!("it is not available: {}", info.detail)
    })?;
    ensure(!info.detail.is_empty(), || "it says nothing".to_owned())?;
    ensure(subject.engine.detect().await == info, || {
        "it changes its mind".to_owned()
    })
}

pub(super) async fn other_sources(subject: &Subject) -> Checked {
    let capability = subject.engine.capability();
    let text = |text: &str| text.to_owned();
    let all = [
        (
            capability.from_file,
            ModelSource::File {
                path: text("/nonexistent"),
            },
        ),
        (
            capability.from_hugging_face,
            ModelSource::HuggingFace {
                repo: text("o/m"),
                revision: None,
                file: None,
            },
        ),
        (
            capability.from_ollama,
            ModelSource::Ollama { name: text("m") },
        ),
        (
            capability.from_url,
            ModelSource::External {
                url: text("http://127.0.0.1:1"),
                model: None,
            },
        ),
    ];
    for (_, source) in all.iter().filter(|(supported, _)| !supported) {
        match fetch(subject, source).await {
            Err(Error::Unsupported(_)) => {}
            other => return Err(format!("{source:?} gives {other:?}")),
        }
    }
    Ok(())
}

async fn fetch(subject: &Subject, source: &ModelSource) -> Result<Weights, Error> {
    let (sink, _progress) = ProgressSink::new();
    subject.engine.fetch(&subject.job(source), &sink).await
}

pub(super) async fn missing(subject: &Subject) -> Checked {
    if !subject.engine.capability().process {
        // Nobody but the server knows what it has; that it is not there shows
        // in that it never becomes ready.
        return Ok(());
    }
    match Up::bring(subject, &subject.missing).await {
        Err(Down::Refused(error)) if error.failure_kind() == FailureKind::ModelMissing => Ok(()),
        Err(down) => Err(down.describe()),
        Ok(_) => Err("it came up".to_owned()),
    }
}

pub(super) async fn fetch_twice(subject: &Subject) -> Checked {
    let source = &subject.works.source;
    {
        let mut dropped = std::pin::pin!(fetch(subject, source));
        // However far it came.
        let _ = futures_util::poll!(&mut dropped);
    }
    let first = fetch(subject, source)
        .await
        .map_err(|error| error.to_string())?;
    let second = fetch(subject, source)
        .await
        .map_err(|error| error.to_string())?;
    ensure(first == second, || format!("{first:?}, then {second:?}"))
}

pub(super) async fn plan_twice(subject: &Subject) -> Checked {
    let source = &subject.works.source;
    let weights = fetch(subject, source)
        .await
        .map_err(|error| error.to_string())?;
    let (job, port) = (subject.job(source), free_port()?);
    let plan = || async {
        subject
            .engine
            .plan(&job, &weights, port)
            .await
            .map_err(|error| error.to_string())
    };
    let (first, second) = (plan().await?, plan().await?);
    let capability = subject.engine.capability();
    ensure(
        first.process == second.process && first.url == second.url,
        || "two plans differ".to_owned(),
    )?;
    ensure(first.process.is_some() == capability.process, || {
        "capability and plan differ".to_owned()
    })?;
    if capability.process {
        ensure(first.url.host_str() == Some("127.0.0.1"), || {
            format!("it binds {}", first.url)
        })?;
        ensure(first.url.port() == Some(port), || {
            format!("it binds {}", first.url)
        })?;
    }
    Ok(())
}

pub(super) async fn nothing_there(subject: &Subject) -> Checked {
    let url = format!("http://127.0.0.1:{}", free_port()?)
        .parse()
        .map_err(|_| "no URL".to_owned())?;
    let endpoint = Endpoint {
        url,
        key: None,
        client: client()?,
    };
    let probe =
        tokio::time::timeout(Duration::from_secs(11), subject.engine.probe(&endpoint)).await;
    match probe {
        Ok(Ok(Readiness::Loading)) => Ok(()),
        other => Err(format!("it says {other:?}")),
    }
}

pub(super) async fn answers(subject: &Subject) -> Checked {
    let up = Up::bring(subject, &subject.works.source)
        .await
        .map_err(|down| down.describe())?;
    let (question, expected) = &subject.question;
    let answer = up.ask(question).await?;
    ensure(answer.contains(expected), || format!("it answers {answer}"))?;
    if subject.engine.capability().process {
        up.asks_for_key().await?;
    }
    up.end().await
}

pub(super) async fn dropped_request(subject: &Subject) -> Checked {
    let Some((path, marker)) = &subject.busy else {
        return Ok(());
    };
    let up = Up::bring(subject, &subject.works.source)
        .await
        .map_err(|down| down.describe())?;
    let answer = up.begin_long_answer(&subject.question.0).await?;
    up.until_page(path, marker, true).await?;
    drop(answer);
    up.until_page(path, marker, false).await?;
    up.end().await
}

pub(super) async fn ends_and_starts_again(subject: &Subject) -> Checked {
    for _ in 0..2 {
        let up = Up::bring(subject, &subject.works.source)
            .await
            .map_err(|down| down.describe())?;
        up.end().await?;
    }
    Ok(())
}

pub(super) async fn broken_model(subject: &Subject) -> Checked {
    let Some(broken) = &subject.broken else {
        return Ok(());
    };
    match Up::bring(subject, broken).await {
        Ok(_) => Err("it was reported as ready".to_owned()),
        Err(Down::Other(why)) => Err(why),
        Err(Down::Refused(_) | Down::Ended(..)) => Ok(()),
    }
}
