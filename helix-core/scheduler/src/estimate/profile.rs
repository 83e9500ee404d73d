//! The shape of a model, as far as memory depends on it.

use super::Error;

/// No real model has more; a header that says so is not to be believed.
pub(super) const MOST_LAYERS: u64 = 4_096;

/// The shape of a model, as far as memory depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelProfile {
    /// The architecture's name, such as `llama`.
    pub architecture: String,
    /// What each layer keeps of every token.
    pub layers: Vec<Attention>,
    /// Bytes of the weights of each layer, as stored.
    pub layer_weight_bytes: Vec<u64>,
    /// Bytes of all other weights: embeddings, output, encoders.
    pub other_weight_bytes: u64,
    /// Width of the hidden state.
    pub embedding: u64,
    /// Attention heads, the most of any layer.
    pub heads: u64,
    /// Width of the feed-forward part; 0 if not known.
    pub feed_forward: u64,
    /// Tokens in the vocabulary.
    pub vocab: u64,
    /// The longest context the model was made for.
    pub context_tokens: Option<u64>,
}

/// What a layer keeps of every token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attention {
    /// Key and value heads; 0 for a layer without attention.
    pub kv_heads: u64,
    /// Length of a key.
    pub key_length: u64,
    /// Length of a value.
    pub value_length: u64,
    /// How many tokens back it looks; all of them if absent.
    pub window: Option<u64>,
}

impl ModelProfile {
    /// Bytes of all weights, as stored.
    pub fn weight_bytes(&self) -> u64 {
        self.layer_weight_bytes
            .iter()
            .copied()
            .fold(self.other_weight_bytes, u64::saturating_add)
    }

    /// Sorts tensors into layers and the rest.
    pub(super) fn add_weights<'a>(&mut self, tensors: impl Iterator<Item = (&'a str, u64)>) {
        self.layer_weight_bytes.resize(self.layers.len(), 0);
        for (name, bytes) in tensors {
            let layer = layer_of(name).and_then(|layer| self.layer_weight_bytes.get_mut(layer));
            let sum = layer.unwrap_or(&mut self.other_weight_bytes);
            *sum = sum.saturating_add(bytes);
        }
    }

    /// Refuses shapes that no model has.
    pub(super) fn checked(self) -> Result<Self, Error> {
        let missing = |key: &str| Error::Missing {
            key: key.to_owned(),
        };
        let plausible = |value: u64, most: u64| (1..=most).contains(&value);
        if self.layers.is_empty() {
            return Err(missing("number of layers"));
        }
        if !plausible(self.embedding, 1 << 20) {
            return Err(missing("embedding length"));
        }
        if !plausible(self.heads, 1 << 16) {
            return Err(missing("number of attention heads"));
        }
        for layer in &self.layers {
            if layer.kv_heads > 1 << 16 || layer.key_length.max(layer.value_length) > 1 << 20 {
                return Err(missing("size of keys and values"));
            }
        }
        if self.feed_forward > 1 << 32 || self.vocab > 1 << 32 {
            return Err(missing("feed-forward or vocabulary size"));
        }
        Ok(self)
    }
}

/// The layer that a tensor belongs to: the number after `blk`, `layers`, `h` or
/// `blocks` in its name.
fn layer_of(name: &str) -> Option<usize> {
    let mut parts = name.split('.');
    parts.find(|part| matches!(*part, "blk" | "layers" | "h" | "blocks"))?;
    parts.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::layer_of;

    #[test]
    fn the_layer_is_read_from_a_tensors_name() {
        assert_eq!(layer_of("blk.12.attn_q.weight"), Some(12));
        assert_eq!(layer_of("model.layers.3.mlp.up_proj.weight"), Some(3));
        assert_eq!(
            layer_of("language_model.model.layers.40.input_layernorm.weight"),
            Some(40)
        );
        assert_eq!(layer_of("transformer.h.0.attn.c_attn.weight"), Some(0));
        assert_eq!(layer_of("token_embd.weight"), None);
        assert_eq!(layer_of("model.layers.x.weight"), None);
    }
}
