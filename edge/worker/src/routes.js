// The upstreams by the first segment of the path, with their options. The rest of the path is passed to the provider.

export const routes = {
  openai: {upstream: 'https://api.openai.com'},
  anthropic: {upstream: 'https://api.anthropic.com'},
  gemini: {upstream: 'https://generativelanguage.googleapis.com'},
  // Long agent runs, and a team name in the metrics.
  agents: {
    upstream: 'https://api.openai.com',
    options: {agent: {max_iterations: 40}, labels: {headers: {'x-team': 'team'}}},
  },
};
