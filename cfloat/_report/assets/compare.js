// Several reports side by side: a line each, one chart, and a table of the tensors of all.

const letterOf = (index) => (index < 26 ? String.fromCharCode(65 + index) : String(index + 1));

function showCompare() {
  const several = reports.length > 1;
  at("compare").hidden = !several;
  at("compare-link").hidden = !several;
  if (!several) return;
  const lines = reports.map((report, index) => {
    const chosen = report.conclusion?.recommended;
    const before = bytesBefore(report);
    const isShown = state.report === index + 1;
    return [make("span", {}, swatch(index % SHAPES.length), make("b", {}, `${letterOf(index)} `), make("bdi", {}, titleOf(report))),
      [chosen ? configText(chosen) : "–", "text wrap"], bytesText(before), bytesText(chosen?.nbytes), shareOf(chosen?.nbytes, before),
      lossText(chosen?.weighted_db), lossText(chosen?.worst_db), [where(chosen?.worst, isShown), "text wrap where"],
      make("button", { type: "button", "aria-pressed": String(isShown), onclick: () => show(index + 1) }, isShown ? "Shown below" : "Show")];
  });
  at("compare-table").replaceChildren(table(null, [["report", "text pin"], ["recommended", "text"], ["before"], ["after"], ["of before"],
    ["weighted, dB"], ["worst, dB"], ["worst tensor", "text"], ["details"]], lines));
  drawCompared();
  const names = [...new Set(reports.flatMap((report) => report.formats))];
  if (!names.includes(state.by)) state.by = names[0] ?? "";
  at("by").replaceChildren(...names.map((name) => make("option", { value: name }, visible(name))));
  at("by").value = state.by;
  sideTable.show();
}

function drawCompared() {
  if (reports.length < 2) return;
  const width = Math.max(260, at("compared").clientWidth);
  const series = reports.flatMap((report, index) => {
    if (!report.conclusion) return [];
    const before = bytesBefore(report);
    const label = `${letterOf(index)} ${titleOf(report)}`;
    // models of any size in one chart: by shares of their own bytes
    const shared = (points) => points.map((point) => ({ ...point, x: point.x / before, mark: null,
      tell: () => [make("b", {}, letterOf(index)), ...point.tell()] }));
    const style = index % SHAPES.length;
    return [
      { label, style, points: shared(seriesOf(report, before).filter((each) => each.linked).flatMap((each) => each.points)) },
      { label: `${label}, best plans`, style, joined: true, points: shared(plansOf(report.conclusion.curve, report.conclusion.plan, before).points) },
    ];
  });
  at("compared").replaceChildren(make("h3", {}, "Bytes against error"), frontierChart(series, { width, height: width < 500 ? 280 : 340,
    xText: (value) => `${Number(value.toPrecision(3))}×`, xTitle: "bytes, of those before", name: "Bytes against error of every report" }), seriesKeys(series));
}

/** The tensors of all reports: each name once, with what each report has of it. */
function sideRows() {
  const found = new Map();
  reports.forEach((report, index) => {
    for (const tensor of report.tensors) {
      if (!found.has(tensor.name)) found.set(tensor.name, { name: tensor.name, words: tensor.words, kind: tensor.kind, size: tensor.size, tensors: [] });
      found.get(tensor.name).tensors[index] = tensor;
    }
  });
  return [...found.values()];
}

const sideLevel = (row, index) => level(row.tensors[index]?.rows.get(state.by));

/** How far apart reports are on a tensor: the second less the first, or the range of more. */
function apart(row) {
  const levels = reports.map((_, index) => sideLevel(row, index));
  const known = levels.filter(Number.isFinite);
  if (known.length < 2) return NaN;
  if (reports.length === 2) return levels[1] - levels[0];
  const [low, high] = extent(known);
  return high - low;
}

function gainText(value) {
  return Number.isNaN(value) ? "–" : `${value >= 0.05 ? "+" : ""}${decibels(value)}`;
}

const sideColumns = () => [
  { key: "name", label: () => "tensor", kind: "pin name", value: (row) => row.name, down: false },
  { key: "size", label: () => "size", kind: "", value: (row) => row.size, down: true },
  ...reports.map((_, index) => ({ key: letterOf(index), label: () => `${letterOf(index)}, dB`, kind: "", value: (row) => sideLevel(row, index), down: false })),
  { key: "apart", label: () => (reports.length === 2 ? "B less A, dB" : "range, dB"), kind: "", value: (row) => Math.abs(apart(row)), down: true },
];

function sideLine(row) {
  return make("tr", {}, make("th", { scope: "row", class: "pin name" }, nameOf(row.name)), make("td", {}, number(row.size)),
    ...reports.map((_, index) => make("td", {}, decibels(sideLevel(row, index)))), make("td", {}, make("b", {}, gainText(apart(row)))));
}
