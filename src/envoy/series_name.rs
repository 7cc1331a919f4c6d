//! The encoding of labels in the name of a metric of Envoy: `NAME.key=.=value;.;key2=.=value2;.;`.
//!
//! Envoy splits names at dots, and its `stats_tags` cut the labels out by regular expressions: see `envoy/envoy.yaml`.

/// The name of the series of a metric with these labels. In values `;` and `=` become `_`, and dots and spaces around them
/// are removed: they would end the value, or the name, too early. Labels without a value are left out.
pub fn series_name(metric: &str, labels: &[(&str, &str)]) -> String {
    let mut name = metric.to_owned();
    let trimmed = labels.iter().map(|(key, value)| (key, value.trim_matches(['.', ' '])));
    for (at, (key, value)) in trimmed.filter(|(_, value)| !value.is_empty()).enumerate() {
        if at == 0 {
            name.push('.');
        }
        name.push_str(key);
        name.push_str("=.=");
        name.extend(value.chars().map(|c| if matches!(c, ';' | '=') { '_' } else { c }));
        name.push_str(";.;");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_follow_the_name_of_the_metric() {
        let labels = [("model", "gpt-4o-2024.08"), ("route", ""), ("outcome", "completed")];
        assert_eq!(series_name("requests", &labels), "requests.model=.=gpt-4o-2024.08;.;outcome=.=completed;.;");
        assert_eq!(series_name("overflow", &[]), "overflow");
    }

    #[test]
    fn a_value_cannot_end_a_label_early() {
        for value in ["evil;.;status=.=x;.;", "=.=", ";", "..", ". a .", " ", "a.", ";.;.", "=.=x;.;. "] {
            let name = series_name("m", &[("k", value), ("last", "v")]);
            let labels: Vec<_> = name.split_once('.').unwrap().1.split_terminator(";.;").collect();
            assert_eq!(labels.last(), Some(&"last=.=v"), "{name}");
            assert!(labels.len() <= 2 && labels.iter().all(|label| label.matches('=').count() == 2), "{name}");
            assert!(labels.iter().all(|label| !label.ends_with(['.', ' '])), "{name}");
        }
        assert_eq!(series_name("m", &[("k", "evil;.;x=.=y.")]), "m.k=.=evil_._x_._y;.;");
    }
}
