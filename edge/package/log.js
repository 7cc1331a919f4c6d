// Writes one line of JSON for each exchange.

export function log(write = console.log) {
  return (observation, {end, status, route}) =>
    write(JSON.stringify({time: new Date(end).toISOString(), status, route, ...observation}));
}
