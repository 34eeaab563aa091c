// The page: its state, its tables, and the details of the tensor that is selected.

const content = JSON.parse(document.getElementById("content").textContent);
const PER_PAGE = 100;
const CLOSE_DB = 0.1;
const MEASURES = [
  ["sqnr_db", "SQNR, dB", "Signal to quantisation noise ratio: 10·log10 of the sum of squares over the sum of squared errors. 6 dB are one bit."],
  ["bias", "bias", "Exponent bias: of all that the format has, that of the least squared error. A step of one moves the window by one binade."],
  ["plateau", "plateau", "Biases whose SQNR is within 0.1 dB of the best: how far off a bias may be at no cost. Shaded under the curves."],
  ["headroom", "headroom", "Binades between the tensor’s largest magnitude and the format’s largest value at that bias."],
  ["mse", "MSE", "Mean squared error."],
  ["max_abs", "max abs", "Largest absolute error of an element."],
  ["max_rel", "max rel", "Largest relative error of a non-zero element; an element that became zero has 1."],
  ["cosine", "cosine", "Cosine similarity of the tensor before and after, as vectors."],
  ["saturated", "saturated", "Share of elements beyond the format’s largest value, which clamp to it or, in some formats, become infinite or NaN."],
  ["underflowed", "made zero", "Share of elements that were not zero and became zero."],
  ["subnormal", "denormal", "Share of elements that became denormal numbers, which have fewer significant bits."],
  ["stochastic_db", "stochastic, dB", "SQNR at the same bias with stochastic rounding, which costs about 3 dB and has no systematic error."],
  ["codes_used", "codes used", "How many of the format’s codes occur in the tensor."],
  ["entropy", "entropy, bits", "Bits an element that the codes carry: the distance to the format’s width is what a lossless coder would save."],
  ["ieee_gain_db", "ieee gain, dB", "SQNR that IEEE 754’s evenly spaced denormals would add to the whitepaper’s reading, each at its best bias."],
  ["theory", "theory, dB", "SQNR that is expected of normal, uniform and Laplace distributed values of the format."],
];
const WINDOW_NOTE = "Exponents between the format’s smallest and largest magnitude at the chosen bias: thick for normal numbers, thin for denormals; an arrow where it goes on beyond the chart.";
const SHARES = new Set(["saturated", "underflowed", "subnormal"]);
const INTERNAL = new Set(["tensor", "format", "bits", "codes", "curve", "window", "subnormals"]);

const formats = [...new Set(content.rows.map((row) => row.format))];
const styles = new Map(formats.map((format, index) => [format, index % SHAPES.length]));
const bitsOf = new Map(content.rows.map((row) => [row.format, row.bits]));
const widths = [...new Set(bitsOf.values())].sort((a, b) => a - b);
const narrow = widths.some((bits) => bits <= 8) ? (bits) => bits <= 8 : (bits) => bits === widths[0];
const tensors = content.tensors.map((tensor) => ({ ...tensor, rows: new Map() }));
const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
for (const row of content.rows) byName.get(row.tensor)?.rows.set(row.format, row);
for (const tensor of tensors) {
  const levels = [...tensor.rows.values()].filter((row) => narrow(row.bits)).map(level);
  tensor.best = levels.length > 0 ? Math.max(...levels) : NaN;
  tensor.words = `${tensor.name} ${tensor.dtype}`.toLowerCase();
}

const state = { sort: "", tensor: "", filter: "", page: 1, theme: "" };
const at = (id) => document.getElementById(id);

function median(values) {
  const sorted = values.filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
  if (sorted.length === 0) return NaN;
  const middle = sorted.length >> 1;
  if (sorted.length % 2 === 1 || sorted[middle - 1] === sorted[middle]) return sorted[middle];
  return (sorted[middle - 1] + sorted[middle]) / 2;
}

