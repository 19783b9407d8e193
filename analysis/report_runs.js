// What moves among the runs of the report: their chart, their table; after report.js.

const place = (name) => runs.columns.indexOf(name);
const values = (name) => runs.rows.map((row) => row[place(name)]);
const isNumber = (name) => !["run", "size"].includes(name);
const isSymbol = (name) => name !== "epochs" && isNumber(name);
const shown = (name) => runs.shown[name] ?? name;

function cell(name, value) {
  if (isNone(value)) return "";
  if (!isNumber(name)) return value;
  const write = { C: flopsText, L_u: lossText, epochs: short }[name];
  return write ? write(value) : value.toLocaleString("en");
}
/** What colours runs: [column, name, column that orders it]. */
function colourings() {
  const weight = ["N_nv", "N"].find((name) => place(name) >= 0);
  const known = [["V", "codebook", "V"], ["size", "size", weight]];
  return known.filter(([name, , by]) =>
    place(name) >= 0 && by && new Set(values(name)).size > 1);
}
/** Colour of a share, 0 to 1, of a palette. */
function mix(stops, share) {
  const at = share * (stops.length - 1);
  const k = Math.min(Math.floor(at), stops.length - 2);
  const parts = (hex) => [1, 3, 5].map((c) => parseInt(hex.slice(c, c + 2), 16));
  const [a, b] = [parts(stops[k]), parts(stops[k + 1])];
  return `rgb(${a.map((v, c) => Math.round(v + (b[c] - v) * (at - k))).join(" ")})`;
}
/** Colour of each row, and [label, colour] of what there is, least first. */
function colours(coloured) {
  if (!coloured) return { of: () => "#1b3a6b", key: [] };
  const [name, , by] = coloured, rank = new Map();
  for (const row of [...runs.rows].sort((a, b) => a[place(by)] - b[place(by)]))
    if (!rank.has(row[place(name)])) rank.set(row[place(name)], rank.size);
  const shade = (k) => mix(runs.palettes[name], k / Math.max(1, rank.size - 1));
  return {
    of: (row) => shade(rank.get(row[place(name)])),
    key: [...rank].map(([value, k]) => [cell(name, value), shade(k)]),
  };
}

/** Say all of a run: its name, then each quantity. */
function describe(k) {
  const [run, ...rest] = runs.columns.map((name, c) => cell(name, runs.rows[k][c]));
  const said = rest.flatMap((text, c) => {
    const name = runs.columns[c + 1];
    return isSymbol(name) ? [" · ", symbol(shown(name)), ` ${text}`]
      : [" · ", isNumber(name) ? `${text} ${name}` : text];
  });
  return [element("b", {}, run), ...said];
}

