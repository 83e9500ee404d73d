//! Whom sessions are shared with, and what for.

use helix_proto::{
    SandboxId, SessionId, ShareId, UserId,
    share::{SessionShare, SharePerson, ShareRight, SharedWith},
};
use sqlx::any::AnyRow;

use super::{Error, Store, Transaction, row};

/// Sessions that are listed as shared with one user.
const MOST_LISTED: i64 = 500;

/// A share that is to be.
#[derive(Debug)]
pub(crate) struct NewShare<'a> {
    pub(crate) id: ShareId,
    pub(crate) session: SessionId,
    pub(crate) right: ShareRight,
    pub(crate) with: With<'a>,
    pub(crate) expires_at_ms: Option<u64>,
}

/// Whom it is with.
#[derive(Debug, Clone, Copy)]
pub(crate) enum With<'a> {
    /// One that is named.
    User(UserId),
    /// Whoever has what this is the hash of.
    Link(&'a str),
}

/// What became of a link that somebody took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// They have the session now.
    Joined(SessionId),
    /// It is their own.
    Own(SessionId),
    /// There is no such link, or not any more.
    Missing,
    /// As many took it as may.
    Full,
}

const fn right_of(drives: bool) -> ShareRight {
    if drives {
        ShareRight::Drive
    } else {
        ShareRight::Read
    }
}

fn right_or_none(found: &AnyRow) -> Result<Option<ShareRight>, Error> {
    let drives = row::number_or_none(found, "drives")?;
    Ok(drives.map(|drives| right_of(drives > 0)))
}

fn drives(right: ShareRight) -> i64 {
    i64::from(right == ShareRight::Drive)
}

/// What a user may do in a session that is another's, `s`; `$1` the user, `$2` now.
macro_rules! shared_right {
    () => {
        "(SELECT MAX(h.drives) FROM session_shares h
            JOIN session_share_people p ON p.share_id = h.id
            WHERE h.session_id = s.id AND p.user_id = $1
            AND (h.expires_at_ms IS NULL OR h.expires_at_ms > $2))"
    };
}

impl Store {
    /// Whose a session is, and what it is shared for with a user.
    pub(crate) async fn session_standing(
        &self,
        user: UserId,
        session: SessionId,
        now_ms: u64,
    ) -> Result<Option<(UserId, Option<ShareRight>)>, Error> {
        let found = sqlx::query(concat!(
            "SELECT s.user_id, ",
            shared_right!(),
            " AS drives FROM sessions s WHERE s.id = $3"
        ))
        .bind(user.to_string())
        .bind(row::to_i64(now_ms))
        .bind(session.to_string())
        .fetch_optional(self.pool())
        .await?;
        let Some(found) = found else { return Ok(None) };
        Ok(Some((
            row::parsed(&found, "user_id")?,
            right_or_none(&found)?,
        )))
    }

