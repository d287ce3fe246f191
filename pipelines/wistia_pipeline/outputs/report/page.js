// colours are the page's variables, so that dark mode and print change them without a new drawing
const look = {
  background: null,
  font: getComputedStyle(document.body).fontFamily,
  view: { stroke: null },
  axis: {
    labelColor: "var(--muted)", titleColor: "var(--muted)", gridColor: "var(--line)", domainColor: "var(--line)",
    tickColor: "var(--line)", labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal",
  },
  axisY: { domain: false, ticks: false, labelPadding: 6 },
  legend: { labelColor: "var(--text)", labelFontSize: 12, labelLimit: 220, symbolOpacity: 1 },
  text: { color: "var(--text)", fontSize: 12 },
};
const { charts, curve, curves } = JSON.parse(document.getElementById("data").textContent);

// names and addresses may be long: where there is little room they stand above their bars
function withLabelsAbove(spec, room) {
  const rows = spec.data.values.length, step = 40;
  const axis = { labelAlign: "left", labelPadding: 0, labelOffset: -0.4 * step, labelLimit: room };
  const y = { ...spec.encoding.y, scale: { paddingInner: 0.6, paddingOuter: 0.4 }, axis };
  return { ...spec, height: rows * step, encoding: { ...spec.encoding, y } };
}

function draw(name, spec) {
  // `ast` reads expressions instead of compiling them, which the page forbids
  const how = { renderer: "svg", actions: false, ast: true, config: look };
  const place = document.getElementById(name);
  const hasBars = spec.encoding?.y.type === "nominal";
  const config = { axisY: { labelLimit: 0.4 * place.clientWidth } };
  const drawn = hasBars && place.clientWidth < 400 ? withLabelsAbove(spec, 0.9 * place.clientWidth) : spec;
  return vegaEmbed(place, { width: "container", config, ...drawn }, how);
}

function cell(row, tag, text, kind) {
  const made = row.appendChild(document.createElement(tag));
  made.textContent = text;
  made.className = kind;
  if (tag === "th") made.scope = "col";
}

function fill(name, columns, rows) {
  const table = document.getElementById(name);
  table.replaceChildren();
  const head = table.createTHead().insertRow();
  for (const [title, kind] of columns) cell(head, "th", title, kind);
  const body = table.createTBody();
  for (const values of rows) {
    const row = body.insertRow();
    values.forEach((value, at) => cell(row, "td", value, columns[at][1]));
  }
}

const count = (value) => value.toLocaleString("en");
const at = ["At", "minutes"], views = ["Views", "count"];

function show({ media, cells, losses, rewatches }) {
  fill("losses", [at, ["Leave", "percent"], views], losses.map((row) => [row.at, row.share, count(row.view_count)]));
  fill("rewatches", [at, ["Watch again", "percent"], views], rewatches.map((row) => [row.at, row.share, count(row.view_count)]));
  fill(
    "curve-table",
    [at, views, ["Watched again", "count"], ["Still watching", "percent"]],
    cells.map((row) => [row.at, count(row.view_count), count(row.rewatch_count), row.share]),
  );
  const description = `Views of ${media} from its start to its end, what is watched again, and where most viewers leave.`;
  return draw("curve", { ...curve, description, data: { values: cells }, datasets: { losses } });
}

const drawings = Object.entries(charts).map(([name, spec]) => draw(name, spec));
if (curves.length) {
  const choice = document.getElementById("media");
  curves.forEach(({ media }, position) => choice.add(new Option(media, position)));
  choice.addEventListener("change", () => show(curves[choice.value]));
  drawings.push(show(curves[0]));
}
Promise.all(drawings).then(() => { document.documentElement.dataset.drawn = drawings.length; });
