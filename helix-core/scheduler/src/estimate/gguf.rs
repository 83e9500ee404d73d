//! Headers of GGUF files, by the specification in `ggml/docs/gguf.md`, versions
//! 2 and 3, little endian.

use std::{collections::BTreeMap, io::Read};

use super::{Attention, Error, ModelProfile, profile::MOST_LAYERS};

const FORMAT: &str = "GGUF";
const MOST_KEYS: u64 = 1 << 16;
const MOST_TENSORS: u64 = 1 << 20;
const MOST_DIMENSIONS: u32 = 8;
const MOST_NESTING: u32 = 4;
/// Longer texts are skipped: none that matters is.
const KEPT_TEXT: u64 = 1 << 10;
/// Further numbers of a list are skipped: none that matters has more.
const KEPT_NUMBERS: usize = MOST_LAYERS as usize;

/// A header: what matters of its metadata, and the size of each tensor.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    values: BTreeMap<String, Value>,
    tensors: Vec<Tensor>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Tensor {
    name: String,
    first_dimensions: (u64, u64),
    /// `None` if its type is not known: then by the place of the next.
    bytes: Option<u64>,
    offset: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Number(u64),
    Text(String),
    /// How many there are, and the first of them if they are numbers.
    List(u64, Vec<u64>),
    Other,
}

/// Reads a header. What follows it is not touched; a slice of a file's
/// beginning will do.
///
/// # Errors
///
/// When it is no GGUF header, ends too early, is longer than `limit_bytes`, or
/// says what cannot be. Never panics, and never allocates more than a small
/// multiple of what it has read.
pub fn read(reader: impl Read, limit_bytes: u64) -> Result<Header, Error> {
    let mut source = Source {
        reader,
        read_bytes: 0,
        limit_bytes,
    };
    if source.bytes::<4>()? != *b"GGUF" {
        return Err(invalid("it does not begin with `GGUF`"));
    }
    let version = source.u32()?;
    if !(2..=3).contains(&version) {
        return Err(invalid(format!(
            "version {version} is not supported (2 and 3 are)"
        )));
    }
    let tensors = source.u64()?;
    let keys = source.u64()?;
    if tensors > MOST_TENSORS || keys > MOST_KEYS {
        return Err(invalid(format!(
            "{tensors} tensors and {keys} keys cannot be"
        )));
    }
    let mut header = Header::default();
    for _ in 0..keys {
        let key = source.text()?.ok_or_else(|| invalid("a key is too long"))?;
        let kind = source.u32()?;
        let value = source.value(kind, 0)?;
        header.values.insert(key, value);
    }
    for _ in 0..tensors {
        header.tensors.push(source.tensor()?);
    }
    Ok(header)
}

impl Header {
    /// How many files the model is split over; 1 if it is not.
    pub fn split_count(&self) -> u64 {
        self.number("split.count").unwrap_or(1).max(1)
    }

    /// Whether the model says how to pool its output: it was made for embeddings.
    pub fn pools(&self) -> bool {
        let Some(Value::Text(architecture)) = self.values.get("general.architecture") else {
            return false;
        };
        self.values
            .contains_key(&format!("{architecture}.pooling_type"))
    }

