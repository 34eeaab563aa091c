// The page of a plan: what it costs, the curve that it is on, and what each tensor becomes.

const state = { sort: "", filter: "", kind: "", page: 1, theme: "" };
const FIRST = { ...state };

let plan, tensorTable;

const becomes = (tensor) => `${tensor.format}${tensor.granularity ? `, ${tensor.granularity}` : ""}`;

function becomesText(tensor) {
  return visible(tensor.format) + (tensor.granularity ? `, ${biasesText(tensor.granularity, plan.export ? "scale" : "bias")}` : "");
}

function showPlan() {
  at("plan-title").textContent = titleOfPaths([plan.source]);
  at("measured").textContent = `${plural(plan.tensors.length, "tensor")} of floating-point numbers, ` +
    `${plural(plan.tensors.reduce((sum, tensor) => sum + tensor.size, 0), "element")}. cfloat\u00a0${visible(String(plan.cfloat ?? ""))}`;
  at("asked").textContent = `${plan.gap_unit === "dB" ? "Least error" : "Fewest bytes"} for: ${visible(plan.bound)}; ${gapText()}`;
  const facts = [["weighted by elements", plan.weighted_db, null], ["worst tensor", plan.worst_db, plan.worst || null]];
  at("answer").replaceChildren(sizes(plan.nbytes_before, plan.nbytes), make("dl", { class: "facts" }, ...facts.map(([term, value, name]) =>
    make("div", {}, make("dt", {}, term), make("dd", {}, make("b", {}, lossInDb(value))),
      name === null ? null : make("dd", { class: "note" }, nameOf(name))))));
  at("commands").replaceChildren(...(plan.command ? [make("h3", {}, "To run"), command(plan.command)] : []));
  const kinds = new Map();
  for (const tensor of plan.tensors) {
    if (!kinds.has(becomes(tensor))) kinds.set(becomes(tensor), []);
    kinds.get(becomes(tensor)).push(tensor);
  }
  const sum = (list, key) => list.reduce((total, tensor) => total + tensor[key], 0);
  const lines = [...kinds.values()].sort((a, b) => sum(b, "nbytes") - sum(a, "nbytes"));
  at("choices").replaceChildren(table(null, [["becomes", "text pin"], ["tensors"], ["elements"], ["bytes before"], ["bytes"], ["worst, dB"]],
    lines.map((list) => [becomesText(list[0]), number(list.length), number(sum(list, "size")), bytesText(sum(list, "nbytes_before")), bytesText(sum(list, "nbytes")),
      lossText(list.reduce((low, tensor) => (tensor.db === null ? low : low === null ? tensor.db : Math.min(low, tensor.db)), null))])));
  at("kind").replaceChildren(make("option", { value: "" }, "anything"), ...lines.map((list) =>
    make("option", { value: becomes(list[0]) }, `${becomesText(list[0])} (${number(list.length)})`)));
  const reasons = new Map();
  for (const tensor of plan.tensors) if (tensor.reason) reasons.set(tensor.reason, (reasons.get(tensor.reason) ?? 0) + 1);
  const exported = plan.export ? [make("p", {}, `An export, ${visible(plan.export)}: linear layers ${visible(plan.exported_by)}.`)] : [];
  const said = (plan.said ?? []).map((line) => make("p", {}, visible(line)));
  at("remarks").replaceChildren(...said, ...exported, ...[...reasons].map(([reason, count]) => make("p", {}, `Unchanged: ${plural(count, "tensor")}, ${visible(reason)}.`)));
  drawPlan();
}

function gapText() {
  if (!plan.gap) return "nothing is better.";
  if (plan.gap_unit === "dB") return `at most ${number(plan.gap, 1)} dB below the optimum.`;
  return `at most ${number(Math.round(plan.gap))} bytes above the optimum.`;
}

function drawPlan() {
  const width = Math.max(260, at("frontier").clientWidth);
  const series = [{ ...plansOf(plan.curve, plan, plan.nbytes_before, { mark: "this plan", style: 0, below: true }), label: "best plans" }];
  at("frontier").replaceChildren(make("h3", {}, "Bytes against error"), frontierChart(series, { width, height: width < 500 ? 280 : 340,
    xText: bytesText, xTitle: "bytes of all tensors", name: `Bytes against error of plans for ${titleOfPaths([plan.source])}` }), seriesKeys(series));
}

const columns = () => [
  { key: "name", label: () => "tensor", kind: "pin name", value: (tensor) => tensor.name, down: false },
  { key: "dtype", label: () => "dtype", kind: "text", value: (tensor) => tensor.dtype, down: false },
  { key: "size", label: () => "shape", kind: "text", value: (tensor) => tensor.size, down: true },
  { key: "becomes", label: () => "becomes", kind: "text", value: becomes, down: false },
  { key: "db", label: () => "SQNR, dB", kind: "", value: (tensor) => tensor.db ?? Infinity, down: false },
  { key: "before", label: () => "bytes before", kind: "", value: (tensor) => tensor.nbytes_before, down: true },
  { key: "bytes", label: () => "bytes", kind: "", value: (tensor) => tensor.nbytes, down: true },
];

function planLine(tensor) {
  return make("tr", {}, make("th", { scope: "row", class: "pin name" }, nameOf(tensor.name)), make("td", { class: "text" }, visible(tensor.dtype)),
    make("td", { class: "text" }, shapeText(tensor.shape)),
    make("td", { class: "text" }, becomesText(tensor), tensor.reason ? make("small", {}, visible(tensor.reason)) : null),
    make("td", {}, make("b", {}, lossText(tensor.db)), (tensor.measure ?? "sqnr") === "sqnr" ? null : make("small", {}, visible(tensor.measure))),
    make("td", {}, number(tensor.nbytes_before)), make("td", {}, number(tensor.nbytes)));
}

function wanted() {
  const words = state.filter.toLowerCase().split(/\s+/).filter(Boolean);
  return plan.tensors.filter((tensor) => (state.kind === "" || becomes(tensor) === state.kind) &&
    words.every((word) => `${tensor.name} ${tensor.dtype}`.toLowerCase().includes(word)));
}

function showAll() {
  readState();
  showTheme();
  showPlan();
  at("kind").value = state.kind;
  at("filter").value = state.filter;
  tensorTable.show();
}

async function start() {
  [plan] = await unpacked();
  for (const tensor of plan.tensors) tensor.size = tensor.shape.reduce((product, length) => product * length, 1);
  tensorTable = new LongTable({ prefix: "tensor", columns, line: planLine, rows: wanted, state: () => state, changed: set });
  showAll();
  listenToTheme();
  for (const [id, event] of [["filter", "input"], ["kind", "change"]]) {
    at(id).addEventListener(event, () => {
      set({ filter: at("filter").value, kind: at("kind").value, page: 1 });
      tensorTable.show();
    });
  }
  addEventListener("hashchange", () => { if (location.hash.includes("=")) showAll(); });
  listenToWidth(drawPlan);
}

begin(start);
