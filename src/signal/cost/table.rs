//! The table the plugin carries: `prices.txt`, which tells its own format, unpacked and indexed once.
//!
//! A look-up is a few hashes and, for a name that is not there as it stands, the patterns of one provider. 0.3 MiB.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::Price;
use super::inflate::inflate;
use super::rates::day;

/// Prices by provider and model.
#[derive(Debug)]
pub struct Bundled {
    /// When the prices were valid, in seconds since 1970.
    pub date: u64,
    providers: Vec<Provider>,
    names: HashMap<(usize, &'static str), &'static str>,
}

#[derive(Debug)]
struct Provider {
    name: &'static str,
    /// Who else knows its models.
    others: &'static str,
    /// Names with `*` or `#`, and their prices.
    patterns: Vec<(&'static str, &'static str)>,
}

/// `gen_ai.provider.name` values that the table calls otherwise; of the rest it has `-` for `_`.
const CALLED: &[(&str, &str)] = &[
    ("aws.bedrock", "aws"),
    ("azure.ai.inference", "azure"),
    ("azure.ai.openai", "azure"),
    ("gcp.gemini", "google"),
    ("gcp.vertex_ai", "google"),
    ("hyperbolic", "huggingface-hyperbolic"),
    ("mistral_ai", "mistral"),
    ("moonshot_ai", "moonshotai"),
    ("sambanova", "huggingface-sambanova"),
    ("together_ai", "together"),
];

/// Providers that a host nobody knows may be taken for, by the API it speaks.
const GUESSED: &[&str] = &["anthropic", "cohere", "gcp.gemini", "mistral_ai", "openai"];

/// Where a model of such a host is looked for: who makes models. Who only hosts them would give a price at random.
const MAKERS: &[&str] = &[
    "openai",
    "anthropic",
    "google",
    "mistral",
    "deepseek",
    "x-ai",
    "cohere",
    "moonshotai",
    "zai",
    "zhipuai",
    "minimax",
    "meta",
    "perplexity",
    "voyageai",
    "arcee",
    "typesafe",
];

/// Prices of a model that has none that can be told.
const UNKNOWN: &str = "?";

impl Bundled {
    /// The table; None if it is damaged.
    pub fn table() -> Option<&'static Self> {
        static TABLE: OnceLock<Option<Bundled>> = OnceLock::new();
        let packed = include_bytes!(concat!(env!("OUT_DIR"), "/prices.deflate"));
        TABLE.get_or_init(|| Bundled::read(String::from_utf8(inflate(packed)?).ok()?.leak())).as_ref()
    }

    fn read(text: &'static str) -> Option<Self> {
        let (head, body) = text.split_once('\n')?;
        let mut table = Bundled { date: day(head.rsplit(' ').next()?)?, providers: Vec::new(), names: HashMap::new() };
        for line in body.lines() {
            if let Some(head) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                let (name, others) = head.split_once(' ').unwrap_or((head, ""));
                table.providers.push(Provider { name, others, patterns: Vec::new() });
                continue;
            }
            let (names, prices) = line.split_once(" = ").or_else(|| Some((line.strip_suffix(" =")?, "")))?;
            for name in names.split(' ') {
                if name.contains(['*', '#']) {
                    table.providers.last_mut()?.patterns.push((name, prices));
                } else {
                    table.names.insert((table.providers.len() - 1, name), prices);
                }
            }
        }
        Some(table)
    }

    /// The price of a model, by the provider's and the model's names on the wire.
    pub fn find(&self, provider: &str, model: &str) -> Option<Price<'static>> {
        let model = model.to_ascii_lowercase();
        let called = CALLED.iter().find(|(name, _)| *name == provider).map(|(_, called)| (*called).to_owned());
        let (name, model) = match model.rsplit_once(':') {
            // Hugging Face's router: who serves it stands behind the model.
            Some((model, host)) if provider == "hugging_face" => (format!("huggingface-{host}"), model),
            _ => (called.unwrap_or_else(|| provider.replace('_', "-")), model.as_str()),
        };
        let mut asked: Vec<_> = self.provider(&name).into_iter().collect();
        let others = asked.first().map(|(_, own)| own.others).unwrap_or_default();
        asked.extend(others.split(' ').filter_map(|name| self.provider(name)));
        let found = bare(model).find_map(|name| self.find_at(&asked, name)).or_else(|| {
            let makers = if GUESSED.contains(&provider) { MAKERS } else { &[] };
            let asked: Vec<_> = makers.iter().filter_map(|name| self.provider(name)).collect();
            bare(model).find_map(|name| self.find_at(&asked, name))
        });
        let (at, rates) = found?;
        let borrowed = asked.iter().skip(1).any(|(index, _)| *index == at);
        (rates != UNKNOWN).then_some(Price { rates, borrowed })
    }

    fn provider(&self, name: &str) -> Option<(usize, &Provider)> {
        self.providers.iter().enumerate().find(|(_, p)| p.name == name)
    }

    /// Who of some providers knows a name, or failing that the name with its date in another form or without it.
    fn find_at(&self, providers: &[(usize, &Provider)], name: &str) -> Option<(usize, &'static str)> {
        let look = |name: &str| providers.iter().find_map(|(at, provider)| Some((*at, self.rates(*at, provider, name)?)));
        look(name).or_else(|| {
            let (start, [year, month, day], rest) = date(name)?;
            look(&format!("{start}-{year}-{month}-{day}{rest}")).or_else(|| look(&format!("{start}{rest}")))
        })
    }

    fn rates(&self, at: usize, provider: &Provider, name: &str) -> Option<&'static str> {
        // Keys of the map may be any text that lives as long as this.
        let names: &HashMap<(usize, &str), &'static str> = &self.names;
        names.get(&(at, name)).copied().or_else(|| {
            let fits = provider.patterns.iter().find(|(pattern, _)| matches(pattern.as_bytes(), name.as_bytes()));
            fits.map(|(_, rates)| *rates)
        })
    }
}

/// A model's name as it is and without what stands before it: `models/`, `openai/`, the path of an ARN.
pub fn bare(model: &str) -> impl Iterator<Item = &str> {
    [Some(model), model.rsplit_once('/').map(|(_, name)| name)].into_iter().flatten()
}

/// A name that ends in a date, perhaps before a colon, as what is before the date, the date and what is behind it.
fn date(name: &str) -> Option<(&str, [&str; 3], &str)> {
    let (head, rest) = name.split_at_checked(name.find(':').unwrap_or(name.len()))?;
    [("20##-##-##", 1), ("20######", 0)].into_iter().find_map(|(shape, dash)| {
        let (start, date) = head.split_at_checked(head.len().checked_sub(shape.len())?)?;
        let start = start.strip_suffix(['-', '@']).filter(|_| matches(shape.as_bytes(), date.as_bytes()))?;
        Some((start, [date.get(..4)?, date.get(4 + dash..6 + dash)?, date.get(date.len() - 2..)?], rest))
    })
}

/// Whether a name fits a pattern of bytes, `*` for anything and `#` for a digit.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', [])), _) => true,
        (Some((b'*', rest)), _) => (0..=name.len()).any(|at| name.get(at..).is_some_and(|name| matches(rest, name))),
        (Some((b'#', rest)), Some((byte, name))) => byte.is_ascii_digit() && matches(rest, name),
        (Some((wanted, rest)), Some((byte, name))) => wanted == byte && matches(rest, name),
        _ => false,
    }
}