function plural(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

function shapeText(shape) {
  return shape.length > 0 ? shape.join(" × ") : "scalar";
}

/** A format's name; in headings it may break after the first part, which keeps columns narrow. */
function formatName(format, breaks = false) {
  const parts = breaks ? visible(format).split(/(?<=^[^_]*_)/) : [visible(format)];
  return make("span", { class: "format" }, ...parts.flatMap((part, index) => (index > 0 ? [make("wbr"), part] : [part])));
}

function opener(name) {
  return make("button", { type: "button", class: "plain", onclick: (event) => {
    event.stopPropagation();
    open(name);
  } }, make("bdi", {}, visible(name)));
}

/** A table: headings are [content, class], cells elements or [content, class]. */
function table(caption, headings, rows) {
  const head = headings.map(([heading, kind]) => make("th", { scope: "col", class: kind || null }, heading));
  const body = rows.map(([first, ...cells]) => make("tr", {}, make("th", { scope: "row", class: "pin" }, first),
    ...cells.map((cell) => {
      if (cell instanceof Element && cell.tagName === "TD") return cell;
      return Array.isArray(cell) ? make("td", { class: cell[1] }, cell[0]) : make("td", {}, cell);
    })));
  return make("table", {}, caption ? make("caption", {}, caption) : null,
    make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body));
}

// --- summary -----------------------------------------------------------------------------------------------

function showSummary() {
  const elements = tensors.reduce((sum, tensor) => sum + tensor.size, 0);
  const left = Object.keys(content.skipped ?? {}).length;
  at("measured").append(`${plural(tensors.length, "tensor")} of ${plural(elements, "element")} in ` +
    `${plural(formats.length, "format")}, each at its best exponent bias` +
    `${left > 0 ? `; ${plural(left, "tensor")} left out` : ""}. cfloat\u00a0${content.cfloat ?? ""}`);
  const levels = content.rows.map(level).filter(Number.isFinite);
  const scale = [Math.min(0, ...levels), Math.max(10, ...levels)];
  const lines = formats.map((format) => {
    const rows = content.rows.filter((row) => row.format === format);
    const values = rows.map(level);
    const worst = rows.reduce((low, row) => (level(row) < level(low) ? row : low), rows[0]);
    return [
      make("span", {}, swatch(styles.get(format)), formatName(format)),
      String(rows[0].bits), [rows[0].subnormals, "text"], String(rows.length),
      decibels(median(values)), decibels(level(worst)), [opener(worst.tensor), "text wrap"],
      make("td", { class: "text" }, strip(format, values, scale)),
    ];
  });
  at("summary-table").append(table(null, [
    ["format", "text pin"], ["bits"], ["denormals", "text"], ["tensors"], ["median dB"], ["worst dB"], ["worst tensor", "text"],
    [`every tensor, ${decibels(scale[0], 0)} to ${decibels(scale[1], 0)} dB`, "text"],
  ], lines));
  for (const bits of widths) showFindings(bits);
  showGains();
}

/** One tick a tensor, and a long one for the median. */
function strip(format, values, [low, high]) {
  const width = 240;
  const x = (value) => (3 + ((Math.min(high, Math.max(low, value)) - low) / (high - low)) * (width - 6)).toFixed(1);
  const chart = frame(width, 20, `SQNR of every tensor in ${format}`, `median ${decibels(median(values))} dB`);
  chart.append(draw("path", { class: "grid-line", d: `M0,19.5H${width}` }));
  chart.append(draw("g", { class: `c${styles.get(format)}`, stroke: "currentColor" },
    draw("path", { d: values.map((value) => `M${x(value)},7V17`).join(""), "stroke-opacity": 0.55, "stroke-width": 1.5 }),
    draw("path", { d: `M${x(median(values))},1V19`, "stroke-width": 3 })));
  return chart;
}

function showFindings(bits) {
  const group = formats.filter((format) => bitsOf.get(format) === bits);
  let pairs = group.flatMap((one, index) => group.slice(index + 1).map((other) => [one, other]));
  if (group.length > 4) {
    // too many to read: the best against each of the others
    const middle = (format) => median(content.rows.filter((row) => row.format === format).map(level));
    const leader = group.reduce((best, format) => (middle(format) > middle(best) ? format : best));
    pairs = group.filter((format) => format !== leader).map((format) => [leader, format]);
  }
  const sentences = pairs.map(([one, other]) => compared(one, other)).filter(Boolean);
  if (sentences.length > 0) {
    at("findings").append(make("div", {}, make("h3", {}, `Formats of ${bits} bits`), make("ul", {}, ...sentences)));
  }
}

