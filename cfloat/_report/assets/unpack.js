// The page's data: columns and compression, as packed_data.py makes them, become records again.

/** The reports or plans of this page, as `Report.to_content` has them; a promise. */
async function unpacked() {
  if (typeof DecompressionStream !== "function") {
    throw new Error("This browser is too old for the page: it takes one of 2023 or later.");
  }
  const binary = atob(document.getElementById("content").textContent);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i += 1) bytes[i] = binary.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text()).map((content) => {
    const named = content.tensors?.columns.find(([key]) => key === "name");
    const nameAt = named ? readerOf(named[1]) : null;
    for (const [key, value] of Object.entries(content)) {
      if (value !== null && Array.isArray(value.columns)) content[key] = recordsOf(value, nameAt);
    }
    return content;
  });
}

const PLACE = Symbol("place");

/** Records that read their figures from the columns when they are asked: most never are. */
function recordsOf({ count, columns }, nameAt) {
  function Figures(place) { this[PLACE] = place; }
  for (const [key, column] of columns) {
    const read = readerOf(column, nameAt);
    Object.defineProperty(Figures.prototype, key, { enumerable: true, get() { return read(this[PLACE]); } });
  }
  const records = [];
  for (let place = 0; place < count; place += 1) records.push(new Figures(place));
  return records;
}

/** The figures of a record, by name. */
function figuresOf(record) {
  const found = [];
  for (const key in record) found.push(key);
  return found;
}

/** A function from a record's place to its value in a column. */
function readerOf(column, nameAt) {
  if (column.each) return (place) => column.each[place];
  if (column.at) return (place) => column.of[column.at[place]];
  if (column.named) return (place) => nameAt(column.named[place]);
  if (column.lengths) return listReader(column);
  if (column.columns) {
    const inner = column.columns.map(([key, each]) => [key, readerOf(each, nameAt)]);
    const none = new Set(column.none);
    return (place) => (none.has(place) ? null : Object.fromEntries(inner.map(([key, read]) => [key, read(place)])));
  }
  return () => column.all;
}

function listReader({ lengths, items }) {
  const flat = items.steps ?? items;
  let starts = null;
  return (place) => {
    if (starts === null) {
      let end = 0;
      starts = lengths.map((length) => (end += Math.max(0, length)) - Math.max(0, length));
    }
    if (lengths[place] < 0) return null;
    const part = flat.slice(starts[place], starts[place] + lengths[place]);
    if (!items.steps) return part;
    let sum = 0;
    return part.map((step) => (step === null ? null : (sum += step) / items.per));
  };
}
