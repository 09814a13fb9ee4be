// Sortable tables with DataTables; the theme follows the system until its button is pressed.
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

function save(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

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

