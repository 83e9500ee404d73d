//! Connections that programs inside make to what their host serves.

use bytes::Bytes;
use helix_proto::sandbox::guest::{FORWARDED, Forward};
use http::{
    Method, Request, StatusCode,
    header::{CONNECTION, HOST, UPGRADE},
};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;

use super::{GuestClient, failed, succeeded, whole};
use crate::{Connection, Error, ErrorKind};

impl GuestClient {
    /// Has the guest listen on the sandbox's loopback, for connections that
    /// [`next_connection`](Self::next_connection) takes; its port. Idempotent by name, which is
    /// 1 to 32 of `a` to `z`, `0` to `9` and `-`.
    ///
    /// # Errors
    ///
    /// As [`ask`](Self::ask), and where the sandbox has too many.
    pub async fn forward(&self, name: &str) -> Result<u16, Error> {
        let path = format!("/forwards/{name}");
        let answer = self.ask_for(Method::PUT, &path, Bytes::new()).await?;
        let Forward { port } =
            serde_json::from_slice(&answer).map_err(|why| failed(ErrorKind::Failed, &why))?;
        Ok(port)
    }

    /// Waits for the next connection that a program makes there; none where there was none for a
    /// while.
    ///
    /// # Errors
    ///
    /// As [`ask`](Self::ask), and where there is no such forward, as when the sandbox was started
    /// anew.
    pub async fn next_connection(&self, name: &str) -> Result<Option<Box<dyn Connection>>, Error> {
        self.taken(&format!("/forwards/{name}/next")).await
    }

    /// Waits for the next program that calls the host at [`crate::guest::SOCKET`]; none where
    /// there was none for a while.
    ///
    /// # Errors
    ///
    /// As [`ask`](Self::ask), and where the sandbox began before there were calls.
    pub async fn next_call(&self) -> Result<Option<Box<dyn Connection>>, Error> {
        self.taken("/calls").await
    }

    async fn taken(&self, path: &str) -> Result<Option<Box<dyn Connection>>, Error> {
        tokio::time::timeout(self.patience, self.taken_in_time(path))
            .await
            .map_err(|_| Error::new(ErrorKind::Timeout, "the sandbox does not answer"))?
    }

    async fn taken_in_time(&self, path: &str) -> Result<Option<Box<dyn Connection>>, Error> {
        let broke = |why| failed(ErrorKind::Failed, &why);
        let request = Request::builder()
            .uri(path)
            .header(HOST, "guest")
            .header(CONNECTION, "upgrade")
            .header(UPGRADE, FORWARDED)
            .body(Empty::<Bytes>::new())
            .map_err(|why| failed(ErrorKind::Invalid, &why))?;
        let connection = self.sandbox.connect().await?;
        let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(connection))
            .await
            .map_err(broke)?;
        let answered = async {
            let answer = sender.send_request(request).await.map_err(broke)?;
            if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
                return Ok(Err(whole(answer).await?));
            }
            Ok(Ok(hyper::upgrade::on(answer).await.map_err(broke)?))
        };
        // The connection makes progress only while it is polled too.
        let mut answered = std::pin::pin!(answered);
        let answered = tokio::select! {
            biased;
            answered = &mut answered => answered,
            // It ends as it becomes bytes, too.
            ended = driver.with_upgrades() => match ended {
                Ok(()) => answered.await,
                Err(why) => Err(broke(why)),
            },
        };
        match answered? {
            Ok(bytes) => Ok(Some(Box::new(TokioIo::new(bytes)))),
            Err(answer) => succeeded(answer).map(|_| None),
        }
    }
}
