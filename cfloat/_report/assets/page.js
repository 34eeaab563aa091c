// The page of a report, or of several: state, tables, and the details of the tensor that is selected.

const CLOSE_DB = 0.1;
const FAR_DB = 3;
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
  ["output_db", "output, dB", "SQNR of the outputs of the tensor’s products, rounded to nearest at that bias, by the moments of their inputs."],
  ["compensated_db", "output, compensated, dB", "The same of the tensor rounded for its outputs, column by column, at the same bias."],
  ["codes_used", "codes used", "How many of the format’s codes occur in the tensor."],
  ["entropy", "entropy, bits", "Bits an element that the codes carry: the distance to the format’s width is what a lossless coder would save."],
  ["ieee_gain_db", "ieee gain, dB", "SQNR that IEEE 754’s evenly spaced denormals would add to the whitepaper’s reading, each at its best bias."],
  ["ieee_bias", "bias, ieee", "The bias of the least squared error with IEEE 754’s denormals."],
  ["ieee_sqnr_db", "SQNR, ieee, dB", "SQNR at that bias with IEEE 754’s denormals."],
  ["default_gain_db", "ieee gain, default bias, dB", "What IEEE 754’s denormals would add where both have the format’s default bias."],
  ["theory", "theory, dB", "SQNR that is expected of normal, uniform and Laplace distributed values of the format."],
];
const WINDOW_NOTE = "Exponents between the format’s smallest and largest magnitude at the chosen bias: thick for normal numbers, thin for denormals; an arrow where it goes on beyond the chart.";
const SHARES = new Set(["saturated", "underflowed", "subnormal"]);
// what is said elsewhere: of the tensor, in the heading, beside another measure, or in a chart
const ELSEWHERE = new Set(["tensor", "format", "bits", "codes", "curve", "window", "subnormals", "shape", "dtype", "size",
  "nonfinite", "gain_db"]);

const state = { report: 1, sort: "", tensor: "", filter: "", kind: "", page: 1, by: "", order: "", part: 1, near: "", theme: "" };
const FIRST = { ...state };

let reports = [];
let tensorTable, sideTable;
// of the report that is shown: what it says, and what follows from it
let content, formats, styles, bitsOf, widths, narrow, tensors, byName, worst, firstOf;

/** Show one of the reports. */
function choose(report) {
  ({ content, formats, styles, bitsOf, widths, narrow, tensors, byName, worst, firstOf } = report);
  if (!byName.has(state.tensor)) state.tensor = worst[0]?.name ?? tensors[0]?.name ?? "";
}

/** What the page is to know of a report besides what it says. */
function prepared(content) {
  const tensors = (content.tensors ?? []).map((tensor) => Object.assign(Object.create(tensor), { rows: new Map() }));
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const firstOf = new Map();
  for (const row of content.rows ?? []) {
    const { format } = row;
    if (!firstOf.has(format)) firstOf.set(format, row);
    byName.get(row.tensor)?.rows.set(format, row);
  }
  const formats = [...firstOf.keys()];
  const bitsOf = new Map([...firstOf].map(([format, row]) => [format, row.bits]));
  const widths = [...new Set(bitsOf.values())].sort((a, b) => a - b);
  const narrow = widths.some((bits) => bits <= 8) ? (bits) => bits <= 8 : (bits) => bits === widths[0];
  for (const tensor of tensors) {
    const levels = [...tensor.rows.values()].filter((row) => narrow(row.bits)).map(level);
    tensor.best = levels.length > 0 ? Math.max(...levels) : NaN;
    tensor.words = `${tensor.name} ${tensor.dtype}`.toLowerCase();
    // zeros and constants are exact in any format, or in none, and say nothing of one
    tensor.counts = tensor.signal !== 0 && !tensor.is_constant;
  }
  const worst = tensors.filter((tensor) => tensor.counts && !Number.isNaN(tensor.best))
    .sort((a, b) => (a.best === b.best ? 0 : a.best < b.best ? -1 : 1)).slice(0, 10);
  const styles = new Map(formats.map((format, index) => [format, index % SHAPES.length]));
  return { content, formats, styles, bitsOf, widths, narrow, tensors, byName, worst, firstOf, conclusion: content.conclusion ?? null };
}

/** The rows of a format, of the tensors that count. */
function counted(format) {
  return tensors.filter((tensor) => tensor.counts && tensor.rows.has(format)).map((tensor) => tensor.rows.get(format));
}