function startCloud(table) {
  const svg = byId("cloud"), select = byId("colour"), choices = colourings();
  const x = values("C").map(log), y = values("L_u"), curves = runs.curves ?? [];
  const known = [...x.keys()].filter((k) => x[k] !== null);
  const order = known.sort((a, b) => x[a] - x[b] || y[a] - y[b]);
  const envelope = [];
  for (const k of order)
    if (!envelope.length || y[k] < y[envelope.at(-1)]) envelope.push(k);
  let chosen = -1, kept = new Set(order), parts = [], px, py, ring;

  function showKey(key) {
    const step = Math.ceil(key.length / 10);
    const some = key.filter((_, k) => k % step === 0 || k === key.length - 1);
    byId("legend").replaceChildren(...some.map(([label, colour]) => {
      const swatch = element("span", { class: "swatch" });
      swatch.style.background = colour;
      return element("span", {}, swatch, label);
    }));
  }
  function show() {
    const { of, key } = colours(choices.find(([name]) => name === select.value));
    const ends = curves.flat();
    ({ px, py } = axes(svg, {
      x: span([...order.map((k) => x[k]), ...finite(ends.map(([c]) => log(c)))]),
      y: span([...order.map((k) => y[k]), ...ends.map(([, loss]) => loss)]),
      logY: false, xLabel: runs.labels.C, yLabel: runs.labels.L_u,
    }));
    const lines = draw(svg, "g", { class: "marks" });
    parts = []; // [row, element]
    curves.forEach((curve, k) => {
      const d = path(curve.map(([c, loss]) => [px(log(c)), py(loss)]));
      if (x[k] !== null && curve.length > 1)
        parts.push(
          [k, draw(lines, "path", { class: "curve", stroke: of(runs.rows[k]), d })]);
    });
    const best = path(envelope.map((k) => [px(x[k]), py(y[k])]));
    draw(svg, "path", { class: "envelope", d: best });
    const r = order.length > 500 ? 2.5 : 4.5;
    const points = draw(svg, "g", { class: "marks" });
    for (const k of order) {
      const at = { cx: px(x[k]), cy: py(y[k]) };
      parts.push([k, draw(points, "circle", { ...at, r, fill: of(runs.rows[k]) })]);
    }
    dim();
    ring = draw(svg, "circle", { class: "chosen", r: 8 });
    showKey(key);
    showRing();
  }
  /** Let the runs stand back that the filter leaves out. */
  function dim() {
    for (const [k, part] of parts) part.classList.toggle("dim", !kept.has(k));
  }
  function showRing() {
    const isSeen = chosen >= 0 && x[chosen] !== null;
    ring.setAttribute("visibility", isSeen ? "visible" : "hidden");
    if (!isSeen) return;
    ring.setAttribute("cx", px(x[chosen]));
    ring.setAttribute("cy", py(y[chosen]));
  }
  function choose(k) {
    if (k === chosen) return;
    chosen = k;
    showRing();
    byId("readout").replaceChildren(...describe(k));
    table.mark(k);
  }
  /** Show a run of the table: in the chart, or in a line where that is out of sight. */
  function showRun(k) {
    choose(k);
    const { top, bottom } = svg.getBoundingClientRect(), told = byId("told");
    const isSeen = top >= 0 && bottom <= innerHeight;
    told.hidden = isSeen;
    byId("told-run").replaceChildren(...(isSeen ? [] : describe(k)));
    ring.classList.remove("flash");
    if (isSeen) requestAnimationFrame(() => ring.classList.add("flash"));
  }
  function nearest(event) {
    const box = svg.getBoundingClientRect();
    const [a, b] = [event.clientX - box.x, event.clientY - box.y];
    const distance = (k) => Math.hypot(px(x[k]) - a, py(y[k]) - b);
    return order.reduce((best, k) => distance(k) < distance(best) ? k : best);
  }
  const steps = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity };
  svg.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "Enter" && chosen >= 0) table.find(chosen);
    else if (event.key in steps) {
      const to = chosen < 0 ? 0 : order.indexOf(chosen) + steps[event.key];
      choose(order[Math.min(Math.max(to, 0), order.length - 1)]);
    } else return;
    event.preventDefault();
  });
  svg.addEventListener("pointermove", (event) => choose(nearest(event)));
  svg.addEventListener("click", (event) => {
    choose(nearest(event));
    table.find(chosen);
  });
  for (const [value, label] of choices)
    select.append(element("option", { value }, label));
  select.parentElement.hidden = choices.length < 2;
  select.addEventListener("change", show);
  new ResizeObserver(show).observe(svg.parentElement);
  table.onChoice = showRun;
  table.onFilter = (rows) => {
    kept = new Set(rows);
    dim();
  };
  show();
}