    /// What the sessions of `owner` in a sandbox are shared for with a user, each with the
    /// directory that its agent works in.
    pub(crate) async fn sandbox_standing(
        &self,
        user: UserId,
        sandbox: SandboxId,
        owner: UserId,
        now_ms: u64,
    ) -> Result<Vec<(ShareRight, String)>, Error> {
        let found = sqlx::query(concat!(
            "SELECT drives, directory FROM (SELECT a.directory, ",
            shared_right!(),
            " AS drives FROM session_agents a JOIN sessions s ON s.id = a.session_id
             WHERE a.sandbox_id = $3 AND s.user_id = $4) shared WHERE drives IS NOT NULL"
        ))
        .bind(user.to_string())
        .bind(row::to_i64(now_ms))
        .bind(sandbox.to_string())
        .bind(owner.to_string())
        .fetch_all(self.pool())
        .await?;
        let read = |found: &AnyRow| {
            let drives = row::number(found, "drives")? > 0;
            Ok((right_of(drives), row::text(found, "directory")?))
        };
        found.iter().map(read).collect()
    }

    /// How sessions of others are shared with a user; of many, the ones last changed.
    pub(crate) async fn shared_with(
        &self,
        user: UserId,
        now_ms: u64,
    ) -> Result<Vec<(SessionId, SharedWith)>, Error> {
        let found = sqlx::query(concat!(
            "SELECT id, owner, drives FROM (SELECT s.id, s.updated_at_ms, u.name AS owner, ",
            shared_right!(),
            " AS drives FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.id IN (
                SELECT h.session_id FROM session_shares h
                JOIN session_share_people p ON p.share_id = h.id WHERE p.user_id = $1)
             ) shared WHERE drives IS NOT NULL ORDER BY updated_at_ms DESC LIMIT $3"
        ))
        .bind(user.to_string())
        .bind(row::to_i64(now_ms))
        .bind(MOST_LISTED)
        .fetch_all(self.pool())
        .await?;
        let read = |found: &AnyRow| {
            let drives = row::number(found, "drives")? > 0;
            let shared = SharedWith {
                right: right_of(drives),
                owner: row::text(found, "owner")?,
            };
            Ok((row::parsed(found, "id")?, shared))
        };
        found.iter().map(read).collect()
    }

    /// The shares of a session, oldest first.
    pub(crate) async fn shares(&self, session: SessionId) -> Result<Vec<SessionShare>, Error> {
        let mut transaction = self.snapshot().await?;
        shares(&mut transaction, session).await
    }

    /// Adds a share, unless there are `most`. None where there are.
    ///
    /// # Errors
    /// [`Error::Duplicate`] for one that is named and has a share already.
    pub(crate) async fn add_share(
        &self,
        new: NewShare<'_>,
        most: u64,
        now_ms: u64,
    ) -> Result<Option<SessionShare>, Error> {
        let mut transaction = self.begin().await?;
        lock(&mut transaction, new.session).await?;
        let others = sqlx::query("SELECT COUNT(*) AS n FROM session_shares WHERE session_id = $1")
            .bind(new.session.to_string())
            .fetch_one(&mut *transaction)
            .await?;
        if row::number(&others, "n")? >= most {
            return Ok(None);
        }
        let (named, token_hash) = match new.with {
            With::User(user) => (Some(user), None),
            With::Link(hash) => (None, Some(hash)),
        };
        sqlx::query(
            "INSERT INTO session_shares (id, session_id, named_user_id, token_hash, drives,
                expires_at_ms, created_at_ms) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(new.id.to_string())
        .bind(new.session.to_string())
        .bind(named.map(|user| user.to_string()))
        .bind(token_hash)
        .bind(drives(new.right))
        .bind(new.expires_at_ms.map(row::to_i64))
        .bind(row::to_i64(now_ms))
        .execute(&mut *transaction)
        .await?;
        if let Some(user) = named {
            join(&mut transaction, new.id, user, now_ms).await?;
        }
        let all = shares(&mut transaction, new.session).await?;
        transaction.commit().await?;
        Ok(all.into_iter().find(|share| share.id == new.id))
    }

    /// Changes a share. It as it is then.
    pub(crate) async fn update_share(
        &self,
        session: SessionId,
        id: ShareId,
        right: Option<ShareRight>,
        expires_at_ms: Option<Option<u64>>,
    ) -> Result<Option<SessionShare>, Error> {
        let mut transaction = self.begin().await?;
        sqlx::query(
            "UPDATE session_shares SET drives = COALESCE($1, drives),
                expires_at_ms = CASE WHEN $2 = 1 THEN $3 ELSE expires_at_ms END
             WHERE id = $4 AND session_id = $5",
        )
        .bind(right.map(drives))
        .bind(i64::from(expires_at_ms.is_some()))
        .bind(expires_at_ms.flatten().map(row::to_i64))
        .bind(id.to_string())
        .bind(session.to_string())
        .execute(&mut *transaction)
        .await?;
        let all = shares(&mut transaction, session).await?;
        transaction.commit().await?;
        Ok(all.into_iter().find(|share| share.id == id))
    }

    /// Ends a share. It as it was.
    pub(crate) async fn remove_share(
        &self,
        session: SessionId,
        id: ShareId,
    ) -> Result<Option<SessionShare>, Error> {
        let mut transaction = self.begin().await?;
        let all = shares(&mut transaction, session).await?;
        sqlx::query("DELETE FROM session_shares WHERE id = $1 AND session_id = $2")
            .bind(id.to_string())
            .bind(session.to_string())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(all.into_iter().find(|share| share.id == id))
    }

    /// Has a user take a link, unless `most` did.
    pub(crate) async fn take_share(
        &self,
        user: UserId,
        token_hash: &str,
        most: u64,
        now_ms: u64,
    ) -> Result<Taken, Error> {
        let mut transaction = self.begin().await?;
        let found = sqlx::query(
            "SELECT h.id, h.session_id, s.user_id FROM session_shares h
             JOIN sessions s ON s.id = h.session_id
             WHERE h.token_hash = $1 AND (h.expires_at_ms IS NULL OR h.expires_at_ms > $2)",
        )
        .bind(token_hash)
        .bind(row::to_i64(now_ms))
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(found) = found else {
            return Ok(Taken::Missing);
        };
        let (id, session): (ShareId, SessionId) = (
            row::parsed(&found, "id")?,
            row::parsed(&found, "session_id")?,
        );
        if row::parsed::<UserId>(&found, "user_id")? == user {
            return Ok(Taken::Own(session));
        }
        lock(&mut transaction, session).await?;
        let others = sqlx::query(
            "SELECT COUNT(*) AS n FROM session_share_people WHERE share_id = $1 AND user_id <> $2",
        )
        .bind(id.to_string())
        .bind(user.to_string())
        .fetch_one(&mut *transaction)
        .await?;
        if row::number(&others, "n")? >= most {
            return Ok(Taken::Full);
        }
        join(&mut transaction, id, user, now_ms).await?;
        transaction.commit().await?;
        Ok(Taken::Joined(session))
    }

    /// Has a user have a session of another's no more; they may take a link again.
    pub(crate) async fn leave_session(
        &self,
        user: UserId,
        session: SessionId,
    ) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        sqlx::query("DELETE FROM session_shares WHERE session_id = $1 AND named_user_id = $2")
            .bind(session.to_string())
            .bind(user.to_string())
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "DELETE FROM session_share_people WHERE user_id = $2
             AND share_id IN (SELECT id FROM session_shares WHERE session_id = $1)",
        )
        .bind(session.to_string())
        .bind(user.to_string())
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }
}