function opener(name) {
  return make("button", { type: "button", class: "plain", onclick: (event) => {
    event.stopPropagation();
    open(name);
  } }, nameOf(name));
}

// --- summary -----------------------------------------------------------------------------------------------

function showSummary() {
  const elements = tensors.reduce((sum, tensor) => sum + tensor.size, 0);
  const left = Object.keys(content.skipped ?? {}).length;
  const still = tensors.filter((tensor) => !tensor.counts).length;
  at("measured").textContent = `${plural(tensors.length, "tensor")} of ${plural(elements, "element")} in ${plural(formats.length, "format")}, each at its best ` +
    `exponent bias${left > 0 ? `; ${plural(left, "tensor")} left out` : ""}. cfloat\u00a0${visible(String(content.cfloat ?? ""))}`;
  at("still").textContent = still > 0 ? `${plural(still, "tensor")} of zeros, or of one value, not counted.` : "";
  const [least, most] = extent([0, 10, ...(content.rows ?? []).map(level).filter(Number.isFinite)]);
  const lines = formats.map((format) => {
    const rows = counted(format);
    const lossy = rows.filter((row) => level(row) !== Infinity);
    const low = lossy.reduce((lowest, row) => (lowest === null || level(row) < level(lowest) ? row : lowest), null);
    const exact = low === null && rows.length > 0;
    return [
      make("span", {}, swatch(styles.get(format)), formatName(format)),
      number(bitsOf.get(format)), [visible(String(firstOf.get(format).subnormals ?? "–")), "text"],
      number(rows.length), number(rows.length - lossy.length), exact ? "exact" : decibels(median(lossy.map(level))), exact ? "exact" : low ? decibels(level(low)) : "–",
      [low ? opener(low.tensor) : "–", "text wrap where"], make("td", { class: "text" }, strip(format, rows.map(level), [least, most])),
    ];
  });
  at("summary-table").replaceChildren(table(null, [
    ["format", "text pin"], ["bits"], ["denormals", "text"], ["tensors"], ["exact"], ["median of the rest, dB"], ["worst, dB"], ["worst tensor", "text"],
    [`every tensor, ${decibels(least, 0)} to ${decibels(most, 0)} dB`, "text"],
  ], lines));
  at("findings").replaceChildren();
  for (const bits of widths) showFindings(bits);
  showGains();
}

/** One tick a tensor, and a long one for the median. */
function strip(format, values, [low, high]) {
  const width = 240;
  const x = (value) => 3 + ((Math.min(high, Math.max(low, value)) - low) / (high - low)) * (width - 6);
  const middle = median(values);
  const chart = frame(width, 20, `SQNR of every tensor in ${visible(format)}`, `median ${decibels(middle)} dB`);
  chart.append(draw("path", { class: "grid-line", d: `M0,19.5H${width}` }));
  chart.append(draw("g", { class: `c${styles.get(format)}`, stroke: "currentColor" },
    draw("path", { d: [...new Set(values.map((value) => Math.round(2 * x(value))))].map((half) => `M${half / 2},7V17`).join(""), "stroke-opacity": 0.55, "stroke-width": 1.5 }),
    Number.isNaN(middle) ? "" : draw("path", { d: `M${x(middle).toFixed(1)},1V19`, "stroke-width": 3 })));
  return chart;
}

function showFindings(bits) {
  const group = formats.filter((format) => bitsOf.get(format) === bits);
  let pairs = group.flatMap((one, index) => group.slice(index + 1).map((other) => [one, other]));
  if (group.length > 4) {
    // too many to read: the one that is far behind on the fewest tensors, against each of the others
    const behind = new Map(group.map((format) => [format, 0]));
    for (const tensor of tensors.filter((each) => each.counts)) {
      const levels = group.map((format) => level(tensor.rows.get(format)));
      const best = Math.max(...levels.filter((each) => !Number.isNaN(each)));
      group.forEach((format, index) => behind.set(format, behind.get(format) + (best - levels[index] > FAR_DB)));
    }
    const leader = group.reduce((best, format) => (behind.get(format) < behind.get(best) ? format : best));
    pairs = group.filter((format) => format !== leader).map((format) => [leader, format]);
  }
  const sentences = pairs.map(([one, other]) => compared(one, other)).filter(Boolean);
  if (sentences.length > 0) {
    at("findings").append(make("div", {}, make("h3", {}, `Formats of ${bits} bits`), make("ul", {}, ...sentences)));
  }
}

