//! From a model's shape to bytes on each device.
//!
//! Sources of the formulas:
//! - Keys and values: tokens × Σ over layers (key + value length) × heads ×
//!   bytes per element. A layer with a window keeps no more than the window.
//!   Equal to what vLLM logs.
//! - llama.cpp and Ollama: Ollama's classic estimator (`fs/ggml`, `GraphSize`):
//!   tensors and cache by layer, an output layer, and a graph term for each
//!   architecture; its 457 MiB for a CUDA device besides. llama.cpp splits by
//!   whole layers.
//! - vLLM: weights, a cache of a stated size, and an allowance for activations,
//!   compiled graphs and the runtime. Tensor parallel divides weights and heads;
//!   a head is kept whole.

use helix_proto::{model::EngineKind, runner::DeviceKind};

use super::{Attention, ModelProfile};

const MIB: u64 = 1 << 20;

/// The batch of llama.cpp and Ollama for prompts (`n_ubatch`).
const PROMPT_BATCH: u64 = 512;

/// vLLM's largest default for `--max-num-batched-tokens`.
const VLLM_BATCHED_TOKENS: u64 = 8_192;

/// vLLM's largest default for `--max-num-seqs`.
const VLLM_SEQUENCES: u64 = 1_024;

/// Tokens of a block of vLLM's cache.
const VLLM_BLOCK: u64 = 16;

/// How a model is to be run, as far as memory depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// The engine.
    pub engine: EngineKind,
    /// The kind of device.
    pub device: DeviceKind,
    /// Devices that it is spread over; at least 1.
    pub devices: u32,
    /// Tokens of context for one request; the model's own if absent (and 4,096
    /// if that is not known).
    pub context_tokens: Option<u32>,
    /// Requests served at once; at least 1.
    pub parallel: u32,
    /// How keys and values are kept.
    pub kv: KvType,
    /// Whether attention runs without a matrix of all scores.
    pub flash_attention: bool,
}

/// How keys and values are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KvType {
    /// 16 bits.
    #[default]
    F16,
    /// 32 bits.
    F32,
    /// 8 bits, by blocks of 32 with a scale (llama.cpp).
    Q8_0,
    /// 4 bits, by blocks of 32 with a scale (llama.cpp).
    Q4_0,
    /// 8 bits (vLLM).
    Fp8,
}

impl KvType {
    /// Bytes of so many elements.
    fn bytes(self, elements: u128) -> u128 {
        match self {
            Self::F16 => elements * 2,
            Self::F32 => elements * 4,
            Self::Q8_0 => (elements * 34).div_ceil(32),
            Self::Q4_0 => (elements * 18).div_ceil(32),
            Self::Fp8 => elements,
        }
    }
}

impl Load {
    fn context(&self, profile: &ModelProfile) -> u64 {
        let own = || profile.context_tokens.unwrap_or(4_096);
        let context = self.context_tokens.map_or_else(own, u64::from);
        match self.engine {
            EngineKind::Vllm => context.next_multiple_of(VLLM_BLOCK),
            _ => context,
        }
    }

    /// Tokens of all requests at once that a layer keeps.
    fn kept(&self, layer: &Attention, profile: &ModelProfile) -> u64 {
        let context = self.context(profile);
        let batch = if self.engine == EngineKind::Vllm {
            0
        } else {
            PROMPT_BATCH
        };
        let one = match layer.window {
            Some(window) => context.min(window.saturating_add(batch)),
            None => context,
        };
        one.saturating_mul(u64::from(self.parallel.max(1)))
    }

    /// Bytes of the cache of one layer, on all devices or, with the heads
    /// divided, on each.
    fn layer_cache(&self, layer: &Attention, profile: &ModelProfile, devices: u64) -> u128 {
        let heads = layer.kv_heads.div_ceil(devices);
        let length = layer.key_length.saturating_add(layer.value_length);
        let elements = u128::from(self.kept(layer, profile))
            .saturating_mul(u128::from(heads))
            .saturating_mul(u128::from(length));
        // Far above any real figure, and far below what a multiplication by 34
        // could overflow.
        self.kv.bytes(elements.min(1 << 100))
    }
}

