//! Task groups: every task has an owner that can stop it and wait for it.
//!
//! Shutdown is one deadline in stages. First the group is *draining*: loops stop
//! taking new work and finish what they have. At two thirds of the budget it is
//! *cancelled*: everything stops where it is. What is still there at the end of
//! the budget is aborted and named in the report.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::task::{AbortHandle, JoinHandle};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};
use tracing::Instrument as _;

/// A group of tasks. Cheap to clone; all clones are one group.
#[derive(Debug, Clone)]
pub struct TaskGroup {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    draining: CancellationToken,
    cancelled: CancellationToken,
    tracker: TaskTracker,
    running: Mutex<HashMap<tokio::task::Id, (&'static str, AbortHandle)>>,
    parent: Option<TaskGroup>,
}

/// How a shutdown went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShutdownReport {
    /// Tasks that did not end within the budget and were aborted, by name.
    pub aborted: Vec<&'static str>,
}

impl Default for TaskGroup {
    fn default() -> Self {
        Self::new()
    }
}

impl TaskGroup {
    /// A group of its own.
    pub fn new() -> Self {
        Self::with(CancellationToken::new(), CancellationToken::new(), None)
    }

    /// A group that drains and is cancelled with this one, and can be shut down
    /// before it. Shutting down this group waits for the child's tasks too.
    pub fn child(&self) -> Self {
        Self::with(
            self.inner.draining.child_token(),
            self.inner.cancelled.child_token(),
            Some(self.clone()),
        )
    }

    fn with(
        draining: CancellationToken,
        cancelled: CancellationToken,
        parent: Option<Self>,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                draining,
                cancelled,
                tracker: TaskTracker::new(),
                running: Mutex::new(HashMap::new()),
                parent,
            }),
        }
    }

    /// Runs a task in the group until it ends or the group is cancelled: at
    /// cancellation the future is dropped where it waits. The name is for logs
    /// and for the shutdown report.
    pub fn spawn<F>(&self, name: &'static str, task: F) -> JoinHandle<Option<F::Output>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let cancelled = self.inner.cancelled.clone();
        // The guard is made before the spawn, so that it is dropped even if the
        // task is never polled, and learns the task's id from inside it.
        let guard = Registered::new(self);
        let (registered, wait_for_registration) = tokio::sync::oneshot::channel::<()>();
        let handle = self.inner.tracker.spawn(
            async move {
                let _guard = guard;
                // Never removed before it was inserted.
                let _ = wait_for_registration.await;
                cancelled.run_until_cancelled(task).await
            }
            .instrument(tracing::debug_span!("task", name)),
        );
        for group in self.lineage() {
            group
                .lock()
                .insert(handle.id(), (name, handle.abort_handle()));
        }
        let _ = registered.send(());
        handle
    }

    /// This group and all above it.
    fn lineage(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |group| group.inner.parent.as_ref())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<tokio::task::Id, (&'static str, AbortHandle)>> {
        self.inner
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends when the group should take no new work.
    pub async fn draining(&self) {
        self.inner.draining.cancelled().await;
    }

    /// Whether the group should take no new work.
    pub fn is_draining(&self) -> bool {
        self.inner.draining.is_cancelled()
    }

    /// Ends when everything in the group should stop where it is.
    pub async fn cancelled(&self) {
        self.inner.cancelled.cancelled().await;
    }

    /// The token behind [`Self::cancelled`].
    pub fn token(&self) -> &CancellationToken {
        &self.inner.cancelled
    }

    /// The token behind [`Self::draining`].
    pub fn draining_token(&self) -> &CancellationToken {
        &self.inner.draining
    }

    /// Stops everything at once, without waiting.
    pub fn cancel(&self) {
        self.inner.draining.cancel();
        self.inner.cancelled.cancel();
    }

    /// Shuts the group down within `budget`: drain, then cancel, then abort.
    pub async fn shutdown(&self, budget: Duration) -> ShutdownReport {
        self.inner.draining.cancel();
        self.inner.tracker.close();
        let drained = tokio::time::timeout(budget * 2 / 3, self.inner.tracker.wait()).await;
        if drained.is_ok() {
            self.inner.cancelled.cancel();
            return ShutdownReport::default();
        }
        let mut late: Vec<_> = self.lock().values().map(|(name, _)| *name).collect();
        late.sort_unstable();
        tracing::warn!(tasks = ?late, "still at work after two thirds of the time: stopping them where they are");
        self.inner.cancelled.cancel();
        if tokio::time::timeout(budget / 3, self.inner.tracker.wait())
            .await
            .is_ok()
        {
            return ShutdownReport::default();
        }
        let running = self.lock();
        let mut aborted: Vec<_> = running
            .values()
            .map(|(name, handle)| {
                handle.abort();
                *name
            })
            .collect();
        aborted.sort_unstable();
        ShutdownReport { aborted }
    }
}

/// Keeps every group above a task waiting for it, and forgets the task when it
/// ends, however it ends.
struct Registered {
    group: TaskGroup,
    _tracked: Vec<TaskTrackerToken>,
}

impl Registered {
    fn new(group: &TaskGroup) -> Self {
        Self {
            group: group.clone(),
            _tracked: group
                .lineage()
                .map(|group| group.inner.tracker.token())
                .collect(),
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        if let Some(id) = tokio::task::try_id() {
            for group in self.group.lineage() {
                group.lock().remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_in_hand_is_finished_before_anything_is_cancelled() {
        let group = TaskGroup::new();
        let inner = group.clone();
        let task = group.spawn("worker", async move {
            inner.draining().await;
            tokio::time::sleep(Duration::from_secs(5)).await;
            "finished"
        });
        assert_eq!(
            group.shutdown(Duration::from_secs(30)).await,
            ShutdownReport::default()
        );
        assert_eq!(task.await.unwrap(), Some("finished"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_drain_is_cancelled_and_shutdown_of_the_parent_waits_for_children() {
        let group = TaskGroup::new();
        let task = group.child().spawn("stuck", std::future::pending::<()>());
        assert_eq!(
            group.shutdown(Duration::from_secs(30)).await,
            ShutdownReport::default()
        );
        assert_eq!(task.await.unwrap(), None);
        assert!(group.lock().is_empty());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_blocks_past_the_budget_is_named() {
        let group = TaskGroup::new();
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let _task = group.child().spawn("blocked", async move {
            let _ = wait.recv();
        });
        let report = group.shutdown(Duration::from_millis(90)).await;
        assert_eq!(report.aborted, ["blocked"]);
        drop(release);
    }

    #[tokio::test(start_paused = true)]
    async fn cancelling_a_child_leaves_the_parent_running() {
        let group = TaskGroup::new();
        let child = group.child();
        child.cancel();
        assert!(child.token().is_cancelled());
        assert!(!group.is_draining());
    }
}
