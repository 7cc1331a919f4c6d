//! One setting as a row of a table, and the parser that reads JSON by such a table.

use core::fmt;
use core::ops::RangeInclusive;

use serde_json::Value;

use super::value::{ConfigError, object, text, whole};

/// One setting: a row of a table that configures a `T`.
pub struct Setting<T: 'static> {
    /// Path of the key, joined by dots: `agent.max_iterations`.
    pub key: &'static str,
    /// Type, range and default, and how to store a value.
    pub kind: SettingKind<T>,
    /// True if the metadata of a route may set this key. It is false for settings that the VM or the labels of the
    /// metrics depend on, because all routes share them.
    pub per_route: bool,
    /// Description of the setting. Only the manual uses it.
    pub doc: &'static str,
}

/// The rows of some settings, in groups.
pub type Table<T> = &'static [&'static [Setting<T>]];

/// Type, range and default of a setting, and the function that stores a value.
pub enum SettingKind<T: 'static> {
    /// A whole number.
    Whole {
        /// Used if the key is absent.
        default: u64,
        /// Smallest and largest value.
        range: RangeInclusive<u64>,
        /// Stores the value.
        set: fn(&mut T, u64),
    },
    /// A number of repetitions: 0, or 2 to [`REPETITIONS`]. Nothing repeats itself once.
    Repetitions {
        /// Used if the key is absent.
        default: u8,
        /// Stores the value.
        set: fn(&mut T, u8),
    },
    /// A number from 0 to 1.
    Share {
        /// Used if the key is absent.
        default: f64,
        /// Stores the value.
        set: fn(&mut T, f64),
    },
    /// True or false.
    Bool {
        /// Used if the key is absent.
        default: bool,
        /// Stores the value.
        set: fn(&mut T, bool),
    },
    /// A string.
    Text {
        /// Used if the key is absent. None if there is no default.
        default: Option<&'static str>,
        /// Stores the value, or returns what is wrong with it.
        set: fn(&mut T, &str) -> Result<(), String>,
    },
    /// One of some words. The first word is the default.
    Word {
        /// All words.
        words: &'static [&'static str],
        /// Stores the meaning of a word. Returns None if the word is unknown.
        set: fn(&mut T, &str) -> Option<()>,
    },
    /// Any number of some words.
    Words {
        /// All words.
        words: &'static [&'static str],
        /// Used if the key is absent.
        default: &'static [&'static str],
        /// Stores the list.
        set: fn(&mut T, &[&str]),
    },
    /// Any number of strings.
    Strings {
        /// Used if the key is absent.
        default: &'static [&'static str],
        /// Stores the list.
        set: fn(&mut T, Vec<String>),
    },
    /// A value with a parser of its own. Its default is empty.
    Other {
        /// Its type, as an error says it after "must be". Documentation only.
        what: &'static str,
        /// The empty value as JSON: `[]` or `{}`. Documentation only.
        default: &'static str,
        /// Stores the value. The second argument is the path, for errors.
        set: fn(&mut T, &str, &Value) -> Result<(), ConfigError>,
    },
}

/// Maximum of [`SettingKind::Repetitions`].
const REPETITIONS: u64 = 100;

/// Where a configuration comes from.
#[derive(Clone, Copy, PartialEq)]
pub enum SettingScope {
    /// The plugin's own configuration, which may set everything.
    Plugin,
    /// A route's metadata, which may only set what is per route.
    Route,
}

/// Stores the default of every setting of a table.
///
/// # Errors
/// Only if a row's function refuses its own default.
pub fn set_defaults<T>(table: Table<T>, target: &mut T) -> Result<(), ConfigError> {
    table.iter().copied().flatten().try_for_each(|setting| setting.set_default(target))
}

/// Reads the members of `value`, the object at `path`, whose keys in the table begin with `prefix`.
///
/// # Errors
/// An unknown key, a value that its setting does not accept, or a key that may not be set here, with the key's path.
pub fn read<T>(
    table: Table<T>,
    target: &mut T,
    (path, prefix): (&str, &str),
    value: &Value,
    scope: SettingScope,
) -> Result<(), ConfigError> {
    for (name, value) in object(path, value)? {
        let (at, key) = (joined(path, name), joined(prefix, name));
        let mut rows = table.iter().copied().flatten();
        match rows.find_map(|setting| Some((setting, member(setting.key, prefix).filter(|m| m.name == name)?))) {
            Some((setting, TableMember { is_setting: true, .. })) => setting.read(target, &at, value, scope)?,
            Some(_) => read(table, target, (&at, &key), value, scope)?,
            None => return Err(ConfigError::unknown(path, name, &members(table, prefix))),
        }
    }
    Ok(())
}

