//! `docs/networks.md`, whose configurations are the ones that are tested.

/// All blocks of this language, in their order.
pub(crate) fn blocks(language: &str) -> Vec<String> {
    let path = helix_tests::programs::root().join("docs/networks.md");
    let text = std::fs::read_to_string(path).unwrap();
    let opening = format!("```{language}\n");
    let blocks = text.split(&opening).skip(1);
    blocks
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect()
}

/// A block with other words in the places of its own; each must be there.
pub(crate) fn with(mut text: String, words: &[(&str, &str)]) -> String {
    for (word, other) in words {
        assert!(
            text.contains(word),
            "{word:?} is not in docs/networks.md:\n{text}"
        );
        text = text.replace(word, other);
    }
    text
}
