//! The attributes that a host's filter state gets, by the setting `attributes`.

use super::{ATTRIBUTES, RPC_ATTRIBUTES};
use crate::config::{ConfigError, FilterState};

/// The filter state that holds all attributes as one JSON object.
pub const PACKED: &str = "gaugeway.packed";

/// The attributes that filter state gets.
#[derive(Clone, Debug, PartialEq)]
pub enum Selection {
    /// None.
    Off,
    /// All in one filter state: [`PACKED`].
    Packed,
    /// Those at these places of [`ATTRIBUTES`], and of [`RPC_ATTRIBUTES`] behind it, in ascending order, each in a filter state of its
    /// own.
    Each(Box<[usize]>),
}

impl Selection {
    /// The selection that the setting asks for.
    ///
    /// # Errors
    /// A name that is not one of an attribute, with its index.
    pub fn of(setting: &FilterState) -> Result<Self, ConfigError> {
        Ok(match setting {
            FilterState::Each => Selection::Each((0..ATTRIBUTES.len() + RPC_ATTRIBUTES.len()).collect()),
            FilterState::Off => Selection::Off,
            FilterState::Packed => Selection::Packed,
            FilterState::Selected(names) => {
                let mut places = Vec::new();
                for (index, name) in names.iter().enumerate() {
                    let before = places.len();
                    places.extend(all().enumerate().filter(|(_, known)| known == name).map(|(place, _)| place));
                    if places.len() == before {
                        let message = format!("unknown attribute {name}");
                        return Err(ConfigError::new(&format!("attributes[{index}]"), message));
                    }
                }
                places.sort_unstable();
                places.dedup();
                Selection::Each(places.into())
            }
        })
    }
}

/// The names of all attributes, by their places. A name may be in both tables.
fn all() -> impl Iterator<Item = &'static str> {
    ATTRIBUTES.iter().map(|row| row.name).chain(RPC_ATTRIBUTES.iter().map(|row| row.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn of(setting: &str) -> Result<Selection, String> {
        let config = Config::parse(&format!("{{\"attributes\": {setting}}}")).unwrap();
        Selection::of(&config.filter_state).map_err(|error| error.to_string())
    }

    #[test]
    fn a_list_selects_each_of_its_attributes_once_in_the_order_of_the_table() {
        let Ok(Selection::Each(places)) = of(r#"["error.type", "gen_ai.request.model", "error.type"]"#) else {
            panic!()
        };
        let names: Vec<_> = places.iter().map(|place| all().nth(*place).unwrap()).collect();
        assert_eq!(names, ["gen_ai.request.model", "error.type", "error.type"]);
        assert_eq!(of("[]"), Ok(Selection::Each([].into())));
    }

    #[test]
    fn the_other_values_select_all_or_none() {
        assert!(matches!(of("true"), Ok(Selection::Each(places)) if places.len() == all().count()));
        assert_eq!((of("false"), of("\"packed\"")), (Ok(Selection::Off), Ok(Selection::Packed)));
    }

    #[test]
    fn an_unknown_name_is_an_error_with_its_index() {
        let error = "attributes[1]: unknown attribute error.typo".to_owned();
        assert_eq!(of(r#"["error.type", "error.typo"]"#), Err(error));
    }
}
