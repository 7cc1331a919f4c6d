// Where calls go, by the first part of their path, and what is different about each. The rest of the path is the provider's.

export const routes = {
  openai: {upstream: 'https://api.openai.com'},
  anthropic: {upstream: 'https://api.anthropic.com'},
  gemini: {upstream: 'https://generativelanguage.googleapis.com'},
  // Agents that go on for long, and a team's name in the metrics.
  agents: {
    upstream: 'https://api.openai.com',
    options: {agent: {max_iterations: 40}, labels: {headers: {'x-team': 'team'}}},
  },
};
