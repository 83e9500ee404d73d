//! The size of the screen, by RANDR.

use helix_proto::desktop::Size;
use x11rb::{
    CURRENT_TIME, NONE,
    protocol::{
        randr::{ConnectionExt as _, ModeInfo, Rotation, SetConfig},
        xproto::Window,
    },
};

use super::line::{Connection, gone, lacks};
use crate::{Error, ErrorKind};

/// Of a screen of 96 dots per inch.
fn millimetres(pixels: u16) -> u32 {
    u32::from(pixels) * 254 / 960
}

/// Gives the screen another size. Blocks until it has it.
///
/// # Errors
///
/// [`ErrorKind::Unsupported`] for one beyond what the server was started with.
pub(super) fn resize(connection: &Connection, root: Window, size: Size) -> Result<(), Error> {
    let version = connection.randr_query_version(1, 3).map_err(gone)?;
    version.reply().map_err(|why| lacks("RANDR 1.3", why))?;
    let range = connection.randr_get_screen_size_range(root).map_err(gone)?;
    let range = range.reply().map_err(gone)?;
    let (width, height) = (size.width(), size.height());
    if width > range.max_width || height > range.max_height {
        let why = format!(
            "this desktop has at most {}x{}, not {size}",
            range.max_width, range.max_height
        );
        return Err(Error::new(ErrorKind::Unsupported, why));
    }
    let failed = |why: &dyn std::fmt::Display| {
        Error::failed(format!("the X server did not become {size}"), why)
    };
    let resources = connection
        .randr_get_screen_resources_current(root)
        .map_err(gone)?;
    let resources = resources.reply().map_err(gone)?;
    let (Some(&crtc), Some(&output)) = (resources.crtcs.first(), resources.outputs.first()) else {
        return Err(failed(&"it has no output"));
    };
    let known = resources
        .modes
        .iter()
        .find(|mode| (mode.width, mode.height) == (width, height));
    let mode = match known {
        Some(mode) => mode.id,
        None => {
            let name = format!("helix-{size}");
            let info = ModeInfo {
                width,
                height,
                name_len: name.len() as u16,
                ..ModeInfo::default()
            };
            let created = connection.randr_create_mode(root, info, name.as_bytes());
            let created = created.map_err(gone)?.reply().map_err(|why| failed(&why))?;
            let added = connection.randr_add_output_mode(output, created.mode);
            added.map_err(gone)?.check().map_err(|why| failed(&why))?;
            created.mode
        }
    };
    // What is shown has to fit on the screen at any time: nothing does in between.
    let show = |mode, outputs: &[u32]| -> Result<(), Error> {
        let rotation = Rotation::ROTATE0;
        let set = connection.randr_set_crtc_config(
            crtc,
            CURRENT_TIME,
            CURRENT_TIME,
            0,
            0,
            mode,
            rotation,
            outputs,
        );
        match set
            .map_err(gone)?
            .reply()
            .map_err(|why| failed(&why))?
            .status
        {
            SetConfig::SUCCESS => Ok(()),
            other => Err(failed(&format!("{other:?}"))),
        }
    };
    show(NONE, &[])?;
    let (wide, high) = (millimetres(width), millimetres(height));
    let resized = connection.randr_set_screen_size(root, width, height, wide, high);
    resized.map_err(gone)?.check().map_err(|why| failed(&why))?;
    show(mode, &[output])
}
