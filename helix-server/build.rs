//! Sees to it that the folder of the web app exists, so that the crate compiles
//! where the web app was not built.

use std::{env, fs, io, path::Path};

/// Served in place of the web app until it is built.
const PAGE: &str = "<!doctype html>\n<html lang=\"en\"><title>Helix</title>\n<p>The web app is not built. Run <code>npm ci &amp;&amp; npm run build</code> in <code>helix-server/web</code> (or <code>cargo xtask up</code>, which does), then build the server again.\n";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=migrations");
    println!("cargo::rerun-if-changed=web/dist");
    let root = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
    let index = Path::new(&root).join("web/dist/index.html");
    if !index.exists() {
        fs::create_dir_all(index.with_file_name(""))?;
        fs::write(index, PAGE)?;
    }
    Ok(())
}
