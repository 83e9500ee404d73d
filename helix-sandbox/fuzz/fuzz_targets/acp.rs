//! Whatever an agent writes, in whatever pieces: its lines have places that go up, what is said of
//! them is within the bounds of agent sync, what it is answered are lines of JSON, and the
//! conversation can be written down at any moment.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (kind, piece, output) = input;
    agents::run(kind, piece, output);
});

/// The host's own sources, and what is asked of them.
#[allow(dead_code, unused_imports, reason = "the host uses the rest")]
#[path = "../../src/agents"]
mod agents {
    mod acp;
    mod lines;

    use helix_agent::host::{Fact, Tell};
    use helix_proto::{
        TurnId, TypedId as _,
        agents::{Content, PermissionAnswer},
    };
    use serde_json::Value;

    use self::{
        acp::{Acp, Out},
        lines::Lines,
    };

    /// What an agent answers that is as it should be, up to a turn in flight.
    const BEGINNING: [&str; 2] = [
        r#"{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":1,"agentCapabilities":{"loadSession":true,"promptCapabilities":{"image":true}}}}"#,
        r#"{"jsonrpc":"2.0","id":2,"result":{"sessionId":"s"}}"#,
    ];

    pub(super) fn run(kind: u8, piece: u8, output: &[u8]) {
        let session = (kind & 1 == 1).then(|| "s".to_owned());
        let (mut acp, out) = Acp::new("/work".to_owned(), kind & 2 == 2, session);
        check(&out);
        if kind & 4 == 4 {
            for line in BEGINNING {
                check(&acp.line(line));
            }
            let turn = TurnId::from_parts(1, 1);
            check(&acp.tell(&Tell::Prompt { turn }, &[Content::text("hello")]));
        }
        let mut lines = Lines::default();
        let mut last = 0;
        for (event, piece) in (2..).zip(output.chunks(usize::from(piece) + 1)) {
            // No line is as long as that is bounded.
            for (place, line) in lines.read(event, piece).unwrap_or_default() {
                assert!(place > last);
                last = place;
                let out = acp.line(&line);
                check(&out);
                for out in out {
                    answer(&mut acp, out);
                }
                let written = serde_json::to_string(&acp).unwrap();
                assert_eq!(serde_json::from_str::<Acp>(&written).unwrap(), acp);
            }
        }
    }

    /// Answers what is asked, as the host does.
    fn answer(acp: &mut Acp, out: Out) {
        match out {
            Out::Call(call) => {
                let line = call.answer(Err("no".to_owned()));
                assert!(serde_json::from_str::<Value>(&line).is_ok());
            }
            Out::Fact(Fact::Asked { key, .. }) => {
                let answer = PermissionAnswer::Cancelled;
                check(&acp.tell(&Tell::Answer { key, answer }, &[]));
            }
            _ => {}
        }
    }

    fn check(out: &[Out]) {
        for out in out {
            match out {
                Out::Send(line) => {
                    let line = line.strip_suffix('\n').unwrap_or(line);
                    assert!(!line.contains('\n'));
                    assert!(serde_json::from_str::<Value>(line).is_ok());
                }
                Out::Fact(Fact::Said(body)) => body.check().unwrap(),
                _ => {}
            }
        }
    }
}
