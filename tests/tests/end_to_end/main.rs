//! The whole system: real daemons, a real engine, real clients, on SQLite and
//! on PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_input;
mod dialects;
mod disk;
mod limits;
mod openai;
mod recovery;
mod sessions;
mod tunnels;

/// Makes two tests of each function: one for each database.
macro_rules! on_each_database {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(helix_tests::DatabaseKind::Sqlite).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(helix_tests::DatabaseKind::Postgres).await;
            })+
        }
    };
}
pub(crate) use on_each_database;
