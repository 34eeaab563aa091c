"use strict";
// Drawing: elements, and the charts of one tensor.  Names go into text nodes and nowhere else.

window.addEventListener("error", (event) => {
  document.documentElement.dataset.error = event.message;
});

const SVG = "http://www.w3.org/2000/svg";
// What tells formats apart besides the colour: the shape of a marker.
const SHAPES = [
  "M-5,0A5,5 0 1 0 5,0A5,5 0 1 0 -5,0Z",
  "M-4.5,-4.5H4.5V4.5H-4.5Z",
  "M0,-6L5.6,4.4H-5.6Z",
  "M0,-6L6,0L0,6L-6,0Z",
  "M0,6L5.6,-4.4H-5.6Z",
  "M-2,-5.5H2V-2H5.5V2H2V5.5H-2V2H-5.5V-2H-2Z",
  "M-5.5,-3H5.5V3H-5.5Z",
  "M0,-6L5.7,-1.9L3.5,4.9H-3.5L-5.7,-1.9Z",
];

/** Make an element: attributes, and children that are elements or text. */
function make(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

function draw(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "onclick") element.addEventListener("click", value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** A name from a file, with what cannot be seen, or reorders what is around it, as an escape. */
function visible(name) {
  return name.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\u2028\u2029]/gu, (char) => {
    const known = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };
    return known[char] ?? `\\u{${char.codePointAt(0).toString(16)}}`;
  });
}

/** A name as text of its own direction, which breaks after its dots where it has to. */
function nameOf(name) {
  return make("bdi", {}, ...visible(name).split(/(?<=[._/])/).flatMap((part, index) => (index > 0 ? [make("wbr"), part] : [part])));
}

function signed(text) {
  return text.replace(/-/g, "−");
}

function number(value, digits = 3) {
  if (value === null || value === undefined) return "–";
  if (Number.isInteger(value)) return signed(value.toLocaleString("en"));
  const size = Math.abs(value);
  if (size >= 1e-3 && size < 1e5) return signed(String(Number(value.toPrecision(digits + 1))));
  return signed(value.toExponential(digits - 1).replace("e+", "e"));
}

const LEVEL = Symbol("level");

/** The SQNR of a row as a number: JSON has no infinities, and an exact result has no squared error. */
function level(row) {
  if (!row) return NaN;
  // asked for again and again, of all rows
  if (row[LEVEL] === undefined) row[LEVEL] = row.sqnr_db ?? (row.mse === 0 ? Infinity : -Infinity);
  return row[LEVEL];
}

function decibels(value, digits = 1) {
  if (value === Infinity) return "exact";
  if (value === -Infinity) return "−∞";
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const text = value.toFixed(digits);
  return signed(Number(text) === 0 ? text.replace("-", "") : text); // no negative zero
}

/** The curve of a row at each bias; the nulls of an exact row's plateau are exact too. */
function curveOf(row) {
  const { first, sqnr_db: values } = row.curve;
  return values.map((value, index) => {
    const bias = first + index;
    const exact = row.mse === 0 && bias >= row.plateau[0] && bias <= row.plateau[1];
    return { bias, value: value === null ? (exact ? Infinity : -Infinity) : value };
  });
}

const chooses = (row) => row.curve.sqnr_db.length > 1;

/** Line and marker of a format, for legends. */
function swatch(style) {
  const line = draw("path", { d: "M0,6H32", stroke: "currentColor", "stroke-width": 2.2 });
  const marker = draw("path", { class: "ring", d: SHAPES[style], transform: "translate(16,6)" });
  return draw("svg", { class: `swatch c${style}`, viewBox: "0 0 32 12", "aria-hidden": "true" }, line, marker);
}

/** Round values that divide a range into few steps. */
function ticks(low, high, most) {
  const raw = (high - low) / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= raw);
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high + 1e-9; i += 1) found.push(i * step);
  return found;
}

let charts = 0;

