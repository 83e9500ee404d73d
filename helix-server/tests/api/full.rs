//! A database that says that its disk is full.

use sqlx::AnyPool;

use crate::world::{Kind, World};

/// Ends with [`Full::no_more`].
pub(crate) struct Full<'a> {
    world: &'a World,
}

/// PostgreSQL's own error for a full disk, at each write of a turn or an event.
const REFUSE: &str = "
    CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full';
    END $$;
    CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON turns EXECUTE FUNCTION full_disk();
    CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON session_events EXECUTE FUNCTION full_disk();
";

const ALLOW: &str = "DROP FUNCTION full_disk CASCADE";

impl<'a> Full<'a> {
    /// Full once what is left of the pages in use is written.
    pub(crate) async fn soon(world: &'a World) -> Self {
        Self::made(world, "PRAGMA max_page_count = 1").await
    }

    /// Full at the next write.
    pub(crate) async fn at_once(world: &'a World) -> Self {
        Self::made(world, "PRAGMA query_only = ON").await
    }

    async fn made(world: &'a World, sqlite: &str) -> Self {
        let full = Self { world };
        match world.kind {
            Kind::Sqlite => full.on_each_connection(sqlite).await,
            Kind::Postgres => full.run(REFUSE).await,
        }
        full
    }

    /// There is room again.
    pub(crate) async fn no_more(self) {
        match self.world.kind {
            Kind::Sqlite => {
                self.on_each_connection("PRAGMA max_page_count = 1000000")
                    .await;
                self.on_each_connection("PRAGMA query_only = OFF").await;
            }
            Kind::Postgres => self.run(ALLOW).await,
        }
    }

    fn pool(&self) -> &AnyPool {
        self.world.app.store().pool()
    }

    async fn run(&self, sql: &str) {
        let sql = sqlx::AssertSqlSafe(sql.to_owned());
        sqlx::raw_sql(sql).execute(self.pool()).await.unwrap();
    }

    /// What is set on one connection does not hold for the others: all are taken
    /// at once, so that each is met.
    async fn on_each_connection(&self, sql: &str) {
        let size = self.world.app.options().database_connections;
        let mut connections = Vec::new();
        for _ in 0..size {
            connections.push(self.pool().acquire().await.unwrap());
        }
        for connection in &mut connections {
            let sql = sqlx::AssertSqlSafe(sql.to_owned());
            sqlx::raw_sql(sql).execute(&mut **connection).await.unwrap();
        }
    }
}