function startTable() {
  const HEADS = { run: "Run", size: "Size", epochs: "Epochs" }, { columns, rows } = runs;
  const root = byId("table"), body = root.tBodies[0], filter = byId("filter");
  const written = rows.map((row) => columns.map((name, c) => cell(name, row[c])));
  const plain = (text) => text.toLowerCase().replaceAll(",", "").replaceAll("−", "-");
  const texts = written.map((cells) => plain(cells.join(" ")));
  let sorted = place("L_u"), direction = 1, kept = [];
  let page = 0, size = 25, chosen = -1;
  const made = { mark, find, onChoice: mark, onFilter: () => {} };

  const heads = columns.map((name, c) => {
    const label = HEADS[name] ?? symbol(shown(name));
    const about = { type: "button", title: runs.labels[name] };
    const button = element("button", about, label);
    button.addEventListener("click", () => {
      direction = sorted === c ? -direction : 1;
      sorted = c;
      update();
    });
    const kind = isNumber(name) ? "number" : "";
    return element("th", { scope: "col", class: kind }, button);
  });
  function compare(a, b) {
    const [u, v] = [rows[a][sorted], rows[b][sorted]];
    if (u === null || v === null) return (u === null) - (v === null);
    if (typeof u !== "string") return direction * (u - v);
    return direction * u.localeCompare(v, "en", { numeric: true });
  }
  function line(k) {
    const [run, ...rest] = written[k];
    const button = element("button", { type: "button" }, run);
    button.addEventListener("click", () => made.onChoice(k));
    const cells = rest.map((text, c) =>
      element("td", { class: isNumber(columns[c + 1]) ? "number" : "" }, text));
    const head = element("th", { scope: "row" }, button);
    return element("tr", { "data-run": k }, head, ...cells);
  }
  function update() {
    const words = plain(filter.value).split(/\s+/).filter(Boolean);
    const isKept = (k) => words.every((word) => texts[k].includes(word));
    kept = [...rows.keys()].filter(isKept).sort(compare);
    made.onFilter(kept);
    turn(0);
  }
  function turn(to) {
    const last = Math.max(0, Math.ceil(kept.length / size) - 1);
    page = Math.min(Math.max(to, 0), last);
    body.replaceChildren(...kept.slice(page * size, (page + 1) * size).map(line));
    const order = direction > 0 ? "ascending" : "descending";
    heads.forEach((head, c) =>
      head.setAttribute("aria-sort", c === sorted ? order : "none"));
    const [some, all] = [kept.length, rows.length].map((n) => n.toLocaleString("en"));
    byId("count").textContent = kept.length
      ? `${some} of ${all} runs` : `No run matches “${filter.value}”.`;
    byId("page").textContent = `Page ${page + 1} of ${last + 1}`;
    byId("previous").disabled = page === 0;
    byId("next").disabled = page === last;
    document.querySelector(".pages").hidden = last === 0;
    mark(chosen);
  }
  function mark(k) {
    chosen = k;
    for (const row of body.rows) {
      const isChosen = Number(row.dataset.run) === k;
      row.classList.toggle("chosen", isChosen);
      row.setAttribute("aria-current", isChosen);
    }
  }
  /** Bring a run's row into view. */
  function find(k) {
    if (!kept.includes(k)) {
      filter.value = "";
      update();
    }
    chosen = k;
    turn(Math.floor(kept.indexOf(k) / size));
    const row = body.querySelector(".chosen");
    row.scrollIntoView({ block: "nearest" });
    row.querySelector("button").focus({ preventScroll: true });
  }
  function resize(rowsOfPage) {
    size = rowsOfPage;
    turn(0);
  }
  root.tHead.replaceChildren(element("tr", {}, ...heads));
  filter.addEventListener("input", update);
  byId("previous").addEventListener("click", () => turn(page - 1));
  byId("next").addEventListener("click", () => turn(page + 1));
  addEventListener("beforeprint", () => resize(100));
  addEventListener("afterprint", () => resize(25));
  update();
  return made;
}

if (outlook) startOutlook();
startFigures();
if (runs) {
  const table = startTable();
  if (place("C") >= 0) startCloud(table);
  else byId("runs-chart").hidden = true;
}
// contents stand open where there is room for them
document.querySelector("nav details").open = innerWidth > 640;
