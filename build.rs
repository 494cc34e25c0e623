//! Puts the zoo's paths into the program, so that `explain` can name those that produce a finding.

#![allow(clippy::print_stdout, reason = "that is how a build script speaks to cargo")]

use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let zoo = Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join("fixtures/paths");
    println!("cargo::rerun-if-changed={}", zoo.display());
    let mut files: Vec<PathBuf> = std::fs::read_dir(&zoo)?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    let mut code = String::from("&[\n");
    for file in &files {
        let name = file.file_stem().unwrap_or_default().display();
        writeln!(code, "    ({:?}, include_str!({file:?})),", name.to_string())?;
    }
    code.push_str("]\n");
    std::fs::write(Path::new(&std::env::var("OUT_DIR")?).join("zoo.rs"), code)?;
    Ok(())
}
