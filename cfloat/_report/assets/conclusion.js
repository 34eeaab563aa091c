// What to do, on one screen: the configuration that is recommended, what is beside it, and the commands to run.

function bytesBefore({ conclusion }) {
  return conclusion?.recommended?.nbytes_before ?? conclusion?.model.nbytes;
}

function configText(config) {
  return `${visible(config.format)}, ${biasesText(config.granularity)}`;
}

/** A tensor's name, which opens its details if there are any. */
function where(name, opens = true) {
  if (!name) return "–";
  return opens && byName.has(name) ? opener(name) : nameOf(name);
}

function countText(count) {
  const [size, word] = [[1e9, "billion"], [1e6, "million"]].find(([least]) => count >= least) ?? [1, ""];
  return size === 1 ? count.toLocaleString("en") : `${Number((count / size).toPrecision(3))} ${word}`;
}

function dtypesText(dtypes) {
  if (Array.isArray(dtypes)) return dtypes.map((each) => visible(String(each))).join(", ");
  const found = Object.entries(dtypes ?? {});
  return found.map(([name, count]) => visible(name) + (found.length > 1 ? ` (${number(count)})` : "")).join(", ");
}

function showConclusion(report) {
  const { conclusion } = report;
  at("conclusion").hidden = !conclusion;
  if (!conclusion) return;
  const { model, recommended, bound_db: bound, commands } = conclusion;
  const before = bytesBefore(report);
  at("conclusion-title").textContent = titleOf(report);
  at("model").textContent = [plural(model.tensors, "tensor"), `${countText(model.parameters)} parameters`, bytesText(model.nbytes),
    dtypesText(model.dtypes), conclusion.sampled === undefined ? ""
      : `a sample: ${number(conclusion.sampled)} of ${number(conclusion.measured)} elements; ± is with 95 % confidence, ? where maxima count`,
  ].filter(Boolean).join(" · ");
  at("answer").replaceChildren(...(recommended ? answer(recommended, bound, before)
    : [make("p", {}, `The same for every tensor, nothing has a weighted SQNR of ${number(bound)} dB.`)]));
  at("choices").replaceChildren(choices(conclusion, before));
  at("remarks").replaceChildren(...remarks(conclusion));
  at("commands").replaceChildren(...((commands ?? []).length > 0 ? [make("h3", {}, "To run"), ...commands.map(command)] : []));
  at("everything").replaceChildren(everything(conclusion, before));
  drawFrontier(report);
}

function answer(config, bound, before) {
  const facts = [
    ["weighted by elements", config.weighted_db, make("dd", { class: "muted note" }, `at least ${number(bound)} dB was asked for`)],
    ["by energy", config.energy_db, null],
    ["median tensor", config.median_db, null],
    ["worst tensor", config.worst_db, config.worst ? make("dd", { class: "note" }, where(config.worst)) : null],
    ["lose over 3 dB", null, make("dd", { class: "muted note" }, "against others of as many bits")],
  ];
  return [
    make("p", { class: "muted" }, "Recommended, the same for every tensor:"),
    make("p", { class: "choice" }, make("strong", {}, formatName(config.format)), `, ${biasesText(config.granularity)}`),
    sizes(before, config.nbytes),
    make("dl", { class: "facts" }, ...facts.map(([term, value, note]) => make("div", {}, make("dt", {}, term), make("dd", {}, make("b", {},
      term === "lose over 3 dB" ? plural(config.over_3db, "tensor") : lossInDb(value), term === "weighted by elements" ? offText(config) : "")), note))),
  ];
}

/** The recommended configuration between its neighbours, the plan, and what everybody uses. */
function choices({ recommended, cheaper, better, plan, schemes }, before) {
  const usual = (schemes ?? []).filter((each) => each.headline);
  const lines = [
    ...[["next cheaper", cheaper], ["recommended", recommended], ["next better", better]].filter(([, each]) => each)
      .map(([role, each]) => [role, configText(each), each]),
    ...(plan ? [["plan", "a format and biases of its own for each tensor", plan]] : []),
    ...usual.map((each) => ["beside", visible(each.scheme), each]),
  ];
  if (recommended && !cheaper) lines.unshift(["next cheaper", "nothing takes fewer bytes", null]);
  if (recommended && !better) lines.splice(2, 0, ["next better", "nothing that takes fewer bytes than now", null]);
  const made = table(null, [["what", "text pin"], ["bytes"], ["of before"], ["weighted, dB"], ["worst, dB"], ["worst tensor", "text"]],
    lines.map(([role, label, found]) => [found ?? {}, make("span", {}, make("span", { class: "role" }, role), label)])
      .map(([each, what]) => [what, bytesText(each.nbytes), shareOf(each.nbytes, before), make("b", {}, lossText(each.weighted_db), offText(each)), lossText(each.worst_db),
        [where(each.worst), "text wrap where"]]));
  const place = lines.findIndex(([role]) => role === "recommended");
  if (place >= 0) made.tBodies[0].rows[place].className = "chosen-row";
  return made;
}

