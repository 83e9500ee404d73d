//! The bus within one process.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::broadcast::{self, error::RecvError};

use super::{Bus, Notice, Received, Subscription, Topic};

/// Notices kept for a slow reader; after that it is told that it missed some.
const BACKLOG: usize = 256;

type Channels = Arc<Mutex<HashMap<Topic, broadcast::Sender<Notice>>>>;

/// Carries notices within one process. A topic costs nothing while nobody
/// listens to it.
#[derive(Debug, Clone, Default)]
pub struct LocalBus {
    channels: Channels,
}

fn lock(channels: &Channels) -> MutexGuard<'_, HashMap<Topic, broadcast::Sender<Notice>>> {
    channels.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Bus for LocalBus {
    fn publish(&self, topic: Topic, notice: Notice) {
        if let Some(channel) = lock(&self.channels).get(&topic) {
            // Fails only when the last reader is just leaving.
            let _ = channel.send(notice);
        }
    }

    fn subscribe(&self, topic: Topic) -> Box<dyn Subscription> {
        let receiver = lock(&self.channels)
            .entry(topic)
            .or_insert_with(|| broadcast::channel(BACKLOG).0)
            .subscribe();
        Box::new(LocalSubscription {
            receiver: Some(receiver),
            topic,
            channels: Arc::clone(&self.channels),
        })
    }
}

#[derive(Debug)]
struct LocalSubscription {
    /// Taken only on drop.
    receiver: Option<broadcast::Receiver<Notice>>,
    topic: Topic,
    channels: Channels,
}

#[async_trait::async_trait]
impl Subscription for LocalSubscription {
    async fn next(&mut self) -> Option<Received> {
        match self.receiver.as_mut()?.recv().await {
            Ok(notice) => Some(Received::Notice(notice)),
            Err(RecvError::Lagged(_)) => Some(Received::Missed),
            Err(RecvError::Closed) => None,
        }
    }
}

impl Drop for LocalSubscription {
    fn drop(&mut self) {
        let mut channels = lock(&self.channels);
        drop(self.receiver.take());
        if channels
            .get(&self.topic)
            .is_some_and(|channel| channel.receiver_count() == 0)
        {
            channels.remove(&self.topic);
        }
    }
}

#[cfg(test)]
mod tests {
    use helix_proto::{SessionId, TypedId as _};

    use super::*;

    fn session(n: u128) -> SessionId {
        SessionId::from_parts(1, n)
    }

    #[tokio::test]
    async fn a_reader_hears_its_own_topic_only_and_in_order() {
        let bus = LocalBus::default();
        let mut reader = bus.subscribe(Topic::Session(session(1)));
        bus.publish(Topic::Session(session(2)), Notice::RunnersChanged);
        bus.publish(Topic::Session(session(1)), Notice::ModelsChanged);
        bus.publish(Topic::Session(session(1)), Notice::QueueChanged);
        assert!(matches!(
            reader.next().await,
            Some(Received::Notice(Notice::ModelsChanged))
        ));
        assert!(matches!(
            reader.next().await,
            Some(Received::Notice(Notice::QueueChanged))
        ));
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_that_it_missed_some_and_goes_on() {
        let bus = LocalBus::default();
        let mut reader = bus.subscribe(Topic::Fleet);
        for _ in 0..=BACKLOG {
            bus.publish(Topic::Fleet, Notice::RunnersChanged);
        }
        assert!(matches!(reader.next().await, Some(Received::Missed)));
        assert!(matches!(reader.next().await, Some(Received::Notice(_))));
    }

    #[tokio::test]
    async fn a_topic_that_nobody_reads_is_forgotten() {
        let bus = LocalBus::default();
        let first = bus.subscribe(Topic::Fleet);
        let second = bus.subscribe(Topic::Fleet);
        drop(first);
        assert_eq!(lock(&bus.channels).len(), 1);
        drop(second);
        assert!(lock(&bus.channels).is_empty());
    }
}
