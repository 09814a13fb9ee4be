// The pick explorer: filters kept in the address, a pool row beside the validation example that asked for it, export of what is shown.
const data = JSON.parse(document.getElementById("example-data").textContent);
const escape = DataTable.render.text().display;
const form = document.getElementById("example-filters");
const field = (name) => document.getElementById(`filter-${name}`);
const FIELDS = ["selector", "task", "validation", "source", "taken"];

const picks = data.picks.map(([selector, rank, row, example, score, margin]) => {
  const [source, id, text, left, strongest, takers] = data.rows[row];
  const [task, validation] = example < 0 ? [-1, ""] : data.examples[example];
  const others = takers.filter(([other]) => other !== selector);
  return { selector, rank: rank + 1, row, id, source, task, example, validation, score, margin, text, left, strongest, others };
});

// escaped for the search too: DataTables decodes it there, and would take raw < for markup and drop it
const cut = { display: (text) => `<span class="cut">${escape(text)}</span>`, filter: escape };
const opener = (place, kind) => {
  const name = escape(data.selectors[place][1]);
  return kind === "display" ? `<button type="button" class="opener" aria-expanded="false">${name}</button>` : name;
};
const named = (names, none) => (place) => (place < 0 ? none : escape(names[place]));
const number = (value) => (value === null ? "–" : value);
const budget = () => data.budgets[Number(field("budget").value)];

DataTable.ext.search.push((settings, _texts, _index, pick) => {
  if (settings.nTable.id !== "example-table") return true;
  const fits = (name, value) => field(name).value === "" || Number(field(name).value) === value;
  const taken = field("taken").value === "" || pick.others.some(([other, rank]) => other === Number(field("taken").value) && rank < budget()[2]);
  return pick.rank <= budget()[2] && taken && fits("selector", pick.selector) && fits("task", pick.task)
    && fits("validation", pick.example) && fits("source", pick.source);
});

const examples = new DataTable("#example-table", {
  data: picks,
  deferRender: true,
  pageLength: 10,
  autoWidth: false,
  order: [],
  language: { search: "Search", info: "Picks _START_ to _END_ of _TOTAL_", infoFiltered: "", infoEmpty: "No picks", emptyTable: "No example was selected.", zeroRecords: "No example fits; widen the filters." },
  columns: [
    { data: "selector", render: opener },
    { data: "rank", className: "number" },
    { data: "task", render: named(data.tasks, "–") },
    { data: "validation", type: "string", render: escape },
    { data: "text", type: "string", render: cut },
    { data: "source", render: named(data.sources, "") },
    { data: "score", className: "number", render: number },
    { data: "margin", className: "number", render: number },
    { data: "others", className: "number", render: (others) => others.filter(([, rank]) => rank < budget()[2]).length },
  ],
});

// what `equipoise explain` says about a pick
function reasons(pick) {
  const lines = [`${data.selectors[pick.selector][1]}, pick ${pick.rank}: ${pick.id} (row ${pick.row}, source ${data.sources[pick.source]})`];
  if (pick.score !== null) {
    lines.push(`score ${pick.score}, ${pick.margin === null ? "the last row left" : `ahead of the next best row by ${pick.margin}`}`);
  }
  lines.push(pick.task < 0
    ? "no validation example asked for it: the selector looks at no single one"
    : `served ${data.tasks[pick.task]}: asked for by validation example ${pick.validation}`);
  lines.push(`strongest for: ${pick.strongest.map((task) => data.tasks[task]).join(", ") || "nothing, its influence is not known"}`);
  const takers = pick.others.map(([other, rank]) => `${data.selectors[other][1]} (pick ${rank + 1})`);
  lines.push(`also taken at the largest budget by: ${takers.join(", ") || "no other selector"}`);
  return lines;
}

function part(heading, text, left) {
  const side = document.createElement("div");
  side.className = "side";
  side.appendChild(document.createElement("p")).textContent = heading;
  side.appendChild(document.createElement("pre")).textContent = text;
  if (left) side.appendChild(document.createElement("p")).textContent = `… ${left.toLocaleString("en")} characters more; equipoise explain shows all.`;
  return side;
}

function toggle(line) {
  const row = examples.row(line);
  const pick = row.data();
  if (!pick) return;
  if (row.child.isShown()) {
    row.child.hide();
  } else {
    const whole = document.createElement("div");
    whole.className = "whole";
    const list = whole.appendChild(document.createElement("ul"));
    for (const text of reasons(pick)) list.appendChild(document.createElement("li")).textContent = text;
    const sides = whole.appendChild(document.createElement("div"));
    sides.className = "sides";
    sides.append(part("Pool record", pick.text, pick.left));
    const [, , text, left] = pick.example < 0 ? [0, 0, "(none)", 0] : data.examples[pick.example];
    sides.append(part("Validation example", text, left));
    row.child(whole).show();
  }
  line.querySelector(".opener").setAttribute("aria-expanded", String(row.child.isShown()));
}

