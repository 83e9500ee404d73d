//! What an agent did, without the secrets that its sandbox was given.

use helix_proto::agents::{Event, EventBody};

use crate::secrets::Redactor;

/// Said instead of an event that is not one any more without the values.
const WITHHELD: &str = "what the agent said here held a secret, and is left out";

/// An event as it is kept. A value is found where an event has all of it.
pub(super) fn redacted(redactor: &Redactor, event: Event) -> Event {
    if redactor.is_empty() {
        return event;
    }
    let Ok(json) = serde_json::to_string(&event.body) else {
        return event;
    };
    let clean = redactor.whole(&json);
    if clean == json {
        return event;
    }
    let body = serde_json::from_str(&clean).unwrap_or_else(|_| EventBody::Notice {
        text: WITHHELD.to_owned(),
    });
    Event { body, ..event }
}

#[cfg(test)]
mod tests {
    use helix_base::SecretString;
    use helix_proto::agents::Content;

    use super::*;

    fn message(text: &str) -> Event {
        let content = Content::Text {
            text: text.to_owned(),
        };
        Event {
            seq: 7,
            at_ms: 1,
            body: EventBody::Message { content },
        }
    }

    #[test]
    fn values_are_replaced_and_all_else_stays() {
        let redactor = Redactor::new(&[(None, SecretString::from("to\"ken\\1".to_owned()))]);
        let event = redacted(&redactor, message("it is to\"ken\\1, é"));
        assert_eq!(event, message("it is [redacted], é"));
        let event = redacted(&redactor, message("nothing"));
        assert_eq!(event, message("nothing"));
    }

    #[test]
    fn what_is_no_event_without_a_value_is_said_to_be_left_out() {
        // A value that is a part of every event.
        let redactor = Redactor::new(&[(None, SecretString::from("\"message\"".to_owned()))]);
        let event = redacted(&redactor, message("hello"));
        let text = WITHHELD.to_owned();
        assert_eq!(event.body, EventBody::Notice { text });
        assert_eq!(event.seq, 7);
    }
}
