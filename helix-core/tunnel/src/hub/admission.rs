//! What becomes of a connection that has said hello. Pure.

use crate::{
    CloseCode, Lane,
    link::greeting::{Hello, Instance, Secret},
};

/// A link that exists.
#[derive(Debug)]
pub(super) struct Known<'a> {
    /// Whether the connection was dialled with the very credential that the link began
    /// with.
    pub(super) same_holder: bool,
    pub(super) secret: &'a Secret,
    /// The attempt of its current connection.
    pub(super) attempt: u64,
}

/// The tunnel that this key has now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Current {
    pub(super) instance: Instance,
    /// The attempt with which it began.
    pub(super) attempt: u64,
    /// Whether the lane that the connection is for was asked for.
    pub(super) expects_lane: bool,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// It begins a link.
    New,
    /// The link that it names goes on.
    Resume,
    /// It is closed.
    Refuse(CloseCode, &'static str),
}

pub(super) fn admit(
    hello: &Hello,
    known: Option<&Known<'_>>,
    current: Option<Current>,
) -> Admission {
    if let (Some(resume), Some(known)) = (&hello.resume, known) {
        return if !known.same_holder || !known.secret.matches(&resume.identity.secret) {
            let why = "this link cannot be resumed with this credential and secret";
            Admission::Refuse(CloseCode::RESUME_REFUSED, why)
        } else if hello.attempt <= known.attempt {
            Admission::Refuse(CloseCode::STALE, "the link has a newer connection")
        } else {
            Admission::Resume
        };
    }
    let own = current.filter(|current| current.instance == hello.instance);
    match (hello.lane, own) {
        (Lane::Control, Some(own)) if hello.attempt <= own.attempt => {
            Admission::Refuse(CloseCode::STALE, "this agent has a newer connection")
        }
        (Lane::Control, _) => Admission::New,
        (_, Some(own)) if own.expects_lane => Admission::New,
        _ => {
            let why = "nobody asked this agent for this lane";
            Admission::Refuse(CloseCode::UNEXPECTED_LANE, why)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::greeting::{Identity, Resume};

    struct World {
        identity: Identity,
        instance: Instance,
    }

    impl World {
        fn new() -> Self {
            Self {
                identity: Identity::random(&mut rand::rng()),
                instance: Instance::random(&mut rand::rng()),
            }
        }

        fn hello(&self, lane: Lane, attempt: u64, resumes: bool) -> Hello {
            Hello {
                lane,
                instance: self.instance,
                attempt,
                window: 0,
                resume: resumes.then(|| Resume {
                    identity: self.identity.clone(),
                    received: 0,
                }),
            }
        }

        fn known(&self) -> Known<'_> {
            Known {
                same_holder: true,
                secret: &self.identity.secret,
                attempt: 5,
            }
        }

        fn current(&self) -> Current {
            Current {
                instance: self.instance,
                attempt: 5,
                expects_lane: false,
            }
        }
    }

    fn code(admission: Admission) -> Option<CloseCode> {
        match admission {
            Admission::Refuse(code, _) => Some(code),
            Admission::New | Admission::Resume => None,
        }
    }

    #[test]
    fn a_link_goes_on_for_whoever_holds_its_secret_and_its_credential() {
        let world = World::new();
        let hello = world.hello(Lane::Control, 6, true);
        assert_eq!(admit(&hello, Some(&world.known()), None), Admission::Resume);
        let other = Identity::random(&mut rand::rng()).secret;
        let known = Known {
            secret: &other,
            ..world.known()
        };
        let refused = Some(CloseCode::RESUME_REFUSED);
        assert_eq!(code(admit(&hello, Some(&known), None)), refused);
        let known = Known {
            same_holder: false,
            ..world.known()
        };
        assert_eq!(code(admit(&hello, Some(&known), None)), refused);
    }

    #[test]
    fn a_connection_that_was_held_up_never_takes_the_place_of_a_newer_one() {
        let world = World::new();
        for attempt in [4, 5] {
            let stale = Some(CloseCode::STALE);
            let hello = world.hello(Lane::Control, attempt, true);
            assert_eq!(code(admit(&hello, Some(&world.known()), None)), stale);
            let hello = world.hello(Lane::Control, attempt, false);
            assert_eq!(code(admit(&hello, None, Some(world.current()))), stale);
        }
    }

    #[test]
    fn a_link_that_is_gone_begins_anew_at_once() {
        let world = World::new();
        let hello = world.hello(Lane::Control, 1, true);
        assert_eq!(admit(&hello, None, None), Admission::New);
    }

    #[test]
    fn another_agent_with_the_same_credential_takes_over_whatever_it_counts() {
        let world = World::new();
        let hello = World::new().hello(Lane::Control, 1, false);
        assert_eq!(admit(&hello, None, Some(world.current())), Admission::New);
    }

    #[test]
    fn a_lane_opens_for_the_agent_that_was_asked_and_for_nobody_else() {
        let world = World::new();
        let hello = world.hello(Lane::Bulk, 6, false);
        let asked = Current {
            expects_lane: true,
            ..world.current()
        };
        assert_eq!(admit(&hello, None, Some(asked)), Admission::New);
        let refused = Some(CloseCode::UNEXPECTED_LANE);
        assert_eq!(code(admit(&hello, None, Some(world.current()))), refused);
        assert_eq!(code(admit(&hello, None, None)), refused);
        let other = World::new().hello(Lane::Bulk, 6, false);
        assert_eq!(code(admit(&other, None, Some(asked))), refused);
    }
}
