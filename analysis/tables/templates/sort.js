// A click on a column's head sorts its table by it, a second one the other way; rows of published numbers stay below theirs.
for (const table of document.querySelectorAll("table[data-sortable]")) {
  const body = table.tBodies[0];
  const groups = [];
  for (const row of body.rows) {
    if (row.classList.contains("published") && groups.length) groups.at(-1).push(row);
    else groups.push([row]);
  }
  const head = table.tHead.rows[table.tHead.rows.length - 1];
  [...head.cells].forEach((cell, column) => {
    const button = cell.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const up = cell.getAttribute("aria-sort") === "descending";
      for (const other of head.cells) other.removeAttribute("aria-sort");
      cell.setAttribute("aria-sort", up ? "ascending" : "descending");
      const value = (group) => {
        const text = group[0].cells[column].textContent.trim();
        const number = parseFloat(text.replace("\u2212", "-"));
        return Number.isNaN(number) ? text : number;
      };
      const sorted = [...groups].sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        if (typeof x !== typeof y) return typeof x === "number" ? -1 : 1; // what has no number comes last
        const order = typeof x === "number" ? x - y : x.localeCompare(y);
        return up ? order : -order;
      });
      for (const group of sorted) body.append(...group);
    });
  });
}
