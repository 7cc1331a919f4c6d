//! The structure of the source code: the order of its layers, the place of provider knowledge, the length of its files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Maximum number of lines of a source file, including its tests.
const MAX_LINES: usize = 400;

/// Files and directories that know no particular provider. Their tests may name one.
const NAME_NO_PROVIDER: &[&str] = &["edge", "envoy", "exchange", "observation", "sink", "usage_injection"];

/// Words that name a provider, its product or its model. A word of a file is compared as a whole: a run of letters.
const PROVIDER_WORDS: &[&str] = &[
    "alibaba",
    "amazon",
    "amzn",
    "anthropic",
    "aws",
    "azure",
    "bedrock",
    "cerebras",
    "chatgpt",
    "claude",
    "cloudflare",
    "cohere",
    "copilot",
    "dashscope",
    "databricks",
    "deepinfra",
    "deepseek",
    "gcp",
    "gemini",
    "google",
    "gpt",
    "grok",
    "groq",
    "huggingface",
    "jina",
    "litellm",
    "llama",
    "minimax",
    "mistral",
    "moonshot",
    "nvidia",
    "ollama",
    "openai",
    "openrouter",
    "perplexity",
    "qwen",
    "sambanova",
    "tgi",
    "titan",
    "vertex",
    "vllm",
    "voyage",
    "watsonx",
    "xai",
    "zhipuai",
];

/// A source file.
struct Source {
    /// Its path below `src`, with slashes.
    path: String,
    text: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut directories, mut files) = (vec![root.clone()], Vec::<PathBuf>::new());
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    let name = |path: &Path| path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
    files.iter().map(|path| Source { path: name(path), text: fs::read_to_string(path).unwrap() }).collect()
}

/// The layers that the documentation of `src/lib.rs` lists, lowest first.
fn layers(documentation: &str) -> Vec<&str> {
    let item = |line| {
        let (number, rest) = str::strip_prefix(line, "//! ")?.split_once(". `")?;
        number.parse::<usize>().ok()?;
        Some(rest.split_once('`')?.0)
    };
    documentation.lines().filter_map(item).collect()
}

/// The layer of a module path without `crate::`, such as `config::value::text`: the longest of the layers that it begins with.
fn layer_of<'l>(path: &str, layers: &[&'l str]) -> Option<&'l str> {
    let begins =
        |layer: &&&str| path.strip_prefix(**layer).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    layers.iter().filter(begins).max_by_key(|layer| layer.len()).copied()
}

/// The module path of a file below `src`: `a::b` for `a/b.rs` and for `a/b/mod.rs`.
fn module_of(path: &str) -> String {
    let path = path.strip_suffix(".rs").unwrap_or(path);
    path.strip_suffix("/mod").unwrap_or(path).replace('/', "::")
}

/// The paths behind every `crate::` in a file, comments included. A group such as `crate::{a::B, c}` gives one path for each of
/// its members.
fn crate_paths(text: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for (at, prefix) in text.match_indices("crate::") {
        // `$crate::` in a macro is a path of the crate too; `my_crate::` is not.
        if text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &text[at + prefix.len()..];
        if let Some(group) = rest.strip_prefix('{') {
            paths.extend(group_members(group).into_iter().map(path_prefix));
        } else {
            paths.push(path_prefix(rest));
        }
    }
    paths
}

/// The members of a group whose opening brace was just read.
fn group_members(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut members) = (0, 0, Vec::new());
    for (at, character) in text.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => {
                members.push(&text[start..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                members.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    members.into_iter().map(str::trim).filter(|member| !member.is_empty()).collect()
}

/// The identifiers and `::` that `text` begins with.
fn path_prefix(text: &str) -> String {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').unwrap_or(text.len());
    text[..end].trim_end_matches(':').to_owned()
}

/// Whether a chain of `super::` in a file reaches the root of the crate. [`crate_paths`] would not find such an import. A file
/// `a/b.rs` is two modules deep, and its inline module `tests` three.
fn climbs_to_the_root(module: &str, text: &str) -> bool {
    let depth = module.split("::").count();
    let mut in_tests = false;
    text.lines().any(|line| {
        in_tests |= line.starts_with("mod tests {");
        let chain = |path: &str| path.matches("super::").count();
        let longest = line.split(|c: char| c != ':' && c != '_' && !c.is_alphanumeric()).map(chain).max();
        longest >= Some(depth + usize::from(in_tests))
    })
}

/// The imports of the crate: for each layer the layers that it imports from, with one file for each.
type Imports<'l> = BTreeMap<&'l str, BTreeMap<&'l str, String>>;

fn imports<'l>(sources: &[Source], layers: &[&'l str]) -> Imports<'l> {
    let mut imports = Imports::new();
    for source in sources.iter().filter(|source| source.path != "lib.rs") {
        let module = module_of(&source.path);
        let from = layer_of(&module, layers).unwrap_or_else(|| panic!("src/lib.rs lists no layer for {}", source.path));
        assert!(!climbs_to_the_root(&module, &source.text), "{}: write `crate::`, not `super::`", source.path);
        for path in crate_paths(&source.text) {
            let to =
                layer_of(&path, layers).unwrap_or_else(|| panic!("{}: `crate::{path}` is in no layer", source.path));
            if to != from {
                imports.entry(from).or_default().entry(to).or_insert_with(|| source.path.clone());
            }
        }
    }
    imports
}

