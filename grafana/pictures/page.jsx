// One dashboard, drawn from its JSON: ?board=UID&from=MS&to=MS&theme=dark&var-provider=NAME
import {
  applyFieldOverrides,
  cacheFieldDisplayNames,
  createTheme,
  dateTimeForTimeZone,
  FieldType,
  getFieldDisplayName,
  getFieldSeriesColor,
  renderMarkdown,
  ThemeContext,
  transformDataFrame,
} from '@grafana/data';
import { initPluginTranslations } from '@grafana/i18n';
import { GlobalStyles, PanelChrome, PortalContainer } from '@grafana/ui';
import { Component, useEffect, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { configured, setUp } from './fields.js';
import { looks } from './looks.js';
import { KINDS, Nothing } from './panels.jsx';
import { filledIn, framesOf, valuesOf } from './prometheus.js';

const ROW = 38; // pixels of a row of the grid, with the gap of 8 below
const asked = new URLSearchParams(location.search);
const theme = createTheme({ colors: { mode: asked.get('theme') ?? 'dark' } });

// For those who look at the page: what went wrong, what is drawn, and whether all is.
const drawing = { problems: [], panels: {}, left: null, looks };
window.drawing = drawing;
const problem = (title, error) => drawing.problems.push(`${title}: ${error?.stack ?? error}`);

const transformed = (steps, frames) =>
  new Promise((resolve, reject) => {
    transformDataFrame(steps, frames, { interpolate: (text) => text }).subscribe({ next: resolve, error: reject });
  });

async function load(panel, choices, range, width) {
  const { frames, step } = await framesOf(panel, choices, range, width);
  const { fieldConfig, registry } = configured(panel);
  const data = applyFieldOverrides({
    data: panel.transformations?.length ? await transformed(panel.transformations, frames) : frames,
    fieldConfig,
    fieldConfigRegistry: registry,
    replaceVariables: (text) => filledIn(text ?? '', choices),
    theme,
    timeZone: 'utc',
  });
  cacheFieldDisplayNames(data);
  return { step, frames: data.filter((frame) => frame.length) };
}

function described(panel, frames) {
  const series = frames.flatMap((frame) =>
    frame.fields
      .filter((field) => field.type === FieldType.number)
      .map((field) => ({
        name: getFieldDisplayName(field, frame, frames),
        color: getFieldSeriesColor(field, theme).color,
        dashed: field.config.custom?.lineStyle?.fill === 'dash',
        least: Math.min(...field.values.filter(Number.isFinite)),
        most: Math.max(...field.values.filter(Number.isFinite)),
      })),
  );
  return { title: panel.title, type: panel.type, series };
}

function Panel({ panel, width, height, choices, range, onDone }) {
  const [state, show] = useState();
  useEffect(() => {
    load(panel, choices, range, width - 20)
      .then((loaded) => {
        drawing.panels[panel.id] = described(panel, loaded.frames);
        show(loaded);
      })
      .catch((error) => problem(panel.title, error))
      .finally(onDone);
  }, []);
  const Kind = KINDS[panel.type];
  const mayBeEmpty = ['alertlist', 'stat', 'text'].includes(panel.type);
  return (
    <PanelChrome title={panel.title} description={panel.description && renderMarkdown(panel.description)} width={width} height={height}>
      {(w, h) => {
        if (!state) return null;
        if (!state.frames.length && !mayBeEmpty) return <Nothing theme={theme}>{panel.fieldConfig.defaults.noValue}</Nothing>;
        return <Kind {...state} {...{ panel, range, theme, width: w, height: h }} />;
      }}
    </PanelChrome>
  );
}

class Guard extends Component {
  state = {};

  static getDerivedStateFromError(error) {
    return { error };
  }

  componentDidCatch(error) {
    problem(this.props.title, error);
  }

  render() {
    return this.state.error ? String(this.state.error) : this.props.children;
  }
}

async function opened() {
  const board = await (await fetch(`/dashboards/${asked.get('board')}.json`)).json();
  const [from, to] = ['from', 'to'].map((end) => dateTimeForTimeZone('utc', Number(asked.get(end))));
  const range = { from, to, raw: { from, to } };
  const choices = {};
  for (const variable of board.templating.list.filter((one) => one.type === 'query')) {
    const wanted = asked.getAll(`var-${variable.name}`);
    const offered = await valuesOf(variable.query, choices, range);
    choices[variable.name] = wanted.length && wanted.every((value) => offered.includes(value)) ? wanted : null;
  }
  return { board, choices, range };
}

function Bar({ board, choices }) {
  const { text, border } = theme.colors;
  const box = { border: `1px solid ${border.medium}`, borderRadius: 2, fontSize: 12, padding: '4px 8px' };
  const shown = board.templating.list.filter((variable) => variable.hide !== 2);
  return (
    <div style={{ alignItems: 'center', display: 'flex', flexWrap: 'wrap', gap: 8, marginBottom: 8 }}>
      <b style={{ fontSize: 16, marginRight: 8 }}>{board.title}</b>
      {shown.map(({ name, label }) => (
        <span key={name} style={box}><b>{label}</b> {choices[name]?.join(' + ') ?? (name === 'datasource' ? 'Prometheus' : 'All')}</span>
      ))}
      <span style={{ color: text.link, display: 'flex', fontSize: 12, gap: 12, marginLeft: 'auto' }}>
        {board.links.map((link) => <span key={link.title}>{link.title}</span>)}
      </span>
    </div>
  );
}

function Board({ board, choices, range }) {
  const cell = (innerWidth - 32 + 8) / 24;
  const onDone = () => {
    drawing.left -= 1;
  };
  const bottom = Math.max(...board.panels.map(({ gridPos }) => gridPos.y + gridPos.h));
  return (
    <div style={{ background: theme.colors.background.canvas, color: theme.colors.text.primary, minHeight: '100vh', padding: 16 }}>
      <Bar board={board} choices={choices} />
      <div style={{ height: bottom * ROW, position: 'relative' }}>
        {board.panels.map((panel) => {
          const { x, y, w, h } = panel.gridPos;
          const [width, height] = [Math.round(w * cell - 8), h * ROW - 8];
          return (
            <div key={panel.id} data-panel={panel.id} style={{ position: 'absolute', left: x * cell, top: y * ROW, width, height }}>
              {panel.type === 'row' ? (
                <div style={{ fontSize: 16, fontWeight: 500 }}>▾ {panel.title}</div>
              ) : (
                <Guard title={panel.title}>
                  <Panel {...{ panel, width, height, choices, range, onDone }} />
                </Guard>
              )}
            </div>
          );
        })}
      </div>
    </div>
  );
}

// Axes are painted, so what is written there is kept for those who ask: by canvas, with its place and how it is aligned.
const write = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, x, y, ...rest) {
  if (text) {
    this.canvas.written ??= [];
    this.canvas.written.push({ text, x, y, align: this.textAlign });
  }
  return write.call(this, text, x, y, ...rest);
};
const clear = CanvasRenderingContext2D.prototype.clearRect;
CanvasRenderingContext2D.prototype.clearRect = function (...box) {
  this.canvas.written = [];
  return clear.apply(this, box);
};

setUp();
Promise.all([opened(), initPluginTranslations('pictures').catch(() => {})])
  .then(([state]) => {
    drawing.left = state.board.panels.filter((panel) => panel.type !== 'row').length;
    createRoot(document.getElementById('root')).render(
      <ThemeContext.Provider value={theme}>
        <GlobalStyles />
        <Board {...state} />
        <PortalContainer />
      </ThemeContext.Provider>,
    );
  })
  .catch((error) => {
    problem('the dashboard', error);
    drawing.left = 0;
  });