/// The names of all members that a table has below `prefix`, each once, in the table's order.
pub fn members<T>(table: Table<T>, prefix: &str) -> Vec<&'static str> {
    let rows = table.iter().copied().flatten();
    let mut names: Vec<_> = rows.filter_map(|row| member(row.key, prefix)).map(|member| member.name).collect();
    names.dedup();
    names
}

/// One member of the object at a prefix.
struct TableMember {
    name: &'static str,
    /// It is a setting, not an object with settings.
    is_setting: bool,
}

/// The member of the object at `prefix` in which `key` is. Returns None if the key is elsewhere.
fn member(key: &'static str, prefix: &str) -> Option<TableMember> {
    let rest = if prefix.is_empty() { key } else { key.strip_prefix(prefix)?.strip_prefix('.')? };
    let (name, is_setting) = rest.split_once('.').map_or((rest, true), |(name, _)| (name, false));
    Some(TableMember { name, is_setting })
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

impl<T> Setting<T> {
    fn set_default(&self, target: &mut T) -> Result<(), ConfigError> {
        match &self.kind {
            SettingKind::Whole { default, set, .. } => set(target, *default),
            SettingKind::Repetitions { default, set } => set(target, *default),
            SettingKind::Share { default, set, .. } => set(target, *default),
            SettingKind::Bool { default, set } => set(target, *default),
            SettingKind::Text { default, set } => {
                let set = |text| set(target, text).map_err(|wrong| ConfigError::new(self.key, wrong));
                default.map_or(Ok(()), set)?;
            }
            SettingKind::Word { words, set } => {
                words.first().and_then(|word| set(target, word)).ok_or_else(|| self.wrong(self.key))?;
            }
            SettingKind::Words { default, set, .. } => set(target, default),
            SettingKind::Strings { default, set } => set(target, default.iter().map(|&text| text.to_owned()).collect()),
            SettingKind::Other { .. } => {}
        }
        Ok(())
    }

    fn read(&self, target: &mut T, path: &str, value: &Value, scope: SettingScope) -> Result<(), ConfigError> {
        if scope == SettingScope::Route && !self.per_route {
            return Err(ConfigError::new(path, "is the same for all routes; set it in the plugin's configuration"));
        }
        let wrong = || self.wrong(path);
        match &self.kind {
            SettingKind::Whole { range, set, .. } => set(target, whole(path, value, range.clone())?),
            SettingKind::Repetitions { set, .. } => {
                let number = value.as_u64().filter(|n| *n != 1 && *n <= REPETITIONS);
                set(target, number.and_then(|n| u8::try_from(n).ok()).ok_or_else(wrong)?);
            }
            SettingKind::Share { set, .. } => {
                set(target, value.as_f64().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(wrong)?);
            }
            SettingKind::Bool { set, .. } => set(target, value.as_bool().ok_or_else(wrong)?),
            SettingKind::Text { set, .. } => {
                set(target, text(path, value)?).map_err(|wrong| ConfigError::new(path, wrong))?;
            }
            SettingKind::Word { set, .. } => {
                value.as_str().and_then(|word| set(target, word)).ok_or_else(wrong)?;
            }
            SettingKind::Words { words, set, .. } => {
                let known =
                    |value: &'_ Value| value.as_str().and_then(|word| words.iter().find(|known| **known == word));
                let items = value.as_array().ok_or_else(wrong)?;
                let items: Option<Vec<&str>> = items.iter().map(|item| known(item).copied()).collect();
                set(target, &items.ok_or_else(wrong)?);
            }
            SettingKind::Strings { set, .. } => {
                let items = value.as_array().ok_or_else(wrong)?;
                let items: Option<Vec<_>> = items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
                set(target, items.ok_or_else(wrong)?);
            }
            SettingKind::Other { set, .. } => set(target, path, value)?,
        }
        Ok(())
    }

    fn wrong(&self, path: &str) -> ConfigError {
        ConfigError::new(path, format!("must be {}", self.kind))
    }
}

/// The type and range, as an error says it after "must be".
impl<T> fmt::Display for SettingKind<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SettingKind::Whole { range, .. } => write!(f, "a whole number from {} to {}", range.start(), range.end()),
            SettingKind::Repetitions { .. } => write!(f, "0 (never) or a whole number from 2 to {REPETITIONS}"),
            SettingKind::Share { .. } => f.write_str("a number from 0 to 1"),
            SettingKind::Bool { .. } => f.write_str("true or false"),
            SettingKind::Text { .. } => f.write_str("a string"),
            SettingKind::Word { words, .. } => write!(f, "`{}`", words.join("` or `")),
            SettingKind::Words { words, .. } => write!(f, "an array of any of {}", words.join(", ")),
            SettingKind::Strings { .. } => f.write_str("an array of strings"),
            SettingKind::Other { what, .. } => f.write_str(what),
        }
    }
}

