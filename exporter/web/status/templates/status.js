// Refreshes, sorts and filters the page. Without JavaScript the page is complete but static.
"use strict";
(() => {
  const POLL_MILLISECONDS = 5000;
  const byId = (id) => document.getElementById(id);
  const bodies = () => [...document.querySelectorAll('tbody[data-live="rows"]')];
  const rowsOf = (body) => [...body.rows].filter((row) => !row.classList.contains("empty"));
  const collator = new Intl.Collator(undefined, { numeric: true });
  const markup = new WeakMap(); // row -> its HTML from the server; unchanged rows keep their element
  const orders = new Map(); // ID of a table body -> its sort column and direction
  let clockOffset = 0; // server clock minus browser clock
  let edition = document.documentElement.dataset.edition;
  let isLost = false;

  // Times: relative, with the absolute time on hover.
  const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const relative = new Intl.RelativeTimeFormat("en", { style: "short" });
  function showTimes(root) {
    const now = (Date.now() + clockOffset) / 1000;
    for (const time of root.querySelectorAll("time")) {
      if (!time.title) time.title = time.textContent;
      const seconds = Math.round(Date.parse(time.dateTime) / 1000 - now);
      const [unit, length] = UNITS.find(([, each]) => Math.abs(seconds) >= each) ?? UNITS.at(-1);
      const text = Math.abs(seconds) < 2 ? "just now" : relative.format(Math.trunc(seconds / length), unit);
      if (time.textContent !== text) time.textContent = text;
    }
  }

  // Sorting: a button in each header, its state in aria-sort; empty values come last in both directions.
  function keyOf(row, column, kind) {
    const cell = row.cells[column];
    const value = cell.dataset.value ?? cell.textContent;
    return value === "" ? null : kind === "number" ? Number(value) : value;
  }
  function sort(body) {
    const order = orders.get(body.id);
    if (!order) return;
    const { column, kind, direction } = order;
    const keyed = rowsOf(body).map((row) => [keyOf(row, column, kind), row]);
    keyed.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      return direction * (kind === "number" ? a - b : collator.compare(a, b));
    });
    body.append(...keyed.map(([, row]) => row));
  }
  function makeSortable(table) {
    const body = table.tBodies[0];
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const kind = head.dataset.sort;
        const first = kind === "number" ? -1 : 1;
        const before = orders.get(body.id);
        const direction = before?.column === column ? -before.direction : first;
        orders.set(body.id, { column, kind, direction });
        for (const each of heads) each.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
        sort(body);
      });
    });
  }

  // Filtering: a row must contain every word.
  function filter() {
    const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    const counts = bodies().map((body) => {
      const rows = rowsOf(body);
      let shown = 0;
      for (const row of rows) {
        const text = words.length ? row.textContent.toLowerCase() : "";
        row.hidden = !words.every((word) => text.includes(word));
        shown += row.hidden ? 0 : 1;
      }
      return `${shown} of ${rows.length} ${body.dataset.what}`;
    });
    const text = words.length ? counts.join(", ") : "";
    if (byId("matches").textContent !== text) byId("matches").textContent = text;
  }

  // Refreshing: elements with data-live are replaced from the new page; focus and scroll position stay.
  function remember(root) {
    for (const body of root.querySelectorAll('tbody[data-live="rows"]')) {
      for (const row of body.rows) markup.set(row, row.outerHTML);
    }
  }
  function renewRows(body, fresh) {
    const known = new Map([...body.rows].map((row) => [row.dataset.key, row]));
    const rows = [...fresh.rows].map((row) => {
      const old = known.get(row.dataset.key);
      return old && markup.get(old) === markup.get(row) ? old : row;
    });
    body.replaceChildren(...rows);
    sort(body);
  }
  function renew(page) {
    if (page.documentElement.dataset.version !== document.documentElement.dataset.version) location.reload();
    remember(page);
    const focused = document.activeElement?.getAttribute("href");
    for (const old of document.querySelectorAll("[data-live]")) {
      const fresh = page.getElementById(old.id);
      if (!fresh) continue;
      if (old.dataset.live === "rows") renewRows(old, fresh);
      else old.replaceChildren(...fresh.childNodes);
    }
    document.title = page.title;
    if (focused && document.activeElement === document.body) {
      document.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
    }
    filter();
    announce();
  }
  function announce() {
    const text = `${byId("state").textContent.trim()}. ${document.title}`;
    if (byId("news").textContent !== text) byId("news").textContent = text;
  }
  async function refresh() {
    const answer = await fetch(location.pathname, { cache: "no-cache", signal: AbortSignal.timeout(10000) });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    clockOffset = Date.parse(answer.headers.get("date")) - Date.now() || 0;
    if (answer.headers.get("etag")?.includes(edition)) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    edition = page.documentElement.dataset.edition;
    renew(page);
  }
  async function poll() {
    if (!document.hidden && byId("pause").getAttribute("aria-pressed") !== "true") {
      try {
        await refresh();
        if (isLost) announce();
        isLost = false;
      } catch {
        if (!isLost) byId("news").textContent = "The exporter is unreachable; showing the last values.";
        isLost = true;
      }
      document.body.classList.toggle("lost", isLost);
    }
    showTimes(document);
  }

  remember(document);
  document.querySelectorAll("table[data-sortable]").forEach(makeSortable);
  document.querySelector(".tools").hidden = false;
  byId("filter").addEventListener("input", filter);
  byId("pause").hidden = false;
  byId("pause").addEventListener("click", (event) => {
    const isPaused = event.currentTarget.getAttribute("aria-pressed") !== "true";
    event.currentTarget.setAttribute("aria-pressed", String(isPaused));
    if (!isPaused) poll();
  });
  document.addEventListener("visibilitychange", poll);
  setInterval(poll, POLL_MILLISECONDS);
  poll();
})();
