//! Packs the price table: as text it would be a quarter of the plugin.

#![allow(clippy::disallowed_methods, reason = "a build script asks cargo where things are")]

#[path = "src/signal/cost/lines.rs"]
mod table;

use std::error::Error;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use table::TABLE;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={TABLE}");
    println!("cargo::rerun-if-changed=src/signal/cost/lines.rs");
    let table = table::lines(&std::fs::read_to_string(TABLE)?)?;
    let packed = Path::new(&std::env::var("OUT_DIR")?).join("prices.deflate");
    let mut packer = DeflateEncoder::new(std::fs::File::create(packed)?, Compression::best());
    packer.write_all(table.as_bytes())?;
    packer.finish()?;
    Ok(())
}