impl<T> SettingKind<T> {
    /// The default as JSON. Returns an empty text if there is none.
    pub fn default_json(&self) -> String {
        match self {
            SettingKind::Whole { default, .. } => default.to_string(),
            SettingKind::Repetitions { default, .. } => default.to_string(),
            SettingKind::Share { default, .. } => Value::from(*default).to_string(),
            SettingKind::Bool { default, .. } => default.to_string(),
            SettingKind::Text { default, .. } => default.map(|text| Value::from(text).to_string()).unwrap_or_default(),
            SettingKind::Word { words, .. } => {
                words.first().map(|word| Value::from(*word).to_string()).unwrap_or_default()
            }
            SettingKind::Words { default, .. } | SettingKind::Strings { default, .. } => {
                Value::from(default.to_vec()).to_string()
            }
            SettingKind::Other { default, .. } => (*default).to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq)]
    struct Fields(u64, f64, Vec<String>);

    const TABLE: Table<Fields> = &[&[
        Setting {
            key: "a.b.whole",
            kind: SettingKind::Whole { default: 2, range: 1..=3, set: |target, n| target.0 = n },
            per_route: true,
            doc: "",
        },
        Setting {
            key: "a.share",
            kind: SettingKind::Share { default: 0.5, set: |target, n| target.1 = n },
            per_route: false,
            doc: "",
        },
        Setting {
            key: "words",
            kind: SettingKind::Words {
                words: &["x", "y"],
                default: &["y"],
                set: |target, words| target.2 = words.iter().map(|word| (*word).to_owned()).collect(),
            },
            per_route: true,
            doc: "",
        },
    ]];

    fn parse(text: &str, scope: SettingScope) -> Result<Fields, String> {
        let mut target = Fields::default();
        set_defaults(TABLE, &mut target).unwrap();
        let value = serde_json::from_str(text).unwrap();
        read(TABLE, &mut target, ("", ""), &value, scope).map_err(|error| error.to_string())?;
        Ok(target)
    }

    #[test]
    fn absent_keys_have_their_defaults_and_nested_keys_are_found() {
        assert_eq!(parse("{}", SettingScope::Plugin), Ok(Fields(2, 0.5, vec!["y".into()])));
        let text = r#"{"a": {"b": {"whole": 3}, "share": 1}, "words": ["x", "y"]}"#;
        assert_eq!(parse(text, SettingScope::Plugin), Ok(Fields(3, 1.0, vec!["x".into(), "y".into()])));
    }

    #[test]
    fn errors_have_the_path_and_list_the_keys_that_exist_there() {
        for (text, wanted) in [
            (r#"{"A": 1}"#, "A: unknown key; known here: a, words"),
            (r#"{"a.share": 1}"#, "a.share: unknown key; known here: a, words"),
            (r#"{"a": {"whole": 1}}"#, "a.whole: unknown key; known here: b, share"),
            (r#"{"a": {"b": {"": 1}}}"#, "a.b.: unknown key; known here: whole"),
            (r#"{"a": 1}"#, "a: must be an object"),
            (r#"{"a": {"b": {"whole": 4}}}"#, "a.b.whole: must be a whole number from 1 to 3"),
            (r#"{"a": {"share": 1.5}}"#, "a.share: must be a number from 0 to 1"),
            (r#"{"words": ["x", "z"]}"#, "words: must be an array of any of x, y"),
            (r#"{"words": ["x", 1]}"#, "words: must be an array of any of x, y"),
        ] {
            assert_eq!(parse(text, SettingScope::Plugin), Err(wanted.to_owned()));
        }
    }

    #[test]
    fn a_route_sets_only_what_is_per_route() {
        assert_eq!(parse(r#"{"a": {"b": {"whole": 1}}}"#, SettingScope::Route).unwrap().0, 1);
        let refused = parse(r#"{"a": {"share": 1}}"#, SettingScope::Route).unwrap_err();
        assert!(refused.starts_with("a.share: is the same for all routes"), "{refused}");
    }
}
