// Asks Prometheus what Grafana's data source of that name would, and makes data frames of the answers.
import { createDataFrame, FieldType, rangeUtil } from '@grafana/data';

const SCRAPE = 15_000; // ms; timeInterval of the provisioned data source

/** What the API of Prometheus answers, which the page has under its own address. */
export async function ask(path, given) {
  const answer = await fetch(`/api/v1/${path}?${new URLSearchParams(given)}`);
  const told = await answer.json();
  if (told.status !== 'success') throw new Error(`${told.errorType}: ${told.error}`);
  return told.data;
}

/** What a variable offers, by its query. */
export async function valuesOf(definition, choices, range) {
  const [, selector, label] = /^label_values\((.+), (\w+)\)$/.exec(definition);
  const given = { 'match[]': filledIn(selector, choices), start: range.from.unix(), end: range.to.unix() };
  return ask(`label/${label}/values`, given);
}

/** The frames of a panel's queries that is so many pixels wide, and the distance of their points in ms. */
export async function framesOf(panel, choices, range, width) {
  const times = timesOf(range, width, panel.interval);
  const answers = await Promise.all(
    (panel.targets ?? []).map(async (target) => {
      const query = filledIn(target.expr, choices, times.texts);
      const step = times.step / 1000;
      const aligned = (moment) => Math.floor(moment.unix() / step) * step;
      const data = target.range
        ? await ask('query_range', { query, start: aligned(range.from), end: aligned(range.to), step })
        : await ask('query', { query, time: range.to.unix() });
      return { target, rows: data.resultType === 'scalar' ? [{ metric: {}, value: data.result }] : data.result };
    }),
  );
  const several = answers.filter(({ rows }) => rows.length).length > 1;
  const frames = answers.flatMap(({ target, rows }) => {
    if (target.format === 'table') return rows.length ? [tableOf(target, rows, several)] : [];
    return rows.map((row) => seriesOf(target, row, times.step));
  });
  return { frames, step: times.step };
}

function timesOf(range, width, least) {
  const lowest = least ? rangeUtil.intervalToMs(least) : SCRAPE;
  const wanted = rangeUtil.calculateInterval(range, Math.max(1, width), `${lowest / 1000}s`).intervalMs;
  const step = Math.max(wanted, lowest);
  const whole = Math.round((range.to - range.from) / 1000);
  const rate = Math.max(step + SCRAPE, 4 * SCRAPE) / 1000;
  return { step, texts: { __rate_interval: `${rate}s`, __interval: `${step / 1000}s`, __range: `${whole}s` } };
}

const escaped = (value) => value.replace(/[\\^$*+?.()|[\]{}]/g, '\\\\$&');

/** An expression with its variables. What is chosen is a list of values, or null for all. */
export function filledIn(expr, choices, texts = {}) {
  return expr.replace(/\$(?:\{(\w+)[^}]*\}|(\w+))/g, (whole, braced, bare) => {
    const name = braced ?? bare;
    if (name in texts) return texts[name];
    if (!(name in choices)) return whole;
    const chosen = choices[name];
    if (chosen === null) return '.+';
    return chosen.length === 1 ? escaped(chosen[0]) : `(${chosen.map(escaped).join('|')})`;
  });
}

const numberOf = (text) => ({ '+Inf': Infinity, '-Inf': -Infinity })[text] ?? Number(text);

function seriesOf(target, row, step) {
  const points = row.values ?? [row.value];
  const labels = { ...row.metric };
  delete labels.__name__;
  const named = (target.legendFormat || JSON.stringify(labels)).replace(/\{\{\s*(\w+)\s*\}\}/g, (_, name) => labels[name] ?? '');
  return createDataFrame({
    refId: target.refId,
    meta: { heat: target.format === 'heatmap' },
    fields: [
      { name: 'Time', type: FieldType.time, values: points.map(([at]) => at * 1000), config: { interval: step } },
      {
        name: 'Value',
        type: FieldType.number,
        labels,
        values: points.map(([, text]) => numberOf(text)),
        config: { displayNameFromDS: named },
      },
    ],
  });
}

function tableOf(target, rows, several) {
  const labels = [...new Set(rows.flatMap((row) => Object.keys(row.metric)))].filter((name) => name !== '__name__').sort();
  return createDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: rows.map((row) => row.value[0] * 1000), config: {} },
      ...labels.map((name) => ({
        name,
        type: FieldType.string,
        values: rows.map((row) => row.metric[name] ?? ''),
        config: { filterable: true },
      })),
      {
        name: several ? `Value #${target.refId}` : 'Value',
        type: FieldType.number,
        values: rows.map((row) => numberOf(row.value[1])),
        config: {},
      },
    ],
  });
}
