//! A request's body, of which only the top level is looked at.

use std::{borrow::Cow, fmt, ops::Range};

use bytes::Bytes;
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A body that cannot be routed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// It is not one JSON object.
    #[error("the body is not a valid JSON object: {0}")]
    Json(String),
    /// It names no model.
    #[error("the body has no `model`: name one of `GET /v1/models`, or `default`")]
    ModelMissing,
    /// A field that decides about routing has the wrong type.
    #[error("`{field}` must be a {expected}")]
    Type {
        /// The field.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// A field that decides about routing is there twice: two readers could
    /// understand two different requests.
    #[error("`{0}` is in the body twice")]
    Duplicate(&'static str),
}

impl BodyError {
    /// The field at fault, where there is one.
    pub const fn field(&self) -> Option<&'static str> {
        match self {
            Self::Json(_) => None,
            Self::ModelMissing => Some("model"),
            Self::Type { field, .. } | Self::Duplicate(field) => Some(field),
        }
    }
}

/// The body of a chat completion, completion or embedding request as it came,
/// with what routing needs to know of it. Order, spacing, numbers and fields
/// that nobody here has heard of stay as the client wrote them.
///
/// ```
/// use helix_proto::openai::RequestBody;
///
/// let body = RequestBody::parse(r#"{"top_k": 40, "model": "small", "x": 1.50}"#.into())?;
/// assert_eq!(body.model(), "small");
/// assert_eq!(body.with_model("weights.gguf"), r#"{"top_k": 40, "model": "weights.gguf", "x": 1.50}"#);
/// # Ok::<(), helix_proto::openai::BodyError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct RequestBody {
    bytes: Bytes,
    model: String,
    /// Where the value of `model` is, quotes included.
    span: Range<usize>,
    stream: bool,
}

impl fmt::Debug for RequestBody {
    /// Leaves the prompt out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody")
            .field("model", &self.model)
            .field("stream", &self.stream)
            .field("bytes", &self.bytes.len())
            .finish()
    }
}

impl RequestBody {
    /// Looks at the top level of `bytes`.
    ///
    /// # Errors
    ///
    /// When it is not one JSON object, or `model` or `stream` is absent, twice
    /// there or of the wrong type.
    pub fn parse(bytes: Bytes) -> Result<Self, BodyError> {
        let top: TopLevel<'_> =
            serde_json::from_slice(&bytes).map_err(|error| BodyError::Json(error.to_string()))?;
        if let Some(field) = top.duplicate {
            return Err(BodyError::Duplicate(field));
        }
        let raw = top.model.ok_or(BodyError::ModelMissing)?.get();
        let model = serde_json::from_str(raw).map_err(|_| BodyError::Type {
            field: "model",
            expected: "string",
        })?;
        let stream = match top.stream.map(RawValue::get) {
            None | Some("null" | "false") => false,
            Some("true") => true,
            Some(_) => {
                return Err(BodyError::Type {
                    field: "stream",
                    expected: "boolean",
                });
            }
        };
        // The raw value borrows from `bytes`, so that its place is a difference of addresses.
        let start = raw.as_ptr().addr() - bytes.as_ptr().addr();
        let span = start..start + raw.len();
        Ok(Self {
            bytes,
            model,
            span,
            stream,
        })
    }

    /// The model that the client asks for.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Whether the client wants server-sent events.
    pub const fn stream(&self) -> bool {
        self.stream
    }

    /// The body as it came.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The body with another model's name and everything else byte for byte as
    /// it came. Without a copy where the name stays.
    pub fn with_model(&self, model: &str) -> Bytes {
        if model == self.model {
            return self.bytes.clone();
        }
        let name = serde_json::Value::from(model).to_string();
        let mut body = Vec::with_capacity(self.bytes.len() - self.span.len() + name.len());
        body.extend_from_slice(&self.bytes[..self.span.start]);
        body.extend_from_slice(name.as_bytes());
        body.extend_from_slice(&self.bytes[self.span.end..]);
        body.into()
    }
}

#[derive(Default)]
struct TopLevel<'a> {
    model: Option<&'a RawValue>,
    stream: Option<&'a RawValue>,
    duplicate: Option<&'static str>,
}