/** Say which of two formats is the better one, and on how many of the tensors that both have. */
function compared(one, other) {
  const gains = [];
  for (const tensor of tensors) {
    const pair = [tensor.rows.get(one), tensor.rows.get(other)].map(level);
    if (pair.some(Number.isNaN)) continue;
    gains.push(pair[0] === pair[1] ? 0 : pair[0] - pair[1]);
  }
  if (gains.length === 0) return null;
  const wins = gains.filter((gain) => gain > CLOSE_DB).length;
  const losses = gains.filter((gain) => gain < -CLOSE_DB).length;
  const [first, second, more, less, factor] = wins >= losses ? [one, other, wins, losses, 1] : [other, one, losses, wins, -1];
  const names = (format) => make("strong", {}, formatName(format));
  const count = `${more} of ${plural(gains.length, "tensor")}`;
  const even = gains.length - wins - losses;
  const rest = [less > 0 ? `worse on ${less}` : null, even > 0 ? `equal within ${CLOSE_DB} dB on ${even}` : null]
    .filter(Boolean).map((part) => `, ${part}`).join("");
  const middle = factor * median(gains) || 0;
  const size = `; median ${middle >= 0 ? "+" : ""}${decibels(middle)} dB.`;
  if (more === 0) {
    return make("li", {}, names(first), " and ", names(second), `: equal within ${CLOSE_DB} dB on all ${plural(gains.length, "tensor")}.`);
  }
  if (more >= 2 * less && 2 * more >= gains.length) {
    return make("li", {}, "Prefer ", names(first), " to ", names(second), `: better on ${count}${rest}${size}`);
  }
  if (2 * even >= gains.length) {
    return make("li", {}, "Little between ", names(first), " and ", names(second), `: the former is better on ${count}${rest}${size}`);
  }
  return make("li", {}, names(first), " or ", names(second), `, tensor by tensor: the former is better on ${count}${rest}${size}`);
}

/** What finer biases add, by format. */
function showGains() {
  const whole = new Map();
  for (const each of content.granularity ?? []) {
    if (each.granularity === "tensor") whole.set(`${each.format}\n${each.tensor}`, each.sqnr_db);
  }
  const gains = new Map();
  for (const each of content.granularity ?? []) {
    const base = whole.get(`${each.format}\n${each.tensor}`);
    if (each.granularity === "tensor" || each.sqnr_db === null || base === null || base === undefined) continue;
    const key = `${each.format}\n${each.granularity}`;
    gains.set(key, [...(gains.get(key) ?? []), each.sqnr_db - base]);
  }
  const lines = formats.flatMap((format) => {
    const parts = [...gains].filter(([key]) => key.startsWith(`${format}\n`)).map(([key, values]) =>
      `${median(values) >= 0 ? "+" : ""}${decibels(median(values), 2)} dB by one for each ${key.slice(format.length + 1)} (${plural(values.length, "tensor")})`);
    return parts.length > 0 ? [make("li", {}, make("strong", {}, formatName(format)), `: ${parts.join(", ")}.`)] : [];
  });
  if (lines.length > 0) {
    at("findings").append(make("div", {}, make("h3", {}, "What more biases add, median"), make("ul", {}, ...lines)));
  }
}

// --- the table of tensors ----------------------------------------------------------------------------------

const COLUMNS = [
  { key: "name", label: "tensor", kind: "pin name", value: (tensor) => tensor.name, down: false },
  { key: "dtype", label: "dtype", kind: "text", value: (tensor) => tensor.dtype, down: false },
  { key: "size", label: "size", kind: "", value: (tensor) => tensor.size, down: true },
  ...formats.map((format) => ({ key: `sqnr:${format}`, format, kind: "", value: (tensor) => level(tensor.rows.get(format)), down: false })),
];

function sorted() {
  const words = state.filter.toLowerCase().split(/\s+/).filter(Boolean);
  const found = tensors.filter((tensor) => words.every((word) => tensor.words.includes(word)));
  const down = state.sort.startsWith("-");
  const column = COLUMNS.find((each) => each.key === state.sort.slice(down ? 1 : 0));
  if (!column) return found;
  const order = (a, b) => {
    const [one, other] = [column.value(a), column.value(b)];
    if (typeof one === "string") return (down ? -1 : 1) * one.localeCompare(other, "en", { numeric: true });
    if (Number.isNaN(one) || Number.isNaN(other)) return Number.isNaN(one) - Number.isNaN(other);
    return one === other ? 0 : (one < other ? -1 : 1) * (down ? -1 : 1);
  };
  return found.sort(order);
}

