//! The price table as lines of text, which the plugin carries packed and the package for JavaScript as a module.

#![allow(clippy::indexing_slicing, reason = "a member that is not there is null")]

use std::error::Error;

use serde_json::Value;

/// Where it comes from.
pub const TABLE: &str = "src/signal/prices.json";

/// The table as the plugin reads it: the day, then `[PROVIDER...]` and `NAME... = RATE...`, one a line.
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
