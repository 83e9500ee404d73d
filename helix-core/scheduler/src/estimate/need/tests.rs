use proptest::prelude::*;

use super::*;

fn profile(layers: usize, kv_heads: u64, length: u64) -> ModelProfile {
    ModelProfile {
        architecture: "llama".to_owned(),
        layers: vec![
            Attention {
                kv_heads,
                key_length: length,
                value_length: length,
                window: None
            };
            layers
        ],
        layer_weight_bytes: vec![1_000_000; layers],
        other_weight_bytes: 5_000_000,
        embedding: 4_096,
        heads: 32,
        feed_forward: 14_336,
        vocab: 128_256,
        context_tokens: Some(131_072),
    }
}

fn load(engine: EngineKind) -> Load {
    Load {
        engine,
        device: DeviceKind::Cuda,
        devices: 1,
        context_tokens: Some(8_192),
        parallel: 1,
        kv: KvType::F16,
        flash_attention: false,
    }
}

#[test]
fn the_cache_of_a_well_known_model_is_what_its_engines_say() {
    // Llama 3.1 8B: 32 layers, 8 heads of 128: 1 GiB for 8,192 tokens.
    let profile = profile(32, 8, 128);
    assert_eq!(kv_cache_bytes(&profile, &load(EngineKind::Vllm)), 1 << 30);
    let four = Load {
        parallel: 4,
        ..load(EngineKind::LlamaCpp)
    };
    assert_eq!(kv_cache_bytes(&profile, &four), 4 << 30);
    let q8 = Load {
        kv: KvType::Q8_0,
        ..load(EngineKind::LlamaCpp)
    };
    assert_eq!(kv_cache_bytes(&profile, &q8), (1_u64 << 29) * 34 / 32);
    let q4 = Load {
        kv: KvType::Q4_0,
        ..load(EngineKind::LlamaCpp)
    };
    assert_eq!(kv_cache_bytes(&profile, &q4), (1_u64 << 29) * 18 / 32);
}

#[test]
fn a_context_that_is_not_given_is_the_models_own() {
    let own = Load {
        context_tokens: None,
        ..load(EngineKind::Vllm)
    };
    assert_eq!(kv_cache_bytes(&profile(32, 8, 128), &own), 16 << 30);
    let unknown = ModelProfile {
        context_tokens: None,
        ..profile(32, 8, 128)
    };
    assert_eq!(kv_cache_bytes(&unknown, &own), 1 << 29);
}

#[test]
fn llama_cpp_needs_weights_cache_graph_and_its_own_context() {
    let profile = profile(32, 8, 128);
    let weights = 32 * 1_000_000 + 5_000_000;
    let graph = 4 * 512 * (1 + 4 * 4_096 + 8_192 * 33);
    let expected = weights + (1 << 30) + graph + 457 * MIB;
    assert_eq!(need(&profile, &load(EngineKind::LlamaCpp)), expected);
    assert_eq!(need(&profile, &load(EngineKind::Ollama)), expected);
    let flash = Load {
        flash_attention: true,
        ..load(EngineKind::LlamaCpp)
    };
    // Without the scores, the output layer's graph is the larger one.
    let graph = 4 * 512 * (4_096 + 128_256);
    assert_eq!(
        need(&profile, &flash),
        weights + (1 << 30) + graph + 457 * MIB
    );
}

#[test]
fn two_devices_need_less_each_but_more_together() {
    for engine in [EngineKind::LlamaCpp, EngineKind::Ollama, EngineKind::Vllm] {
        let one = need(&profile(33, 8, 128), &load(engine));
        let two = need(
            &profile(33, 8, 128),
            &Load {
                devices: 2,
                ..load(engine)
            },
        );
        assert!(two < one && 2 * two > one, "{engine:?}: {one} {two}");
    }
}

#[test]
fn heads_are_not_divided_further_than_they_are_many() {
    let two = Load {
        devices: 2,
        ..load(EngineKind::Vllm)
    };
    let eight = Load {
        devices: 8,
        ..load(EngineKind::Vllm)
    };
    let profile = profile(32, 2, 128);
    assert_eq!(
        kv_cache_bytes(&profile, &two),
        kv_cache_bytes(&profile, &eight)
    );
}

#[test]
fn an_external_server_needs_nothing_here() {
    assert_eq!(need(&profile(32, 8, 128), &load(EngineKind::External)), 0);
}

#[test]
fn figures_that_cannot_be_do_not_overflow() {
    let mut profile = profile(4_096, 1 << 16, 1 << 20);
    profile.context_tokens = Some(u64::MAX);
    profile.layer_weight_bytes = vec![u64::MAX; 4_096];
    for engine in [
        EngineKind::LlamaCpp,
        EngineKind::Ollama,
        EngineKind::External,
    ] {
        let load = Load {
            context_tokens: None,
            parallel: u32::MAX,
            ..load(engine)
        };
        let _ = need(&profile, &load);
    }
}

proptest! {
    #[test]
    fn the_cache_equals_a_naive_sum_over_tokens_layers_and_heads(
        shapes in proptest::collection::vec((0_u64..5, 1_u64..9, 1_u64..9, proptest::option::of(1_u64..40)), 1..5),
        context in 1_u32..60,
        parallel in 1_u32..4,
    ) {
        let layers: Vec<_> = shapes
            .iter()
            .map(|&(kv_heads, key_length, value_length, window)| Attention {
                kv_heads, key_length, value_length, window,
            })
            .collect();
        let profile = ModelProfile { layers: layers.clone(), ..profile(1, 1, 1) };
        let load = Load { context_tokens: Some(context), parallel, ..load(EngineKind::Vllm) };
        let mut naive = 0_u64;
        for _request in 0..parallel {
            for token in 0..u64::from(context.next_multiple_of(16)) {
                for layer in &layers {
                    if layer.window.is_none_or(|window| token < window) {
                        naive += layer.kv_heads * (layer.key_length + layer.value_length) * 2;
                    }
                }
            }
        }
        prop_assert_eq!(kv_cache_bytes(&profile, &load), naive);
    }

    #[test]
    fn more_context_or_more_requests_never_need_less(
        context in 1_u32..100_000, parallel in 1_u32..64, engine in 0..3_usize,
    ) {
        let engine = [EngineKind::LlamaCpp, EngineKind::Ollama, EngineKind::Vllm][engine];
        let profile = profile(32, 8, 128);
        let small = Load { context_tokens: Some(context), parallel, ..load(engine) };
        let longer = Load { context_tokens: Some(context + 1), ..small };
        let more = Load { parallel: parallel + 1, ..small };
        prop_assert!(need(&profile, &longer) >= need(&profile, &small));
        prop_assert!(need(&profile, &more) >= need(&profile, &small));
    }
}
