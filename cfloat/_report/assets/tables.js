// Tables: small ones, and long ones of which some rows are there at a time.

const PER_PAGE = 100;

function plural(count, noun) {
  const several = noun.endsWith("s") ? `${noun}es` : `${noun}s`;
  return `${count.toLocaleString("en")} ${count === 1 ? noun : several}`;
}

/** The least and the largest of numbers, however many there are. */
function extent(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

function median(values) {
  const known = Float64Array.from(values.filter(Number.isFinite)).sort();
  if (known.length === 0) return NaN;
  const middle = known.length >> 1;
  return known.length % 2 === 1 ? known[middle] : (known[middle - 1] + known[middle]) / 2;
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

/** Sort rows by a column of `columns`, "-" first for down; missing figures are last, whichever way. */
function sortedBy(rows, columns, sort) {
  const down = sort.startsWith("-");
  const column = columns.find((each) => each.key === sort.slice(down ? 1 : 0));
  if (!column) return rows;
  const way = down ? -1 : 1;
  const compare = new Intl.Collator("en", { numeric: true }).compare;
  const keyed = rows.map((row) => [column.value(row), row]);
  keyed.sort(([one], [other]) => {
    if (typeof one === "string") return way * compare(one, other);
    if (Number.isNaN(one) || Number.isNaN(other)) return Number.isNaN(one) - Number.isNaN(other);
    return one === other ? 0 : (one < other ? -1 : 1) * way;
  });
  return keyed.map(([, row]) => row);
}

/**
 * A long table inside an element with "rows", "earlier", "later" and "count" under its prefix: columns are
 * { key, label, kind, value, down }, `state` has `sort` and `page`, `line` makes a row, `changed` is told of both.
 */
class LongTable {
  constructor({ prefix, columns, rows, line, state, changed, noun = "tensor", open = null }) {
    Object.assign(this, { prefix, columns, rows, line, state, changed, noun, open });
    this.body = make("tbody");
    this.head = make("tr");
    this.place = document.getElementById(`${prefix}-table`);
    this.place.replaceChildren(make("table", { class: open ? "clickable" : null }, make("thead", {}, this.head), this.body));
    document.getElementById(`${prefix}-earlier`).onclick = () => this.turn(-1);
    document.getElementById(`${prefix}-later`).onclick = () => this.turn(1);
  }

  turn(step) {
    this.changed({ page: this.state().page + step });
    this.show();
    this.place.scrollTop = 0;
  }

  sorted() {
    return sortedBy(this.rows(), this.columns(), this.state().sort);
  }

  show() {
    const found = this.sorted();
    const pages = Math.max(1, Math.ceil(found.length / PER_PAGE));
    const page = Math.min(pages, Math.max(1, this.state().page));
    if (page !== this.state().page) this.changed({ page });
    const start = (page - 1) * PER_PAGE;
    const shown = found.slice(start, start + PER_PAGE);
    this.showHead();
    this.body.replaceChildren(...shown.map((row) => this.line(row)));
    const at = (id) => document.getElementById(`${this.prefix}-${id}`);
    at("count").textContent = found.length === 0 ? `no ${this.noun} is like that`
      : pages === 1 ? plural(found.length, this.noun)
        : `${(start + 1).toLocaleString("en")} to ${(start + shown.length).toLocaleString("en")} of ${plural(found.length, this.noun)}`;
    at("earlier").disabled = page <= 1;
    at("later").disabled = page >= pages;
    at("earlier").parentElement.hidden = pages === 1;
  }

  showHead() {
    const { sort } = this.state();
    const focused = document.activeElement?.closest?.("th")?.dataset.key;
    this.head.replaceChildren(...this.columns().map((column) => {
      const down = sort === `-${column.key}`;
      const sorts = down || sort === column.key;
      const next = sorts ? (down ? column.key : `-${column.key}`) : column.down ? `-${column.key}` : column.key;
      return make("th", { scope: "col", class: column.kind || null, "data-key": column.key,
        "aria-sort": sorts ? (down ? "descending" : "ascending") : null },
      make("button", { type: "button", onclick: () => {
        this.changed({ sort: next, page: 1 });
        this.show();
      } }, column.label(), make("span", { class: "arrow", "aria-hidden": "true" }, sorts ? (down ? "↓" : "↑") : "")));
    }));
    if (focused !== undefined) [...this.head.children].find((each) => each.dataset.key === focused)?.querySelector("button").focus();
  }
}
