//! Packs the price table: as text it would be a quarter of the plugin.

#![allow(clippy::disallowed_methods, reason = "a build script asks cargo where things are")]

use std::error::Error;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::DeflateEncoder;

const TABLE: &str = "src/signal/prices.txt";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={TABLE}");
    let text = std::fs::read_to_string(TABLE)?;
    let packed = Path::new(&std::env::var("OUT_DIR")?).join("prices.deflate");
    let mut packer = DeflateEncoder::new(std::fs::File::create(packed)?, Compression::best());
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        writeln!(packer, "{line}")?;
    }
    packer.finish()?;
    Ok(())
}