/** Say which of two formats is the better one: by how many tensors lose far more in the other, and the most that any does. */
function compared(one, other) {
  const gains = tensors.filter((tensor) => tensor.counts && tensor.rows.has(one) && tensor.rows.has(other)).map((tensor) => {
    const [first, second] = [one, other].map((format) => level(tensor.rows.get(format)));
    return { name: tensor.name, gain: first === second ? 0 : first - second };
  });
  if (gains.length === 0) return null;
  /** What one of the two gains, by sign, on the other. */
  const side = (sign) => ({ wins: gains.filter(({ gain }) => sign * gain > CLOSE_DB).length, far: gains.filter(({ gain }) => sign * gain > FAR_DB).length,
    most: gains.reduce((top, each) => (sign * each.gain > sign * top.gain ? each : top)) });
  const strong = (format) => make("strong", {}, formatName(format));
  const most = (found) => [opener(found.most.name), Number.isFinite(found.most.gain) ? ` (${decibels(Math.abs(found.most.gain))} dB)` : " (which the other has exactly)"];
  const of = ` of ${plural(gains.length, "tensor")}`;
  const loses = (found) => [` loses more than ${FAR_DB} dB on ${number(found.far)}${of}, most on `, ...most(found)];
  const [ahead, behind] = [side(1), side(-1)];
  if (ahead.far > 0 && behind.far > 0) {
    return make("li", {}, strong(one), " or ", strong(other), ", tensor by tensor: ", formatName(other), ...loses(ahead), "; ", formatName(one), ...loses(behind), ".");
  }
  if (ahead.far > 0 || behind.far > 0) {
    const [first, second, found] = ahead.far > 0 ? [one, other, ahead] : [other, one, behind];
    return make("li", {}, "Prefer ", strong(first), " to ", strong(second), ": the latter", ...loses(found), ", the former on none.");
  }
  const [first, second, found] = ahead.wins >= behind.wins ? [one, other, ahead] : [other, one, behind];
  if (found.wins === 0) {
    return make("li", {}, strong(first), " and ", strong(second), `: equal within ${CLOSE_DB} dB on ${gains.length === 1 ? "the one tensor" : `all ${plural(gains.length, "tensor")}`}.`);
  }
  return make("li", {}, "Little between ", strong(first), " and ", strong(second), `: neither loses more than ${FAR_DB} dB on any tensor; the former is better on ${number(found.wins)}${of}, most on `,
    ...most(found), ".");
}

/** What finer biases add, by format. */
function showGains() {
  const whole = new Map(formats.map((format) => [format, new Map()]));
  for (const each of content.granularity ?? []) {
    if (each.granularity === "tensor") whole.get(each.format)?.set(each.tensor, each.sqnr_db);
  }
  const gains = new Map(formats.map((format) => [format, new Map()]));
  for (const { format, granularity, tensor, sqnr_db: db } of content.granularity ?? []) {
    if (granularity === "tensor" || db === null) continue;
    const base = whole.get(format)?.get(tensor);
    if (base === null || base === undefined) continue;
    const own = gains.get(format);
    if (!own.has(granularity)) own.set(granularity, []);
    own.get(granularity).push(db - base);
  }
  const lines = formats.flatMap((format) => {
    const parts = [...gains.get(format)].map(([granularity, values]) => {
      const middle = median(values);
      return `${middle >= 0 ? "+" : ""}${decibels(middle, 2)} dB by one for each ${visible(granularity)} (${plural(values.length, "tensor")})`;
    });
    return parts.length > 0 ? [make("li", {}, make("strong", {}, formatName(format)), `: ${parts.join(", ")}.`)] : [];
  });
  if (lines.length > 0) {
    at("findings").append(make("div", {}, make("h3", {}, "What more biases add, median"), make("ul", {}, ...lines)));
  }
}

// --- the table of tensors ----------------------------------------------------------------------------------

function kindsOf(list) {
  return [...new Set(list.map((tensor) => tensor.kind).filter((kind) => typeof kind === "string"))].sort();
}

const columns = () => [
  { key: "name", label: () => "tensor", kind: "pin name", value: (tensor) => tensor.name, down: false },
  { key: "kind", label: () => "kind", kind: "text", value: (tensor) => tensor.kind ?? "", down: false },
  { key: "dtype", label: () => "dtype", kind: "text", value: (tensor) => tensor.dtype, down: false },
  { key: "size", label: () => "size", kind: "", value: (tensor) => tensor.size, down: true },
  ...formats.map((format) => ({ key: `sqnr:${format}`, label: () => formatName(format, true), kind: "", value: (tensor) => level(tensor.rows.get(format)), down: false })),
];