impl<'de> Deserialize<'de> for TopLevel<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TopLevelVisitor)
    }
}

struct TopLevelVisitor;

impl<'de> Visitor<'de> for TopLevelVisitor {
    type Value = TopLevel<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut top = TopLevel::default();
        while let Some(Key(key)) = map.next_key()? {
            let (field, slot) = match key.as_ref() {
                "model" => ("model", &mut top.model),
                "stream" => ("stream", &mut top.stream),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if slot.replace(map.next_value()?).is_some() {
                top.duplicate = Some(field);
            }
        }
        Ok(top)
    }
}

/// A key that is borrowed where it has no escapes in it.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;

    fn parse(text: &str) -> Result<RequestBody, BodyError> {
        RequestBody::parse(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn model_and_stream_are_found_wherever_they_stand() {
        let body = parse(" {\"n\":1, \"m\\u006fdel\" : \"a\\u002fb\" ,\"stream\":true}\n").unwrap();
        assert_eq!((body.model(), body.stream()), ("a/b", true));
        assert_eq!(
            body.with_model("c"),
            " {\"n\":1, \"m\\u006fdel\" : \"c\" ,\"stream\":true}\n"
        );
        assert!(!parse(r#"{"model":"m","stream":null}"#).unwrap().stream());
    }

    #[test]
    fn a_body_that_cannot_be_routed_says_why() {
        for (text, expected) in [
            (r#"{"messages":[]}"#, BodyError::ModelMissing),
            (
                r#"{"model":7}"#,
                BodyError::Type {
                    field: "model",
                    expected: "string",
                },
            ),
            (
                r#"{"model":"m","stream":"yes"}"#,
                BodyError::Type {
                    field: "stream",
                    expected: "boolean",
                },
            ),
            (
                r#"{"model":"a","model":"b"}"#,
                BodyError::Duplicate("model"),
            ),
        ] {
            assert_eq!(parse(text).unwrap_err(), expected, "{text}");
        }
        for text in [
            "",
            "[]",
            "{",
            r#"{"model":"m"} x"#,
            r#"{"model":"m",}"#,
            "\u{feff}{}",
        ] {
            assert!(matches!(parse(text), Err(BodyError::Json(_))), "{text}");
        }
    }

    #[test]
    fn nesting_without_end_is_refused_and_does_not_overflow_the_stack() {
        let deep = format!(r#"{{"model":"m","x":{}"#, "[".repeat(1_000_000));
        assert!(matches!(parse(&deep), Err(BodyError::Json(_))));
    }

    #[test]
    fn debug_output_has_no_prompt_in_it() {
        let body = parse(r#"{"model":"m","prompt":"secret"}"#).unwrap();
        assert!(!format!("{body:?}").contains("secret"));
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((".*", inner), 0..5)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn only_the_models_value_changes_and_everything_else_stays_byte_for_byte(
            before in prop::collection::vec((".*", value()), 0..4),
            after in prop::collection::vec((".*", value()), 0..4),
            model in ".*",
            replacement in ".*",
            pretty in any::<bool>(),
        ) {
            let print = |value: &Value| if pretty {
                serde_json::to_string_pretty(value).unwrap()
            } else {
                value.to_string()
            };
            let field = |(key, value): &(String, Value)| {
                format!("{}: {}", Value::from(key.as_str()), print(value))
            };
            let mine = |(key, _): &&(String, Value)| key != "model" && key != "stream";
            let text = |model: &str| {
                let fields: Vec<_> = before.iter().filter(mine).map(field)
                    .chain([format!("\"model\" :{}", Value::from(model))])
                    .chain(after.iter().filter(mine).map(field))
                    .collect();
                format!("{{ {} }}", fields.join(" ,\n"))
            };
            let body = parse(&text(&model)).unwrap();
            prop_assert_eq!(body.model(), &model);
            prop_assert_eq!(body.with_model(&replacement), text(&replacement));
            prop_assert_eq!(body.bytes(), &text(&model));
        }

        #[test]
        fn what_parses_here_is_what_a_full_parser_reads(text in value()) {
            let text = text.to_string();
            if let Ok(body) = parse(&text) {
                let full: Map<String, Value> = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(full["model"].as_str(), Some(body.model()));
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = RequestBody::parse(bytes.into());
        }
    }
}