/// Bytes of keys and values on each device, for every place's whole context:
/// what `--kv-cache-memory-bytes` of vLLM is to be.
pub fn kv_cache_bytes(profile: &ModelProfile, load: &Load) -> u64 {
    let devices = u64::from(load.devices.max(1));
    let sum = profile
        .layers
        .iter()
        .map(|l| load.layer_cache(l, profile, devices))
        .sum();
    narrow(sum)
}

/// Bytes that one instance needs on each device. Zero for an external engine.
pub fn need(profile: &ModelProfile, load: &Load) -> u64 {
    match load.engine {
        EngineKind::External => 0,
        EngineKind::LlamaCpp | EngineKind::Ollama => layered(profile, load),
        EngineKind::Vllm => divided(profile, load),
    }
}

/// Whole layers on each device, the output layer on one, a graph on all.
fn layered(profile: &ModelProfile, load: &Load) -> u64 {
    let devices = load.devices.max(1) as usize;
    let mut layers: Vec<u128> = profile
        .layers
        .iter()
        .zip(&profile.layer_weight_bytes)
        .map(|(layer, weights)| load.layer_cache(layer, profile, 1) + u128::from(*weights))
        .collect();
    layers.sort_unstable_by(|a, b| b.cmp(a));
    let largest_share = layers
        .iter()
        .take(layers.len().div_ceil(devices))
        .sum::<u128>();
    let sum = largest_share + u128::from(profile.other_weight_bytes) + graph(profile, load);
    narrow(sum + u128::from(runtime(load)))
}

/// The graph term: `b` tokens of a batch, `c` of context over all requests.
fn graph(profile: &ModelProfile, load: &Load) -> u128 {
    let wide = u128::from;
    let (b, e, v) = (
        wide(PROMPT_BATCH),
        wide(profile.embedding),
        wide(profile.vocab),
    );
    let c = wide(load.context(profile)) * wide(u64::from(load.parallel.max(1)));
    // Flash attention keeps the mask, but no scores for each head.
    let h = if load.flash_attention {
        0
    } else {
        wide(profile.heads)
    };
    let key = wide(
        profile
            .layers
            .iter()
            .map(|layer| layer.key_length)
            .max()
            .unwrap_or(0),
    );
    let inner = match profile.architecture.as_str() {
        "gemma" | "gemma2" | "gemma3" => 2 + c + c * h + 2 * e + 2 * key * wide(profile.heads),
        "qwen2" => 1 + 2 * e + c + c * h,
        // llama's, which is the largest of the rest.
        _ => 1 + 4 * e + c * (1 + h),
    };
    (4 * b * inner).max(4 * b * (e + v))
}

/// Weights and heads divided, a stated cache, an allowance.
fn divided(profile: &ModelProfile, load: &Load) -> u64 {
    let devices = u64::from(load.devices.max(1));
    let weights = profile.weight_bytes().div_ceil(devices);
    let hidden = 4 * u128::from(profile.embedding);
    let feed_forward = u128::from((2 * profile.feed_forward).div_ceil(devices));
    let activations = u128::from(VLLM_BATCHED_TOKENS) * (hidden + feed_forward) * 2;
    let logits = u128::from(VLLM_SEQUENCES) * u128::from(profile.vocab) * 4;
    let sum =
        u128::from(weights) + u128::from(kv_cache_bytes(profile, load)) + activations + logits;
    narrow(sum + u128::from(runtime(load)))
}

/// What the engine needs before any model: its program, and on a GPU its context.
const fn runtime(load: &Load) -> u64 {
    match (load.engine, load.device) {
        (EngineKind::External, _) => 0,
        (EngineKind::LlamaCpp | EngineKind::Ollama, DeviceKind::Cpu) => 64 * MIB,
        (EngineKind::LlamaCpp | EngineKind::Ollama, DeviceKind::Cuda) => 457 * MIB,
        // Python and torch; vLLM on a CPU was seen with 2.2 GB for a tiny model.
        (EngineKind::Vllm, DeviceKind::Cpu) => 2_048 * MIB,
        (EngineKind::Vllm, DeviceKind::Cuda) => 1_024 * MIB,
    }
}

fn narrow(bytes: u128) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
