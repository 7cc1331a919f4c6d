//! The price table as lines of text. The plugin has them compressed; the JavaScript package has them as a module.

#![allow(clippy::indexing_slicing, reason = "serde_json returns null for an absent member")]

use std::error::Error;

use serde_json::Value;

/// Path of the price table.
pub const TABLE: &str = "src/signal/prices.json";

/// The lines that the plugin reads: the date, then lines `[PROVIDER...]` and `NAME... = RATE...`.
///
/// # Errors
/// The text is not JSON, or does not have the format of the table.
pub fn lines(json: &str) -> Result<String, Box<dyn Error>> {
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