/// The layers of a cycle of imports; None if there is no cycle.
fn cycle<'l>(imports: &Imports<'l>) -> Option<Vec<&'l str>> {
    fn search<'l>(imports: &Imports<'l>, path: &mut Vec<&'l str>, done: &mut BTreeSet<&'l str>) -> bool {
        let Some(&at) = path.last() else { return false };
        for &next in imports.get(at).into_iter().flat_map(BTreeMap::keys) {
            if let Some(start) = path.iter().position(|layer| *layer == next) {
                path.drain(..start);
                return true;
            }
            if !done.contains(next) {
                path.push(next);
                if search(imports, path, done) {
                    return true;
                }
                path.pop();
            }
        }
        done.insert(at);
        false
    }
    let mut done = BTreeSet::new();
    imports.keys().find_map(|start| {
        let mut path = vec![*start];
        search(imports, &mut path, &mut done).then_some(path)
    })
}

/// The imports that do not go to a lower layer.
fn upward(imports: &Imports<'_>, layers: &[&str]) -> Vec<String> {
    let place = |layer: &str| layers.iter().position(|known| *known == layer);
    let mut wrong = Vec::new();
    for (from, targets) in imports {
        let up = targets.iter().filter(|(to, _)| place(to) >= place(from));
        wrong.extend(up.map(|(to, file)| format!("`{from}` imports from `{to}`, which is above it, in src/{file}")));
    }
    wrong
}

#[test]
fn every_import_points_to_a_lower_layer_and_none_is_in_a_cycle() {
    let sources = sources();
    let library = sources.iter().find(|source| source.path == "lib.rs").unwrap();
    let layers = layers(&library.text);
    let lines: Vec<_> = library.text.lines().collect();
    // A module with a `path` is a part of another module, which is compiled once more for its tests.
    let own = lines.windows(2).filter(|pair| !pair[0].starts_with("#[path")).map(|pair| pair[1]);
    let modules = own.filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'));
    let listed: BTreeSet<_> = layers.iter().copied().filter(|layer| !layer.contains("::")).collect();
    assert_eq!(modules.collect::<BTreeSet<_>>(), listed, "the modules of src/lib.rs (left) are not its layers (right)");
    let imports = imports(&sources, &layers);
    assert!(
        imports.values().map(BTreeMap::len).sum::<usize>() > layers.len(),
        "the imports are not found: {imports:?}"
    );
    let upward = upward(&imports, &layers);
    assert!(upward.is_empty(), "{}", upward.join("\n"));
    assert_eq!(cycle(&imports), None);
}

#[test]
fn imports_that_point_up_and_cycles_are_found() {
    let layers = layers("//! 1. `low`: a\n//! 2. `high::value`: b\n//! 3. `middle`: c\n//! 10. `high`: d\n");
    assert_eq!(layers, ["low", "high::value", "middle", "high"]);
    let file = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
    let found = |sources: &[Source]| {
        let imports = imports(sources, &layers);
        (upward(&imports, &layers), cycle(&imports))
    };
    let fine = [
        file("middle/mod.rs", "use crate::high::value::X;\nuse crate::{\n    low::{A, B},\n    middle::C,\n};"),
        file("high/mod.rs", "fn f() { crate::middle::g() }"),
    ];
    assert_eq!(found(&fine), (vec![], None));
    let wrong =
        [file("middle/tests.rs", "use crate::{low::A, high};"), file("high/mod.rs", "fn f() { crate::middle::g() }")];
    let (upward, cycle) = found(&wrong);
    assert_eq!(upward, ["`middle` imports from `high`, which is above it, in src/middle/tests.rs"]);
    assert_eq!(cycle, Some(vec!["high", "middle"]));
    for (module, text, climbs) in [
        ("a::b", "use super::super::c;", true),
        ("a::b", "use super::c;", false),
        ("a", "use super::b;", true),
        ("a", "pub(super) fn f() {}", false),
        ("a", "#[cfg(test)]\nmod tests {\n    use super::*;", false),
        ("a", "mod tests {\n    use super::super::b;", true),
    ] {
        assert_eq!(climbs_to_the_root(module, text), climbs, "{module}: {text}");
    }
}