function fillValidation() {
  const task = field("task").value;
  const options = data.examples
    .map(([of, id], place) => ({ of, id, place }))
    .filter(({ of }) => task === "" || Number(task) === of)
    .sort((a, b) => a.of - b.of || a.id.localeCompare(b.id, "en", { numeric: true }))
    .map(({ id, place }) => new Option(id, String(place)));
  const kept = field("validation").value;
  field("validation").replaceChildren(new Option("all", ""), ...options);
  field("validation").value = options.some((option) => option.value === kept) ? kept : "";
}

// the address: names, so that it means the same in a later report
const NAMES = {
  selector: data.selectors.map(([name]) => name), task: data.tasks, source: data.sources,
  validation: data.examples.map(([task, id]) => `${data.tasks[task]}/${id}`), taken: data.selectors.map(([name]) => name),
};
function remember() {
  const query = new URLSearchParams();
  for (const name of FIELDS) if (field(name).value !== "") query.set(name, NAMES[name][Number(field(name).value)]);
  query.set("budget", budget()[0]);
  if (examples.search()) query.set("search", examples.search());
  history.replaceState(null, "", `#examples?${query}`);
}
function recall() {
  const query = new URLSearchParams(location.hash.split("?").slice(1).join("?"));
  const asked = (name, list) => { const place = list.indexOf(query.get(name)); return place < 0 ? "" : String(place); };
  const start = data.selectors.findIndex(([name]) => name === "bids");
  field("selector").value = [...query].length ? asked("selector", NAMES.selector) : String(Math.max(0, start));
  for (const name of ["task", "source", "taken"]) field(name).value = asked(name, NAMES[name]);
  fillValidation();
  field("validation").value = asked("validation", NAMES.validation);
  const place = data.budgets.findIndex(([label]) => label === query.get("budget"));
  field("budget").value = String(place < 0 ? data.budgets.length - 1 : place);
  examples.search(query.get("search") ?? "");
}
function show() {
  const [, text, rows] = budget();
  document.getElementById("budget-text").textContent = `${text} (${rows.toLocaleString("en")} rows)`;
  field("budget").setAttribute("aria-valuetext", document.getElementById("budget-text").textContent);
  examples.rows().invalidate();
  examples.draw();
}
// paper has no filters and no further pages: it shows the first picks that the filters leave, and says which and where all of them stand
const PRINTED = 50;
function whatIsPrinted() {
  const { start, end, recordsDisplay } = examples.page.info();
  const chosen = [...FIELDS.filter((name) => field(name).value !== ""), "budget"].map((name) => {
    const value = name === "budget" ? document.getElementById("budget-text").textContent : field(name).selectedOptions[0].text;
    return `${field(name).labels[0].firstChild.textContent.trim().toLowerCase()} ${value}`;
  });
  if (examples.search()) chosen.push(`search ${examples.search()}`);
  const count = recordsDisplay ? `Picks ${start + 1} to ${end} of ${recordsDisplay.toLocaleString("en")}` : "No picks";
  const whole = field("selector").value === "" ? data.folder : data.files[Number(field("selector").value)].replace("*", budget()[0]);
  return `${count} in this page with ${chosen.join(", ")}; all are in ${whole}`;
}
let onScreen = null;
window.addEventListener("beforeprint", () => {
  onScreen = [examples.page.len(), examples.page()];
  examples.page.len(PRINTED).page(0).draw("page");
  document.getElementById("printed").textContent = whatIsPrinted();
});
window.addEventListener("afterprint", () => { examples.page.len(onScreen[0]).page(onScreen[1]).draw("page"); });

// one pick is always open: what is to be seen is seen
examples.on("draw", () => {
  const lines = examples.rows({ page: "current" }).nodes().toArray();
  const isOpen = (line) => examples.row(line).child.isShown();
  for (const line of lines) line.querySelector(".opener").setAttribute("aria-expanded", String(isOpen(line)));
  if (lines.length && !lines.some(isOpen)) toggle(lines[0]);
});

function exported() {
  const lines = examples.rows({ search: "applied", order: "applied" }).data().toArray().map((pick) => JSON.stringify({
    selector: NAMES.selector[pick.selector], rank: pick.rank, row: pick.row, id: pick.id, source: data.sources[pick.source],
    task: pick.task < 0 ? null : data.tasks[pick.task], validation_id: pick.validation || null, score: pick.score, margin: pick.margin,
    taken_by: Object.fromEntries(pick.others.map(([other, rank]) => [NAMES.selector[other], rank + 1])),
    record: pick.text, record_cut: pick.left, validation_example: pick.example < 0 ? null : data.examples[pick.example][2],
  }));
  return lines.map((line) => `${line}\n`).join("");
}

document.querySelector("#example-table tbody").addEventListener("click", (event) => {
  const line = event.target.closest("tr");
  if (line && !event.target.closest(".whole")) toggle(line);
});
form.addEventListener("input", (event) => {
  if (event.target === field("task")) fillValidation();
  show();
  remember();
});
form.addEventListener("submit", (event) => event.preventDefault());
document.querySelector("#examples input[type=search]").addEventListener("input", remember);
document.getElementById("export").addEventListener("click", () => save("picks.jsonl", new Blob([exported()], { type: "application/jsonl" })));
window.addEventListener("hashchange", () => { if (location.hash.startsWith("#examples?")) { recall(); show(); } });
recall();
show();
if (location.hash.startsWith("#examples")) document.getElementById("examples").scrollIntoView();
