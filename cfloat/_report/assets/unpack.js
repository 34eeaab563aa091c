// The page's data: columns and compression, as packed_data.py makes them, become records again.

/** The reports or plans of this page, as `Report.to_content` has them; a promise. */
async function unpacked() {
  if (typeof DecompressionStream !== "function") {
    throw new Error("This browser is too old for the page: it takes one of 2023 or later.");
  }
  const bytes = Uint8Array.from(atob(document.getElementById("content").textContent), (char) => char.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text()).map((content) => {
    const names = content.tensors ? columnOf({ columns: content.tensors.columns }, "name") : [];
    for (const [key, value] of Object.entries(content)) {
      if (value !== null && Array.isArray(value.columns)) content[key] = recordsOf(value.columns, value.count, names);
    }
    return content;
  });
}

function columnOf({ columns }, wanted) {
  const found = columns.find(([key]) => key === wanted);
  return found ? valuesOf(found[1]) : [];
}

function recordsOf(columns, count, names) {
  const records = Array.from({ length: count }, () => ({}));
  for (const [key, column] of columns) {
    const values = valuesOf(column, count, names);
    for (let i = 0; i < count; i += 1) records[i][key] = values[i];
  }
  return records;
}

function valuesOf(column, count, names) {
  if (column.each) return column.each;
  if (column.at) return column.at.map((place) => column.of[place]);
  if (column.named) return column.named.map((place) => names[place]);
  if (column.lengths) return listsOf(column);
  if (column.columns) {
    const records = recordsOf(column.columns, count, names);
    for (const place of column.none) records[place] = null;
    return records;
  }
  return new Array(count).fill(column.all);
}

function listsOf({ lengths, items }) {
  const flat = items.steps ?? items;
  let at = 0;
  return lengths.map((length) => {
    if (length < 0) return null;
    const part = flat.slice(at, at + length);
    at += length;
    if (!items.steps) return part;
    let sum = 0;
    return part.map((step) => (step === null ? null : (sum += step) / items.per));
  });
}
