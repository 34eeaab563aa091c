// The chart of bytes against error: what there is to choose from, and the plans between.

/** Bytes in words. */
function bytesText(value) {
  if (value === null || value === undefined) return "–";
  const [size, unit] = [["TB", 1e12], ["GB", 1e9], ["MB", 1e6], ["kB", 1e3]].find(([, each]) => value >= each * 0.9995) ?? ["bytes", 1];
  if (unit === 1) return plural(value, "byte");
  return `${Number((value / unit).toPrecision(3)).toLocaleString("en")} ${size}`;
}

function shareOf(nbytes, before) {
  return before > 0 && nbytes !== null && nbytes !== undefined ? `${(nbytes / before).toFixed(3)}×` : "–";
}

/** For what there is a bias, or a scale, in words. */
function biasesText(granularity, what = "bias") {
  const [kind, count] = granularity.split(" ");
  if (granularity === "") return "";
  if (kind === "block" && count !== undefined) return `one ${what} a block of ${visible(granularity.slice(6))}`;
  if (kind === "axis" && count !== undefined) return `one ${what} a slice of axis ${visible(granularity.slice(5))}`;
  return `one ${what} a ${visible(granularity)}`;
}

/**
 * Draw series of points { x, db, mark, tell }: `joined` ones as a line, the rest as markers of a style (a number, or
 * none for grey).  The pointer finds the nearest point; the arrow keys walk along a series, and from one to the next.
 */
