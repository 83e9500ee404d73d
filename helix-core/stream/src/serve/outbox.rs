//! What waits for a viewer's socket.
//!
//! Small messages go before pictures, but none before a `Hello`, which changes what the
//! pictures after it mean. What is newer replaces what is older and waits still, so that a
//! viewer that takes nothing costs a bounded amount. Pictures are bounded by its pacing; one
//! that goes around that is let go of.

use std::{
    collections::VecDeque,
    mem::{Discriminant, discriminant},
    sync::{Mutex, PoisonError},
};

use helix_proto::desktop::Down;
use tokio::sync::{Notify, watch};

/// Messages of a kind of which every one counts that wait at most; the oldest give way.
const MOST: usize = 64;

/// Pieces of sound that wait at most: what is older is not worth hearing any more.
const SOUND: usize = 16;

/// Bytes of pictures that wait at most: several times what pacing lets onto the way.
const PICTURES: usize = 16 << 20;

/// What waits for a viewer's socket.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: Mutex<VecDeque<Down>>,
    some: Notify,
    /// Whether more waited than may.
    over: watch::Sender<bool>,
}

impl Outbox {
    pub(super) fn push(&self, message: Down) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let before: usize = waiting.iter().map(bytes).sum();
        if before + bytes(&message) > PICTURES {
            self.over.send_replace(true);
            return;
        }
        put(&mut waiting, message);
        self.some.notify_one();
    }

    /// The next one. Dropping this loses nothing.
    pub(super) async fn pop(&self) -> Down {
        loop {
            let next = {
                let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                waiting.pop_front()
            };
            match next {
                Some(message) => return message,
                None => self.some.notified().await,
            }
        }
    }

    /// Ends when more waits than may.
    pub(super) async fn overflow(&self) {
        let mut over = self.over.subscribe();
        // The sender lives as long as this does.
        let _ = over.wait_for(|over| *over).await;
    }
}

fn bytes(message: &Down) -> usize {
    match message {
        Down::Frame(frame) => frame.picture.len(),
        Down::Still(still) => still.jpeg.len(),
        Down::Patch(patch) => patch.qoi.len(),
        _ => 0,
    }
}

fn put(waiting: &mut VecDeque<Down>, message: Down) {
    if is_picture(&message) || matches!(message, Down::Hello(_)) {
        waiting.push_back(message);
        return;
    }
    let kind = discriminant(&message);
    let most = match message {
        Down::Notice(_) | Down::Pong { .. } => MOST,
        Down::Audio(_) => SOUND,
        _ => 1,
    };
    while count(waiting, kind) >= most {
        let oldest = waiting.iter().position(|one| discriminant(one) == kind);
        let _ = oldest.and_then(|at| waiting.remove(at));
    }
    let hello = waiting
        .iter()
        .rposition(|one| matches!(one, Down::Hello(_)));
    let from = hello.map_or(0, |at| at + 1);
    let picture = waiting.iter().skip(from).position(is_picture);
    let at = picture.map_or(waiting.len(), |at| from + at);
    waiting.insert(at, message);
}

fn count(waiting: &VecDeque<Down>, kind: Discriminant<Down>) -> usize {
    waiting
        .iter()
        .filter(|one| discriminant(*one) == kind)
        .count()
}

const fn is_picture(message: &Down) -> bool {
    matches!(message, Down::Frame(_) | Down::Still(_) | Down::Patch(_))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use helix_proto::desktop::{
        Audio, Codec, Frame, FrameFlags, Hello, HelloFlags, Micros, Notice, NoticeCode, Point, Size,
    };

    use super::*;

    fn frame(sequence: u32) -> Down {
        Down::Frame(Frame {
            sequence,
            captured: Micros(0),
            flags: FrameFlags::default(),
            size: Size::new(1, 1).unwrap(),
            picture: Bytes::from_static(b"x"),
        })
    }

    fn hello() -> Down {
        Down::Hello(Hello {
            viewer: 1,
            codec: Codec::H264,
            encoder: String::new(),
            config: String::new(),
            size: Size::new(1, 1).unwrap(),
            flags: HelloFlags::default(),
        })
    }

    fn notice(text: &str) -> Down {
        let (code, text) = (NoticeCode::Well, text.to_owned());
        Down::Notice(Notice { code, text })
    }

    fn order(messages: Vec<Down>) -> Vec<Down> {
        let mut waiting = VecDeque::new();
        for message in messages {
            put(&mut waiting, message);
        }
        waiting.into()
    }

    #[test]
    fn small_messages_go_before_pictures_and_keep_their_order() {
        let got = order(vec![frame(1), notice("a"), frame(2), notice("b")]);
        assert_eq!(got, [notice("a"), notice("b"), frame(1), frame(2)]);
    }

    #[test]
    fn nothing_goes_before_a_hello_that_is_waiting() {
        let got = order(vec![frame(1), hello(), frame(2), notice("a")]);
        assert_eq!(got, [frame(1), hello(), notice("a"), frame(2)]);
    }

    #[test]
    fn what_is_newer_replaces_what_waits_still() {
        let at = |x| Down::Pointer(Point { x, y: 0 });
        assert_eq!(order(vec![at(1), notice("a"), at(2)]), [notice("a"), at(2)]);
        let many: Vec<_> = (0..100).map(|n| notice(&n.to_string())).collect();
        let got = order(many);
        assert_eq!((got.len(), &got[0]), (MOST, &notice("36")));
        let sound = |sequence| {
            Down::Audio(Audio {
                sequence,
                captured: Micros(0),
                opus: Bytes::from_static(b"x"),
            })
        };
        let got = order((0..100).map(sound).collect());
        assert_eq!((got.len(), &got[0]), (SOUND, &sound(84)));
    }

    #[tokio::test]
    async fn one_that_reads_nothing_is_found_out() {
        let outbox = Outbox::default();
        let large = |sequence| {
            let Down::Frame(frame) = frame(sequence) else {
                unreachable!()
            };
            let picture = Bytes::from(vec![0; 5 << 20]);
            Down::Frame(Frame { picture, ..frame })
        };
        let over = outbox.overflow();
        tokio::pin!(over);
        for sequence in 1..=3 {
            outbox.push(large(sequence));
            assert!(futures_util::poll!(over.as_mut()).is_pending());
        }
        outbox.push(large(4));
        over.await;
        assert!(matches!(outbox.pop().await, Down::Frame(frame) if frame.sequence == 1));
    }
}
