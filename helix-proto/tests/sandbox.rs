//! How sandboxes are asked for.

use helix_proto::sandbox::DesktopSpec;
use serde_json::{Value, json};

#[test]
fn the_clipboard_of_a_desktop_is_passed_on_unless_it_says_otherwise() {
    let read = |spec: Value| serde_json::from_value::<DesktopSpec>(spec).expect("a desktop");
    let usual = json!({ "kind": "sway", "width": 640, "height": 360 });
    let apart = json!({ "kind": "sway", "width": 640, "height": 360, "clipboard": false });
    assert!(read(usual.clone()).clipboard);
    assert!(!read(apart.clone()).clipboard);
    // A host that does not know the switch takes the usual one, and must refuse the other.
    for spec in [usual, apart] {
        let written = serde_json::to_value(read(spec.clone())).expect("JSON");
        assert_eq!(written, spec);
    }
}
