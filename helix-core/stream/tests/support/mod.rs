//! A Sway for tests.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use helix_proto::desktop::Size;
use helix_stream::wayland::sway::{Look, Options, Wallpaper};

/// The user that Sway runs as where the tests are root.
const NOBODY: u32 = 65_534;

pub(crate) fn size() -> Size {
    Size::new(640, 360).unwrap()
}

pub(crate) fn program() -> Option<PathBuf> {
    let program = Path::new("/usr/bin/sway");
    program.exists().then(|| program.to_owned())
}

/// One that runs Sway as an ordinary user.
fn wrapper(place: &Path, program: &Path) -> PathBuf {
    if !rustix::process::geteuid().is_root() {
        return program.to_owned();
    }
    std::os::unix::fs::chown(place, Some(NOBODY), Some(NOBODY)).unwrap();
    let wrapper = place.join("sway");
    let script = format!(
        "#!/bin/sh\nexec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups {} \"$@\"\n",
        program.display()
    );
    std::fs::write(&wrapper, script).unwrap();
    std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755)).unwrap();
    wrapper
}

/// A folder for a Sway, and how that is started with these programs.
pub(crate) fn place(program: &Path, programs: &[&str]) -> (tempfile::TempDir, Options) {
    let place = tempfile::tempdir().unwrap();
    let home = place.path().to_owned();
    let options = Options {
        program: wrapper(place.path(), program),
        runtime_dir: home.clone(),
        size: size(),
        layout: "us".to_owned(),
        look: Look {
            wallpaper: Wallpaper::Colour("#336699".to_owned()),
            programs: programs
                .iter()
                .map(|program| (*program).to_owned())
                .collect(),
            bar: None,
            ..Look::default()
        },
        env: [
            ("PATH", "/usr/bin:/bin"),
            ("LANG", "C.UTF-8"),
            ("SHELL", "/bin/sh"),
        ]
        .into_iter()
        .map(|(name, value)| (name.into(), value.into()))
        .chain([("HOME".into(), home.into())])
        .collect(),
    };
    (place, options)
}
