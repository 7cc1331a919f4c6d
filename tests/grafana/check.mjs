// Validates a dashboard against Grafana's own types: node check.mjs <folder with node_modules> <dashboard.json>. The
// TypeScript types are converted to JSON schemas that forbid unknown keys. This takes ten seconds, so the schemas are
// cached in the folder.
import fs from 'node:fs';
import path from 'node:path';
import {createRequire} from 'node:module';

const [folder, file] = process.argv.slice(2).map(name => path.resolve(name));
const require = createRequire(path.join(folder, 'package.json'));
const Ajv = require('ajv').default;

const raw = path.join(folder, 'node_modules/@grafana/schema/dist/types/raw');
const dashboard = JSON.parse(fs.readFileSync(file, 'utf8'));
const problems = [];

check('Dashboard', dashboard, 'dashboard', path.join(raw, 'dashboard/x/types.gen.d.ts'), 'Dashboard');
for (const panel of dashboard.panels.filter(panel => panel.type !== 'row')) {
  const types = path.join(raw, 'composable', panel.type, 'panelcfg/x/types.gen.d.ts');
  const where = `panel ${JSON.stringify(panel.title)}`;
  if (!fs.existsSync(types)) {
    problems.push(`${where}: Grafana has no panel type ${JSON.stringify(panel.type)}`);
    continue;
  }
  check(`${panel.type}.Options`, panel.options, `${where} options`, types, 'Options');
  const custom = panel.fieldConfig?.defaults?.custom;
  if (custom) check(`${panel.type}.FieldConfig`, custom, `${where} fieldConfig.defaults.custom`, types, 'FieldConfig');
}

for (const problem of problems) console.error(problem);
process.exit(problems.length ? 1 : 0);

function check(name, value, where, types, type) {
  const valid = validator(name, types, type);
  if (valid(value)) return;
  // The error that no branch matched is redundant, because the errors of the branches follow.
  const reasons = valid.errors.filter(error => !['anyOf', 'oneOf'].includes(error.keyword));
  for (const {instancePath, message, params} of reasons) problems.push(`${where}${instancePath} ${message} ${JSON.stringify(params)}`);
}

function validator(name, types, type) {
  validator.made ??= new Map();
  if (!validator.made.has(name)) {
    const schema = schemaOf(name, types, type);
    // Grafana fills in missing members. The types describe a complete panel, not what a file must contain.
    delete schema.definitions[type].required;
    validator.made.set(name, new Ajv({allErrors: true, strict: false}).compile(schema));
  }
  return validator.made.get(name);
}

function schemaOf(name, types, type) {
  const kept = path.join(folder, 'schema', `${name}.json`);
  if (!fs.existsSync(kept)) {
    const {createGenerator} = require('ts-json-schema-generator');
    const made = createGenerator({path: types, type, skipTypeCheck: true, additionalProperties: false}).createSchema(type);
    fs.mkdirSync(path.dirname(kept), {recursive: true});
    fs.writeFileSync(`${kept}.${process.pid}`, JSON.stringify(made));
    fs.renameSync(`${kept}.${process.pid}`, kept);
  }
  return JSON.parse(fs.readFileSync(kept, 'utf8'));
}