    fn number(&self, key: &str) -> Option<u64> {
        match self.values.get(key)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// A number for each layer, whether one was given for all or one for each.
    fn by_layer(&self, key: &str, layer: usize) -> Option<u64> {
        match self.values.get(key)? {
            Value::Number(number) => Some(*number),
            Value::List(_, numbers) => numbers.get(layer).copied(),
            _ => None,
        }
    }

    fn most(&self, key: &str) -> Option<u64> {
        match self.values.get(key)? {
            Value::Number(number) => Some(*number),
            Value::List(_, numbers) => numbers.iter().copied().max(),
            _ => None,
        }
    }

    fn vocab(&self, architecture: &str) -> u64 {
        if let Some(Value::List(count, _)) = self.values.get("tokenizer.ggml.tokens") {
            return *count;
        }
        let embedding = self
            .tensors
            .iter()
            .find(|tensor| tensor.name == "token_embd.weight");
        self.number(&format!("{architecture}.vocab_size"))
            .or_else(|| embedding.map(|tensor| tensor.first_dimensions.1))
            .unwrap_or(0)
    }

    /// The size of each tensor, by its type or the distance to the next.
    fn sizes(&self) -> Result<Vec<(&str, u64)>, Error> {
        let mut offsets: Vec<_> = self.tensors.iter().map(|tensor| tensor.offset).collect();
        offsets.sort_unstable();
        self.tensors
            .iter()
            .map(|tensor| {
                let next = || {
                    let index = offsets.partition_point(|offset| *offset <= tensor.offset);
                    offsets.get(index).map(|next| next - tensor.offset)
                };
                let bytes = tensor.bytes.or_else(next);
                let missing = || Error::Missing {
                    key: format!("type of {}", tensor.name),
                };
                Ok((tensor.name.as_str(), bytes.ok_or_else(missing)?))
            })
            .collect()
    }
}

impl ModelProfile {
    /// The shape of a model from the headers of its GGUF files: the first file's
    /// metadata, all files' tensors.
    ///
    /// # Errors
    ///
    /// When the metadata lacks what memory depends on, or says what cannot be.
    pub fn from_gguf(headers: &[Header]) -> Result<Self, Error> {
        let missing = |key: &str| Error::Missing {
            key: key.to_owned(),
        };
        let first = headers.first().ok_or_else(|| missing("header"))?;
        let Some(Value::Text(architecture)) = first.values.get("general.architecture") else {
            return Err(missing("general.architecture"));
        };
        let key = |name: &str| format!("{architecture}.{name}");
        let needed = |name: &str| first.most(&key(name)).ok_or_else(|| missing(&key(name)));
        let embedding = needed("embedding_length")?;
        let heads = needed("attention.head_count")?;
        let mut profile = Self {
            architecture: architecture.clone(),
            layers: attention(
                first,
                architecture,
                embedding,
                heads,
                needed("block_count")?,
            )?,
            layer_weight_bytes: Vec::new(),
            other_weight_bytes: 0,
            embedding,
            heads,
            feed_forward: first.most(&key("feed_forward_length")).unwrap_or(0),
            vocab: first.vocab(architecture),
            context_tokens: first.number(&key("context_length")),
        };
        for header in headers {
            profile.add_weights(header.sizes()?.into_iter());
        }
        profile.checked()
    }
}

fn attention(
    header: &Header,
    architecture: &str,
    embedding: u64,
    heads: u64,
    layers: u64,
) -> Result<Vec<Attention>, Error> {
    let key = |name: &str| format!("{architecture}.{name}");
    if !(1..=MOST_LAYERS).contains(&layers) {
        return Err(Error::Missing {
            key: key("block_count"),
        });
    }
    let per_head = embedding.checked_div(heads).unwrap_or(0);
    let window = header
        .most(&key("attention.sliding_window"))
        .filter(|window| *window > 0);
    let slides = |layer: usize| match header.values.get(&key("attention.sliding_window_pattern")) {
        Some(Value::List(_, pattern)) => pattern.get(layer).is_some_and(|slides| *slides != 0),
        Some(Value::Number(period)) => is_local(layer, *period),
        _ => is_local(layer, usual_period(architecture)),
    };
    Ok((0..layers as usize)
        .map(|layer| Attention {
            kv_heads: header
                .by_layer(&key("attention.head_count_kv"), layer)
                .unwrap_or(heads),
            key_length: header
                .by_layer(&key("attention.key_length"), layer)
                .unwrap_or(per_head),
            value_length: header
                .by_layer(&key("attention.value_length"), layer)
                .unwrap_or(per_head),
            window: window.filter(|_| slides(layer)),
        })
        .collect())
}

/// Of each so many layers, the last one looks at everything.
const fn is_local(layer: usize, period: u64) -> bool {
    period > 1 && (layer as u64 % period) < period - 1
}

/// The period of architectures whose files do not say it, as in llama.cpp's
/// `set_swa_pattern`. 1: no layer slides.
fn usual_period(architecture: &str) -> u64 {
    match architecture {
        "gemma2" | "gpt-oss" => 2,
        "gemma3" => 6,
        "cohere2" | "llama4" => 4,
        _ => 1,
    }
}

/// Elements and bytes of a block of a tensor type, by its number in `ggml.h`.
const fn block(kind: u32) -> Option<(u64, u64)> {
    Some(match kind {
        0 | 26 => (1, 4),
        1 | 25 | 30 => (1, 2),
        2 | 20 => (32, 18),
        3 => (32, 20),
        6 => (32, 22),
        7 => (32, 24),
        8 => (32, 34),
        9 => (32, 36),
        10 => (256, 84),
        11 | 21 => (256, 110),
        12 => (256, 144),
        13 => (256, 176),
        14 => (256, 210),
        15 => (256, 292),
        16 | 35 => (256, 66),
        17 => (256, 74),
        18 => (256, 98),
        19 => (256, 50),
        22 => (256, 82),
        23 => (256, 136),
        24 => (1, 1),
        27 | 28 => (1, 8),
        29 => (256, 56),
        34 => (256, 54),
        39 => (32, 17),
        _ => return None,
    })
}

/// Reads numbers and texts, and counts what it has read.
struct Source<R> {
    reader: R,
    read_bytes: u64,
    limit_bytes: u64,
}

impl<R: Read> Source<R> {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), Error> {
        let wanted = buffer.len() as u64;
        if wanted > self.limit_bytes.saturating_sub(self.read_bytes) {
            return Err(Error::TooLong {
                format: FORMAT,
                limit_bytes: self.limit_bytes,
            });
        }
        self.reader
            .read_exact(buffer)
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::UnexpectedEof => Error::Truncated {
                    format: FORMAT,
                    read_bytes: self.read_bytes,
                },
                _ => Error::Io(error),
            })?;
        self.read_bytes += wanted;
        Ok(())
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut buffer = [0; N];
        self.fill(&mut buffer)?;
        Ok(buffer)
    }

    fn u32(&mut self) -> Result<u32, Error> {
        self.bytes().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Error> {
        self.bytes().map(u64::from_le_bytes)
    }

    fn skip(&mut self, mut bytes: u64) -> Result<(), Error> {
        let mut buffer = [0; 4_096];
        while bytes > 0 {
            let part = bytes.min(buffer.len() as u64) as usize;
            self.fill(&mut buffer[..part])?;
            bytes -= part as u64;
        }
        Ok(())
    }

    /// A text, or `None` if it is too long to be kept.
    fn text(&mut self) -> Result<Option<String>, Error> {
        let length = self.u64()?;
        if length > KEPT_TEXT {
            self.skip(length)?;
            return Ok(None);
        }
        let mut text = vec![0; length as usize];
        self.fill(&mut text)?;
        Ok(Some(String::from_utf8_lossy(&text).into_owned()))
    }

    fn value(&mut self, kind: u32, depth: u32) -> Result<Value, Error> {
        Ok(match kind {
            0 | 7 => Value::Number(u64::from(self.bytes::<1>()?[0])),
            1 => number(i64::from(i8::from_le_bytes(self.bytes()?))),
            2 => Value::Number(u64::from(u16::from_le_bytes(self.bytes()?))),
            3 => number(i64::from(i16::from_le_bytes(self.bytes()?))),
            4 => Value::Number(u64::from(self.u32()?)),
            5 => number(i64::from(i32::from_le_bytes(self.bytes()?))),
            6 => self.skip(4).map(|()| Value::Other)?,
            8 => self.text()?.map_or(Value::Other, Value::Text),
            9 => self.list(depth)?,
            10 => Value::Number(self.u64()?),
            11 => number(i64::from_le_bytes(self.bytes()?)),
            12 => self.skip(8).map(|()| Value::Other)?,
            _ => return Err(invalid(format!("there is no value of type {kind}"))),
        })
    }

    fn list(&mut self, depth: u32) -> Result<Value, Error> {
        if depth >= MOST_NESTING {
            return Err(invalid("lists are nested too deep"));
        }
        let kind = self.u32()?;
        let count = self.u64()?;
        let mut numbers = Vec::new();
        // Each element takes bytes, so that the limit ends this.
        for _ in 0..count {
            if let Value::Number(number) = self.value(kind, depth + 1)?
                && numbers.len() < KEPT_NUMBERS
            {
                numbers.push(number);
            }
        }
        Ok(Value::List(count, numbers))
    }

    fn tensor(&mut self) -> Result<Tensor, Error> {
        let name = self
            .text()?
            .ok_or_else(|| invalid("a tensor's name is too long"))?;
        let dimensions = self.u32()?;
        if dimensions > MOST_DIMENSIONS {
            return Err(invalid(format!("{name} has {dimensions} dimensions")));
        }
        let mut sizes = (1, 1);
        let mut elements = Some(1_u64);
        for index in 0..dimensions {
            let size = self.u64()?;
            elements = elements.and_then(|elements| elements.checked_mul(size));
            match index {
                0 => sizes.0 = size,
                1 => sizes.1 = size,
                _ => {}
            }
        }
        let kind = self.u32()?;
        let offset = self.u64()?;
        let elements = elements.ok_or_else(|| invalid(format!("{name} is too large to be")))?;
        let bytes = match block(kind) {
            Some((block, bytes)) => Some(
                elements
                    .div_ceil(block)
                    .checked_mul(bytes)
                    .ok_or_else(|| invalid(format!("{name} is too large to be")))?,
            ),
            None => None,
        };
        Ok(Tensor {
            name,
            first_dimensions: sizes,
            bytes,
            offset,
        })
    }
}

/// Sizes are never negative.
fn number(number: i64) -> Value {
    u64::try_from(number).map_or(Value::Other, Value::Number)
}

fn invalid(detail: impl Into<String>) -> Error {
    Error::Format {
        format: FORMAT,
        detail: detail.into(),
    }
}

#[cfg(test)]
mod tests;
