//! What an agent does after a connection ended or failed. Pure.

use std::time::Duration;

use helix_base::{Backoff, BackoffPolicy};
use rand::{Rng, RngExt as _};

use super::{DialError, Stopped};
use crate::CloseReason;

/// Longest wait that a server can ask for.
const MAX_ASKED: Duration = Duration::from_secs(300);

/// Longest wait after a proven connection broke: many agents behind one load balancer
/// come back spread out.
const AFTER_BREAK: Duration = Duration::from_millis(100);

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Dial again after this long, for this reason.
    Wait(Duration, String),
    /// Never again.
    Stop(Stopped),
}

/// Counts failures, of two kinds.
#[derive(Debug)]
pub(super) struct Retries {
    usual: Backoff,
    refused: Backoff,
    /// A heartbeat was answered on the last connection.
    proven: bool,
}

impl Retries {
    pub(super) const fn new(usual: BackoffPolicy, refused: BackoffPolicy) -> Self {
        Self {
            usual: Backoff::new(usual),
            refused: Backoff::new(refused),
            proven: false,
        }
    }

    /// A heartbeat was answered.
    pub(super) const fn succeeded(&mut self) {
        self.usual.succeeded();
        self.refused.succeeded();
        self.proven = true;
    }

    /// The link waits for another connection. One that had been proven is replaced almost
    /// at once: what was on it goes on the sooner.
    pub(super) fn after_break(&mut self, reason: &CloseReason, random: &mut impl Rng) -> Next {
        let proven = std::mem::take(&mut self.proven);
        let delay = if proven {
            AFTER_BREAK.mul_f64(random.random::<f64>())
        } else {
            self.usual.next_delay(random)
        };
        Next::Wait(delay, reason.to_string())
    }

    pub(super) fn after_close(&mut self, reason: CloseReason, random: &mut impl Rng) -> Next {
        if reason.is_final() {
            Next::Stop(Stopped::Dismissed(reason))
        } else {
            Next::Wait(self.usual.next_delay(random), reason.to_string())
        }
    }

    pub(super) fn after_failed_dial(&mut self, error: &DialError, random: &mut impl Rng) -> Next {
        if error.can_never_work() {
            return Next::Stop(Stopped::Misconfigured(error.to_string()));
        }
        let backoff = if error.is_refusal() {
            &mut self.refused
        } else {
            &mut self.usual
        };
        let delay = backoff.next_delay(random);
        // Not all who were asked to wait come back at the same moment.
        let delay = error
            .asked_to_wait()
            .map_or(delay, |asked| asked.min(MAX_ASKED) + delay);
        Next::Wait(delay, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use helix_base::outbound;
    use http::StatusCode;

    use super::*;
    use crate::{AgentOptions, CloseCode};

    fn retries() -> Retries {
        let options = AgentOptions::default();
        Retries::new(options.backoff, options.refused)
    }

    fn wait(next: Next) -> Duration {
        match next {
            Next::Wait(delay, _) => delay,
            Next::Stop(reason) => panic!("stopped: {reason}"),
        }
    }

    fn refused(status: u16, retry_after: Option<Duration>) -> DialError {
        DialError::Outbound(outbound::Error::Refused {
            host: "control:443".to_owned(),
            status: StatusCode::from_u16(status).unwrap(),
            retry_after,
        })
    }

    fn closed(code: CloseCode) -> CloseReason {
        CloseReason::Peer {
            code,
            reason: String::new(),
        }
    }

    #[test]
    fn takeover_and_revocation_stop_the_agent_and_nothing_else_does() {
        for code in [CloseCode::SUPERSEDED, CloseCode::REVOKED] {
            let next = retries().after_close(closed(code), &mut rand::rng());
            assert_eq!(next, Next::Stop(Stopped::Dismissed(closed(code))));
        }
        for code in [
            CloseCode::GOING_AWAY,
            CloseCode::RESTARTING,
            CloseCode::SILENT,
        ] {
            wait(retries().after_close(closed(code), &mut rand::rng()));
        }
    }

    #[test]
    fn connections_that_open_and_break_are_retried_ever_more_slowly_until_one_is_proven() {
        let mut retries = retries();
        let lost = CloseReason::Lost {
            error: "reset".to_owned(),
        };
        let waits: Vec<_> = (0..200)
            .map(|_| wait(retries.after_close(lost.clone(), &mut rand::rng())))
            .collect();
        assert!(waits[0] <= Duration::from_millis(500));
        let late: Duration = waits[100..].iter().sum::<Duration>() / 100;
        assert!(late > Duration::from_secs(10), "{late:?}");
        retries.succeeded();
        assert!(wait(retries.after_close(lost, &mut rand::rng())) <= Duration::from_millis(500));
    }

    #[test]
    fn a_refused_credential_is_tried_slowly_and_for_ever() {
        let mut retries = retries();
        for status in [401, 403].repeat(20) {
            let delay = wait(retries.after_failed_dial(&refused(status, None), &mut rand::rng()));
            assert!(delay >= Duration::from_secs(15), "{delay:?}");
        }
    }

    #[test]
    fn a_wait_that_the_server_asks_for_is_kept_spread_out_and_bounded() {
        let busy = |seconds| refused(503, Some(Duration::from_secs(seconds)));
        let delay = wait(retries().after_failed_dial(&busy(7), &mut rand::rng()));
        assert!(delay > Duration::from_secs(7) && delay <= Duration::from_millis(7500));
        let delay = wait(retries().after_failed_dial(&busy(1 << 40), &mut rand::rng()));
        assert!(delay <= MAX_ASKED + Duration::from_secs(1));
    }

    #[test]
    fn what_can_never_work_stops_and_a_missing_route_does_not() {
        let bad = DialError::Outbound(outbound::Error::Url {
            reason: "no host".to_owned(),
        });
        assert!(matches!(
            retries().after_failed_dial(&bad, &mut rand::rng()),
            Next::Stop(Stopped::Misconfigured(_))
        ));
        wait(retries().after_failed_dial(&refused(404, None), &mut rand::rng()));
    }
}