/// The provider words of a text, with their lines. Its tests, which end a file, are left out.
fn provider_words(text: &str) -> Vec<(usize, &'static str)> {
    let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut found = Vec::new();
    for (number, line) in (1..).zip(code.lines()) {
        let line = line.to_lowercase();
        for word in line.split(|c: char| !c.is_ascii_lowercase()) {
            found.extend(PROVIDER_WORDS.iter().filter(|known| **known == word).map(|known| (number, *known)));
        }
    }
    found
}

#[test]
fn only_the_provider_layer_names_providers() {
    let is_neutral = |path: &str| {
        let top = path.split('/').next().unwrap_or_default();
        NAME_NO_PROVIDER.iter().any(|name| top == *name || top.strip_suffix(".rs") == Some(name))
    };
    let mut wrong = Vec::new();
    let mut neutral = 0;
    for source in sources().iter().filter(|source| is_neutral(&source.path) && !source.path.ends_with("/tests.rs")) {
        neutral += 1;
        let words = provider_words(&source.text).into_iter();
        wrong.extend(words.map(|(line, word)| format!("src/{}:{line} names `{word}`", source.path)));
    }
    assert!(neutral > NAME_NO_PROVIDER.len(), "the files are not found");
    assert!(wrong.is_empty(), "provider knowledge belongs into src/provider:\n{}", wrong.join("\n"));
}

#[test]
fn provider_words_are_found_in_code_strings_and_comments_but_not_in_tests() {
    let text = "// OpenAI's\nlet x = \"x-amzn-errortype\";\n// draws, coherent\nazure_ai(\"gpt4\")\n\n#[cfg(test)]\nmod tests {\n// Gemini";
    assert_eq!(provider_words(text), [(1, "openai"), (2, "amzn"), (4, "azure"), (4, "gpt")]);
}

#[test]
fn no_source_file_is_too_long() {
    let mut lines: Vec<_> = sources().into_iter().map(|source| (source.text.lines().count(), source.path)).collect();
    lines.sort();
    println!("median length of a source file: {} lines", lines[lines.len() / 2].0);
    let long: Vec<_> =
        lines.iter().filter(|(count, _)| *count > MAX_LINES).map(|(n, path)| format!("src/{path}: {n}")).collect();
    assert!(long.is_empty(), "more than {MAX_LINES} lines:\n{}", long.join("\n"));
}

/// Files that replace another one in builds without a feature, and so define the same types.
const REPLACEMENTS: [&str; 2] = ["framing/encoding_disabled.rs", "text/no_redaction.rs"];

#[test]
fn no_two_types_have_the_same_name() {
    let mut types = BTreeMap::new();
    let mut repeated = Vec::new();
    for source in sources().iter().filter(|source| !REPLACEMENTS.contains(&source.path.as_str())) {
        for line in source.text.lines() {
            let mut words = line.split_whitespace().skip_while(|word| word.starts_with("pub"));
            let (Some("struct" | "enum" | "trait" | "type"), Some(name)) = (words.next(), words.next()) else {
                continue;
            };
            let name: String = name.chars().take_while(|c| c.is_alphanumeric()).collect();
            // Associated types of an implementation are indented.
            if line.starts_with(' ') && line.trim_start().starts_with("type") {
                continue;
            }
            if let Some(other) = types.insert(name.clone(), source.path.clone()) {
                repeated.push(format!("{name}: src/{other} and src/{}", source.path));
            }
        }
    }
    assert!(types.len() > 100, "the types are not found");
    assert!(repeated.is_empty(), "{}", repeated.join("\n"));
}

#[test]
fn only_the_shells_allow_unsafe_code() {
    // Cargo.toml denies it everywhere else.
    let allowed: Vec<_> = sources().into_iter().filter(|source| source.text.contains("allow(unsafe_code")).collect();
    assert_eq!(allowed.iter().map(|source| &*source.path).collect::<Vec<_>>(), ["edge.rs", "envoy/host.rs"]);
}
