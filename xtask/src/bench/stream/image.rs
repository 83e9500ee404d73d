//! A desktop of another release of Debian than the machine's: the image that its recipe makes.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::{process::run, setup::packages, workspace::Workspace};

/// What the recipe does not have, and what is measured beside ours takes.
const MORE: &str = "wayvnc\n";
const MADE_WITHIN: Duration = Duration::from_secs(20 * 60);

/// As root in a mount namespace of its own: a command in a system that lies in a folder, as
/// nobody, with a folder that both see at the same place.
const INSIDE: &str = r#"
root=$1 shared=$2; shift 2
mkdir -p "$root$shared"
mount --bind "$shared" "$root$shared"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
exec chroot --userspec=65534:65534 --groups= "$root" "$@"
"#;

/// An image and the system in it, kept for later runs.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) tar: PathBuf,
    root: PathBuf,
}

impl Image {
    /// Makes it, where an earlier run has not by the same recipe.
    pub(super) fn of(workspace: &Workspace, suite: &str) -> Result<Self> {
        let folder = workspace.target().join("bench");
        fs::create_dir_all(&folder).context("making the folder of the benches")?;
        let image = Self {
            tar: folder.join(format!("desktop-{suite}.tar")),
            root: folder.join(format!("desktop-{suite}")),
        };
        let recipe = workspace.root().join("deploy/images/desktop-sway");
        let read = |name: &str| {
            let file = recipe.join(name);
            fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))
        };
        let packages = read("packages")? + MORE;
        let by = image.tar.with_extension("recipe");
        let recipe_text = read("build.sh")? + &packages;
        let made =
            image.tar.exists() && fs::read_to_string(&by).ok().as_ref() == Some(&recipe_text);
        if !made {
            if image.root.exists() {
                fs::remove_dir_all(&image.root).context("removing the system of before")?;
            }
            image.make(workspace, &recipe, suite, &packages)?;
            fs::write(&by, recipe_text).context("keeping by what it was made")?;
        }
        if !image.root.exists() {
            let part = folder.join(format!("desktop-{suite}.part"));
            fs::create_dir_all(&part).context("making the folder of the system")?;
            let mut tar = workspace.command("tar");
            tar.arg("-xpf").arg(&image.tar).arg("-C").arg(&part);
            run(workspace, &mut tar, MADE_WITHIN)?;
            fs::rename(&part, &image.root).context("keeping the system")?;
        }
        Ok(image)
    }

    fn make(
        &self,
        workspace: &Workspace,
        recipe: &Path,
        suite: &str,
        packages: &str,
    ) -> Result<()> {
        packages::install(workspace, &packages::missing(workspace, &["mmdebstrap"]))?;
        let list = self.tar.with_extension("packages");
        fs::write(&list, packages).context("writing the packages")?;
        let part = self.tar.with_extension("part.tar");
        let mut build = workspace.command(recipe.join("build.sh"));
        build
            .arg("--suite")
            .arg(suite)
            .arg("--packages")
            .arg(&list)
            .arg(&part);
        run(workspace, &mut build, MADE_WITHIN)?;
        fs::rename(&part, &self.tar).context("keeping the image")
    }

    /// The arguments of `unshare` for a command in it, as nobody, which sees `shared`.
    pub(super) fn inside(&self, shared: &Path) -> Vec<OsString> {
        let options = [
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-euc",
            INSIDE,
            "sh",
        ];
        let mut arguments: Vec<OsString> = options.map(OsString::from).into();
        arguments.extend([self.root.clone().into(), shared.into()]);
        arguments
    }
}
