//! What a program does, as it happens.

use std::{fmt, future::Future, pin::Pin};

use bytes::{Buf as _, BytesMut};
use helix_proto::{ExecId, sandbox::guest::ExecEvent};
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;

use super::{failed, succeeded, whole};
use crate::{Connection, Error, ErrorKind};

/// No event has more bytes: 64 KiB of output, each byte of it written as six.
const LONGEST_EVENT: usize = 512 << 10;

/// The events of a program, in order, over a connection of its own. What is not read is not
/// taken from the sandbox.
pub struct ExecEvents {
    /// Makes progress only while it is polled; none once it ended in order.
    driver: Option<Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>>,
    body: Incoming,
    rest: BytesMut,
}

impl fmt::Debug for ExecEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecEvents").finish_non_exhaustive()
    }
}

impl ExecEvents {
    pub(super) async fn open(
        connection: Box<dyn Connection>,
        id: ExecId,
        after: u64,
    ) -> Result<Self, Error> {
        let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(connection))
            .await
            .map_err(|why| failed(ErrorKind::Failed, &why))?;
        let request = Request::builder()
            .method(Method::GET)
            .uri(format!("/exec/{id}/events?after={after}"))
            .header(header::HOST, "guest")
            .body(Empty::<Bytes>::new())
            .map_err(|why| failed(ErrorKind::Invalid, &why))?;
        let mut driver: Option<Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>> =
            Some(Box::pin(driver));
        let answer = beside(&mut driver, sender.send_request(request)).await?;
        let answer = answer.map_err(|why| failed(ErrorKind::Failed, &why))?;
        if !answer.status().is_success() {
            let refused = beside(&mut driver, whole(answer)).await??;
            succeeded(refused)?;
            return Err(Error::new(
                ErrorKind::Failed,
                "asking the sandbox: no answer",
            ));
        }
        Ok(Self {
            driver,
            body: answer.into_body(),
            rest: BytesMut::new(),
        })
    }

    /// The next event; none after the last. Nothing is lost when it is dropped.
    ///
    /// # Errors
    ///
    /// The connection broke, or what came is no event: the sandbox may say anything.
    pub async fn next(&mut self) -> Result<Option<ExecEvent>, Error> {
        loop {
            if let Some(end) = self.rest.iter().position(|&byte| byte == b'\n') {
                let event = serde_json::from_slice(&self.rest[..end]);
                self.rest.advance(end + 1);
                return event
                    .map(Some)
                    .map_err(|why| failed(ErrorKind::Failed, &why));
            }
            if self.rest.len() > LONGEST_EVENT {
                let why = "asking the sandbox: an event beyond all bounds";
                return Err(Error::new(ErrorKind::Failed, why));
            }
            match beside(&mut self.driver, self.body.frame()).await? {
                None => return Ok(None),
                Some(Err(why)) => return Err(failed(ErrorKind::Failed, &why)),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        self.rest.extend_from_slice(&bytes);
                    }
                }
            }
        }
    }
}

/// Waits for something that comes over the connection.
async fn beside<T>(
    driver: &mut Option<Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>>,
    wanted: impl Future<Output = T>,
) -> Result<T, Error> {
    let mut wanted = std::pin::pin!(wanted);
    if let Some(running) = driver {
        tokio::select! {
            biased;
            wanted = &mut wanted => return Ok(wanted),
            ended = running => {
                *driver = None;
                // Ended in order: what was wanted may be there already.
                ended.map_err(|why| failed(ErrorKind::Failed, &why))?;
            }
        }
    }
    Ok(wanted.await)
}
