// What moves in the report: the slider of compute, the chart of runs and their table.
const byId = (id) => document.getElementById(id);
const { runs, outlook } = JSON.parse(byId("data").textContent);

// --- Numbers ---

const RAISED = { "-": "⁻" };
[..."⁰¹²³⁴⁵⁶⁷⁸⁹"].forEach((digit, k) => (RAISED[k] = digit));
const power = (exponent) => `10${[...String(exponent)].map((s) => RAISED[s]).join("")}`;
const minus = (text) => text.replace("-", "−");
const isNone = (value) => value === null || value === undefined;
const log = (value) => value > 0 ? Math.log10(value) : null;

function scientific(value) {
  const [digits, exponent] = value.toExponential(2).split("e");
  return `${Number(digits)}×${power(Number(exponent))}`;
}
/** A count as a person says it: 1.25M, 297k, 1,600, 3×10¹². */
function short(value) {
  if (isNone(value)) return "no end";
  if (value >= 1e12 || (value > 0 && value < 1e-2)) return scientific(value);
  for (const [unit, letter] of [[1e9, "B"], [1e6, "M"], [1e3, "k"]])
    if (value >= Math.max(unit, 1e4))
      return `${Number((value / unit).toPrecision(3))}${letter}`;
  const digits = Number(value.toPrecision(3));
  return value >= 100 ? Math.round(value).toLocaleString("en") : `${digits}`;
}
const lossText = (value) => isNone(value) ? "no end" : minus(value.toFixed(3));
const flopsText = (value) => value >= 1e6 ? scientific(value) : short(value);

// --- Elements ---

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes))
    made.setAttribute(name, value);
  made.append(...children);
  return made;
}
const INDEX = /_(nv|v|u)(?![a-z])/; // parts a text: on the line, below it, on the line

/** A symbol with its index below the line. */
function symbol(name, star = "") {
  const [base, index] = name.split(INDEX);
  const below = index ? [element("sub", {}, index)] : [];
  return element("span", {}, base, ...below, star);
}
/** A piece of SVG, put into its parent. */
function draw(parent, tag, attributes = {}, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes))
    made.setAttribute(name, value);
  parent.append(made);
  const below = [{}, { dy: 3, "font-size": "75%" }, { dy: -3 }];
  if (!INDEX.test(text)) made.textContent = text;
  else text.split(INDEX).forEach((part, k) => draw(made, "tspan", below[k], part));
  return made;
}

// --- Axes ---

const path = (points) =>
  `M${points.map((point) => point.map((v) => v.toFixed(1)).join(" ")).join("L")}`;
const finite = (values) => values.filter((value) => !isNone(value));
const span = (values) => values.reduce(
  ([a, b], value) => [Math.min(a, value), Math.max(b, value)], [Infinity, -Infinity]);

/** Ticks [place, label]; of logarithms, `isLog`, whole powers of ten where they fit. */
function ticks([low, high], isLog, most) {
  if (!isLog) return evenTicks(low, high, most);
  const [first, last] = [Math.ceil(low - 1e-9), Math.floor(high + 1e-9)];
  if (last - first < 1) return ticksWithinADecade(low, high);
  const step = Math.ceil((last - first + 1) / most);
  const exponents = Array.from({ length: last - first + 1 }, (_, k) => first + k);
  return exponents.filter((e) => e % step === 0).map((e) => [e, power(e)]);
}
function evenTicks(low, high, most) {
  const raw = (high - low) / most, unit = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * unit).find((s) => s >= raw - 1e-12);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9)), found = [];
  for (let k = Math.ceil(low / step); k * step <= high + 1e-9; k++)
    found.push([k * step, minus((k * step).toFixed(digits))]);
  return found;
}
function ticksWithinADecade(low, high) {
  const found = [];
  for (let e = Math.floor(low); e <= high; e++)
    for (const m of [1, 2, 5]) {
      const at = e + Math.log10(m);
      if (at >= low && at <= high) found.push([at, short(m * 10 ** e)]);
    }
  return found;
}
/** A range with some room about it, also where it is a single value. */
function roomy([low, high], share) {
  const room = share * (high - low) || 0.5;
  return [low - room, high + room];
}
/**
 * Axes on an emptied SVG, x in log10 C; `ground` draws what lies behind the grid.
 * Gives the places of values, and the box.
 */