function frame(width, height, title, description) {
  const id = `chart${(charts += 1)}`;
  return draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-labelledby": `${id}-title ${id}-desc` },
  draw("title", { id: `${id}-title` }, title), draw("desc", { id: `${id}-desc` }, description));
}

function text(x, y, content, attributes = {}) {
  return draw("text", { x, y, ...attributes }, content);
}

/** Move labels down or up until none overlaps the one before, inside a range. */
function spread(labels, gap, low, high) {
  labels.sort((a, b) => a.y - b.y);
  let above = low - gap;
  for (const label of labels) above = label.y = Math.max(label.y, above + gap);
  let below = high + gap;
  for (const label of [...labels].reverse()) below = label.y = Math.min(label.y, below - gap);
}

/** SQNR against the bias: curves, plateaus, chosen biases; lines for formats of one bias. */
function curveChart(rows, styles, { width, height, small = false, name }) {
  const labelled = !small && width > 520;
  const box = { left: small ? 26 : 42, right: width - (labelled ? 116 : 8), top: 10, bottom: height - (small ? 18 : 38) };
  const several = rows.filter(chooses);
  const low = Math.min(...several.map((row) => row.curve.first));
  const high = Math.max(...several.map((row) => row.curve.first + row.curve.sqnr_db.length - 1));
  const [first, last] = several.length > 0 ? [low, high] : [0, 1];
  const finite = rows.flatMap((row) => [row.sqnr_db, ...row.curve.sqnr_db]).filter((value) => value !== null);
  const best = Math.max(5, ...finite);
  // what is far below the signal's own size says only that a bias is unusable
  const floor = Math.max(-10, Math.min(0, ...finite));
  const top = best + (best - floor) * 0.06;
  const x = (bias) => box.left + ((bias - first) / (last - first)) * (box.right - box.left);
  const y = (value) => {
    const clipped = Math.min(top, Math.max(floor, value));
    return box.bottom - ((clipped - floor) / (top - floor)) * (box.bottom - box.top);
  };
  const chart = frame(width, height, `SQNR against bias of ${name}`, rows.map((row) =>
    `${row.format}: ${decibels(level(row))} dB at bias ${row.bias}`).join("; "));
  for (const tick of ticks(floor, top, small ? 3 : 6)) {
    chart.append(draw("path", { class: "grid-line", d: `M${box.left},${y(tick)}H${box.right}` }),
      text(box.left - 6, y(tick) + 4, signed(String(tick)), { "text-anchor": "end" }));
  }
  chart.append(draw("path", { class: "axis", d: `M${box.left},${box.bottom}H${box.right}` }));
  if (several.length > 0) {
    for (const tick of ticks(first, last, small ? 4 : 8)) {
      if (!Number.isInteger(tick)) continue;
      chart.append(text(x(tick), box.bottom + (small ? 13 : 17), signed(String(tick)), { "text-anchor": "middle" }));
    }
  }
  if (!small) {
    chart.append(text((box.left + box.right) / 2, height - 5, "exponent bias", { "text-anchor": "middle" }));
    chart.append(text(0, 0, "SQNR, dB", { "text-anchor": "middle",
      transform: `translate(11,${(box.top + box.bottom) / 2}) rotate(-90)` }));
  }
  for (const row of several) {
    const [from, to] = row.plateau;
    const [start, end] = [Math.max(box.left, x(from - 0.5)), Math.min(box.right, x(to + 0.5))];
    const peak = y(level(row));
    chart.append(draw("path", { class: `plateau c${styles.get(row.format)}`, fill: "currentColor", "fill-opacity": 0.1,
      d: `M${start},${box.bottom}V${peak}H${end}V${box.bottom}Z` }));
  }
  const labels = [];
  // curves over the level lines: the same SQNR at many biases is the rule, not the exception
  for (const row of [...rows.filter((each) => !chooses(each)), ...several]) {
    const style = styles.get(row.format);
    const group = draw("g", { class: `c${style}` });
    const line = { fill: "none", stroke: "currentColor", "stroke-width": small ? 1.6 : 2, "stroke-linejoin": "round" };
    let d = `M${box.left},${y(level(row))}H${box.right}`;
    if (chooses(row)) {
      d = "";
      let pen = "M";
      for (const { bias, value } of curveOf(row)) {
        if (value === -Infinity) { pen = "M"; continue; }
        d += `${pen}${x(bias).toFixed(1)},${y(value).toFixed(1)}`;
        pen = "L";
      }
    }
    group.append(draw("path", { ...line, class: chooses(row) ? "curve" : "fixed", d: d || "M0,0",
      "stroke-dasharray": chooses(row) ? null : "7 4" }));
    // fixed formats are marked at the edge, each in its own place
    const at = chooses(row) ? x(row.bias) : box.right - 14 - (style % 4) * 16;
    group.append(draw("path", { class: "ring", d: SHAPES[style],
      transform: `translate(${at.toFixed(1)},${y(level(row)).toFixed(1)})${small ? " scale(.8)" : ""}` }));
    labels.push({ row, style, y: y(level(row)) });
    chart.append(group);
  }
  if (labelled) {
    spread(labels, 15, box.top + 4, box.bottom - 2);
    for (const label of labels) {
      chart.append(text(box.right + 8, label.y + 4, visible(label.row.format), { class: `label c${label.style}` }));
    }
  }
  return { chart, box, first, last, x, steps: several.length > 0 };
}

