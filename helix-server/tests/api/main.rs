//! The whole HTTP surface of a control plane that really listens, on SQLite and
//! on PostgreSQL, with a scripted model behind it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

/// Runs each test on both databases.
macro_rules! on_both_databases {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::world::World::start(crate::world::Kind::Sqlite).await).await;
            })*
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::world::World::start(crate::world::Kind::Postgres).await).await;
            })*
        }
    };
}

mod accounts;
mod agent_host;
mod agents;
mod bad_input;
mod dialects;
mod full;
mod host;
mod live;
mod model;
mod origins;
mod person;
mod postgres;
mod relay;
mod routes;
mod sandboxes;
mod secrets;
mod serving;
mod session_keys;
mod sessions;
mod sharing;
mod world;