function showHead() {
  const cells = COLUMNS.map((column) => {
    const button = make("button", { type: "button", onclick: () => {
      const turned = state.sort === column.key ? `-${column.key}` : state.sort === `-${column.key}` ? column.key : null;
      set({ sort: turned ?? (column.down ? `-${column.key}` : column.key), page: 1 });
      showRows();
    } }, ...(column.format ? [formatName(column.format, true)] : [column.label]), make("span", { class: "arrow", "aria-hidden": "true" }, ""));
    return make("th", { scope: "col", class: column.kind || null, "data-key": column.key }, button);
  });
  at("tensor-table").replaceChildren(make("table", { class: "clickable", "aria-labelledby": "tensors-title" },
    make("thead", {}, make("tr", {}, ...cells)), make("tbody")));
}

function showRows() {
  const found = sorted();
  const pages = Math.max(1, Math.ceil(found.length / PER_PAGE));
  state.page = Math.min(pages, Math.max(1, state.page));
  const start = (state.page - 1) * PER_PAGE;
  const shown = found.slice(start, start + PER_PAGE);
  at("count").textContent = shown.length === 0 ? "No tensor has that name." :
    pages === 1 ? plural(found.length, "tensor") :
      `${start + 1} to ${start + shown.length} of ${plural(found.length, "tensor")}`;
  at("earlier").disabled = state.page === 1;
  at("later").disabled = state.page === pages;
  document.querySelector(".pager").hidden = pages === 1;
  for (const th of at("tensor-table").querySelectorAll("thead th")) {
    const key = th.dataset.key;
    const up = state.sort === key;
    const down = state.sort === `-${key}`;
    th.querySelector(".arrow").textContent = up ? "↑" : down ? "↓" : "";
    if (up || down) th.setAttribute("aria-sort", up ? "ascending" : "descending");
    else th.removeAttribute("aria-sort");
  }
  at("tensor-table").querySelector("tbody").replaceChildren(...shown.map(tensorRow));
}

function tensorRow(tensor) {
  const best = new Map(widths.map((bits) => [bits, Math.max(...[...tensor.rows.values()].filter((row) => row.bits === bits).map(level))]));
  const cells = formats.map((format) => {
    const row = tensor.rows.get(format);
    if (!row) return make("td", { class: "muted" }, "–");
    const leads = level(row) === best.get(row.bits) && formats.filter((each) => bitsOf.get(each) === row.bits).length > 1;
    return make("td", { class: leads ? "best" : null }, make("b", {}, decibels(level(row))), make("small", {}, `b ${signed(String(row.bias))}`));
  });
  return make("tr", { "aria-current": tensor.name === state.tensor ? "true" : null, onclick: () => open(tensor.name) },
    make("th", { scope: "row", class: "pin name" }, opener(tensor.name)),
    make("td", { class: "text" }, visible(tensor.dtype)), make("td", {}, tensor.size.toLocaleString("en")), ...cells);
}

// --- the details of a tensor -------------------------------------------------------------------------------

function open(name) {
  set({ tensor: name });
  showDetails();
  showRows();
  at("details").scrollIntoView({ block: "start" });
  at("details-title").focus({ preventScroll: true });
}

function showDetails() {
  const tensor = byName.get(state.tensor);
  const place = at("details");
  if (!tensor) {
    place.replaceChildren(make("h2", { id: "details-title" }, "Details"), make("p", { class: "muted" }, "There is no tensor to show."));
    return;
  }
  const rows = formats.map((format) => tensor.rows.get(format)).filter(Boolean);
  const order = sorted();
  const index = order.indexOf(tensor);
  const step = (label, other) => make("button", { type: "button", disabled: !other, onclick: () => open(other.name) }, label);
  const heading = make("div", { class: "heading" },
    make("h2", { id: "details-title", tabindex: "-1" }, make("bdi", {}, visible(tensor.name))),
    make("span", { class: "pager" }, step("Previous", order[index - 1]), step("Next", index < 0 ? order[0] : order[index + 1])));
  const facts = [
    ["shape", shapeText(tensor.shape)], ["dtype", visible(tensor.dtype)], ["elements", number(tensor.size)],
    ["zeros", number(tensor.zeros)], ["not finite, left out", number(tensor.nonfinite)],
    ["largest magnitude", number(tensor.max)], ["kurtosis", number(tensor.kurtosis)],
  ];
  const keys = make("ul", { class: "keys", "aria-label": "Formats" }, ...rows.map((row) =>
    make("li", {}, swatch(styles.get(row.format)), formatName(row.format))));
  place.replaceChildren(heading,
    make("dl", { class: "facts" }, ...facts.map(([term, value]) => make("div", {}, make("dt", {}, term), make("dd", {}, value)))),
    keys, make("div", { class: "charts" }, make("figure", { id: "curves" }), make("figure", { id: "exponents" })),
    make("div", { class: "tables" }, ...tablesOf(tensor, rows)),
    make("h3", {}, "Every measure"), make("div", { class: "scroll" }, measures(rows)));
  drawDetails();
}

