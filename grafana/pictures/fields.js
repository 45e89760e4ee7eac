// What Grafana itself sets up before its panels can be used: the options of fields, transformations, formats of times.
import {
  booleanOverrideProcessor,
  dataLinksOverrideProcessor,
  displayNameOverrideProcessor,
  FieldConfigOptionsRegistry,
  identityOverrideProcessor,
  locationUtil,
  numberOverrideProcessor,
  setTimeZoneResolver,
  standardFieldConfigEditorRegistry,
  standardTransformers,
  standardTransformersRegistry,
  thresholdsOverrideProcessor,
  unitOverrideProcessor,
  valueMappingsOverrideProcessor,
} from '@grafana/data';
import { setTemplateSrv } from '@grafana/runtime';

const option = (path, process, more = {}) => ({
  id: path,
  path,
  name: path,
  getName: () => path,
  process,
  shouldApply: () => true,
  editor: null,
  override: null,
  ...more,
});

const STANDARD = Object.entries({
  displayName: displayNameOverrideProcessor,
  unit: unitOverrideProcessor,
  min: numberOverrideProcessor,
  max: numberOverrideProcessor,
  decimals: numberOverrideProcessor,
  thresholds: thresholdsOverrideProcessor,
  mappings: valueMappingsOverrideProcessor,
  links: dataLinksOverrideProcessor,
  filterable: booleanOverrideProcessor,
  noValue: identityOverrideProcessor,
  color: identityOverrideProcessor,
  description: identityOverrideProcessor,
}).map(([path, process]) => option(path, process));

export function setUp() {
  setTimeZoneResolver(() => 'utc');
  locationUtil.initialize({
    config: { appSubUrl: '', apps: {} },
    getVariablesUrlParams: () => ({}),
    getTimeRangeForUrl: () => ({ from: 'now-6h', to: 'now' }),
  });
  setTemplateSrv({ getVariables: () => [], replace: (text) => text, containsTemplate: () => false, updateTimeRange() {} });
  standardFieldConfigEditorRegistry.setInit(() => STANDARD);
  const transformers = new Map(Object.values(standardTransformers).map((one) => [one.id, one]));
  standardTransformersRegistry.setInit(() =>
    [...transformers.values()].map((one) => ({
      id: one.id,
      name: one.id,
      description: '',
      aliasIds: [],
      editor: null,
      transformation: async () => one,
    })),
  );
}

// What the panel of time series assumes where the JSON says nothing.
const ASSUMED = {
  timeseries: {
    axisBorderShow: false,
    axisColorMode: 'text',
    axisPlacement: 'auto',
    barAlignment: 0,
    barWidthFactor: 0.6,
    drawStyle: 'line',
    fillOpacity: 0,
    gradientMode: 'none',
    hideFrom: { legend: false, tooltip: false, viz: false },
    lineInterpolation: 'linear',
    lineWidth: 1,
    pointSize: 5,
    scaleDistribution: { type: 'linear' },
    showPoints: 'auto',
    spanNulls: false,
    stacking: { mode: 'none', group: 'A' },
    thresholdsStyle: { mode: 'off' },
  },
};

/** The configuration of a panel's fields, and the registry of the options in it. */
export function configured(panel) {
  const given = panel.fieldConfig ?? {};
  const custom = { ...ASSUMED[panel.type], ...given.defaults?.custom };
  const overrides = structuredClone(given.overrides ?? []);
  for (const { properties } of overrides) {
    // The panel of tables moves this one when it loads a dashboard.
    for (const { id, value } of [...properties]) {
      if (id === 'custom.hidden') properties.push({ id: 'custom.hideFrom', value: { viz: value, legend: false, tooltip: false } });
    }
  }
  const names = new Set(Object.keys(custom));
  for (const { id } of overrides.flatMap((one) => one.properties)) {
    if (id.startsWith('custom.')) names.add(id.slice(7).split('.')[0]);
  }
  const registry = new FieldConfigOptionsRegistry();
  STANDARD.forEach((one) => registry.register(one));
  for (const name of names) registry.register(option(name, identityOverrideProcessor, { id: `custom.${name}`, isCustom: true }));
  return { fieldConfig: { defaults: { ...given.defaults, custom }, overrides }, registry };
}
