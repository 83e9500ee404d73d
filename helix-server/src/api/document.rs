//! What the OpenAPI document needs beyond what the routes say of themselves.

use utoipa::openapi::OpenApi;

/// Names each operation by where it is and what it does, such as
/// `sessions_list`: generators of clients want names that no two operations
/// share, and handlers of different files have the same ones.
pub(super) fn name_operations(document: &mut OpenApi) {
    for (path, item) in &mut document.paths.paths {
        let subject = subject(path);
        let operations = [
            ("get", &mut item.get),
            ("post", &mut item.post),
            ("put", &mut item.put),
            ("patch", &mut item.patch),
            ("delete", &mut item.delete),
            ("head", &mut item.head),
            ("options", &mut item.options),
        ];
        let mut seen = Vec::new();
        for (method, operation) in operations {
            let Some(operation) = operation else { continue };
            let Some(mut name) = operation.operation_id.take() else {
                continue;
            };
            if !name.starts_with(&subject) {
                name = format!("{subject}_{name}");
            }
            // A route that takes several methods.
            if seen.contains(&name) {
                name = format!("{name}_{method}");
            }
            seen.push(name.clone());
            operation.operation_id = Some(name);
        }
    }
}

/// Writes the parameter that takes the rest of a path as OpenAPI knows parameters.
pub(super) fn plain_paths(document: &mut OpenApi) {
    let paths = std::mem::take(&mut document.paths.paths);
    let plain = |(path, item): (String, _)| (path.replace("{*", "{"), item);
    document.paths.paths = paths.into_iter().map(plain).collect();
}

/// The first part of a path behind the version: `join_tokens` of
/// `/api/v1/join-tokens/{id}`.
fn subject(path: &str) -> String {
    let rest = path.strip_prefix("/api/v1/").unwrap_or(path);
    let first = rest.split('/').find(|part| !part.is_empty());
    first.unwrap_or("root").replace('-', "_")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::document;

    #[test]
    fn no_two_operations_share_a_name() {
        let document = serde_json::to_value(document()).unwrap();
        let mut seen = BTreeMap::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let name = operation["operationId"].as_str().unwrap().to_owned();
                let here = format!("{method} {path}");
                assert_eq!(seen.insert(name.clone(), here), None, "{name}");
            }
        }
        assert_eq!(seen["sessions_list"], "get /api/v1/sessions");
        assert_eq!(seen["join_tokens_list"], "get /api/v1/join-tokens");
    }

    /// The web app's types are generated from this file.
    #[test]
    fn the_document_in_the_repository_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
        let text = document().to_pretty_json().unwrap() + "\n";
        if std::env::var_os("HELIX_UPDATE_OPENAPI").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap();
        assert!(
            written == text,
            "openapi.json is out of date: run HELIX_UPDATE_OPENAPI=1 cargo test -p helix-server \
             --lib api::document, then npm run api in helix-server/web"
        );
    }
}
