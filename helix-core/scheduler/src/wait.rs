//! Why a request waits, for people.

use std::fmt;

use helix_proto::InstanceId;

/// Why a request waits. `Display` is the text that people see.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitReason {
    /// Every place on the model's instances is taken.
    PlacesTaken {
        /// The model's name.
        model: String,
        /// Ready instances.
        instances: u32,
        /// Places on them.
        places: u32,
        /// Requests for the same model that go first.
        ahead: u32,
    },
    /// An instance is on its way.
    Starting {
        /// The model's name.
        model: String,
        /// The instance.
        instance: InstanceId,
        /// The runner's name.
        runner: String,
        /// How far it has come, if the runner said so.
        progress: Option<String>,
    },
    /// A runner that has an instance, or could have one, is expected back.
    Reconnecting {
        /// The runner's name; `None` if none was seen since the start.
        runner: Option<String>,
    },
    /// The connection to a runner that has an instance, or could have one,
    /// broke and is being replaced.
    Restoring {
        /// The runner's name.
        runner: String,
    },
    /// Instances of other models are ending to make room.
    MakingRoom {
        /// The model's name.
        model: String,
        /// The runner's name.
        runner: String,
        /// The names of the models that give way.
        giving_way: Vec<String>,
    },
    /// There is no room for an instance now.
    NoRoom {
        /// The model's name.
        model: String,
        /// What it needs on each device; `None` if not known: a device of its own.
        need_bytes: Option<u64>,
        /// The most that a device can give now.
        free_bytes: u64,
        /// Models that are at work on the devices.
        busy: Vec<String>,
        /// What other programs use on the device that could give most.
        foreign_bytes: u64,
    },
    /// The model has all the instances it may have, and they are ending.
    InstancesEnding {
        /// The model's name.
        model: String,
    },
    /// The next attempt to start the model is due after a pause.
    Backoff {
        /// The model's name.
        model: String,
        /// How long from now.
        remaining_ms: u64,
        /// The last failure.
        failure: String,
    },
}

impl fmt::Display for WaitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PlacesTaken {
                model,
                instances,
                places,
                ahead,
            } => write!(
                f,
                "all {places} places on {instances} {} of {model} are taken; {ahead} {} first",
                if *instances == 1 {
                    "instance"
                } else {
                    "instances"
                },
                if *ahead == 1 {
                    "request goes"
                } else {
                    "requests go"
                },
            ),
            Self::Starting {
                model,
                runner,
                progress,
                ..
            } => {
                write!(f, "{model} is starting on {runner}")?;
                progress
                    .as_ref()
                    .map_or(Ok(()), |progress| write!(f, ": {progress}"))
            }
            Self::Reconnecting {
                runner: Some(runner),
            } => {
                write!(f, "waiting for {runner} to reconnect")
            }
            Self::Restoring { runner } => {
                write!(f, "the connection to {runner} is being restored")
            }
            Self::Reconnecting { runner: None } => f.write_str("waiting for a runner to connect"),
            Self::MakingRoom {
                model,
                runner,
                giving_way,
            } => {
                write!(f, "making room for {model} on {runner}")?;
                list(f, ": waiting for ", giving_way, " to finish")
            }
            Self::NoRoom {
                model,
                need_bytes,
                free_bytes,
                busy,
                foreign_bytes,
            } => {
                match need_bytes {
                    Some(need) => write!(f, "no room for {model}: it needs {}", bytes(*need))?,
                    None => write!(f, "no room for {model}: it needs a device of its own")?,
                }
                write!(f, " and the most that is free is {}", bytes(*free_bytes))?;
                if *foreign_bytes > 0 {
                    write!(f, "; other programs use {}", bytes(*foreign_bytes))?;
                }
                list(f, "; at work: ", busy, "")
            }
            Self::InstancesEnding { model } => {
                write!(
                    f,
                    "the instances of {model} are ending; another starts after that"
                )
            }
            Self::Backoff {
                model,
                remaining_ms,
                failure,
            } => write!(
                f,
                "{model} could not be started ({failure}); next attempt in {}",
                seconds(*remaining_ms)
            ),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, before: &str, names: &[String], after: &str) -> fmt::Result {
    if names.is_empty() {
        return Ok(());
    }
    write!(f, "{before}{}{after}", names.join(", "))
}

/// A size for people: binary units, one digit after the point.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    for (unit, name) in UNITS {
        if bytes >= unit {
            let tenths = (u128::from(bytes) * 10 / u128::from(unit)) as u64;
            return format!("{}.{} {name}", tenths / 10, tenths % 10);
        }
    }
    format!("{bytes} B")
}

/// A time for people.
pub(crate) fn seconds(ms: u64) -> String {
    if ms < 10_000 {
        format!("{}.{} s", ms / 1_000, ms % 1_000 / 100)
    } else {
        format!("{} s", ms / 1_000)
    }
}