function axes(svg, { x, y, logY, xLabel, yLabel, ground }) {
  svg.replaceChildren();
  const width = svg.clientWidth || 640, height = svg.clientHeight || 320;
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const [left, right, top, bottom] = [52, width - 10, 24, height - 42];
  const [xs, ys] = [roomy(x, 0.02), roomy(y, 0.06)];
  const px = (v) => left + (v - xs[0]) / (xs[1] - xs[0]) * (right - left);
  const py = (v) => bottom - (v - ys[0]) / (ys[1] - ys[0]) * (bottom - top);
  const box = { px, py, left, right, top, bottom };
  ground?.(box);
  for (const [at, label] of ticks(ys, logY, 6)) {
    draw(svg, "line", { class: "grid", x1: left, x2: right, y1: py(at), y2: py(at) });
    draw(svg, "text", { x: left - 6, y: py(at) + 4, "text-anchor": "end" }, label);
  }
  const middle = { "text-anchor": "middle" };
  for (const [at, label] of ticks(xs, true, Math.max(2, (right - left) / 60))) {
    const ends = { x1: px(at), x2: px(at), y1: bottom, y2: bottom + 5 };
    draw(svg, "line", { class: "axis", ...ends });
    draw(svg, "text", { x: px(at), y: bottom + 18, ...middle }, label);
  }
  const frame = path([[left, top], [left, bottom], [right, bottom]]);
  draw(svg, "path", { class: "axis", d: frame });
  draw(svg, "text", { x: (left + right) / 2, y: height - 6, ...middle }, xLabel);
  draw(svg, "text", { x: 2, y: 13 }, yLabel);
  return box;
}

// --- The slider ---

function startOutlook() {
  const { table, symbols, points, meanings } = outlook;
  const C = table.C, logs = C.map(log), last = C.length - 1;
  const [slider, typed, select, svg] = ["compute", "typed", "drawn", "band"].map(byId);
  let now = outlook.start; // FLOPs

  /** A column now: straight between the table's rows in log C; sizes in logs too. */
  function at(name) {
    const column = table[name], x = log(now);
    const k = logs.findIndex((each) => each >= x - 1e-6); // there is one: see `set`
    if (k === 0 || logs[k] - x < 1e-6) return column[k];
    const [a, b] = [column[k - 1], column[k]];
    if (isNone(a) || isNone(b)) return null;
    const share = (x - logs[k - 1]) / (logs[k] - logs[k - 1]);
    const isSize = a > 0 && b > 0 && symbols.includes(name.split(/_(?:low|high)$/)[0]);
    return isSize ? a * (b / a) ** share : a + (b - a) * share;
  }
  function answer(head, meaning, write, best, low, high) {
    const about = element("span", { class: "note" }, meaning);
    return element("tr", {},
      element("th", { scope: "row" }, head, element("br"), about),
      element("td", {}, write(at(best))),
      element("td", {}, `${write(at(low))} to ${write(at(high))}`));
  }
  function showNumbers() {
    const loss = () => symbol(outlook.shown);
    byId("answers").replaceChildren(
      ...symbols.map((s) =>
        answer(symbol(s, "*"), meanings[s], short, s, `${s}_low`, `${s}_high`)),
      answer(loss(), "mean loss", lossText, "loss", "loss_low", "loss_high"),
      answer(loss(), "of one new run", lossText, "loss", "new_low", "new_high"));
    const [low, high] = outlook.fitted, where = byId("where");
    const above = now > high * (1 + 1e-5), below = now < low * (1 - 1e-5);
    const range = `fitted range (${flopsText(low)} to ${flopsText(high)} FLOPs)`;
    where.textContent = `${flopsText(now)} FLOPs: ` + (
      above ? `OUTSIDE the ${range}, ${short(now / high)} times its largest`
        : below ? `OUTSIDE the ${range}, 1/${short(low / now)} of its least`
          : `inside the ${range}`);
    where.classList.toggle("outside", above || below);
    slider.setAttribute("aria-valuetext", where.textContent);
  }
  function showChart() {
    const best = select.value, isLoss = best === "loss";
    const scale = isLoss ? (value) => value : log;
    const bands = isLoss
      ? [["wide", "new_low", "new_high"], ["band", "loss_low", "loss_high"]]
      : [["band", `${best}_low`, `${best}_high`]];
    const scaled = (name) => table[name].map((v) => isNone(v) ? null : scale(v));
    const beside = (points[isLoss ? "L_u" : best] ?? []).map(scale);
    const drawn = [best, ...bands.flatMap(([, low, high]) => [low, high])];
    const label = isLoss ? outlook.label : `${best}*, ${meanings[best]}`;
    const fitted = outlook.fitted.map(log);
    const { px, py, top, bottom } = axes(svg, {
      x: [logs[0], logs[last]], logY: !isLoss,
      y: span(finite([...drawn.flatMap(scaled), ...beside])),
      xLabel: "Compute C (FLOPs)", yLabel: label,
      ground: ({ px, left, right, top, bottom }) => {
        const [from, to] = fitted.map(px), box = { y: top, height: bottom - top };
        for (const [x, end] of [[left, from], [to, right]])
          draw(svg, "rect",
            { class: "outside", ...box, x, width: Math.max(0, end - x) });
      },
    });
    const line = (name) => scaled(name).map((v, k) => [logs[k], v])
      .filter(([, v]) => v !== null).map(([x, v]) => [px(x), py(v)]);
    for (const [kind, low, high] of bands) {
      const edge = [...line(low), ...line(high).reverse()];
      if (edge.length > 2) draw(svg, "path", { class: kind, d: `${path(edge)}Z` });
    }
    const [from, to] = fitted.map(px), law = line(best);
    const inside = law.filter(([x]) => x >= from - 0.5 && x <= to + 0.5);
    draw(svg, "path", { class: "law beyond", d: path(law) });
    if (inside.length) draw(svg, "path", { class: "law", d: path(inside) });
    beside.forEach((v, k) => v === null || draw(svg, "circle",
      { class: "point", r: 3.5, cx: px(log(points.C[k])), cy: py(v) }));
    const x = px(log(now)), value = at(best);
    draw(svg, "line", { class: "needle", x1: x, x2: x, y1: top, y2: bottom });
    if (value !== null)
      draw(svg, "circle", { class: "marker", r: 6, cx: x, cy: py(scale(value)) });
    svg.setAttribute("aria-label", `${label} against compute, with its interval`);
    document.querySelector(".key .beside").hidden = !isLoss;
    document.querySelector(".key .dots").hidden = !beside.length;
  }
  function set(value) {
    now = Math.min(Math.max(value, C[0]), C[last]);
    slider.value = log(now);
    typed.value = now.toExponential(2).replace("e+", "e");
    showNumbers();
    showChart();
  }
  const choices = symbols.map((s) => [s, `${s}*, ${meanings[s]}`]);
  for (const [value, label] of [["loss", "the loss"], ...choices])
    select.append(element("option", { value }, label));
  const step = (logs[last] - logs[0]) / 400;
  Object.assign(slider, { min: logs[0], max: logs[last], step });
  slider.addEventListener("input", () => set(10 ** slider.value));
  typed.addEventListener("change", () =>
    set(typed.value > 0 ? Number(typed.value) : now));
  select.addEventListener("change", showChart);
  new ResizeObserver(showChart).observe(svg.parentElement);
  set(now);
}