function drawDetails() {
  const tensor = byName.get(state.tensor);
  if (!tensor || !at("curves")) return;
  const rows = formats.map((format) => tensor.rows.get(format)).filter(Boolean);
  const name = visible(tensor.name);
  const width = Math.max(260, at("curves").clientWidth);
  const entry = (row, label) => make("span", {}, swatch(styles.get(row.format)), `${visible(row.format)} ${label}`);
  const several = rows.filter(chooses);
  const curves = curveChart(rows, styles, { width, height: width < 500 ? 270 : 340, name });
  at("curves").replaceChildren(make("h3", {}, "SQNR against the exponent bias"),
    make("figcaption", {}, "Marked: the chosen bias. Shaded: the plateau, within 0.1 dB of it. Dashed: formats of one bias."),
    probed(curves, several[0]?.bias ?? 0, (bias) => [make("b", {}, `bias ${signed(String(bias))}`), ...several.map((row) => {
      const point = curveOf(row).find((each) => each.bias === bias);
      return entry(row, point ? `${decibels(point.value)} dB` : "–");
    })]));
  const histogram = exponentChart(tensor, rows, styles, { width, height: 190, name });
  const { first, counts } = tensor.exponents;
  const finite = Math.max(1, tensor.size - tensor.nonfinite);
  at("exponents").replaceChildren(make("h3", {}, "Exponents of the elements, and each format’s window"),
    make("figcaption", {}, `Below: the exponents of normal numbers (thick) and of denormals (thin); ${plural(tensor.zeros, "zero")} not shown.`),
    probed(histogram, first + counts.length - 1, (exponent) => {
      const count = counts[exponent - first] ?? 0;
      const inside = rows.filter((row) => exponent <= row.window.highest && exponent >= row.window.smallest_normal);
      return [make("b", {}, `2^${signed(String(exponent))}`), `${plural(count, "element")} (${share(count / finite)})`,
        ...inside.map((row) => entry(row, "normal"))];
    }));
}

function share(value) {
  const percent = 100 * value;
  if (percent === 0) return "0 %";
  return percent < 0.005 ? "<0.01 %" : `${percent.toFixed(percent < 10 ? 2 : 1)} %`;
}

function cellText(key, row) {
  const value = row[key];
  if (key === "sqnr_db") return decibels(level(row), 2);
  if (value === null || value === undefined) return "–";
  if (key === "plateau") return value[0] === value[1] ? String(value[0]) : signed(`${value[0]}`) + ` to ${signed(String(value[1]))}`;
  if (SHARES.has(key)) return share(value);
  if (key === "codes_used") return `${number(value)} of ${number(row.codes)}`;
  if (key.endsWith("_db")) return decibels(value, 2);
  if (key === "cosine") return value.toFixed(6);
  if (typeof value === "number") return number(value);
  return visible(String(value));
}

function measures(rows) {
  const known = new Set(MEASURES.map(([key]) => key));
  const scalar = (value) => value === null || typeof value !== "object";
  // a later version's measures are shown by their own names
  const extra = [...new Set(rows.flatMap((row) => Object.keys(row).filter((key) => scalar(row[key]))))]
    .filter((key) => !known.has(key) && !INTERNAL.has(key));
  const lines = [];
  for (const [key, label] of [...MEASURES, ...extra.map((key) => [key, visible(key)])]) {
    if (key === "theory") {
      const kinds = [...new Set(rows.flatMap((row) => Object.keys(row.theory ?? {})))];
      for (const kind of kinds) lines.push([`theory, ${visible(kind)}, dB`, ...rows.map((row) => decibels(row.theory?.[kind] ?? null, 2))]);
    } else if (rows.some((row) => row[key] !== undefined)) {
      lines.push([label, ...rows.map((row) => cellText(key, row))]);
    }
  }
  return table(null, [["measure", "text pin"], ...rows.map((row) => [formatName(row.format, true)])], lines);
}

