//! Packs the price table: as text it would be a quarter of the plugin.

#![allow(clippy::disallowed_methods, reason = "a build script asks cargo where things are")]
#![allow(clippy::indexing_slicing, reason = "a member that is not there is null")]

use std::error::Error;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use serde_json::Value;

const TABLE: &str = "src/signal/prices.json";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={TABLE}");
    let table = lines(&std::fs::read_to_string(TABLE)?)?;
    let packed = Path::new(&std::env::var("OUT_DIR")?).join("prices.deflate");
    let mut packer = DeflateEncoder::new(std::fs::File::create(packed)?, Compression::best());
    packer.write_all(table.as_bytes())?;
    packer.finish()?;
    Ok(())
}

/// The table as the plugin reads it: the day, then `[PROVIDER...]` and `NAME... = RATE...`, one a line.
fn lines(json: &str) -> Result<String, Box<dyn Error>> {
    let table: Value = serde_json::from_str(json)?;
    let wrong = |what: &str| format!("{TABLE}: {what}; './build.sh prices' writes it anew");
    let mut lines = table["date"].as_str().ok_or_else(|| wrong("\"date\" is no string"))?.to_owned() + "\n";
    for (names, models) in table["providers"].as_object().ok_or_else(|| wrong("\"providers\" is no object"))? {
        lines += &format!("[{names}]\n");
        for model in models.as_array().ok_or_else(|| wrong(&format!("the models of {names} are no list")))? {
            let (Some(model), Some(rates)) = (model[0].as_str(), model[1].as_str()) else {
                return Err(wrong(&format!("a model of {names} is not [NAMES, RATES]")).into());
            };
            lines += &format!("{model} = {rates}\n");
        }
    }
    Ok(lines)
}
