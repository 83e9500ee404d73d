//! Work on files, as a user of the sandbox, off the thread that serves.

use std::{io, sync::Arc, time::Duration};

use helix_proto::error::ErrorCode;
use rustix::{
    process::{Gid, Uid, geteuid},
    thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{
    failure::{Answer, Failed},
    users::User,
};

/// How many jobs run at once.
const AT_ONCE: usize = 64;
/// How long one waits for its turn.
const TURN_WITHIN: Duration = Duration::from_secs(30);
const STACK_BYTES: usize = 512 * 1024;

/// Runs jobs, each on a thread of its own that has the user's rights and no more.
///
/// The identity is the thread's alone (system calls change one thread, only the C
/// library changes all), and the thread ends with the job: rights are never put back.
/// Its real and saved user stay the guest's, so that the user's programs cannot signal
/// or trace it.
#[derive(Debug)]
pub(crate) struct Jobs {
    slots: Arc<Semaphore>,
}

impl Default for Jobs {
    fn default() -> Self {
        Self {
            slots: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }
}

impl Jobs {
    /// Runs a job as the guest itself.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Answer<T> + Send + 'static,
    ) -> Answer<T> {
        let work = |answer: oneshot::Sender<Answer<T>>| {
            // The caller may have left.
            let _ = answer.send(job());
        };
        self.start(work).await
    }

    /// Runs a job as the user with this name or number. When the caller leaves, the job
    /// still ends by itself.
    pub(crate) async fn run_as<T: Send + 'static>(
        &self,
        user: Option<String>,
        job: impl FnOnce(&User) -> Answer<T> + Send + 'static,
    ) -> Answer<T> {
        self.stream_as(user, |user, answer| {
            // The caller may have left.
            let _ = answer.send(job(user));
        })
        .await
    }

    /// Runs a job that goes on after its answer.
    pub(crate) async fn stream_as<T: Send + 'static>(
        &self,
        user: Option<String>,
        job: impl FnOnce(&User, oneshot::Sender<Answer<T>>) + Send + 'static,
    ) -> Answer<T> {
        let work = move |answer: oneshot::Sender<Answer<T>>| {
            let user = User::find(user.as_deref());
            match user.and_then(|user| become_user(&user).map(|()| user)) {
                Ok(user) => job(&user, answer),
                Err(failed) => drop(answer.send(Err(failed))),
            }
        };
        self.start(work).await
    }

    async fn start<T: Send + 'static>(
        &self,
        work: impl FnOnce(oneshot::Sender<Answer<T>>) + Send + 'static,
    ) -> Answer<T> {
        let slot = self.slot().await?;
        let (answer, answered) = oneshot::channel();
        std::thread::Builder::new()
            .name("guest job".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                work(answer);
                drop(slot);
            })
            .map_err(|error| Failed::io("cannot start a thread", &error))?;
        answered.await.unwrap_or_else(|_| {
            Err(Failed::new(
                ErrorCode::Internal,
                "the guest failed at this: see the sandbox's log",
            ))
        })
    }

    async fn slot(&self) -> Answer<OwnedSemaphorePermit> {
        match tokio::time::timeout(TURN_WITHIN, self.slots.clone().acquire_owned()).await {
            Ok(Ok(slot)) => Ok(slot),
            _ => Err(Failed::new(
                ErrorCode::Unavailable,
                format!(
                    "{AT_ONCE} operations of this kind are under way in this sandbox: try again later"
                ),
            )),
        }
    }
}

/// Whether the guest can act as this user: it is that user, or is root.
pub(crate) fn may_act_as(user: &User) -> Answer<()> {
    let own = geteuid();
    if own.is_root() || own.as_raw() == user.uid {
        return Ok(());
    }
    Err(Failed::new(
        ErrorCode::Forbidden,
        format!(
            "this guest is not root and cannot act as {}: ask for user {}",
            user.name,
            own.as_raw()
        ),
    ))
}

/// Gives this thread the rights of `user`, for ever.
fn become_user(user: &User) -> Answer<()> {
    may_act_as(user)?;
    if geteuid().as_raw() == user.uid {
        return Ok(());
    }
    let groups: Vec<Gid> = user.groups.iter().copied().map(Gid::from_raw).collect();
    set_thread_groups(&groups)
        .and_then(|()| set_thread_res_gid(None, Gid::from_raw(user.gid), None))
        .and_then(|()| set_thread_res_uid(None, Uid::from_raw(user.uid), None))
        .map_err(|error| {
            Failed::io(
                format!("cannot act as {}", user.name),
                &io::Error::from(error),
            )
        })
}