// --- The runs ---

const place = (name) => runs.columns.indexOf(name);
const values = (name) => runs.rows.map((row) => row[place(name)]);
const isNumber = (name) => !["run", "size"].includes(name);
const shown = (name) => runs.shown[name] ?? name;

function cell(name, value) {
  if (isNone(value)) return "";
  if (!isNumber(name)) return value;
  const write = { C: flopsText, L_u: lossText }[name];
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

function startCloud(table) {
  const svg = byId("cloud"), select = byId("colour"), choices = colourings();
  const x = values("C").map(log), y = values("L_u"), curves = runs.curves ?? [];
  const known = [...x.keys()].filter((k) => x[k] !== null);
  const order = known.sort((a, b) => x[a] - x[b] || y[a] - y[b]);
  const envelope = [];
  for (const k of order)
    if (!envelope.length || y[k] < y[envelope.at(-1)]) envelope.push(k);
  let chosen = -1, px, py, ring;

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
    curves.forEach((curve, k) => {
      const d = path(curve.map(([c, loss]) => [px(log(c)), py(loss)]));
      if (x[k] !== null && curve.length > 1)
        draw(lines, "path", { class: "curve", stroke: of(runs.rows[k]), d });
    });
    const best = path(envelope.map((k) => [px(x[k]), py(y[k])]));
    draw(svg, "path", { class: "envelope", d: best });
    const r = order.length > 500 ? 2.5 : 4.5;
    const points = draw(svg, "g", { class: "marks" });
    for (const k of order) {
      const at = { cx: px(x[k]), cy: py(y[k]) };
      draw(points, "circle", { ...at, r, fill: of(runs.rows[k]) });
    }
    ring = draw(svg, "circle", { class: "chosen", r: 8 });
    showKey(key);
    showRing();
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
    const [run, ...rest] = runs.columns.map((name, c) => cell(name, runs.rows[k][c]));
    const said = rest.flatMap((text, c) =>
      [" · ", symbol(shown(runs.columns[c + 1])), ` ${text}`]);
    byId("readout").replaceChildren(element("b", {}, run), ...said);
    table.mark(k);
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
  show();
  return choose;
}

function startTable() {
  const HEADS = { run: "Run", size: "Size" }, { columns, rows } = runs;
  const root = byId("table"), body = root.tBodies[0], filter = byId("filter");
  const written = rows.map((row) => columns.map((name, c) => cell(name, row[c])));
  const texts = written.map((cells) => cells.join(" ").toLowerCase());
  let sorted = place("L_u"), direction = 1, kept = [];
  let page = 0, size = 25, chosen = -1;
  const made = { mark, find, onChoice: mark };

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
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const isKept = (k) => words.every((word) => texts[k].includes(word));
    kept = [...rows.keys()].filter(isKept).sort(compare);
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
    byId("count").textContent = `${some} of ${all} runs`;
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
if (runs) {
  const table = startTable();
  if (place("C") >= 0) table.onChoice = startCloud(table);
  else byId("runs-chart").hidden = true;
}
// contents stand open where there is room for them
document.querySelector("nav details").open = innerWidth > 640;
