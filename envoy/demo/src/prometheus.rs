//! Parses the Prometheus text format of Envoy's admin port. Specification: Prometheus text exposition format 0.0.4.

use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

impl Sample {
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }

    /// Returns true if the sample has all of these labels. It may have more.
    pub fn has(&self, labels: &[(&str, &str)]) -> bool {
        labels.iter().all(|(name, value)| self.labels.get(*name).is_some_and(|own| own == value))
    }
}

/// Parses all samples. Panics on an invalid line, because Envoy's output is what is tested.
pub fn parse(text: &str) -> Vec<Sample> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| sample(line).unwrap_or_else(|| panic!("not a Prometheus sample: {line}"))).collect()
}

/// The sum over all series with this name and these labels, or 0 if there is none.
pub fn total(samples: &[Sample], name: &str, labels: &[(&str, &str)]) -> f64 {
    samples.iter().filter(|sample| sample.name == name && sample.has(labels)).map(|sample| sample.value).sum()
}

fn sample(line: &str) -> Option<Sample> {
    let name_end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(name_end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.insert(label.to_owned(), value);
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = &rest[1..];
    }
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { name: name.to_owned(), labels, value })
}

fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                escaped => value.push(escaped),
            },
            char => value.push(char),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_escapes_braces_and_commas_in_labels_is_parsed() {
        let sample = &parse("# TYPE x counter\nx_total{a=\"q\\\"{},\\n\\\\\",b=\"\"} 3\n")[0];
        assert_eq!(
            (sample.name.as_str(), sample.label("a"), sample.label("b"), sample.value),
            ("x_total", "q\"{},\n\\", "", 3.0)
        );
        assert_eq!(parse("up 1\ny{} +Inf").iter().map(|sample| sample.value).collect::<Vec<_>>(), [1.0, f64::INFINITY]);
    }
}
