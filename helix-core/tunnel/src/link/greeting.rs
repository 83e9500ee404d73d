//! How the ends of a link find each other on a new connection.
//!
//! The agent speaks first. Numbers are big-endian; one message each way:
//!
//! | message | layout |
//! |---|---|
//! | hello, new link | 1, version (1), lane (1), instance (16), attempt (8), window (4), 0 |
//! | hello, resume | the same with 1 at the end, then link (16), secret (32), received (8) |
//! | welcome, new link | 2, 0, link (16), secret (32), grace in ms (4), window (4) |
//! | welcome, resumed | 2, 1, received (8) |

use std::{fmt, time::Duration};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use rand::{Rng, RngExt as _};
use subtle::ConstantTimeEq as _;

use super::Violation;
use crate::Lane;

/// The only version there is.
const VERSION: u8 = 1;
const HELLO: u8 = 1;
const WELCOME: u8 = 2;
const NEW_HELLO: usize = 32;
const RESUME_HELLO: usize = NEW_HELLO + 56;

/// Names one link. Chosen by the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LinkId([u8; 16]);

/// Proves that a connection belongs to a link: 256 bits that only its two ends know.
#[derive(Clone)]
pub struct Secret([u8; 32]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    /// Compares in constant time.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// One running agent, told from others that use the same credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Instance([u8; 16]);

/// What a link is known by.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Its name.
    pub link: LinkId,
    /// Its proof.
    pub secret: Secret,
}

impl Identity {
    /// A new one; `random` must be fit for secrets.
    pub fn random(random: &mut impl Rng) -> Self {
        Self {
            link: LinkId(random.random()),
            secret: Secret(random.random()),
        }
    }
}

impl Instance {
    /// A new one.
    pub fn random(random: &mut impl Rng) -> Self {
        Self(random.random())
    }
}

/// A link that an agent wants to go on with.
#[derive(Debug, Clone)]
pub struct Resume {
    /// Which.
    pub identity: Identity,
    /// How far it has received.
    pub received: u64,
}

/// The agent's first message.
#[derive(Debug, Clone)]
pub struct Hello {
    /// What the connection is for.
    pub lane: Lane,
    /// Who asks.
    pub instance: Instance,
    /// Counts up with each connection of this agent, so that one that was held up on its
    /// way never takes the place of a newer one.
    pub attempt: u64,
    /// Bytes that the agent takes before it acknowledges.
    pub window: u32,
    /// What to go on with.
    pub resume: Option<Resume>,
}

/// The control plane's answer.
#[derive(Debug, Clone)]
pub enum Welcome {
    /// A link begins.
    New {
        /// What to resume it with.
        identity: Identity,
        /// How long it may be without a connection; zero means that it ends with its
        /// first.
        grace: Duration,
        /// Bytes that the control plane takes before it acknowledges.
        window: u32,
    },
    /// The link goes on.
    Resumed {
        /// How far the control plane has received.
        received: u64,
    },
}

const fn lane_number(lane: Lane) -> u8 {
    match lane {
        Lane::Control => 0,
        Lane::Bulk => 1,
        Lane::Media => 2,
    }
}

fn array<const N: usize>(message: &mut Bytes) -> [u8; N] {
    let mut array = [0; N];
    message.copy_to_slice(&mut array);
    array
}

impl Hello {
    /// As a message.
    pub fn write(&self) -> Bytes {
        let mut message = BytesMut::with_capacity(RESUME_HELLO);
        message.put_slice(&[HELLO, VERSION, lane_number(self.lane)]);
        message.put_slice(&self.instance.0);
        message.put_u64(self.attempt);
        message.put_u32(self.window);
        message.put_u8(u8::from(self.resume.is_some()));
        if let Some(resume) = &self.resume {
            message.put_slice(&resume.identity.link.0);
            message.put_slice(&resume.identity.secret.0);
            message.put_u64(resume.received);
        }
        message.freeze()
    }