/** What is to be known besides, in sentences. */
function remarks({ left_out: left, integers, denormals, refusal, schemes, recommended, cheaper }) {
  const said = [];
  if (refusal) said.push(["cfloat convert refuses it: ", visible(refusal)]);
  for (const [reason, names] of Object.entries(left ?? {})) {
    said.push([`Left out: ${plural(names.length, "tensor")}, ${visible(reason)}${names.length <= 3 ? ": " : "."}`,
      ...(names.length <= 3 ? names.flatMap((name, index) => [index > 0 ? ", " : "", where(name)]) : [])]);
  }
  if (integers && integers.tensors > 0) {
    const all = (schemes ?? []).find((each) => each.scheme === integers.scheme);
    const chosen = recommended ?? cheaper;
    const levels = all && chosen ? ` (weighted ${lossInDb(all.weighted_db)}, ${configText(chosen)} ${lossInDb(chosen.weighted_db)})` : "";
    said.push([`${visible(integers.scheme.split(",")[0])} with one scale a tensor has less error than every float of 8 bits on ${number(integers.wins)} of ${plural(integers.tensors, "tensor")}${levels}.`,
      integers.wins > 0 ? " That holds for weights that are spread evenly; floats are for what has outliers, as activations and gradients have, and for hardware that multiplies floats." : ""]);
  }
  if (denormals) {
    const most = (value, name) => [`${decibels(value, 2)} dB`, ...(name ? [" (", where(name), ")"] : [])];
    said.push([`The whitepaper’s denormals cost ${visible(denormals.format)}: at the best biases ${decibels(denormals.weighted_db, 2)} dB weighted, `,
      ...most(denormals.best_db, denormals.best), " at most, at the default bias up to ", ...most(denormals.default_db, denormals.default),
      denormals.exact_with_ieee > 0 ? `; ${plural(denormals.exact_with_ieee, "tensor")} would be exact with ieee ones.` : "."]);
  }
  return said.map((parts) => make("p", {}, ...parts));
}

function everything({ configurations, schemes }, before) {
  const all = [...(configurations ?? []).map((each) => [make("span", {}, styles.has(each.format) ? swatch(styles.get(each.format)) : "", configText(each)), each]),
    ...(schemes ?? []).map((each) => [visible(each.scheme), each])];
  return make("details", {}, make("summary", {}, `All ${plural((configurations ?? []).length, "configuration")} and ${plural((schemes ?? []).length, "other scheme")}`),
    make("div", { class: "scroll" }, table(null, [["configuration", "text pin"], ["bytes"], ["of before"], ["weighted, dB"], ["by energy, dB"], ["median, dB"],
      ["worst, dB"], ["worst tensor", "text"], ["lose over 3 dB"]], all.map(([label, each]) => [label, bytesText(each.nbytes), shareOf(each.nbytes, before),
      lossText(each.weighted_db), lossText(each.energy_db), lossText(each.median_db), lossText(each.worst_db), [where(each.worst), "text wrap where"],
      number(each.over_3db ?? null)]))));
}

// --- the chart ------------------------------------------------------------------------------------------------

/** The series of a report's chart: a format each, other schemes, and the plans. */
function seriesOf({ conclusion, styles }, before) {
  const { configurations, schemes, curve, plan, recommended } = conclusion;
  const isChosen = (each) => recommended && each.format === recommended.format && each.granularity === recommended.granularity;
  const point = (label, each, mark = null) => ({ x: each.nbytes, db: each.weighted_db, label, mark, below: true, tell: () => tellOf(label, each, before) });
  const kinds = [...new Set((configurations ?? []).map((each) => each.format))];
  const series = kinds.map((format, index) => ({ label: format, linked: true, style: styles.get(format) ?? (styles.size + index) % SHAPES.length,
    points: configurations.filter((each) => each.format === format).map((each) => point(configText(each), each, isChosen(each) ? "recommended" : null)) }));
  const same = plan && recommended && plan.nbytes === recommended.nbytes && plan.weighted_db === recommended.weighted_db;
  series.push({ label: "other schemes", style: null, points: (schemes ?? []).map((each) => point(visible(each.scheme), each)) },
    plansOf(curve, plan, before, { mark: same ? null : "plan" }));
  return series;
}

function drawFrontier(report) {
  if (!report.conclusion) return;
  const place = at("frontier");
  const before = bytesBefore(report);
  const width = Math.max(260, place.clientWidth);
  const series = seriesOf(report, before);
  const few = (report.conclusion.recommended?.nbytes ?? before) * 1.25;
  const far = series.some((each) => each.points.some((point) => point.x > few));
  const near = state.near === "yes" && far;
  place.replaceChildren(make("h3", {}, "Bytes against error"),
    frontierChart(series, { width, height: width < 500 ? 280 : 340, xText: bytesText, xTitle: "bytes of all tensors", most: near ? few : Infinity,
      name: `Bytes against error of ${titleOf(report)}` }),
    seriesKeys(series));
  if (far) {
    place.append(make("button", { type: "button", id: "near", "aria-pressed": String(near), onclick: () => {
      set({ near: near ? "" : "yes" });
      drawFrontier(report);
      at("near").focus();
    } }, "Only what is about as small"));
  }
}
