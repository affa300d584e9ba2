(async () => {
  const PAPER_PX = 660;
  const LEGEND_GAP_PX = 14;
  const root = document.documentElement;
  const textOf = (id) => document.getElementById(id).textContent;
  const plots = [...document.querySelectorAll('.plot')];
  const twins = JSON.parse(textOf('twins'));
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const paper = matchMedia('print');
  const config = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ['select2d', 'lasso2d'] };
  let printing = paper.matches;

  const isDark = () => (root.dataset.theme ? root.dataset.theme === 'dark' : dark.matches);

  // A figure anew, in the colours of the scheme: plotly writes into what it is given.
  function figure(name) {
    const inDark = isDark() && !printing;
    const found = JSON.parse(textOf('figure-' + name), (_, value) => (inDark && typeof value === 'string' && twins[value]) || value);
    if (matchMedia('(pointer: coarse)').matches) found.layout.dragmode = false; // a finger scrolls the page
    if (hasOneLegend(found.layout)) found.layout.legend.maxheight = 400;
    if (printing) Object.assign(found.layout, { width: PAPER_PX, autosize: false });
    return found;
  }

  const hasOneLegend = (layout) => layout.legend && !layout.yaxis2;

  async function draw(plot) {
    const name = plot.dataset.figure;
    const { data, layout } = figure(name);
    const options = { ...config, toImageButtonOptions: { filename: name, scale: 2 } };
    plot.dataset.top = layout.margin.t;
    plot.dataset.height = layout.height;
    await Plotly.react(plot, data, layout, options);
    await fit(plot);
  }

  // As much room above the plot as its legend takes at this width.
  async function fit(plot) {
    const legend = plot.querySelector('.legend .bg');
    if (!legend || !hasOneLegend(plot.layout)) return;
    const top = LEGEND_GAP_PX + legend.getBoundingClientRect().height;
    if (Math.abs(top - plot.layout.margin.t) < 2) return;
    const height = plot.dataset.height - plot.dataset.top + top;
    plot.style.minHeight = height + 'px';
    await Plotly.relayout(plot, { 'margin.t': top, height });
  }

  const drawAll = () => Promise.all(plots.map(draw));
  const breathe = () => new Promise((done) => setTimeout(done));

  // ---- light and dark

  const button = document.getElementById('theme');
  function showChoice() {
    button.textContent = isDark() ? 'Light' : 'Dark';
    button.setAttribute('aria-label', isDark() ? 'Show in light colours' : 'Show in dark colours');
  }
  try {
    const kept = localStorage.getItem('pointline-theme');
    if (kept === 'dark' || kept === 'light') root.dataset.theme = kept;
  } catch { /* a browser may keep nothing for files */ }
  showChoice();
  button.hidden = false;

  async function redraw() {
    showChoice();
    if (window.Plotly) await drawAll();
  }
  button.addEventListener('click', () => {
    root.dataset.theme = isDark() ? 'light' : 'dark';
    try { localStorage.setItem('pointline-theme', root.dataset.theme); } catch { /* as above */ }
    redraw();
  });
  dark.addEventListener('change', redraw);

  // ---- sorted tables: numbers from large to small and texts from a to z, the second time the other way; empty cells last

  const textAt = (row, column) => row.cells[column].textContent;

  function sortRows(table, heading, falls) {
    const column = heading.cellIndex;
    const isNumber = heading.classList.contains('number');
    const order = isNumber ? (one, other) => parseFloat(one) - parseFloat(other) : (one, other) => one.localeCompare(other, 'en');
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [textAt(row, column), row]);
    rows.sort(([one], [other]) => (!one || !other ? !one - !other : order(one, other) * (falls ? -1 : 1)));
    body.append(...rows.map(([, row]) => row));
    for (const one of heading.parentElement.cells) one.removeAttribute('aria-sort');
    heading.setAttribute('aria-sort', falls ? 'descending' : 'ascending');
  }

  for (const table of document.querySelectorAll('table.sortable')) {
    for (const heading of table.tHead.rows[0].cells) {
      const press = document.createElement('button');
      press.type = 'button';
      press.append(...heading.childNodes);
      heading.append(press);
      press.addEventListener('click', () => {
        const now = heading.getAttribute('aria-sort');
        sortRows(table, heading, now ? now === 'ascending' : heading.classList.contains('number'));
      });
    }
  }

  // ---- paper

  let opened = [];
  function print(begins) {
    if (begins === printing) return;
    printing = begins;
    if (begins) {
      opened = [...document.querySelectorAll('details:not([open])')];
      opened.forEach((one) => { one.open = true; });
    } else {
      opened.forEach((one) => { one.open = false; });
    }
    redraw();
  }
  addEventListener('beforeprint', () => print(true));
  addEventListener('afterprint', () => print(false));
  paper.addEventListener('change', () => print(paper.matches));

  // ---- width

  let waiting = 0;
  addEventListener('resize', () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => { if (root.dataset.drawn && !printing) plots.forEach(fit); }, 200);
  });

  // ---- figures

  if (!plots.length) {
    root.dataset.drawn = 'true';
    return;
  }
  try {
    if (!window.DecompressionStream) throw new Error('this browser is older than 2023');
    const packed = Uint8Array.from(atob(textOf('library')), (letter) => letter.charCodeAt(0));
    const script = document.createElement('script');
    script.textContent = await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip'))).text();
    document.head.append(script);
    for (const plot of plots) {
      await draw(plot);
      if (plot === plots[0]) performance.mark('first-figure');
      await breathe();
    }
    performance.mark('all-figures');
    root.dataset.drawn = 'true';
  } catch (error) {
    for (const plot of plots) {
      if (!plot.querySelector('svg')) plot.textContent = 'The figure could not be drawn: ' + error.message;
    }
    throw error;
  }
})();
