//! The names of clients, and the words of `user-agent` by which they are recognised.
//!
//! Sources: requests of the packages openai 3.57.0, anthropic 2.14.0, google-genai 2.34.0, langchain-anthropic 1.7.10,
//! langchain-google-genai 4.4.3, pydantic-ai-slim 2.68.0, mistralai 3.7.0 and cohere 7.3.1 of PyPI, and openai 7.59.0,
//! @anthropic-ai/sdk 1.14.0, @google/genai 2.32.0, @openai/agents 0.20.0 and ai 6.0.326 of npm; strings in the packages of Claude
//! Code 2.1.332, Codex 0.171.0 and opencode 1.18.33; the sources of Gemini CLI 0.61.0, Copilot Chat and Roo Code.

/// A client: one row of [`CLIENTS`].
pub(super) struct Client {
    /// Its name in attributes and labels.
    pub name: &'static str,
    /// Words of `user-agent`. The version follows: after a word that ends in a sign, in the same word; else as the next word.
    words: &'static [&'static str],
}

const fn client(name: &'static str, words: &'static [&'static str]) -> Client {
    Client { name, words }
}

/// Every client. If a request shows several, the first row counts: a program is built on a framework, a framework on an SDK.
pub(super) const CLIENTS: &[Client] = &[
    client("claude-code", &["claude-cli/"]),
    client("codex", &["codex_", "codex-"]),
    client("gemini-cli", &["GeminiCLI/", "GeminiCLI-"]),
    client("opencode", &["opencode/"]),
    client("github-copilot", &["GitHubCopilotChat/", "GithubCopilot/", "copilot-chat/"]),
    client("roo-code", &["RooCode/"]),
    client("openai-agents", &["Agents/Python", "Agents/JavaScript"]),
    client("langchain", &["langchain-", "langchain/", "langchainjs-"]),
    client("pydantic-ai", &["pydantic-ai/"]),
    client("google-adk", &["google-adk/"]),
    client("vercel-ai-sdk", &["ai/", "ai-sdk/"]),
    client("litellm", &["litellm/"]),
    client("google-genai", &["google-genai-sdk/"]),
    client("mistral-sdk", &["mistral-client-", "mistral-client/"]),
    client("cohere-sdk", &["cohere/"]),
    client("boto3", &["Boto3/"]),
    // The word is the name of a class, which has this name in it: `AsyncAzureOpenAI/Python`.
    client("openai-python", &["*OpenAI*/Python"]),
    client("openai-js", &["*OpenAI*/JS"]),
    client("openai-go", &["*OpenAI*/Go"]),
    client("openai-java", &["*OpenAI*/Java"]),
    client("openai-ruby", &["*OpenAI*/Ruby"]),
    client("openai-dotnet", &["OpenAI/"]),
    client("anthropic-python", &["*Anthropic*/Python"]),
    client("anthropic-js", &["*Anthropic*/JS"]),
    client("anthropic-go", &["*Anthropic*/Go"]),
    client("anthropic-java", &["*Anthropic*/Java"]),
    client("anthropic-ruby", &["*Anthropic*/Ruby"]),
];

/// Maximum number of words of `user-agent` that are read.
const WORDS: usize = 32;
/// Maximum length of a version, in bytes.
const VERSION: usize = 64;

/// The index in [`CLIENTS`] of a client.
pub(super) fn index(name: &str) -> Option<usize> {
    CLIENTS.iter().position(|client| client.name == name)
}

/// The first client of [`CLIENTS`] that `user-agent` names, as its index and version. The version may be empty.
pub(super) fn named_in(user_agent: &str) -> Option<(usize, &str)> {
    let words = || user_agent.split_ascii_whitespace().take(WORDS);
    let nexts = words().skip(1).chain([""]);
    let mut found: Option<(usize, &str)> = None;
    for (word, next) in words().zip(nexts) {
        let before = found.map_or(CLIENTS.len(), |(index, _)| index);
        let matched = |client: &Client| client.words.iter().find_map(|known| version_after(known, word, next));
        let match_of = |(index, client)| matched(client).map(|version| (index, version));
        found = CLIENTS.iter().enumerate().take(before).find_map(match_of).or(found);
    }
    found
}

/// The version if the word is the `known` one. `next` is the word after it.
fn version_after<'a>(known: &str, word: &'a str, next: &'a str) -> Option<&'a str> {
    if let Some((part, end)) = known.strip_prefix('*').and_then(|known| known.split_once('*')) {
        return word.strip_suffix(end)?.contains(part).then(|| version(next).unwrap_or_default());
    }
    let rest = word.strip_prefix(known)?;
    if known.ends_with(|c: char| c.is_ascii_alphanumeric()) {
        return rest.is_empty().then(|| version(next).unwrap_or_default());
    }
    rest.split('/').find_map(version)
}

/// The text if it is a version: it begins with a digit and has only letters, digits and `.`, `-`, `_`, `+`.
fn version(text: &str) -> Option<&str> {
    let text = text.trim_end_matches([',', ';', ')']);
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b".-_+".contains(&byte);
    let is_version = text.starts_with(|c: char| c.is_ascii_digit()) && text.bytes().all(is_fit);
    Some(text).filter(|text| is_version && text.len() <= VERSION)
}