    /// From a message.
    ///
    /// # Errors
    ///
    /// [`Violation::Malformed`].
    pub fn read(mut message: Bytes) -> Result<Self, Violation> {
        const WRONG: Violation = Violation::Malformed("a greeting of the wrong length");
        if message.len() < 2 || message.get_u8() != HELLO {
            return Err(Violation::Malformed("a greeting was expected"));
        }
        if message.get_u8() != VERSION {
            return Err(Violation::Malformed(
                "a version of this protocol that is not known here",
            ));
        }
        if message.len() < NEW_HELLO - 2 {
            return Err(WRONG);
        }
        let lane = match message.get_u8() {
            0 => Lane::Control,
            1 => Lane::Bulk,
            2 => Lane::Media,
            _ => return Err(Violation::Malformed("a lane that is not known here")),
        };
        let instance = Instance(array(&mut message));
        let (attempt, window) = (message.get_u64(), message.get_u32());
        let resume = match (message.get_u8(), message.len()) {
            (0, 0) => None,
            (1, 56) => Some(Resume {
                identity: Identity {
                    link: LinkId(array(&mut message)),
                    secret: Secret(array(&mut message)),
                },
                received: message.get_u64(),
            }),
            _ => return Err(WRONG),
        };
        Ok(Self {
            lane,
            instance,
            attempt,
            window,
            resume,
        })
    }
}

impl Welcome {
    /// As a message.
    pub fn write(&self) -> Bytes {
        let mut message = BytesMut::with_capacity(58);
        message.put_u8(WELCOME);
        match self {
            Self::New {
                identity,
                grace,
                window,
            } => {
                message.put_u8(0);
                message.put_slice(&identity.link.0);
                message.put_slice(&identity.secret.0);
                message.put_u32(u32::try_from(grace.as_millis()).unwrap_or(u32::MAX));
                message.put_u32(*window);
            }
            Self::Resumed { received } => {
                message.put_u8(1);
                message.put_u64(*received);
            }
        }
        message.freeze()
    }

    /// From a message.
    ///
    /// # Errors
    ///
    /// [`Violation::Malformed`].
    pub fn read(mut message: Bytes) -> Result<Self, Violation> {
        if message.len() < 2 || message.get_u8() != WELCOME {
            return Err(Violation::Malformed(
                "an answer to the greeting was expected",
            ));
        }
        match (message.get_u8(), message.len()) {
            (0, 56) => Ok(Self::New {
                identity: Identity {
                    link: LinkId(array(&mut message)),
                    secret: Secret(array(&mut message)),
                },
                grace: Duration::from_millis(message.get_u32().into()),
                window: message.get_u32(),
            }),
            (1, 8) => Ok(Self::Resumed {
                received: message.get_u64(),
            }),
            _ => Err(Violation::Malformed(
                "an answer to the greeting of the wrong length",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hello(resume: Option<Resume>) -> Hello {
        Hello {
            lane: Lane::Media,
            instance: Instance::random(&mut rand::rng()),
            attempt: 7,
            window: 9,
            resume,
        }
    }

    #[test]
    fn greetings_are_read_as_they_were_written() {
        let identity = Identity::random(&mut rand::rng());
        let resume = Resume {
            identity: identity.clone(),
            received: u64::MAX,
        };
        for written in [hello(None), hello(Some(resume))] {
            let read = Hello::read(written.write()).unwrap();
            assert_eq!(read.write(), written.write());
            assert_eq!((read.lane, read.attempt, read.window), (Lane::Media, 7, 9));
        }
        let welcome = Welcome::New {
            identity: identity.clone(),
            grace: Duration::from_secs(60),
            window: 5,
        };
        let Welcome::New {
            identity: read,
            grace,
            window,
        } = Welcome::read(welcome.write()).unwrap()
        else {
            panic!("a new link")
        };
        assert_eq!(
            (read.link, grace, window),
            (identity.link, Duration::from_secs(60), 5)
        );
        assert!(read.secret.matches(&identity.secret));
        let resumed = Welcome::read(Welcome::Resumed { received: 3 }.write());
        assert!(matches!(resumed, Ok(Welcome::Resumed { received: 3 })));
    }

    #[test]
    fn secrets_differ_and_are_never_shown() {
        let [a, b] = [(); 2].map(|()| Identity::random(&mut rand::rng()).secret);
        assert!(!a.matches(&b));
        assert_eq!(format!("{a:?}"), "Secret(..)");
    }

    proptest! {
        #[test]
        fn a_greeting_cut_short_or_grown_is_refused(cut in 0_usize..88, grown in 1_usize..9) {
            let identity = Identity::random(&mut rand::rng());
            let whole = hello(Some(Resume { identity, received: 1 })).write();
            prop_assert!(Hello::read(whole.slice(..cut)).is_err());
            let long = [&whole[..], &vec![0; grown]].concat();
            prop_assert!(Hello::read(long.into()).is_err());
        }

        #[test]
        fn whatever_arrives_is_read_or_refused(message in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = Hello::read(Bytes::from(message.clone()));
            let _ = Welcome::read(Bytes::from(message));
        }
    }
}
