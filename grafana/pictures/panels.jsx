// The kinds of panel. Stat, table, time series and text are Grafana's own; the others are drawn after Grafana's.
import {
  applyNullInsertThreshold,
  createDataFrame,
  FieldType,
  formattedValueToString,
  getDisplayValueAlignmentFactors,
  getFieldDisplayName,
  getFieldDisplayValues,
  getValueFormat,
  outerJoinDataFrames,
  renderMarkdown,
  VizOrientation,
} from '@grafana/data';
import { BigValue, TimeSeries, VizRepeater } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';
import { useEffect, useMemo, useState } from 'react';
import { ask } from './prometheus.js';

const numbers = (frame) => frame.fields.filter((field) => field.type === FieldType.number);

export function Nothing({ theme, children }) {
  const style = { color: theme.colors.text.secondary, display: 'grid', height: '100%', placeItems: 'center', textAlign: 'center' };
  return <div style={style}>{children}</div>;
}

function Stat({ panel, frames, width, height, theme }) {
  const { reduceOptions, ...options } = panel.options;
  const source = frames.length ? frames : [createDataFrame({ fields: [] })];
  const found = () =>
    getFieldDisplayValues({
      data: source,
      fieldConfig: panel.fieldConfig,
      reduceOptions,
      replaceVariables: (text) => text,
      sparkline: options.graphMode !== 'none',
      theme,
      timeZone: 'utc',
    });
  const big = ({ value, width: w, height: h, alignmentFactors, orientation, count }) => (
    <BigValue
      {...options}
      value={options.textMode === 'value' ? { ...value.display, title: undefined } : value.display}
      sparkline={value.sparkline}
      alignmentFactors={alignmentFactors}
      parentOrientation={orientation}
      count={count}
      width={w}
      height={h}
      theme={theme}
    />
  );
  return (
    <VizRepeater
      autoGrid
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      getValues={found}
      height={height}
      itemSpacing={3}
      orientation={VizOrientation.Auto}
      renderCounter={0}
      renderValue={big}
      source={source}
      width={width}
    />
  );
}

// The published component forgets the names of series when it joins them; Grafana's own keeps them.
function joined(frames, dimensions, range) {
  const ends = { refFieldName: 'Time', refFieldPseudoMin: range?.from.valueOf(), refFieldPseudoMax: range?.to.valueOf() };
  return outerJoinDataFrames({
    frames: frames.map((frame) => applyNullInsertThreshold({ frame, ...ends })),
    joinBy: dimensions.x,
    keep: dimensions.y,
    keepDisplayNames: true,
    keepOriginIndices: true,
    nullMode: (field) => (field.config.custom?.drawStyle === 'bars' ? 1 : 2),
  });
}

function Series({ panel, frames, width, height, range, theme }) {
  const finite = (field) => ({ ...field, values: field.values.map((value) => (Number.isFinite(value) ? value : null)) });
  const shown = useMemo(
    () => frames.map((one) => ({ ...one, fields: one.fields.map((field) => (field.type === FieldType.number ? finite(field) : field)) })),
    [frames],
  );
  return (
    <TimeSeries
      frames={shown}
      height={height}
      legend={panel.options.legend}
      options={panel.options}
      preparePlotFrame={joined}
      structureRev={1}
      theme={theme}
      timeRange={range}
      timeZone="utc"
      width={width}
    />
  );
}

function Table({ panel, frames, width, height, range }) {
  return (
    <TableNG
      cellHeight={panel.options.cellHeight}
      data={frames[0]}
      enableVirtualization={false}
      fieldConfig={panel.fieldConfig}
      height={height}
      initialSortBy={panel.options.sortBy}
      noHeader={!panel.options.showHeader}
      structureRev={1}
      timeRange={range}
      width={width}
    />
  );
}

const VIRIDIS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

function scheme(share) {
  const place = Math.min(0.9999, Math.max(0, share)) * (VIRIDIS.length - 1);
  const [low, high] = [VIRIDIS[Math.floor(place)], VIRIDIS[Math.floor(place) + 1]];
  return `rgb(${low.map((part, i) => Math.round(part + (high[i] - part) * (place % 1)))})`;
}

const clock = (at) => new Date(at).toISOString().slice(11, 16);

