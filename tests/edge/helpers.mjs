// The test exporters: lines of JSON, and OTLP if a collector is given.
import {metrics, spans} from './gaugeway/otlp.js';

export function helpers({collector}, {lines}) {
  if (!collector) return [lines];
  const options = {...collector, resource: {'service.name': 'edge'}};
  return [lines, spans(options), metrics(options)];
}
