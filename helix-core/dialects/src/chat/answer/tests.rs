use proptest::prelude::*;

use super::*;

/// What engines send, with the turns that engines take.
const ANSWER: &str = concat!(
    ": comment\n\n",
    "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm 🎈\"}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"content\":\"Grüße\"}}]}\r\n\r\n",
    "event: x\ndata: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"x\\\"\"}}]}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":1,\"id\":\"b\",\"function\":{\"name\":\"g\"}}]}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\":1}\"}}]}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n",
    "data: [DONE]\n\n",
);

fn read(parts: &[&[u8]]) -> Vec<Piece> {
    let mut reader = Reader::default();
    let mut pieces = Vec::new();
    for part in parts {
        reader.push(part, &mut pieces);
    }
    reader.end(&mut pieces);
    pieces
}

fn whole() -> Vec<Piece> {
    let call = |id: &str, name: &str| Piece::Call {
        id: id.into(),
        name: name.into(),
    };
    vec![
        Piece::Reasoning("hm 🎈".into()),
        Piece::Text("Grüße".into()),
        call("a", "f"),
        Piece::Arguments("{\"x\"".into()),
        Piece::Arguments(":1}".into()),
        Piece::Called,
        call("b", "g"),
        Piece::Arguments("{}".into()),
        Piece::Called,
        Piece::End {
            stop: Stop::Calls,
            usage: Usage {
                prompt: 3,
                completion: 2,
                ..Usage::default()
            },
        },
    ]
}

proptest! {
    #[test]
    fn an_answer_is_the_same_however_its_bytes_are_cut(mut cuts in prop::collection::vec(0..ANSWER.len(), 0..12)) {
        cuts.sort_unstable();
        let mut parts = Vec::new();
        let mut from = 0;
        for cut in cuts {
            parts.push(&ANSWER.as_bytes()[from..cut]);
            from = cut;
        }
        parts.push(&ANSWER.as_bytes()[from..]);
        prop_assert_eq!(read(&parts), whole());
    }

    #[test]
    fn any_bytes_are_read_to_one_end(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let pieces = read(&[&bytes]);
        let ends = pieces.iter().filter(|it| matches!(it, Piece::End { .. } | Piece::Failed(_)));
        prop_assert_eq!(ends.count(), 1);
    }
}

fn chunks(chunks: &[&str]) -> Vec<Piece> {
    let text: String = chunks
        .iter()
        .map(|chunk| format!("data: {chunk}\n\n"))
        .collect();
    read(&[text.as_bytes()])
}

#[test]
fn what_is_said_in_the_middle_of_a_call_follows_it() {
    let pieces = chunks(&[
        r#"{"choices":[{"delta":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{"}}]}}]}"#,
        r#"{"choices":[{"delta":{"content":"now"}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"}"}}]},"finish_reason":"stop"}]}"#,
    ]);
    let told: Vec<_> = pieces[1..].to_vec();
    assert_eq!(
        told,
        [
            Piece::Arguments("{".into()),
            Piece::Arguments("}".into()),
            Piece::Called,
            Piece::Text("now".into()),
            Piece::End {
                stop: Stop::Calls,
                usage: Usage::default()
            },
        ]
    );
}

#[test]
fn an_error_in_the_stream_is_the_reason_and_the_last_word() {
    let pieces = chunks(&[
        r#"{"choices":[{"delta":{"content":"ha"}}]}"#,
        r#"{"error":{"message":"out of memory","code":"oom"}}"#,
        r#"{"choices":[{"delta":{"content":"lf"},"finish_reason":"stop"}]}"#,
    ]);
    let failure = Failure {
        message: "out of memory".into(),
        code: Some("oom".into()),
    };
    assert_eq!(pieces, [Piece::Text("ha".into()), Piece::Failed(failure)]);
}

#[test]
fn an_answer_that_stops_without_an_end_has_failed() {
    let pieces = chunks(&[r#"{"choices":[{"delta":{"content":"ha"}}]}"#]);
    assert_eq!(
        pieces[1],
        Piece::Failed(Failure::new("the model's answer broke off"))
    );
}

#[test]
fn why_it_ended_is_told_apart() {
    let check = |choice: &str, expected: Stop| {
        let pieces = chunks(&[&format!("{{\"choices\":[{choice}]}}")]);
        let Some(Piece::End { stop, .. }) = pieces.last() else {
            panic!("{pieces:?}");
        };
        assert_eq!(*stop, expected, "{choice}");
    };
    check(r#"{"finish_reason":"stop"}"#, Stop::End);
    check(r#"{"finish_reason":"stop","stop_reason":2}"#, Stop::End);
    check(
        r#"{"finish_reason":"stop","stop_reason":"END"}"#,
        Stop::Sequence("END".into()),
    );
    check(r#"{"finish_reason":"length"}"#, Stop::Length);
    check(r#"{"finish_reason":"content_filter"}"#, Stop::Filtered);
}
