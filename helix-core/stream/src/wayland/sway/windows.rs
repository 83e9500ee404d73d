//! Sway's windows: the leaves of its tree that belong to a program.

use std::sync::Arc;

use async_trait::async_trait;
use helix_proto::sandbox::desktop::{DesktopWindow, Rectangle};
use serde::Deserialize;

use super::ipc::Ipc;
use crate::{Error, ErrorKind, desktop::Windows};

/// Windows that are told of at most.
const MOST: usize = 1_000;
/// Characters of a name at most.
const NAME: usize = 1_000;
/// Where Sway keeps what is not shown.
const SCRATCHPAD: &str = "__i3_scratch";

/// The windows of a Sway.
#[derive(Debug)]
pub(super) struct SwayWindows {
    ipc: Arc<Ipc>,
}

impl SwayWindows {
    pub(super) const fn new(ipc: Arc<Ipc>) -> Self {
        Self { ipc }
    }

    /// Tells a window something, by its number alone: nothing else of a caller's is said to Sway.
    async fn tell(&self, id: u64, command: &str) -> Result<(), Error> {
        let known = self.list().await?.iter().any(|window| window.id == id);
        if !known {
            let why = format!("there is no window {id}");
            return Err(Error::new(ErrorKind::NotFound, why));
        }
        self.ipc.command(&format!("[con_id={id}] {command}")).await
    }
}

#[async_trait]
impl Windows for SwayWindows {
    async fn list(&self) -> Result<Vec<DesktopWindow>, Error> {
        let tree = self.ipc.tree().await?;
        let root: Node = serde_json::from_slice(&tree)
            .map_err(|why| Error::failed("sway tells of its windows in nonsense", why))?;
        Ok(windows(&root))
    }

    async fn focus(&self, id: u64) -> Result<(), Error> {
        self.tell(id, "focus").await
    }

    async fn close(&self, id: u64) -> Result<(), Error> {
        self.tell(id, "kill").await
    }
}

/// As much of a node of Sway's tree as is of interest. JSON's own parser bounds how deep it is.
#[derive(Debug, Deserialize)]
struct Node {
    id: u64,
    name: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    pid: Option<i64>,
    #[serde(default)]
    app_id: Option<String>,
    #[serde(default)]
    window_properties: Option<Properties>,
    #[serde(default)]
    focused: bool,
    #[serde(default)]
    visible: Option<bool>,
    #[serde(default)]
    fullscreen_mode: u8,
    rect: Rect,
    #[serde(default)]
    nodes: Vec<Self>,
    #[serde(default)]
    floating_nodes: Vec<Self>,
}

/// What X11 programs have instead of an `app_id`.
#[derive(Debug, Deserialize)]
struct Properties {
    class: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Rect {
    x: i32,
    y: i32,
    width: i32,
    height: i32,
}

fn windows(root: &Node) -> Vec<DesktopWindow> {
    let mut windows = Vec::new();
    // Each with the workspace that it is on, in the order of the tree.
    let mut rest = vec![(root, "")];
    while let Some((node, workspace)) = rest.pop()
        && windows.len() < MOST
    {
        let workspace = match node.kind.as_str() {
            "workspace" => node.name.as_deref().unwrap_or_default(),
            _ => workspace,
        };
        let is_window = matches!(node.kind.as_str(), "con" | "floating_con") && node.pid.is_some();
        if is_window {
            windows.push(window(node, workspace));
        }
        let below = node.nodes.iter().chain(&node.floating_nodes).rev();
        rest.extend(below.map(|node| (node, workspace)));
    }
    windows
}

fn window(node: &Node, workspace: &str) -> DesktopWindow {
    let class = node.window_properties.as_ref();
    let class = class.and_then(|properties| properties.class.as_deref());
    let app_id = node.app_id.as_deref().or(class).unwrap_or_default();
    let side = |side: i32| u32::try_from(side).unwrap_or(0);
    DesktopWindow {
        id: node.id,
        title: bounded(node.name.as_deref().unwrap_or_default()),
        app_id: bounded(app_id),
        workspace: if workspace == SCRATCHPAD {
            String::new()
        } else {
            bounded(workspace)
        },
        focused: node.focused,
        fullscreen: node.fullscreen_mode > 0,
        visible: node.visible.unwrap_or(false),
        rectangle: Rectangle {
            x: node.rect.x,
            y: node.rect.y,
            width: side(node.rect.width),
            height: side(node.rect.height),
        },
    }
}

/// The beginning of what a program calls itself, in one line: what it says may be anything.
fn bounded(name: &str) -> String {
    let characters = name.chars().take(NAME);
    let shown = |one: char| if one.is_control() { '\u{fffd}' } else { one };
    characters.map(shown).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn node(id: u64, kind: &str, name: &str, more: &Value) -> Value {
        let mut node = json!({
            "id": id, "type": kind, "name": name,
            "rect": { "x": 0, "y": -1, "width": 10, "height": 20 },
        });
        let fields = node.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        node
    }

    fn told(tree: Value) -> Vec<DesktopWindow> {
        windows(&serde_json::from_value(tree).unwrap())
    }

    #[test]
    fn windows_are_the_leaves_with_a_program_and_say_where_they_are() {
        let foot = json!({ "pid": 7, "app_id": "foot", "focused": true, "visible": true });
        let x11 = json!({
            "pid": 8, "app_id": null, "window_properties": { "class": "XTerm" },
            "fullscreen_mode": 1, "visible": false,
        });
        let split = json!({ "nodes": [node(5, "con", "a", &foot)], "pid": null });
        let one = json!({
            "nodes": [node(4, "con", "split", &split)],
            "floating_nodes": [node(6, "floating_con", "b", &x11)],
        });
        let hidden = json!({ "nodes": [node(8, "con", "c", &json!({ "pid": 9 }))] });
        let output = json!({ "nodes": [
            node(3, "workspace", "1: web", &one),
            node(7, "workspace", SCRATCHPAD, &hidden),
        ] });
        let tree = node(
            1,
            "root",
            "root",
            &json!({ "nodes": [node(2, "output", "O", &output)] }),
        );
        let windows = told(tree);
        let ids: Vec<_> = windows.iter().map(|window| window.id).collect();
        assert_eq!(ids, [5, 6, 8]);
        assert_eq!(windows[0].workspace, "1: web");
        assert!(windows[0].focused && windows[0].visible && !windows[0].fullscreen);
        assert_eq!(
            (windows[1].app_id.as_str(), windows[1].fullscreen),
            ("XTerm", true)
        );
        assert_eq!(windows[2].workspace, "");
        assert_eq!(
            (windows[0].rectangle.y, windows[0].rectangle.height),
            (-1, 20)
        );
    }

    #[test]
    fn what_programs_say_is_bounded_and_one_line() {
        let title = format!("a\n\u{1b}]0;b\u{7}{}", "x".repeat(5_000));
        let many: Vec<_> = (10..3_000)
            .map(|id| node(id, "con", &title, &json!({ "pid": 1 })))
            .collect();
        let tree = node(1, "root", "root", &json!({ "nodes": many }));
        let windows = told(tree);
        assert_eq!(windows.len(), MOST);
        let title = &windows[0].title;
        assert!(
            title.starts_with("a\u{fffd}\u{fffd}]0;b\u{fffd}xx"),
            "{title}"
        );
        assert_eq!(title.chars().count(), NAME);
    }
}