/** Whether a tensor is of the kind, and has the words in its name or dtype, that are asked for. */
function wanted() {
  const words = state.filter.toLowerCase().split(/\s+/).filter(Boolean);
  return (tensor) => (state.kind === "" || tensor.kind === state.kind) && words.every((word) => tensor.words.includes(word));
}

function showKinds() {
  const kinds = kindsOf(reports.flatMap((report) => report.tensors));
  if (!kinds.includes(state.kind)) state.kind = "";
  at("kind").parentElement.hidden = kinds.length === 0;
  at("kind").replaceChildren(make("option", { value: "" }, "all kinds"),
    ...kinds.map((kind) => make("option", { value: kind }, `${visible(kind)} (${number(tensors.filter((tensor) => tensor.kind === kind).length)})`)));
  at("kind").value = state.kind;
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
    make("th", { scope: "row", class: "pin name" }, opener(tensor.name)), make("td", { class: "text" }, visible(tensor.kind ?? "–")),
    make("td", { class: "text" }, visible(tensor.dtype)), make("td", {}, number(tensor.size)), ...cells);
}

// --- the details of a tensor -------------------------------------------------------------------------------

function open(name) {
  set({ tensor: name });
  showDetails();
  tensorTable.show();
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
  const order = tensorTable.sorted();
  const index = order.indexOf(tensor);
  const step = (label, other) => make("button", { type: "button", disabled: !other, onclick: () => open(other.name) }, label);
  const heading = make("div", { class: "heading" },
    make("h2", { id: "details-title", tabindex: "-1" }, nameOf(tensor.name)),
    make("span", { class: "pager" }, step("Previous", order[index - 1]), step("Next", index < 0 ? order[0] : order[index + 1])));
  const facts = [
    ...(tensor.kind ? [["kind", visible(tensor.kind)]] : []),
    ["shape", shapeText(tensor.shape)], ["dtype", visible(tensor.dtype)], ["elements", number(tensor.size)],
    ["zeros", number(tensor.zeros)], ["not finite, left out", number(tensor.nonfinite)],
    ["largest magnitude", number(tensor.max)], ["kurtosis", number(tensor.kurtosis)],
    ...(typeof tensor.signal === "number" ? [["root mean square", number(Math.sqrt(tensor.signal / Math.max(1, tensor.size - tensor.nonfinite)))]] : []),
    ...(tensor.is_constant ? [["elements are", "all equal"]] : []),
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

function wordsOf(key) {
  return visible(key.replace(/_db$/, ", dB").replaceAll("_", " "));
}

function measures(rows) {
  const known = new Set(MEASURES.map(([key]) => key));
  const scalar = (value) => value === null || typeof value !== "object";
  // a later version's measures are shown by the words of their own names
  const extra = [...new Set(rows.flatMap((row) => figuresOf(row).filter((key) => scalar(row[key]))))]
    .filter((key) => !known.has(key) && !ELSEWHERE.has(key));
  const lines = [];
  for (const [key, label] of [...MEASURES, ...extra.map((key) => [key, wordsOf(key)])]) {
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
  const mine = (list) => (content[list] ?? []).filter((each) => each.tensor === tensor.name);
  const block = (title, note, inner) => make("div", {}, make("h3", {}, title), make("div", { class: "scroll" }, inner),
    make("p", { class: "muted" }, note));
  const found = [];
  const schemes = mine("comparisons");
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
  const grains = mine("granularity");
  if (grains.length > 0) {
    const sized = grains.some((each) => typeof each.nbytes === "number");
    const lines = formats.flatMap((format) => grains.filter((each) => each.format === format)).map((each) => {
      const exact = each.sqnr_db === null && tensor.rows.get(each.format)?.mse === 0;
      const range = each.lowest === each.highest ? number(each.lowest) : signed(`${each.lowest} to ${each.highest}`);
      return [make("span", {}, swatch(styles.get(each.format)), formatName(each.format)), [visible(each.granularity), "text"],
        make("b", {}, decibels(exact ? Infinity : each.sqnr_db, 2)), number(each.biases), range, number(each.median),
        ...(sized ? [number(each.bits_per_element), bytesText(each.nbytes)] : [])];
    });
    found.push(block("One bias, or several", "With the bias of the least squared error for the tensor, for each channel, or for each block of elements.",
      table(null, [["format", "text pin"], ["a bias for each", "text"], ["SQNR, dB"], ["biases"], ["of them"], ["median"],
        ...(sized ? [["bits an element"], ["size"]] : [])], lines)));
  }
  const products = mine("matmul");
  if (products.length > 0) {
    found.push(block("In a matrix product", "SQNR in dB of the weights, of what goes in, of what comes out, and what the errors of both predict for it.",
      table(null, [["format", "text pin"], ["weights"], ["inputs"], ["output"], ["predicted"]], products.map((each) => [
        make("span", {}, styles.has(each.format) ? swatch(styles.get(each.format)) : "", formatName(each.format)),
        decibels(each.weight_sqnr_db, 2), decibels(each.input_sqnr_db, 2), decibels(each.output_sqnr_db, 2), decibels(each.predicted_db, 2)]))));
  }
  return found;
}

// --- the worst tensors, what was left out, and the legend --------------------------------------------------

function showWorst() {
  at("worst").hidden = worst.length === 0;
  const used = formats.filter((format) => narrow(bitsOf.get(format)));
  at("worst-note").textContent = `The ${worst.length === 1 ? "one" : worst.length} with the lowest SQNR in the best of the formats of ` +
    `${widths.some((bits) => bits <= 8) ? "8 bits or fewer" : `${widths[0]} bits`}: SQNR against the bias, then exponents with each format’s window.`;
  at("worst-keys").replaceChildren(...used.map((format) => make("li", {}, swatch(styles.get(format)), formatName(format))));
  at("worst-list").replaceChildren(...worst.map((tensor) => {
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
    at("skipped-table").replaceChildren(table(null, [["tensor", "text pin"], ["reason", "text"]],
      skipped.map(([name, reason]) => [nameOf(name), [visible(reason), "text wrap"]])));
  }
  const terms = [...MEASURES.map(([, label, meaning]) => [label, meaning]),
    ["kurtosis", "How heavy the tails of the distribution are: large where a few elements are far out."],
    ["window", WINDOW_NOTE],
    ["one bias, or several", "SQNR with one bias a tensor, one a channel (the first axis), or one for 32 consecutive elements."],
    ["matrix product", "SQNR of the rounded weights, of a product with them, and what is predicted for that product."]];
  at("legend-list").replaceChildren(...terms.flatMap(([term, meaning]) => [make("dt", {}, term), make("dd", {}, meaning)]));
}

// --- state, in the address after # -------------------------------------------------------------------------

function read() {
  readState();
  state.report = Math.min(reports.length, Math.max(1, state.report));
  choose(reports[state.report - 1]);
  at("filter").value = at("side-filter").value = state.filter;
}

/** Show another of the reports. */
function show(report) {
  set({ report, sort: "", page: 1 });
  choose(reports[report - 1]);
  showAll();
}

function showAll() {
  showCompare();
  showConclusion(reports[state.report - 1]);
  showSummary();
  showKinds();
  tensorTable.show();
  showDetails();
  showWorst();
  showRest();
}

function showFiltered() {
  tensorTable.show();
  if (reports.length > 1) sideTable.show();
}

async function start() {
  reports = (await unpacked()).map(prepared);
  tensorTable = new LongTable({ prefix: "tensor", columns, line: tensorRow, open, rows: () => tensors.filter(wanted()), state: () => state, changed: set });
  const own = { sort: "order", page: "part" };
  sideTable = new LongTable({ prefix: "side", columns: sideColumns, line: sideLine, rows: () => sideRows().filter(wanted()),
    state: () => ({ sort: state.order, page: state.part }),
    changed: (changes) => set(Object.fromEntries(Object.entries(changes).map(([key, value]) => [own[key], value]))) });
  read();
  showTheme();
  showAll();
  listenToTheme();
  for (const id of ["filter", "side-filter"]) {
    at(id).addEventListener("input", (event) => {
      set({ filter: event.target.value, page: 1, part: 1 });
      at(id === "filter" ? "side-filter" : "filter").value = state.filter;
      showFiltered();
    });
  }
  at("kind").addEventListener("change", (event) => {
    set({ kind: event.target.value, page: 1, part: 1 });
    showFiltered();
  });
  at("by").addEventListener("change", (event) => {
    set({ by: event.target.value, part: 1 });
    sideTable.show();
  });
  addEventListener("hashchange", () => {
    if (!location.hash.includes("=")) return;
    read();
    showTheme();
    showAll();
  });
  listenToWidth(() => {
    drawFrontier(reports[state.report - 1]);
    drawCompared();
    drawDetails();
    drawWorst();
  });
}

begin(start);
