//! Cross-crate tests: end to end, conformance, security, load
