// Where observations go in the tests: lines, and OTLP where a collector is named.
import {metrics, spans} from './gaugeway/otlp.js';

export function helpers({collector}, {lines}) {
  if (!collector) return [lines];
  const options = {...collector, resource: {'service.name': 'edge'}};
  return [lines, spans(options), metrics(options)];
}