function tablesOf(tensor, rows) {
  const mine = (list) => (list ?? []).filter((each) => each.tensor === tensor.name);
  const block = (title, note, inner) => make("div", {}, make("h3", {}, title), make("div", { class: "scroll" }, inner),
    make("p", { class: "muted" }, note));
  const found = [];
  const schemes = mine(content.comparisons);
  if (schemes.length > 0) {
    const all = [
      ...rows.filter((row) => narrow(row.bits)).map((row) => ({ label: formatName(row.format), value: level(row), bits: row.bits, own: true })),
      ...schemes.map((each) => ({ label: visible(each.scheme), value: each.sqnr_db ?? NaN, bits: each.bits_per_element })),
    ].sort((a, b) => (Number.isNaN(a.value) - Number.isNaN(b.value)) || (a.value < b.value ? 1 : a.value > b.value ? -1 : 0));
    const top = Math.max(1, ...all.map((each) => each.value).filter(Number.isFinite));
    const bar = (each) => {
      const meter = make("span", { class: "meter" });
      const part = each.value === Infinity ? 1 : Math.max(0, each.value / top) || 0;
      meter.style.width = `${(100 * part).toFixed(1)}%`;
      return make("td", { class: `meter-cell${each.own ? " own" : ""}`, "aria-hidden": "true" }, meter);
    };
    found.push(block("Beside other formats", "Blue: the formats above, at one bias for the whole tensor. Others with the scales that their definitions have.",
      table(null, [["scheme", "text pin"], ["bits"], ["SQNR, dB"], [make("span", { "aria-hidden": "true" }, "")]],
        all.map((each) => [each.label, number(each.bits), decibels(each.value), bar(each)]))));
  }
  const grains = mine(content.granularity);
  if (grains.length > 0) {
    const kinds = [...new Set(grains.map((each) => each.granularity))];
    const lines = formats.filter((format) => grains.some((each) => each.format === format)).map((format) =>
      [make("span", {}, swatch(styles.get(format)), formatName(format)), ...kinds.map((kind) => {
        const grain = grains.find((each) => each.format === format && each.granularity === kind);
        if (!grain) return "–";
        const exact = grain.sqnr_db === null && tensor.rows.get(format)?.mse === 0;
        return make("td", {}, make("b", {}, decibels(exact ? Infinity : grain.sqnr_db, 2)), make("small", {}, plural(grain.biases, "bias").replace("biass", "biases")));
      })]);
    found.push(block("One bias, or several", "SQNR in dB with a bias for the tensor, for each channel, or for each block of elements.",
      table(null, [["format", "text pin"], ...kinds.map((kind) => [visible(kind)])], lines)));
  }
  const products = mine(content.matmul);
  if (products.length > 0) {
    found.push(block("In a matrix product", "SQNR in dB of the weights, of the product’s output, and what the weights’ errors predict for it.",
      table(null, [["format", "text pin"], ["weights"], ["output"], ["predicted"]], products.map((each) => [
        make("span", {}, styles.has(each.format) ? swatch(styles.get(each.format)) : "", formatName(each.format)),
        decibels(each.weight_sqnr_db, 2), decibels(each.output_sqnr_db, 2), decibels(each.predicted_db, 2)]))));
  }
  return found;
}

// --- the worst tensors, what was left out, and the legend --------------------------------------------------

const worst = tensors.filter((tensor) => !Number.isNaN(tensor.best)).sort((a, b) => (a.best === b.best ? 0 : a.best < b.best ? -1 : 1)).slice(0, 10);

