//! Compresses the price table. As text it would take a quarter of the plugin's size.

#![allow(clippy::disallowed_methods, reason = "cargo passes paths to a build script in environment variables")]

#[path = "src/signal/cost/lines.rs"]
mod table;

use std::error::Error;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use table::{SUPPLEMENT, TABLE};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={TABLE}");
    println!("cargo::rerun-if-changed={SUPPLEMENT}");
    println!("cargo::rerun-if-changed=src/signal/cost/lines.rs");
    let table = table::lines(&std::fs::read_to_string(TABLE)?, &std::fs::read_to_string(SUPPLEMENT)?)?;
    let packed = Path::new(&std::env::var("OUT_DIR")?).join("prices.deflate");
    let mut packer = DeflateEncoder::new(std::fs::File::create(packed)?, Compression::best());
    packer.write_all(table.as_bytes())?;
    packer.finish()?;
    Ok(())
}
