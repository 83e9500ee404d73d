//! What the Docker daemon says, as errors of this crate, and steps that are not cut short.

use std::fmt::Display;

use bollard::errors::Error as DockerError;
use helix_base::TaskGroup;
use tokio_util::sync::CancellationToken;

use crate::{Error, ErrorKind};

/// Says what was being done when the Docker daemon refused or failed.
pub(super) fn failed(what: impl Display) -> impl FnOnce(DockerError) -> Error {
    move |error| match error {
        DockerError::DockerResponseServerError {
            status_code,
            message,
        } => Error::new(
            kind(status_code, &message),
            format!("{what}: the Docker daemon says: {message}"),
        ),
        DockerError::RequestTimeoutError => Error::new(
            ErrorKind::Timeout,
            format!("{what}: the Docker daemon does not answer"),
        ),
        DockerError::IOError { err } => Error::io(what, err),
        other => Error::new(
            ErrorKind::Failed,
            format!("{what}: the Docker daemon cannot be used: {other}"),
        ),
    }
}

fn kind(status: u16, message: &str) -> ErrorKind {
    if message.contains("no space left") || message.contains("disk quota exceeded") {
        return ErrorKind::Full;
    }
    match status {
        400 => ErrorKind::Invalid,
        404 => ErrorKind::NotFound,
        409 => ErrorKind::Conflict,
        _ => ErrorKind::Failed,
    }
}

/// The status of an answer that is an error.
pub(super) const fn status(error: &DockerError) -> Option<u16> {
    match error {
        DockerError::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// What is there, or `None` where the daemon does not know it.
pub(super) fn found<T>(
    result: Result<T, DockerError>,
    what: impl Display,
) -> Result<Option<T>, Error> {
    match result {
        Ok(there) => Ok(Some(there)),
        Err(error) if status(&error) == Some(404) => Ok(None),
        Err(error) => Err(failed(what)(error)),
    }
}

/// Runs something to its end even if the caller is dropped: the Docker daemon goes on
/// with a request whose caller left, so somebody must see what became of it. The token
/// tells it that nobody waits any more.
pub(super) async fn to_the_end<T, F>(
    tasks: &TaskGroup,
    name: &'static str,
    work: impl FnOnce(CancellationToken) -> F,
) -> Result<T, Error>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Error>> + Send + 'static,
{
    let dropped = CancellationToken::new();
    let task = tasks.spawn(name, work(dropped.clone()));
    let guard = dropped.drop_guard();
    let result = task.await;
    drop(guard.disarm());
    match result {
        Ok(Some(result)) => result,
        Ok(None) => Err(Error::new(
            ErrorKind::Conflict,
            "the backend is being shut down",
        )),
        Err(error) => Err(Error::new(ErrorKind::Failed, error.to_string())),
    }
}

/// An answer must not be for a caller who left.
pub(super) fn still_wanted(dropped: &CancellationToken) -> Result<(), Error> {
    if dropped.is_cancelled() {
        return Err(Error::new(ErrorKind::Conflict, "nobody waits for it"));
    }
    Ok(())
}