function frontierChart(series, { width, height, xText, xTitle, name, most = Infinity }) {
  const box = { left: 42, right: width - 14, top: 14, bottom: height - 40 };
  const shown = series.map((each) => ({ ...each, points: each.points
    .filter((point) => Number.isFinite(point.db) && Number.isFinite(point.x) && point.x <= most)
    .sort((a, b) => a.x - b.x || a.db - b.db) })).filter((each) => each.points.length > 0);
  const readout = make("div", { class: "readout muted", "aria-live": "polite" });
  if (shown.length === 0) return make("div", {}, make("p", { class: "muted" }, "There is nothing to draw."));
  const [lowX, highX] = extent(shown.flatMap((each) => each.points.map((point) => point.x)));
  const [lowY, highY] = extent(shown.flatMap((each) => each.points.map((point) => point.db)));
  const padX = (highX - lowX) * 0.04 || highX * 0.05 || 1;
  const padY = (highY - lowY) * 0.08 || 1;
  const [left, right, low, high] = [lowX - padX, highX + padX, lowY - padY, highY + padY];
  const x = (value) => box.left + ((value - left) / (right - left)) * (box.right - box.left);
  const y = (value) => box.bottom - ((value - low) / (high - low)) * (box.bottom - box.top);
  const chart = frame(width, height, name, shown.flatMap((each) => (each.joined ? [`${each.label}: ${plural(each.points.length, "point")}`]
    : each.points.map((point) => `${point.label}: ${xText(point.x)}, ${decibels(point.db)} dB`))).slice(0, 40).join("; "));
  for (const tick of ticks(low, high, 6)) {
    chart.append(draw("path", { class: "grid-line", d: `M${box.left},${y(tick).toFixed(1)}H${box.right}` }),
      text(box.left - 6, y(tick) + 4, signed(String(Number(tick.toPrecision(6)))), { "text-anchor": "end" }));
  }
  chart.append(draw("path", { class: "axis", d: `M${box.left},${box.bottom}H${box.right}` }));
  for (const tick of ticks(left, right, Math.max(2, Math.floor((box.right - box.left) / 58)))) {
    if (x(tick) > box.right - 12 || x(tick) < box.left + 12 || tick < 0) continue;
    chart.append(draw("path", { class: "axis", d: `M${x(tick).toFixed(1)},${box.bottom}v4` }),
      text(x(tick).toFixed(1), box.bottom + 17, xText(tick), { "text-anchor": "middle" }));
  }
  chart.append(text((box.left + box.right) / 2, height - 5, xTitle, { "text-anchor": "middle" }),
    text(0, 0, "weighted SQNR, dB", { "text-anchor": "middle", transform: `translate(11,${(box.top + box.bottom) / 2}) rotate(-90)` }));
  const named = [];
  // lines below, markers above, and what is marked above them
  for (const each of [...shown.filter((one) => one.joined), ...shown.filter((one) => !one.joined)]) {
    const group = draw("g", { class: each.style === null ? "c-other" : `c${each.style}` });
    if (each.joined || each.points.length > 1 && each.linked) {
      group.append(draw("path", { class: each.joined ? "plans" : "linked", fill: "none", stroke: "currentColor",
        "stroke-width": each.joined ? 2 : 1, "stroke-dasharray": each.joined ? null : "2 3", "stroke-linejoin": "round",
        d: each.points.map((point, index) => `${index > 0 ? "L" : "M"}${x(point.x).toFixed(1)},${y(point.db).toFixed(1)}`).join("") }));
    }
    for (const point of each.points) {
      if (each.joined && !point.mark) continue;
      group.append(draw("path", { class: "ring", d: SHAPES[each.style ?? 3],
        transform: `translate(${x(point.x).toFixed(1)},${y(point.db).toFixed(1)}) scale(${each.style === null ? 0.7 : 1})` }));
      if (point.mark) named.push(point);
    }
    chart.append(group);
  }
  for (const point of named) {
    const right = x(point.x) > (box.left + box.right) / 2;
    chart.append(draw("circle", { class: "chosen", cx: x(point.x).toFixed(1), cy: y(point.db).toFixed(1), r: 9 }),
      text(x(point.x) + (right ? -14 : 14), y(point.db) + (point.below ? 18 : -8), visible(point.mark),
        { class: "mark", "text-anchor": right ? "end" : "start" }));
  }
  const ring = draw("circle", { class: "probe-ring", r: 7.5, cx: 0, cy: 0 });
  chart.append(ring);
  chart.setAttribute("tabindex", "0");
  let [line, place] = [0, 0];
  const show = () => {
    const point = shown[line].points[place];
    ring.setAttribute("transform", `translate(${x(point.x).toFixed(1)},${y(point.db).toFixed(1)})`);
    ring.style.visibility = "visible";
    readout.replaceChildren(...point.tell());
  };
  const nearest = (points, distance) => points.reduce((best, point, index) => (distance(point) < distance(points[best]) ? index : best), 0);
  chart.addEventListener("pointermove", (event) => {
    const edge = chart.getBoundingClientRect();
    const scale = chart.viewBox.baseVal.width / edge.width;
    const [px, py] = [(event.clientX - edge.left) * scale, (event.clientY - edge.top) * scale];
    const distance = (point) => Math.hypot(x(point.x) - px, y(point.db) - py);
    // a marker wins over the line that goes through it
    const reach = shown.map((each) => distance(each.points[nearest(each.points, distance)]) + (each.joined ? 4 : 0));
    line = reach.indexOf(Math.min(...reach));
    place = nearest(shown[line].points, distance);
    show();
  });
  chart.addEventListener("keydown", (event) => {
    const along = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -1e6, End: 1e6 }[event.key];
    const across = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (along === undefined && across === undefined) return;
    event.preventDefault();
    if (across !== undefined) {
      const from = shown[line].points[place].x;
      line = (line + across + shown.length) % shown.length;
      place = nearest(shown[line].points, (point) => Math.abs(point.x - from));
    } else if (ring.style.visibility === "visible") {
      place = Math.min(shown[line].points.length - 1, Math.max(0, place + along));
    }
    show();
  });
  readout.append("Point at the chart, or use the arrow keys in it: left and right along a line" +
    `${shown.length > 1 ? ", up and down to the next" : ""}.`);
  return make("div", {}, chart, readout);
}

/** The legend of a chart's series. */
function seriesKeys(series) {
  return make("ul", { class: "keys", "aria-label": "In the chart" }, ...series.filter((each) => each.points.length > 0).map((each) => {
    const line = draw("path", { d: "M0,6H32", stroke: "currentColor", "stroke-width": each.joined ? 2.2 : 1, "stroke-dasharray": each.joined ? null : "2 3" });
    const marker = draw("path", { class: "ring", d: SHAPES[each.style ?? 3], transform: `translate(16,6) scale(${each.style === null ? 0.7 : 1})` });
    return make("li", {}, draw("svg", { class: `swatch ${each.style === null ? "c-other" : `c${each.style}`}`, viewBox: "0 0 32 12", "aria-hidden": "true" },
      each.linked || each.joined ? line : null, each.joined ? null : marker), visible(each.label));
  }));
}
