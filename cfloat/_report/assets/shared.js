// What the pages of reports and of plans have in common: state in the address, words, sizes and commands.

const at = (id) => document.getElementById(id);

// --- state, in the address after #: `state` and `FIRST`, what it is at first, are a page's own ------------------

function set(changes) {
  Object.assign(state, changes);
  const kept = Object.entries(state).filter(([key, value]) => value !== FIRST[key]);
  try {
    history.replaceState(null, "", `#${new URLSearchParams(kept)}`);
  } catch {
    // a page that was opened from a place without an address
  }
}

function readState() {
  const given = new URLSearchParams(location.hash.slice(1));
  if (!location.hash.includes("=")) return;
  for (const [key, first] of Object.entries(FIRST)) {
    state[key] = typeof first === "number" ? Number.parseInt(given.get(key), 10) || first : given.get(key) ?? first;
  }
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

function listenToTheme() {
  at("theme").addEventListener("click", () => {
    set({ theme: at("theme").dataset.next });
    showTheme();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showTheme);
}

/** Call `draw` when the width changes: a phone's address bar moves, and changes the height alone. */
function listenToWidth(draw) {
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    draw();
  });
}

/** Start a page; what goes wrong is said on it. */
function begin(start) {
  start().then(() => { document.documentElement.dataset.ready = "true"; }, (error) => {
    document.documentElement.dataset.error = error.message;
    document.querySelector("main").prepend(make("p", { class: "card" }, error.message));
  });
}

// --- words and figures --------------------------------------------------------------------------------------

/** The name of a report: of what it is about. */
function titleOf(report) {
  return titleOfPaths(report.conclusion?.model?.paths ?? []);
}

/** A short name for files. */
function titleOfPaths(paths) {
  const short = (path) => {
    const parts = path.split(/[\\/]/).filter(Boolean);
    // a file in a model's folder is called like that of any other
    return /^(model|pytorch_model|diffusion_pytorch_model|weights)\b/.test(parts.at(-1) ?? "") ? parts.slice(-2).join("/") : parts.at(-1) ?? path;
  };
  if (paths.length === 0) return "Arrays";
  return visible(short(paths[0])) + (paths.length > 1 ? ` and ${plural(paths.length - 1, "other")}` : "");
}

/** A format's name; in headings it may break after the first part, which keeps columns narrow. */
function formatName(format, breaks = false) {
  const parts = breaks ? visible(format).split(/(?<=^[^_]*_)/) : [visible(format)];
  return make("span", { class: "format" }, ...parts.flatMap((part, index) => (index > 0 ? [make("wbr"), part] : [part])));
}

/** A figure in dB, for which JSON has no number where nothing is lost. */
function lossText(value) {
  return value === null ? "exact" : value === undefined ? "–" : decibels(value, 2);
}

/** How far a figure may be off that a sample was measured for; null where that is not known. */
function offText(each) {
  const off = each.uncertainty_db;
  return off === undefined || off === 0 ? "" : off === null ? " ± ?" : ` ± ${decibels(Math.max(off, 0.01), 2)}`;
}

function lossInDb(value) {
  return typeof value === "number" ? `${lossText(value)} dB` : lossText(value);
}

/** Bytes before and after, in figures and as a bar. */
function sizes(before, after) {
  const bar = make("span");
  bar.style.width = `${Math.min(100, (100 * after) / Math.max(1, before)).toFixed(1)}%`;
  return make("div", {}, make("p", { class: "sizes" }, make("b", {}, bytesText(before)), " → ", make("b", {}, bytesText(after)), ` (${shareOf(after, before)})`),
    make("div", { class: "before", "aria-hidden": "true" }, bar));
}

/** A command to copy; one with characters that cannot be seen is shown, and is not to be copied. */
function command(content) {
  const code = make("code", {}, visible(content));
  if (visible(content) !== content) return make("div", { class: "command" }, code);
  const button = make("button", { type: "button", onclick: async () => {
    let done = "Copied";
    try {
      await navigator.clipboard.writeText(content);
    } catch {
      getSelection().selectAllChildren(code);
      if (!document.execCommand("copy")) done = "Selected";
    }
    button.textContent = done;
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  } }, "Copy");
  return make("div", { class: "command" }, code, button);
}

function shapeText(shape) {
  return shape.length > 0 ? shape.join(" × ") : "scalar";
}

// --- points of the chart ------------------------------------------------------------------------------------

/** What a point of the chart is, in words. */
function tellOf(label, each, before) {
  return [make("b", {}, label), make("span", {}, `${number(each.nbytes)} bytes (${shareOf(each.nbytes, before)})`),
    make("span", {}, `weighted ${lossInDb(each.weighted_db)}`),
    ...(each.worst_db === undefined ? [] : [make("span", {}, `worst ${lossInDb(each.worst_db)}`, ...(each.worst ? [" in ", nameOf(each.worst)] : []))])];
}

/** The line of the best plans, with the one that was chosen among them. */
function plansOf(curve, plan, before, { mark = "plan", style = 6, below = false } = {}) {
  const points = (curve ?? []).map(([nbytes, db]) => ({ x: nbytes, db, label: "plan",
    tell: () => tellOf("a plan of each tensor", { nbytes, weighted_db: db }, before) }));
  if (plan) points.push({ x: plan.nbytes, db: plan.weighted_db, label: "plan", mark, below, tell: () => tellOf("the plan of each tensor", plan, before) });
  return { label: "best plans, tensor by tensor", joined: true, style, points };
}
