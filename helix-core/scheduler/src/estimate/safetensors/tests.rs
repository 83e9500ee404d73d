use proptest::prelude::*;

use super::*;

const LIMIT: u64 = 1 << 20;

fn file(json: &str) -> Vec<u8> {
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend(json.as_bytes());
    bytes.extend([0; 16]);
    bytes
}

const TENSORS: &str = r#"{"__metadata__":{"format":"pt"},
    "model.embed_tokens.weight":{"dtype":"F32","shape":[4,8],"data_offsets":[0,128]},
    "model.layers.1.mlp.up_proj.weight":{"dtype":"BF16","shape":[8],"data_offsets":[128,144]}}"#;

const CONFIG: &str = r#"{"model_type":"llama","hidden_size":128,"intermediate_size":352,
    "num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,"vocab_size":511,
    "max_position_embeddings":2048,"sliding_window":null}"#;

fn profile(config: &str) -> ModelProfile {
    let header = read(&*file(TENSORS), LIMIT).unwrap();
    ModelProfile::from_safetensors(config.as_bytes(), &[header]).unwrap()
}

#[test]
fn the_shape_of_a_model_is_read_from_headers_and_configuration() {
    let profile = profile(CONFIG);
    let attention = Attention {
        kv_heads: 2,
        key_length: 32,
        value_length: 32,
        window: None,
    };
    assert_eq!(profile.layers, [attention, attention]);
    assert_eq!(profile.layer_weight_bytes, [0, 16]);
    assert_eq!(profile.other_weight_bytes, 128);
    assert_eq!((profile.vocab, profile.context_tokens), (511, Some(2048)));
}

#[test]
fn windows_latent_attention_and_nested_configurations_are_understood() {
    let layers = |more: &str| profile(&CONFIG.replace("\"sliding_window\":null", more)).layers;
    let typed =
        layers(r#""sliding_window":64,"layer_types":["sliding_attention","full_attention"]"#);
    assert_eq!((typed[0].window, typed[1].window), (Some(64), None));
    let linear = layers(r#""layer_types":["linear_attention","full_attention"]"#);
    assert_eq!((linear[0].kv_heads, linear[1].kv_heads), (0, 2));
    let latent = layers(r#""kv_lora_rank":512,"qk_rope_head_dim":64"#);
    assert_eq!(
        (
            latent[0].kv_heads,
            latent[0].key_length,
            latent[0].value_length
        ),
        (1, 576, 0)
    );
    let nested = profile(&format!(
        r#"{{"model_type":"sees","text_config":{CONFIG}}}"#
    ));
    assert_eq!(nested.layers, profile(CONFIG).layers);
}

#[test]
fn what_cannot_be_is_refused() {
    assert!(matches!(
        read(&b"short"[..], LIMIT),
        Err(Error::Truncated { .. })
    ));
    assert!(matches!(
        read(&[0xff; 8][..], LIMIT),
        Err(Error::TooLong { .. })
    ));
    let whole = file(TENSORS);
    assert!(matches!(
        read(&whole[..40], LIMIT),
        Err(Error::Truncated { read_bytes: 40, .. })
    ));
    let backwards = file(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[8,4]}}"#);
    assert!(
        read(&*backwards, LIMIT)
            .unwrap_err()
            .to_string()
            .contains("before it begins")
    );
    for config in [
        "[]",
        "{}",
        r#"{"num_hidden_layers":99999999}"#,
        &CONFIG.replace(":4,", ":0,"),
    ] {
        assert!(
            ModelProfile::from_safetensors(config.as_bytes(), &[]).is_err(),
            "{config}"
        );
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&*bytes, LIMIT);
        let _ = ModelProfile::from_safetensors(&bytes, &[]);
    }
}
