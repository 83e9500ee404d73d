//! Whether an engine's last words say that memory ran out.

/// What the engines say (lower case), as seen in their sources and logs.
const SIGNS: [&str; 14] = [
    "out of memory",
    "outofmemory",
    "cudaerrormemoryallocation",
    "cudamalloc failed",
    "failed to allocate",
    "unable to allocate",
    "unable to load model due to insufficient memory",
    "requires more system memory",
    "bad_alloc",
    "memoryerror",
    "cannot allocate memory",
    "no available memory for the cache blocks",
    "less than desired gpu memory utilization",
    "available kv cache memory",
];

/// Whether these lines say that memory ran out.
pub(crate) fn shows_out_of_memory(lines: &[String]) -> bool {
    lines.iter().any(|line| {
        let line = line.to_lowercase();
        SIGNS.iter().any(|sign| line.contains(sign)) && !line.contains("available kv cache memory:")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_engines_words_for_it_are_known() {
        for line in [
            "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 9000.00 MiB on device 0: cudaMalloc failed: out of memory",
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
            "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`",
            "ValueError: Free memory on device (3.1/139.8 GiB) on startup is less than desired GPU memory utilization (0.92, 128.6 GiB)",
            "terminate called after throwing an instance of 'std::bad_alloc'",
            "model requires more system memory (8.0 GiB) than is available (2.0 GiB)",
        ] {
            assert!(shows_out_of_memory(&[line.to_owned()]), "{line}");
        }
        for line in [
            "Available KV cache memory: 20.1 GiB",
            "model loaded",
            "error: no such file",
        ] {
            assert!(!shows_out_of_memory(&[line.to_owned()]), "{line}");
        }
    }
}
