//! Who hears the desktop's sound.

use bytes::Bytes;
use helix_proto::desktop::{Audio, Down, Micros, Notice, NoticeCode};

use super::{Action, Hub, bounded};

impl Hub {
    /// A piece of sound was heard, as Opus: for those who listen.
    pub fn heard(&mut self, opus: &Bytes, captured: Micros) -> Vec<Action> {
        let mut actions = Vec::new();
        for (id, viewer) in &mut self.viewers {
            if viewer.greeted && viewer.listens {
                viewer.heard = viewer.heard.wrapping_add(1);
                viewer.told_of_silence = false;
                let audio = Audio {
                    sequence: viewer.heard,
                    captured,
                    opus: opus.clone(),
                };
                actions.push(Action::Send(*id, Down::Audio(audio)));
            }
        }
        actions
    }

    /// There is no sound, although there should be: those who listen are told once.
    pub fn silent(&mut self, why: &str) -> Vec<Action> {
        let notice = Notice {
            code: NoticeCode::NoSound,
            text: bounded(why),
        };
        let mut actions = Vec::new();
        for (id, viewer) in &mut self.viewers {
            if viewer.greeted && viewer.listens && !viewer.told_of_silence {
                viewer.told_of_silence = true;
                actions.push(Action::Send(*id, Down::Notice(notice.clone())));
            }
        }
        actions
    }

    /// Says whether somebody listens, where that has changed.
    pub(super) fn tell_listening(&mut self, actions: &mut Vec<Action>) {
        let listened = self.viewers.values().any(|viewer| viewer.listens);
        if listened != self.listened {
            self.listened = listened;
            actions.push(Action::Listen(listened));
        }
    }
}