function showWorst() {
  at("worst").hidden = worst.length === 0;
  const used = formats.filter((format) => narrow(bitsOf.get(format)));
  at("worst-note").textContent = `The ${worst.length === 1 ? "one" : worst.length} with the lowest SQNR in the best of the formats of ` +
    `${widths.some((bits) => bits <= 8) ? "8 bits or fewer" : `${widths[0]} bits`}: SQNR against the bias, then exponents with each format’s window.`;
  at("worst-list").before(make("ul", { class: "keys", "aria-label": "Formats" }, ...used.map((format) =>
    make("li", {}, swatch(styles.get(format)), formatName(format)))));
  at("worst-list").append(...worst.map((tensor) => {
    const rows = used.map((format) => tensor.rows.get(format)).filter(Boolean);
    const leader = rows.find((row) => level(row) === tensor.best);
    return make("article", { class: "tile" }, make("h3", {}, opener(tensor.name)),
      make("p", {}, `${decibels(tensor.best)} dB in ${visible(leader.format)}`), make("div", { class: "mini" }));
  }));
  drawWorst();
}

function drawWorst() {
  const used = formats.filter((format) => narrow(bitsOf.get(format)));
  [...at("worst-list").querySelectorAll(".mini")].forEach((place, index) => {
    const tensor = worst[index];
    const rows = used.map((format) => tensor.rows.get(format)).filter(Boolean);
    const width = Math.max(200, place.clientWidth);
    const options = { width, small: true, name: visible(tensor.name) };
    place.replaceChildren(curveChart(rows, styles, { ...options, height: 130 }).chart,
      exponentChart(tensor, rows, styles, { ...options, height: 76 }).chart);
  });
}

function showRest() {
  const skipped = Object.entries(content.skipped ?? {});
  at("skipped").hidden = skipped.length === 0;
  if (skipped.length > 0) {
    at("skipped-table").append(table(null, [["tensor", "text pin"], ["reason", "text"]],
      skipped.map(([name, reason]) => [make("bdi", {}, visible(name)), [visible(reason), "text wrap"]])));
  }
  const terms = [...MEASURES.map(([, label, meaning]) => [label, meaning]),
    ["kurtosis", "How heavy the tails of the distribution are: large where a few elements are far out."],
    ["window", WINDOW_NOTE],
    ["one bias, or several", "SQNR with one bias a tensor, one a channel (the first axis), or one for 32 consecutive elements."],
    ["matrix product", "SQNR of the rounded weights, of a product with them, and what is predicted for that product."]];
  at("legend-list").append(...terms.flatMap(([term, meaning]) => [make("dt", {}, term), make("dd", {}, meaning)]));
}

// --- state, in the address after # -------------------------------------------------------------------------

function set(changes) {
  Object.assign(state, changes);
  const kept = Object.entries(state).filter(([key, value]) => value !== "" && !(key === "page" && value === 1));
  try {
    history.replaceState(null, "", `#${new URLSearchParams(kept)}`);
  } catch {
    // a page that was opened from a place without an address
  }
}

function read() {
  const given = new URLSearchParams(location.hash.slice(1));
  if (location.hash.includes("=")) {
    for (const key of ["sort", "tensor", "filter", "theme"]) state[key] = given.get(key) ?? "";
    state.page = Number.parseInt(given.get("page"), 10) || 1;
  }
  if (!byName.has(state.tensor)) state.tensor = worst[0]?.name ?? tensors[0]?.name ?? "";
  at("filter").value = state.filter;
}

function showTheme() {
  const known = state.theme === "light" || state.theme === "dark";
  if (known) document.documentElement.dataset.theme = state.theme;
  else delete document.documentElement.dataset.theme;
  const dark = known ? state.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  at("theme").textContent = dark ? "Light" : "Dark";
  at("theme").setAttribute("aria-label", dark ? "Use light colours" : "Use dark colours");
  at("theme").dataset.next = dark ? "light" : "dark";
}

function start() {
  read();
  showTheme();
  showSummary();
  showHead();
  showRows();
  showDetails();
  showWorst();
  showRest();
  at("theme").addEventListener("click", () => {
    set({ theme: at("theme").dataset.next });
    showTheme();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showTheme);
  at("filter").addEventListener("input", (event) => {
    set({ filter: event.target.value, page: 1 });
    showRows();
  });
  for (const [id, step] of [["earlier", -1], ["later", 1]]) {
    at(id).addEventListener("click", () => {
      set({ page: state.page + step });
      showRows();
      at("tensor-table").scrollTop = 0;
    });
  }
  addEventListener("hashchange", () => {
    if (!location.hash.includes("=")) return;
    read();
    showTheme();
    showRows();
    showDetails();
  });
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return; // a phone's address bar moves
    width = innerWidth;
    drawDetails();
    drawWorst();
  });
  document.documentElement.dataset.ready = "true";
}

start();
