// What moves in the report: what all of it shares, the slider of compute, large figures.
// report_runs.js goes on.
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

const ROOM = 1.05; // factor past either end of the table: what is said in two digits

/** FLOPs as people type them: 3e12, 3*10^12, 3×10¹², 10^12, 3,000,000; else NaN. */
function flops(text) {
  const plain = text.replace(/\s|_|flops?$/gi, "").replace(/[⁰¹²³⁴⁵⁶⁷⁸⁹]+/g, (raised) =>
    `^${[...raised].map((s) => "⁰¹²³⁴⁵⁶⁷⁸⁹".indexOf(s)).join("")}`);
  const bare = /^\d{1,3}(,\d{3})+(\.\d+)?$/.test(plain)
    ? plain.replaceAll(",", "") : plain;
  const e = bare.replace(/^(?:(.+)[*×x·])?10(?:\^|\*\*)\+?/i, (_, digits = "1") => `${digits}e`);
  return /^\d*\.?\d+(e[+-]?\d+)?$|^\d+\.(e[+-]?\d+)?$/i.test(e) ? Number(e) : NaN;
}
/** Say where a budget lies, as far as it is written: in three digits. */
function placeOf(value, [low, high]) {
  const range = `fitted range (${flopsText(low)} to ${flopsText(high)} FLOPs)`;
  const isEnd = [low, high].map(flopsText).includes(flopsText(value));
  if (isEnd || (value > low && value < high)) return `inside the ${range}`;
  const [factor, end] = value > high ? [value / high, "largest"] : [low / value, "least"];
  const times = factor < 1.1 ? "just past its" :
    value > high ? `${short(factor)} times its` : `1/${short(factor)} of its`;
  return `OUTSIDE the ${range}, ${times} ${end}`;
}

function startOutlook() {
  const { table, symbols, points, meanings } = outlook;
  const C = table.C, logs = C.map(log), last = C.length - 1;
  const [slider, typed, select, svg] = ["compute", "typed", "drawn", "band"].map(byId);
  const STEPS = 400, step = (logs[last] - logs[0]) / STEPS;
  let now = outlook.start, notice = ""; // FLOPs; what to say before them

  /** A column now: straight between the table's rows in log C; sizes in logs too. */
  function at(name) {
    const column = table[name], x = log(now);
    const near = logs.findIndex((each) => Math.abs(each - x) < 1e-6);
    if (near >= 0 || !last) return column[Math.max(near, 0)];
    const above = logs.findIndex((each) => each > x);
    const k = Math.max(above < 0 ? last : above, 1);
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
  function meaning(s) {
    const unique = s === "D" && outlook.unique, best = at(s);
    if (!unique || isNone(best)) return meanings[s];
    const epochs = Number((best / unique).toPrecision(2)).toLocaleString("en");
    return `${meanings[s]}: ${epochs} epochs of the ${unique.toLocaleString("en")} unique`;
  }
  function showNumbers() {
    const loss = () => symbol(outlook.shown);
    byId("answers").replaceChildren(
      ...symbols.map((s) =>
        answer(symbol(s, "*"), meaning(s), short, s, `${s}_low`, `${s}_high`)),
      answer(loss(), "mean loss", lossText, "loss", "loss_low", "loss_high"),
      answer(loss(), "of one new run", lossText, "loss", "new_low", "new_high"));
    const where = byId("where"), said = placeOf(now, outlook.fitted);
    where.textContent = `${notice}${flopsText(now)} FLOPs: ${said}`;
    where.classList.toggle("outside", Boolean(notice) || said.startsWith("OUTSIDE"));
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
  /** Show a budget; what was asked for and cannot be shown is told. */
  function set(value, said = "") {
    const [isBelow, isBeyond] = [value < C[0] / ROOM, value > C[last] * ROOM];
    now = isBelow ? C[0] : isBeyond ? C[last] : value;
    const side = isBelow ? "below" : "beyond", asked = `${flopsText(value)} is ${side}`;
    notice = now === value ? said : `${asked} what the laws are asked; shown at `;
    slider.value = Math.round((log(now) - logs[0]) / step);
    typed.value = now.toExponential(2).replace("e+", "e");
    showNumbers();
    showChart();
  }
  function read() {
    const value = flops(typed.value);
    if (value > 0 && value < Infinity) set(value);
    else set(now, `“${typed.value}” is no number of FLOPs above 0, such as 3e12; still at `);
  }
  const choices = symbols.map((s) => [s, `${s}*, ${meanings[s]}`]);
  for (const [value, label] of [["loss", "the loss"], ...choices])
    select.append(element("option", { value }, label));
  Object.assign(slider, { min: 0, max: STEPS, step: 1 });
  slider.addEventListener("input", () => set(
    slider.value < STEPS ? 10 ** (logs[0] + slider.value * step) : C[last]));
  typed.addEventListener("change", read);
  select.addEventListener("change", showChart);
  new ResizeObserver(showChart).observe(svg.parentElement);
  set(now);
}

// --- Figures at full size ---

function startFigures() {
  const large = byId("large"), place = large?.querySelector(".picture");
  for (const button of document.querySelectorAll(".enlarge"))
    button.addEventListener("click", () => {
      place.replaceChildren(button.querySelector("img").cloneNode());
      large.showModal();
      large.scrollTo(0, 0);
    });
  large?.addEventListener("click", () => large.close()); // Escape closes it anyway
}
