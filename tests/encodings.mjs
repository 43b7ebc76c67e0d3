// Holds alerts against Microsoft's own parser of Adaptive Cards and Elastic's own table of ECS fields, as installed by tests/install.sh.
// usage: encodings.mjs MESSAGES, run in a folder that holds node_modules
import { createRequire } from 'module';
import fs from 'fs';

const require = createRequire(process.cwd() + '/');
const rows = fs.readFileSync(process.argv[2], 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line));
const wrong = [];
const counts = {};
const count = (name) => { counts[name] = (counts[name] ?? 0) + 1; };

globalThis.window = globalThis;
globalThis.self = globalThis;
const cards = require('adaptivecards/dist/adaptivecards.js');
const faults = (json) => {
  const card = new cards.AdaptiveCard();
  const context = new cards.SerializationContext();
  card.parse(json, context);
  const events = Array.from({ length: context.eventCount }, (_, n) => context.getEventAt(n).message);
  return events.concat(card.validateProperties().validationEvents.map((event) => event.message));
};
let card;
for (const row of rows.filter((row) => row.encoding === 'teams')) {
  card = JSON.parse(row.text).attachments[0].content;
  const found = faults(card);
  if (found.length) wrong.push(`teams, ${row.what}: ${found.join('; ').slice(0, 300)}`);
  count('adaptivecards');
}
card.body.push({ type: 'NoSuchThing' });
if (!faults(card).length) wrong.push('adaptivecards accepts an element that there is not');

const { EcsFlat: flat } = require('@elastic/ecs');
const walk = (object, path, found) => {
  for (const [key, value] of Object.entries(object)) {
    const here = path ? `${path}.${key}` : key;
    const isOpen = flat[here] && ['object', 'flattened'].includes(flat[here].type);
    if (value && typeof value === 'object' && !Array.isArray(value) && !isOpen) walk(value, here, found);
    else found.push([here, value]);
  }
  return found;
};
const check = (document, say) => {
  for (const [path, value] of walk(document, '', [])) {
    const field = flat[path];
    if (!field) { say(`${path} is no field`); continue; }
    if (field.normalize?.includes('array') !== Array.isArray(value)) say(`${path}: array or not`);
    const allowed = (field.allowed_values ?? []).map((one) => one.name);
    for (const one of [value].flat()) {
      if (allowed.length && !allowed.includes(one)) say(`${path} is ${one}`);
      if (field.type === 'ip' && !/^[0-9a-fA-F:.]+$/.test(one)) say(`${path} is no address`);
      if (field.type === 'date' && Number.isNaN(Date.parse(one))) say(`${path} is no time`);
      if (['long', 'float'].includes(field.type) && typeof one !== 'number') say(`${path} is no number`);
    }
  }
  const types = flat['event.category'].allowed_values.find((one) => one.name === document.event.category[0]).expected_event_types;
  if (!types.includes(document.event.type[0])) say('event.type is none of the category');
};
for (const row of rows.filter((row) => row.encoding === 'ecs')) {
  check(JSON.parse(row.text), (text) => wrong.push(`ecs, ${row.what}: ${text}`));
  count('@elastic/ecs');
}
const refused = [];
check({ event: { category: ['intrusion_detection'], type: ['info'], kind: 'nonsense' }, mcp: { x: 1 } }, (text) => refused.push(text));
if (refused.length !== 2) wrong.push(`the table of ECS fields refuses ${refused.length} of 2`);

console.log(JSON.stringify(counts));
console.log(wrong.slice(0, 40).join('\n'));
process.exit(wrong.length || !counts.adaptivecards || !counts['@elastic/ecs'] ? 1 : 0);
