//! Whether a window manager is there.

use x11rb::{
    NONE,
    protocol::xproto::{
        AtomEnum, ChangeWindowAttributesAux, ConnectionExt as _, EventMask, Window,
    },
};

use super::line::{Connection, Display, Line, ask, gone};
use crate::Error;

/// What a window manager puts on the root window when it is there (EWMH).
const THERE: &[u8] = b"_NET_SUPPORTING_WM_CHECK";

/// Waits until a window manager is there.
///
/// # Errors
///
/// Where the server is gone.
pub(super) async fn managed(display: &Display) -> Result<(), Error> {
    let line = Line::connect(display).await?;
    let root = line.root;
    let tell = move |connection: &Connection| {
        let events = ChangeWindowAttributesAux::new().event_mask(EventMask::PROPERTY_CHANGE);
        let told = connection.change_window_attributes(root, &events);
        told.map_err(gone)?.check().map_err(gone)
    };
    ask(&line.connection, tell).await?;
    while !ask(&line.connection, move |connection| {
        is_managed(connection, root)
    })
    .await?
    {
        line.event().await?;
    }
    Ok(())
}

fn is_managed(connection: &Connection, root: Window) -> Result<bool, Error> {
    let atom = connection.intern_atom(false, THERE).map_err(gone)?;
    let atom = atom.reply().map_err(gone)?.atom;
    let window = connection.get_property(false, root, atom, AtomEnum::WINDOW, 0, 1);
    let window = window.map_err(gone)?.reply().map_err(gone)?;
    let window = window.value32().and_then(|mut windows| windows.next());
    Ok(window.is_some_and(|window| window != NONE))
}
