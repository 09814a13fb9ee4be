// Sortable tables and the example browser, with DataTables; the theme follows the system until its button is pressed.
const root = document.documentElement;
const themeButton = document.getElementById("theme");
const systemDark = window.matchMedia("(prefers-color-scheme: dark)");
let chosenTheme = null;

function applyTheme() {
  const dark = chosenTheme === null ? systemDark.matches : chosenTheme;
  root.classList.toggle("dark", dark);
  themeButton.setAttribute("aria-pressed", String(dark));
}
themeButton.addEventListener("click", () => { chosenTheme = !root.classList.contains("dark"); applyTheme(); });
systemDark.addEventListener("change", applyTheme);
applyTheme();

// the first screen shows one baseline's table; print shows all
const baseline = document.getElementById("baseline");
function showBaseline() {
  for (const part of document.querySelectorAll("[data-baseline]")) part.classList.toggle("aside", part.dataset.baseline !== baseline.value);
}
if (baseline) { baseline.addEventListener("change", showBaseline); showBaseline(); }

const source = new Blob([document.getElementById("datatables").textContent], { type: "text/javascript" });
const address = URL.createObjectURL(source);
const { default: DataTable } = await import(address);
URL.revokeObjectURL(address);

for (const table of document.querySelectorAll("table.report:not(#example-table)")) {
  new DataTable(table, { paging: false, searching: false, info: false, order: [], autoWidth: false });
}

const data = JSON.parse(document.getElementById("example-data").textContent);
const escape = DataTable.render.text().display;
// escaped for the search too: DataTables decodes it there, and would take raw < for markup and drop it
const cut = { display: (text) => `<span class="cut">${escape(text)}</span>`, filter: escape };
const picks = data.picks.map(([selector, rank, row, task, validation, score, margin]) => {
  const [origin, prompt, response] = data.rows[row];
  return { selector, rank: rank + 1, row, task, origin, validation, score, margin, prompt, response };
});
// the selector's name is the button that shows the whole example; Enter and Space press it as any button
const opener = (place, kind) => {
  const name = escape(data.selectors[place]);
  return kind === "display" ? `<button type="button" class="opener" aria-expanded="false">${name}</button>` : name;
};
const named = (names, none) => (place) => (place < 0 ? none : escape(names[place]));
const chosen = (id) => document.getElementById(id).value;

DataTable.ext.search.push((settings, _texts, index, pick) => {
  if (settings.nTable.id !== "example-table") return true;
  const fits = (id, value) => chosen(id) === "" || Number(chosen(id)) === value;
  const within = chosen("filter-budget") === "" || pick.rank <= Number(chosen("filter-budget"));
  return within && fits("filter-selector", pick.selector) && fits("filter-task", pick.task) && fits("filter-source", pick.origin);
});

const examples = new DataTable("#example-table", {
  data: picks,
  deferRender: true,
  pageLength: 10,
  autoWidth: false,
  order: [],
  language: { search: "Search", emptyTable: "No example was selected.", zeroRecords: "No example fits; widen the filters." },
  columns: [
    { data: "selector", render: opener },
    { data: "rank", className: "number" },
    { data: "task", render: named(data.tasks, "–") },
    { data: "origin", render: named(data.sources, "") },
    { data: "prompt", type: "string", render: cut },
    { data: "response", type: "string", render: cut },
    { data: "score", className: "number", render: (score) => (score === null ? "–" : score) },
  ],
});

function reason(pick) {
  const name = data.selectors[pick.selector];
  const served = pick.task < 0 ? "it looks at no validation example" : `served ${data.tasks[pick.task]}, validation example ${pick.validation}`;
  const score = pick.score === null ? "" : `; score ${pick.score}`;
  const margin = pick.margin === null ? "" : `, margin ${pick.margin}`;
  return `${name}, pick ${pick.rank} (pool row ${pick.row}): ${served}${score}${margin}.`;
}

function toggle(line) {
  const row = examples.row(line);
  if (!row.data()) return;
  if (row.child.isShown()) {
    row.child.hide();
  } else {
    const whole = document.createElement("div");
    whole.className = "whole";
    for (const [tag, text] of [["p", reason(row.data())], ["pre", row.data().prompt], ["pre", row.data().response]]) {
      whole.appendChild(document.createElement(tag)).textContent = text;
    }
    row.child(whole).show();
  }
  line.querySelector(".opener").setAttribute("aria-expanded", String(row.child.isShown()));
}
const body = document.querySelector("#example-table tbody");
body.addEventListener("click", (event) => { const line = event.target.closest("tr"); if (line) toggle(line); });
document.getElementById("example-filters").addEventListener("change", () => examples.draw());
document.getElementById("example-filters").addEventListener("submit", (event) => event.preventDefault());
root.dataset.ready = "true";