function Heatmap({ panel, frames, width, height, range, step, theme }) {
  const [from, to] = [range.from.valueOf(), range.to.valueOf()];
  const [left, bottom] = [56, 20];
  const [across, down] = [width - left - 8, height - bottom];
  const bound = (frame) => Number(frame.fields[1].labels.le.replace('+Inf', 'Infinity'));
  const rows = [...frames].sort((one, other) => bound(one) - bound(other));
  const format = getValueFormat(panel.options.yAxis?.unit ?? 'short');
  const cells = rows.flatMap((frame, row) => {
    const below = row ? new Map(rows[row - 1].fields[0].values.map((at, i) => [at, rows[row - 1].fields[1].values[i]])) : new Map();
    return frame.fields[0].values.map((at, i) => ({ at, row, count: frame.fields[1].values[i] - (below.get(at) ?? 0) }));
  });
  const shown = cells.filter((cell) => cell.count > (panel.options.filterValues?.le ?? 0));
  const most = Math.max(...shown.map((cell) => cell.count));
  const [high, wide] = [down / rows.length, Math.max(1, (across * step) / (to - from))];
  const each = Math.ceil(14 / high);
  const paint = { fontSize: 12, fill: theme.colors.text.primary };
  return (
    <svg width={width} height={height} data-drawn-here="">
      {shown.map(({ at, row, count }) => (
        <rect
          key={`${row} ${at}`}
          x={left + (across * (at - step - from)) / (to - from)}
          y={down - (row + 1) * high}
          width={Math.max(1, wide - 1)}
          height={Math.max(1, high - 1)}
          fill={scheme((count / most) ** panel.options.color.exponent)}
        />
      ))}
      {rows.map((frame, row) =>
        row % each ? null : (
          <text key={row} x={left - 6} y={down - (row + 0.5) * high + 4} textAnchor="end" data-tick="" {...paint}>
            {Number.isFinite(bound(frame)) ? formattedValueToString(format(bound(frame), panel.fieldConfig.defaults.decimals)) : '+Inf'}
          </text>
        ),
      )}
      <text x={left} y={height - 4} {...paint}>{clock(from)}</text>
      <text x={width - 4} y={height - 4} textAnchor="end" {...paint}>{clock(to)}</text>
    </svg>
  );
}

function Timeline({ frames, width, height, range, step, theme }) {
  const [from, to] = [range.from.valueOf(), range.to.valueOf()];
  const rows = frames.flatMap((frame) => numbers(frame).map((field) => ({ frame, field, name: getFieldDisplayName(field, frame, frames) })));
  const left = Math.min(width / 3, 8 + 6.6 * Math.max(...rows.map((row) => row.name.length)));
  const [across, down] = [width - left - 4, height - 44];
  const high = down / rows.length;
  const legend = new Map();
  const paint = { fontSize: 12, fill: theme.colors.text.primary };
  const spans = rows.map(({ frame, field }, row) =>
    field.values.map((value, i) => {
      if (!Number.isFinite(value)) return null;
      const { text, color } = field.display(value);
      legend.set(text, color);
      const x = left + (across * (frame.fields[0].values[i] - from)) / (to - from);
      return <rect key={`${row} ${i}`} x={x} y={(row + 0.1) * high} width={(across * step) / (to - from) + 0.5} height={0.8 * high} fill={color} />;
    }),
  );
  const each = Math.ceil(12 / high);
  return (
    <div data-drawn-here="">
      <svg width={width} height={height - 24}>
        {spans}
        {rows.map(({ name }, row) =>
          row % each ? null : (
            <text key={row} x={left - 6} y={(row + 0.5) * high + 4} textAnchor="end" {...paint}>{name}</text>
          ),
        )}
        <text x={left} y={height - 28} {...paint}>{clock(from)}</text>
        <text x={width - 4} y={height - 28} textAnchor="end" {...paint}>{clock(to)}</text>
      </svg>
      <div style={{ fontSize: 12 }}>
        {[...legend].map(([text, color]) => (
          <span key={text} style={{ marginRight: 12 }}><b style={{ color }}>■</b> {text}</span>
        ))}
      </div>
    </div>
  );
}

// The rules whose expressions hold at the end of the range, however long they have.
function Alerts({ panel, range, theme }) {
  const [found, show] = useState();
  useEffect(() => {
    (async () => {
      const { groups } = await ask('rules', { type: 'alert' });
      const rules = groups.flatMap((group) => group.rules).filter((rule) => rule.name.includes(panel.options.alertName));
      const time = range.to.unix();
      const answers = await Promise.all(rules.map((rule) => ask('query', { query: rule.query, time })));
      show(rules.map((rule, i) => ({ ...rule, count: answers[i].result.length })).filter((rule) => rule.count));
    })();
  }, []);
  if (!found) return null;
  if (!found.length) return <div>No alerts matching filters</div>;
  return (
    <div data-drawn-here="" style={{ height: '100%', overflow: 'auto' }}>
      {found.map(({ name, count, labels }) => (
        <div key={name} style={{ background: theme.colors.background.secondary, marginBottom: 4, padding: '4px 8px' }}>
          <b style={{ color: labels.severity === 'critical' ? theme.colors.error.text : theme.colors.warning.text }}>♥ </b>
          {name} <span style={{ color: theme.colors.text.secondary }}>firing · {count} instance{count > 1 ? 's' : ''}</span>
        </div>
      ))}
    </div>
  );
}

const Words = ({ panel }) => (
  <div className="markdown-html" dangerouslySetInnerHTML={{ __html: renderMarkdown(panel.options.content) }} />
);

export const KINDS = {
  alertlist: Alerts,
  heatmap: Heatmap,
  stat: Stat,
  'state-timeline': Timeline,
  table: Table,
  text: Words,
  timeseries: Series,
};
