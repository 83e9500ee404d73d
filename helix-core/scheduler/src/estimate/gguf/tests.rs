use proptest::prelude::*;

use super::*;

const LIMIT: u64 = 64 << 20;

/// Writes headers as the specification says.
#[derive(Default)]
struct Writer {
    keys: Vec<u8>,
    key_count: u64,
    tensors: Vec<u8>,
    tensor_count: u64,
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

impl Writer {
    fn key(mut self, key: &str, kind: u32, value: &[u8]) -> Self {
        text(&mut self.keys, key);
        self.keys.extend(kind.to_le_bytes());
        self.keys.extend(value);
        self.key_count += 1;
        self
    }

    fn number(self, key: &str, number: u32) -> Self {
        self.key(key, 4, &number.to_le_bytes())
    }

    fn string(self, key: &str, value: &str) -> Self {
        let mut bytes = Vec::new();
        text(&mut bytes, value);
        self.key(key, 8, &bytes)
    }

    fn numbers(self, key: &str, numbers: &[u32]) -> Self {
        let mut bytes = 4_u32.to_le_bytes().to_vec();
        bytes.extend((numbers.len() as u64).to_le_bytes());
        bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        self.key(key, 9, &bytes)
    }

    fn tensor(mut self, name: &str, kind: u32, sizes: &[u64], offset: u64) -> Self {
        text(&mut self.tensors, name);
        self.tensors.extend((sizes.len() as u32).to_le_bytes());
        self.tensors
            .extend(sizes.iter().flat_map(|size| size.to_le_bytes()));
        self.tensors.extend(kind.to_le_bytes());
        self.tensors.extend(offset.to_le_bytes());
        self.tensor_count += 1;
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(3_u32.to_le_bytes());
        out.extend(self.tensor_count.to_le_bytes());
        out.extend(self.key_count.to_le_bytes());
        out.extend(&self.keys);
        out.extend(&self.tensors);
        out
    }
}

fn llama() -> Writer {
    Writer::default()
        .string("general.architecture", "llama")
        .number("llama.block_count", 2)
        .number("llama.embedding_length", 64)
        .number("llama.attention.head_count", 4)
        .number("llama.attention.head_count_kv", 2)
        .number("llama.context_length", 2048)
        .number("llama.vocab_size", 100)
        .tensor("token_embd.weight", 0, &[64, 100], 0)
        .tensor("blk.0.attn_q.weight", 12, &[256, 64], 25_600)
        .tensor("blk.1.attn_q.weight", 1, &[64, 64], 34_816)
}

fn profile(writer: &Writer) -> ModelProfile {
    ModelProfile::from_gguf(&[read(&*writer.bytes(), LIMIT).unwrap()]).unwrap()
}

#[test]
fn the_shape_of_a_model_is_read_from_its_header() {
    let profile = profile(&llama());
    let attention = Attention {
        kv_heads: 2,
        key_length: 16,
        value_length: 16,
        window: None,
    };
    assert_eq!(profile.layers, [attention, attention]);
    assert_eq!(profile.other_weight_bytes, 64 * 100 * 4);
    assert_eq!(
        profile.layer_weight_bytes,
        [256 * 64 / 256 * 144, 64 * 64 * 2]
    );
    assert_eq!(
        (profile.embedding, profile.heads, profile.vocab),
        (64, 4, 100)
    );
    assert_eq!(profile.context_tokens, Some(2048));
}

#[test]
fn heads_may_differ_by_layer_and_some_layers_may_slide() {
    let writer = Writer::default()
        .string("general.architecture", "gemma3")
        .number("gemma3.block_count", 6)
        .number("gemma3.embedding_length", 64)
        .number("gemma3.attention.head_count", 4)
        .numbers("gemma3.attention.head_count_kv", &[1, 2, 3, 4, 0, 1])
        .number("gemma3.attention.key_length", 32)
        .number("gemma3.attention.value_length", 8)
        .number("gemma3.attention.sliding_window", 512);
    let layers = profile(&writer).layers;
    let heads: Vec<_> = layers.iter().map(|layer| layer.kv_heads).collect();
    let windows: Vec<_> = layers.iter().map(|layer| layer.window.is_some()).collect();
    assert_eq!(heads, [1, 2, 3, 4, 0, 1]);
    assert_eq!(windows, [true, true, true, true, true, false]);
    assert!(
        layers
            .iter()
            .all(|layer| (layer.key_length, layer.value_length) == (32, 8))
    );
}

#[test]
fn a_tensor_of_a_type_yet_unknown_is_sized_by_where_the_next_begins() {
    let writer = llama()
        .tensor("blk.1.attn_k.weight", 777, &[64, 64], 50_000)
        .tensor("blk.1.attn_v.weight", 1, &[64, 64], 51_000);
    assert_eq!(
        profile(&writer).layer_weight_bytes[1],
        8_192 + 1_000 + 8_192
    );
    let last = llama().tensor("blk.1.attn_k.weight", 777, &[64, 64], 50_000);
    let header = read(&*last.bytes(), LIMIT).unwrap();
    let error = ModelProfile::from_gguf(&[header]).unwrap_err();
    assert!(error.to_string().contains("blk.1.attn_k.weight"), "{error}");
}

#[test]
fn every_shorter_prefix_is_reported_as_cut_short() {
    let bytes = llama().bytes();
    for length in 4..bytes.len() {
        let error = read(&bytes[..length], LIMIT).unwrap_err();
        assert!(
            matches!(error, Error::Truncated { .. }),
            "{length}: {error}"
        );
    }
    let mut longer = bytes;
    longer.extend([0xff; 100]);
    assert!(read(&*longer, LIMIT).is_ok());
}

#[test]
fn what_cannot_be_is_refused() {
    let check = |bytes: &[u8], expected: &str| {
        let error = read(bytes, LIMIT).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(b"PK\x03\x04 not a model at all", "GGUF");
    check(b"GGUF\x00\x00\x00\x03\x00\x00\x00\x00", "version");
    let mut counts = b"GGUF\x03\x00\x00\x00".to_vec();
    counts.extend([0xff; 16]);
    check(&counts, "cannot be");
    check(&llama().key("x", 99, &[]).bytes(), "type 99");
    check(
        &llama().tensor("t", 0, &[u64::MAX, u64::MAX], 0).bytes(),
        "too large",
    );
    check(
        &llama().tensor("t", 28, &[u64::MAX], 0).bytes(),
        "too large",
    );
    // A list that claims more elements than the file could have.
    let mut list = 4_u32.to_le_bytes().to_vec();
    list.extend(u64::MAX.to_le_bytes());
    check(&Writer::default().key("x", 9, &list).bytes(), "cut short");
    assert!(matches!(
        read(&*llama().bytes(), 100).unwrap_err(),
        Error::TooLong {
            limit_bytes: 100,
            ..
        }
    ));
}

#[test]
fn a_header_without_what_memory_depends_on_says_what_is_missing() {
    let writer = Writer::default().string("general.architecture", "llama");
    let error = ModelProfile::from_gguf(&[read(&*writer.bytes(), LIMIT).unwrap()]).unwrap_err();
    assert!(
        error.to_string().contains("llama.embedding_length"),
        "{error}"
    );
    let absurd = llama().number("llama.block_count", u32::MAX);
    let header = read(&*absurd.bytes(), LIMIT).unwrap();
    assert!(ModelProfile::from_gguf(&[header]).is_err());
}

#[test]
fn the_demo_models_header_gives_its_true_shape() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/tiny.gguf");
    let file = std::fs::File::open(path).unwrap();
    let size = file.metadata().unwrap().len();
    let profile =
        ModelProfile::from_gguf(&[read(std::io::BufReader::new(file), LIMIT).unwrap()]).unwrap();
    assert_eq!(profile.architecture, "llama");
    assert_eq!(profile.layers.len(), profile.layer_weight_bytes.len());
    assert!(profile.vocab > 100 && profile.context_tokens.is_some());
    // All of the file but its header and padding is weights.
    assert!(profile.weight_bytes() < size && profile.weight_bytes() > size * 9 / 10);
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = read(&*bytes, LIMIT);
    }

    #[test]
    fn a_mangled_header_never_panics(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = llama().bytes();
        for (index, byte) in changes {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        if let Ok(header) = read(&*bytes, 1 << 20) {
            let _ = ModelProfile::from_gguf(&[header]);
        }
    }
}