/** Counts by exponent, on a log scale, with each format's window below, on the same axis. */
function exponentChart(tensor, rows, styles, { width, height, small = false, name }) {
  const { first: start, counts } = tensor.exponents;
  const labelled = !small && width > 440;
  const lane = small ? 7 : labelled ? 19 : 32;
  const lanes = rows.length * lane;
  const total = height + lanes;
  const box = { left: labelled ? 116 : small ? 26 : 34, right: width - 12, top: 8, bottom: height - (small ? 16 : 22) };
  const near = rows.filter((row) => row.bits <= 8);
  const bounds = (near.length > 0 ? near : rows).flatMap((row) => Object.values(row.window)).filter((each) => each !== null);
  const lowest = Math.min(start, ...bounds);
  const highest = Math.max(start + counts.length - 1, ...bounds);
  // formats of more exponents than this reach beyond the chart, and say so by an arrow
  const first = Math.max(lowest, start - 24) - 1;
  const last = Math.min(highest, start + counts.length + 23) + 1;
  const slot = (box.right - box.left) / (last - first + 1);
  const x = (exponent) => box.left + (exponent - first) * slot;
  const decades = Math.max(1, Math.log10(Math.max(1, ...counts)) * 1.04);
  // a single element is visible: the axis starts below one
  const y = (count) => box.bottom - ((Math.log10(count) + 0.3) / (decades + 0.3)) * (box.bottom - box.top);
  const chart = frame(width, total, `Exponents of ${name}`,
    `Elements by the exponent of their magnitude, from 2^${start} to 2^${start + counts.length - 1}. ` +
    rows.map((row) => `${row.format} at bias ${row.bias}: normal numbers from 2^${row.window.smallest_normal} ` +
    `to 2^${row.window.highest}`).join("; "));
  for (let power = 0; power <= decades; power += decades > (small ? 2 : 5) ? 2 : 1) {
    chart.append(draw("path", { class: "grid-line", d: `M${box.left},${y(10 ** power)}H${box.right}` }));
    const label = text(box.left - 6, y(10 ** power) + 4, power < 1 ? "1" : "10", { "text-anchor": "end" });
    if (power > 0) label.append(draw("tspan", { dy: -4, "font-size": "9px" }, String(power)));
    chart.append(label);
  }
  if (labelled) {
    chart.append(text(0, 0, "elements", { "text-anchor": "middle",
      transform: `translate(${box.left - 34},${(box.top + box.bottom) / 2}) rotate(-90)` }));
  }
  let bars = "";
  counts.forEach((count, index) => {
    if (count === 0) return;
    const left = x(start + index);
    bars += `M${(left + slot * 0.08).toFixed(1)},${box.bottom}V${y(count).toFixed(1)}h${(slot * 0.84).toFixed(1)}V${box.bottom}Z`;
  });
  chart.append(draw("path", { class: "bars", d: bars || "M0,0" }),
    draw("path", { class: "axis", d: `M${box.left},${box.bottom}H${box.right}` }));
  for (const tick of ticks(first, last, small ? 4 : Math.min(10, (box.right - box.left) / 45))) {
    if (!Number.isInteger(tick)) continue;
    const center = x(tick) + slot / 2;
    if (center > box.right - 4) continue;
    const label = text(center, box.bottom + (small ? 13 : 16), small ? signed(String(tick)) : "2", { "text-anchor": "middle" });
    if (!small) label.append(draw("tspan", { dy: -4, "font-size": "9px" }, signed(String(tick))));
    chart.append(label);
  }
  rows.forEach((row, index) => {
    const style = styles.get(row.format);
    const middle = height + index * lane + (labelled || small ? lane / 2 : lane - 8);
    const clip = (value) => Math.min(box.right, Math.max(box.left, value));
    const { smallest_subnormal: tiny, smallest_normal: normal, highest: top } = row.window;
    const [low, mid, high] = [x(tiny ?? normal), x(normal), x(top + 1)];
    const group = draw("g", { class: `window c${style}`, stroke: "currentColor", fill: "currentColor" });
    const thick = small ? 3 : 6;
    const bar = (from, to, width, opacity) => {
      if (clip(to) > clip(from)) {
        group.append(draw("path", { d: `M${clip(from).toFixed(1)},${middle}H${clip(to).toFixed(1)}`,
          "stroke-width": width, "stroke-opacity": opacity }));
      }
    };
    bar(low, mid, thick / 2, 0.75);
    bar(mid, high, thick, 1);
    const tip = small ? 3 : 6;
    if (low < box.left) group.append(draw("path", { stroke: "none", d: `M${box.left - tip},${middle}l${tip},-${tip}v${2 * tip}Z` }));
    if (high > box.right) group.append(draw("path", { stroke: "none", d: `M${box.right + tip},${middle}l-${tip},-${tip}v${2 * tip}Z` }));
    if (!small) {
      const at = labelled ? [box.left - 12, middle + 4, "end"] : [box.left, middle - 9, "start"];
      group.append(text(at[0], at[1], visible(row.format), { class: "label", stroke: "none", "text-anchor": at[2] }));
    }
    chart.append(group);
  });
  return { chart, box: { ...box, bottom: total }, first, last, x: (exponent) => x(exponent) + slot / 2, steps: counts.length > 0 };
}

/** Let the pointer and the arrow keys walk along a chart, and tell what is there. */
function probed({ chart, box, first, last, x, steps }, start, tell) {
  const readout = make("div", { class: "readout muted", "aria-live": "polite" });
  if (!steps) return make("div", {}, chart, readout);
  const line = draw("path", { class: "probe", d: `M0,${box.top}V${box.bottom}` });
  chart.append(line);
  chart.setAttribute("tabindex", "0");
  let place = start;
  const show = (wanted) => {
    place = Math.min(last, Math.max(first, wanted));
    line.setAttribute("transform", `translate(${x(place).toFixed(1)},0)`);
    line.style.visibility = "visible";
    readout.replaceChildren(...tell(place));
  };
  chart.addEventListener("pointermove", (event) => {
    const scale = chart.viewBox.baseVal.width / chart.getBoundingClientRect().width;
    const at = (event.clientX - chart.getBoundingClientRect().left) * scale;
    show(first + Math.round((at - x(first)) / (x(first + 1) - x(first))));
  });
  chart.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -8, PageDown: 8, Home: -1e6, End: 1e6 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    show(place + step);
  });
  readout.append("Point at the chart, or use the arrow keys in it, to read values.");
  return make("div", {}, chart, readout);
}