/// Takes a session's lock, so that two do not both find the last free place.
async fn lock(transaction: &mut Transaction, session: SessionId) -> Result<(), Error> {
    sqlx::query("UPDATE sessions SET title = title WHERE id = $1")
        .bind(session.to_string())
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

async fn join(
    transaction: &mut Transaction,
    id: ShareId,
    user: UserId,
    now_ms: u64,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO session_share_people (share_id, user_id, joined_at_ms) VALUES ($1, $2, $3)
         ON CONFLICT (share_id, user_id) DO NOTHING",
    )
    .bind(id.to_string())
    .bind(user.to_string())
    .bind(row::to_i64(now_ms))
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

async fn shares(
    transaction: &mut Transaction,
    session: SessionId,
) -> Result<Vec<SessionShare>, Error> {
    let found = sqlx::query("SELECT * FROM session_shares WHERE session_id = $1 ORDER BY id")
        .bind(session.to_string())
        .fetch_all(&mut **transaction)
        .await?;
    let people = sqlx::query(
        "SELECT p.share_id, p.user_id, u.name, u.email FROM session_share_people p
         JOIN session_shares h ON h.id = p.share_id JOIN users u ON u.id = p.user_id
         WHERE h.session_id = $1 ORDER BY p.joined_at_ms, p.user_id",
    )
    .bind(session.to_string())
    .fetch_all(&mut **transaction)
    .await?;
    let person = |found: &AnyRow| -> Result<(ShareId, SharePerson), Error> {
        let person = SharePerson {
            user_id: row::parsed(found, "user_id")?,
            name: row::text(found, "name")?,
            email: row::text(found, "email")?,
        };
        Ok((row::parsed(found, "share_id")?, person))
    };
    let people = people.iter().map(person).collect::<Result<Vec<_>, _>>()?;
    let share = |found: &AnyRow| {
        let id = row::parsed(found, "id")?;
        let own = people.iter().filter(|(share, _)| *share == id);
        Ok(SessionShare {
            id,
            right: right_of(row::flag(found, "drives")?),
            is_link: row::text_or_none(found, "token_hash")?.is_some(),
            people: own.map(|(_, person)| person.clone()).collect(),
            expires_at_ms: row::number_or_none(found, "expires_at_ms")?,
            created_at_ms: row::number(found, "created_at_ms")?,
        })
    };
    found.iter().map(share).collect()
}
