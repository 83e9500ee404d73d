//! Headers of safetensors files and the `config.json` beside them, as the
//! Hugging Face hub has them.

use std::{fmt, io::Read};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};

use super::{Attention, Error, ModelProfile, profile::MOST_LAYERS};

const FORMAT: &str = "safetensors";

/// A header: the size of each tensor.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    tensors: Vec<(String, u64)>,
}

/// Reads a header: eight bytes of length, then JSON. What follows is not
/// touched; a slice of a file's beginning will do.
///
/// # Errors
///
/// When it is no such header, ends too early, or is longer than `limit_bytes`.
pub fn read(mut reader: impl Read, limit_bytes: u64) -> Result<Header, Error> {
    let mut length = [0; 8];
    let truncated = |read_bytes| Error::Truncated {
        format: FORMAT,
        read_bytes,
    };
    reader
        .read_exact(&mut length)
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => truncated(0),
            _ => Error::Io(error),
        })?;
    let length = u64::from_le_bytes(length);
    if length > limit_bytes {
        return Err(Error::TooLong {
            format: FORMAT,
            limit_bytes,
        });
    }
    let mut json = Vec::new();
    let read = reader.take(length).read_to_end(&mut json)? as u64;
    if read < length {
        return Err(truncated(read + 8));
    }
    serde_json::from_slice(&json).map_err(|error| Error::Format {
        format: FORMAT,
        detail: error.to_string(),
    })
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

#[derive(Deserialize)]
struct TensorInfo {
    data_offsets: (u64, u64),
}

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tensors by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut header = Header::default();
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let (begin, end) = map.next_value::<TensorInfo>()?.data_offsets;
            let bytes = end
                .checked_sub(begin)
                .ok_or_else(|| serde::de::Error::custom(format!("{name} ends before it begins")))?;
            header.tensors.push((name, bytes));
        }
        Ok(header)
    }
}

/// What matters of a `config.json`. Models that also see or hear have it one
/// level down.
#[derive(Debug, Default, Deserialize)]
struct Config {
    #[serde(default)]
    model_type: String,
    #[serde(alias = "n_embd", alias = "d_model")]
    hidden_size: Option<u64>,
    #[serde(alias = "n_layer", alias = "num_layers")]
    num_hidden_layers: Option<u64>,
    #[serde(alias = "n_head")]
    num_attention_heads: Option<u64>,
    num_key_value_heads: Option<u64>,
    head_dim: Option<u64>,
    #[serde(alias = "n_inner")]
    intermediate_size: Option<u64>,
    vocab_size: Option<u64>,
    #[serde(alias = "n_positions")]
    max_position_embeddings: Option<u64>,
    sliding_window: Option<u64>,
    use_sliding_window: Option<bool>,
    #[serde(alias = "_sliding_window_pattern")]
    sliding_window_pattern: Option<u64>,
    layer_types: Option<Vec<String>>,
    kv_lora_rank: Option<u64>,
    qk_rope_head_dim: Option<u64>,
    text_config: Option<Box<Self>>,
}

impl ModelProfile {
    /// The shape of a model from its `config.json` and the headers of all its
    /// safetensors files.
    ///
    /// # Errors
    ///
    /// When the configuration lacks what memory depends on, or says what cannot
    /// be.
    pub fn from_safetensors(config: &[u8], headers: &[Header]) -> Result<Self, Error> {
        let config: Config = serde_json::from_slice(config).map_err(|error| Error::Format {
            format: "config.json",
            detail: error.to_string(),
        })?;
        let config = match config.text_config {
            Some(text) if config.num_hidden_layers.is_none() => *text,
            _ => config,
        };
        let missing = |key: &str| Error::Missing {
            key: key.to_owned(),
        };
        let layers = config
            .num_hidden_layers
            .filter(|layers| (1..=MOST_LAYERS).contains(layers));
        let layers = layers.ok_or_else(|| missing("num_hidden_layers"))?;
        let embedding = config.hidden_size.ok_or_else(|| missing("hidden_size"))?;
        let heads = config
            .num_attention_heads
            .ok_or_else(|| missing("num_attention_heads"))?;
        let mut profile = Self {
            layers: (0..layers)
                .map(|layer| config.attention(layer, embedding, heads))
                .collect(),
            layer_weight_bytes: Vec::new(),
            other_weight_bytes: 0,
            embedding,
            heads,
            feed_forward: config
                .intermediate_size
                .unwrap_or_else(|| embedding.saturating_mul(4)),
            vocab: config.vocab_size.unwrap_or(0),
            context_tokens: config.max_position_embeddings,
            architecture: config.model_type,
        };
        for header in headers {
            profile.add_weights(
                header
                    .tensors
                    .iter()
                    .map(|(name, bytes)| (name.as_str(), *bytes)),
            );
        }
        profile.checked()
    }
}

impl Config {
    fn attention(&self, layer: u64, embedding: u64, heads: u64) -> Attention {
        let kind = self
            .layer_types
            .as_ref()
            .and_then(|types| types.get(layer as usize));
        if kind.is_some_and(|kind| !kind.ends_with("attention") || kind == "linear_attention") {
            return Attention::default();
        }
        let slides = match (kind, self.sliding_window_pattern) {
            (Some(kind), _) => kind == "sliding_attention",
            (None, Some(period)) => period > 1 && layer % period < period - 1,
            // Older files say neither. Of most kinds no layer slides then.
            (None, None) => match self.model_type.as_str() {
                "gemma2" => layer.is_multiple_of(2),
                "mistral" | "mixtral" | "phi3" | "starcoder2" => {
                    self.use_sliding_window != Some(false)
                }
                _ => false,
            },
        };
        let window = self.sliding_window.filter(|_| slides);
        if let Some(rank) = self.kv_lora_rank {
            // Latent attention keeps one compressed key for all heads.
            let key_length = rank.saturating_add(self.qk_rope_head_dim.unwrap_or(0));
            return Attention {
                kv_heads: 1,
                key_length,
                value_length: 0,
                window,
            };
        }
        let length = self
            .head_dim
            .or_else(|| embedding.checked_div(heads))
            .unwrap_or(0);
        let kv_heads = self.num_key_value_heads.unwrap_or(heads);
        Attention {
            kv_heads,
            key_length: length,
            value_length: length,
            window,
        }
    }
}

#[cfg(test)]
mod tests;
