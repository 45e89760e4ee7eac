// What can be told of a panel that is drawn: its texts, its ticks, what of it is cut, the colour of its number.

const LEGEND = '[data-testid^="data-testid VizLegend series"]';
const CELLS = '[role="columnheader"], [role="gridcell"]';

const isCut = (element) => element.scrollWidth > element.clientWidth + 1;

/** The nearest one around it that would cut it. */
function frameOf(element, panel) {
  for (let outer = element.parentElement; outer && outer !== panel; outer = outer.parentElement) {
    const { overflowX, overflowY } = getComputedStyle(outer);
    if (overflowX !== 'visible' || overflowY !== 'visible') return outer;
  }
  return panel;
}

function isOutside(element, panel) {
  const [box, frame] = [element.getBoundingClientRect(), frameOf(element, panel).getBoundingClientRect()];
  return box.right > frame.right + 1 || box.bottom > frame.bottom + 1;
}

function cutIn(panel) {
  const title = [...panel.querySelectorAll('h2')].filter(isCut).map((one) => `the title ${one.textContent}`);
  const legend = [...panel.querySelectorAll(LEGEND)].filter((one) => isOutside(one, panel)).map((one) => `the legend's ${one.textContent}`);
  const cells = [...panel.querySelectorAll(CELLS)]
    .flatMap((cell) => [cell, ...cell.querySelectorAll('*')])
    .filter((one) => one.textContent && isCut(one))
    .map((one) => `the column's ${one.textContent}`);
  const grid = panel.querySelector('[role="grid"]');
  return [...title, ...legend, ...cells, ...(grid && isCut(grid) ? ['columns'] : [])];
}

function ticksOf(panel) {
  const painted = [...panel.querySelectorAll('canvas')].flatMap((canvas) => canvas.written ?? []);
  const written = [...panel.querySelectorAll('[data-tick]')].map((one) => one.textContent);
  return [...painted.filter((one) => one.align === 'right').map((one) => one.text), ...written];
}

function textsOf(panel) {
  const walker = document.createTreeWalker(panel, NodeFilter.SHOW_TEXT);
  const texts = [];
  while (walker.nextNode()) texts.push(walker.currentNode.data);
  return texts;
}

/** By the id of the panel. */
export function looks() {
  return Object.fromEntries(
    [...document.querySelectorAll('[data-panel]')].map((panel) => [
      panel.dataset.panel,
      {
        cut: cutIn(panel),
        ticks: ticksOf(panel),
        texts: textsOf(panel),
        colours: [...panel.querySelectorAll('span')].filter((one) => one.childElementCount === 0 && one.textContent).map((one) => getComputedStyle(one).color),
      },
    ]),
  );
}
