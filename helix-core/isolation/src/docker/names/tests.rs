use serde_json::json;

use super::*;

fn containers(value: serde_json::Value) -> Vec<Container> {
    serde_json::from_value(value).unwrap()
}

#[test]
fn a_container_is_known_by_name_alias_service_and_network() {
    let found = index(&containers(json!([
        {"Name": "/Web", "Config": {"Labels": {}}, "NetworkSettings": {"Networks": {
            "bridge": {"IPAddress": "172.17.0.2", "Aliases": null},
            "shop": {"IPAddress": "172.18.0.2", "Aliases": ["front", "4f0c1a2b3c4d"]},
        }}},
        {"Name": "/shop-db-1", "Config": {"Labels": {"com.docker.compose.service": "db"}},
         "NetworkSettings": {"Networks": {"shop": {"IPAddress": "172.18.0.3", "Aliases": ["db"]}}}},
    ])));
    let of = |name: &str| found.get(name).cloned().unwrap_or_default();
    let addresses = |last: &[[u8; 4]]| {
        last.iter()
            .map(|four| (*four).into())
            .collect::<Vec<Ipv4Addr>>()
    };
    assert_eq!(of("web"), addresses(&[[172, 17, 0, 2], [172, 18, 0, 2]]));
    assert_eq!(of("web.shop"), addresses(&[[172, 18, 0, 2]]));
    assert_eq!(of("front"), addresses(&[[172, 18, 0, 2]]));
    assert_eq!(of("front.bridge"), addresses(&[]));
    assert_eq!(of("db"), addresses(&[[172, 18, 0, 3]]));
    assert_eq!(of("shop-db-1.shop"), addresses(&[[172, 18, 0, 3]]));
}

#[test]
fn replicas_of_a_service_are_all_found_and_stopped_ones_are_not() {
    let container = |number: u8, address: &str| {
        json!({"Name": format!("/app-{number}"), "Config": {}, "NetworkSettings": {"Networks": {
            "n": {"IPAddress": address, "Aliases": ["app"]},
        }}})
    };
    let found = index(&containers(json!([
        container(1, "172.18.0.9"),
        container(2, "172.18.0.4"),
        container(3, ""),
    ])));
    let both: Vec<Ipv4Addr> = vec![[172, 18, 0, 4].into(), [172, 18, 0, 9].into()];
    assert_eq!(found["app"], both);
    assert!(!found.contains_key("app-3"));
}

#[test]
fn a_container_without_networks_or_labels_has_no_names() {
    let found = index(&containers(json!([
        {"Name": "/hosted", "Config": {"Labels": null}, "NetworkSettings": {"Networks": {"host": {"IPAddress": ""}}}},
        {"Name": "/bare"},
        {},
    ])));
    assert!(found.is_empty());
}
