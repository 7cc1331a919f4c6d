//! The price table as lines of text. The plugin has them compressed; the JavaScript package has them as a module.

#![allow(clippy::indexing_slicing, reason = "serde_json returns null for an absent member")]

use std::error::Error;

use serde_json::Value;

/// Path of the price table.
pub const TABLE: &str = "src/signal/prices.json";

/// Path of the supplements to the price table, see its own description.
pub const SUPPLEMENT: &str = "src/signal/price_supplement.json";

/// The lines that the plugin reads: the date, then lines `[PROVIDER...]`, `NAME... = RATE...` and `+NAME... = RATE...` for a
/// supplement.
///
/// # Errors
/// A text is not JSON, or does not have the format of its table.
pub fn lines(table: &str, supplement: &str) -> Result<String, Box<dyn Error>> {
    let (table, supplement): (Value, Value) = (serde_json::from_str(table)?, serde_json::from_str(supplement)?);
    let wrong = |what: &str| format!("{TABLE}: {what}; './build.sh prices' writes it anew");
    let mut lines = table["date"].as_str().ok_or_else(|| wrong("\"date\" is no string"))?.to_owned() + "\n";
    let providers = table["providers"].as_object().ok_or_else(|| wrong("\"providers\" is no object"))?;
    let none = Value::Array(Vec::new());
    for (names, models) in providers {
        lines += &format!("[{names}]\n");
        lines += &rows(models, "").ok_or_else(|| wrong(&format!("a model of {names} is not [NAMES, RATES]")))?;
        let own = names.split(' ').next().unwrap_or_default();
        lines += &supplements(supplement["providers"].get(own).unwrap_or(&none), own)?;
    }
    let known = |name: &str| providers.keys().any(|names| names.split(' ').next() == Some(name));
    for (name, models) in supplement["providers"].as_object().into_iter().flatten().filter(|(name, _)| !known(name)) {
        lines += &format!("[{name}]\n{}", supplements(models, name)?);
    }
    Ok(lines)
}

fn supplements(models: &Value, provider: &str) -> Result<String, Box<dyn Error>> {
    let wrong = || format!("{SUPPLEMENT}: a row of {provider} is not [NAMES, RATES, SOURCE]");
    let is_sourced = |row: &Value| row[2].as_str().is_some_and(|source| source.starts_with("https://"));
    let sourced = models.as_array().is_some_and(|rows| rows.iter().all(is_sourced));
    Ok(rows(models, "+").filter(|_| sourced).ok_or_else(wrong)?)
}

fn rows(models: &Value, mark: &str) -> Option<String> {
    let row = |model: &Value| Some(format!("{mark}{} = {}\n", model[0].as_str()?, model[1].as_str()?));
    models.as_array()?.iter().map(row).collect()
}
