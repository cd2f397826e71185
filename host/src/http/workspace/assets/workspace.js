// What pages can do beside being read: the palette (Ctrl K), the keys, lists that are gone through with j and k, copying values, and
// asking before something that can't be undone. Pages work without all of it.
(() => {
  "use strict";
  const all = (selector, within) => [...(within ?? document).querySelectorAll(selector)];
  const typing = (target) => target.closest("input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable], .editor") !== null;

  // The palette: the page's own links and those of the navigation, by their words.
  const palette = document.getElementById("palette");
  if (palette) {
    const input = palette.querySelector("input");
    const list = palette.querySelector("ul");
    const links = () => {
      const seen = new Set();
      return all("nav a[href], main a[href], main button[data-palette]").filter((link) => {
        const text = link.textContent.trim();
        const key = text + (link.href ?? "");
        if (!text || seen.has(key) || link.closest("dialog")) return false;
        seen.add(key);
        return true;
      });
    };
    const show = () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      const found = links().filter((link) => words.every((word) => link.textContent.toLowerCase().includes(word))).slice(0, 12);
      const items = found.map((link) => {
        const item = document.createElement("li");
        const way = document.createElement("a");
        way.href = link.href;
        way.textContent = link.textContent.trim();
        item.append(way);
        return item;
      });
      const search = palette.dataset.search;
      if (search && input.value.trim()) {
        const item = document.createElement("li");
        const way = document.createElement("a");
        way.href = search + encodeURIComponent(input.value.trim());
        way.textContent = "Find people: " + input.value.trim();
        item.append(way);
        items.push(item);
      }
      list.replaceChildren(...items);
    };
    input.addEventListener("input", show);
    palette.addEventListener("keydown", (event) => {
      const ways = all("a", list);
      const at = ways.indexOf(document.activeElement);
      if (event.key === "ArrowDown") { (ways[at + 1] ?? ways[0])?.focus(); event.preventDefault(); }
      if (event.key === "ArrowUp") { (at > 0 ? ways[at - 1] : input).focus(); event.preventDefault(); }
      if (event.key === "Enter" && document.activeElement === input) { ways[0]?.click(); event.preventDefault(); }
    });
    const open = () => { input.value = ""; show(); palette.showModal(); input.focus(); };
    all("[data-opens=palette]").forEach((button) => { button.hidden = false; button.addEventListener("click", open); });
    document.addEventListener("keydown", (event) => {
      if ((event.ctrlKey || event.metaKey) && event.key === "k") { open(); event.preventDefault(); }
    });
  }

  // Keys: / to the search, ? to the list of keys, g and a letter to a section.
  let after_g = false;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || document.querySelector("dialog[open]")) return;
    if (after_g) {
      after_g = false;
      const link = document.querySelector(`nav a[data-key="${CSS.escape(event.key)}"]`);
      if (link) { link.click(); event.preventDefault(); }
      return;
    }
    if (event.key === "g") { after_g = true; setTimeout(() => { after_g = false; }, 1500); }
    if (event.key === "/") { const search = document.querySelector("input[type=search]"); if (search) { search.focus(); event.preventDefault(); } }
    if (event.key === "?") { document.getElementById("keys")?.showModal(); }
    // Lists whose lines are decided: j and k go, x ticks, Enter opens.
    const rows = all("[data-rows] > tr, [data-rows] > li");
    if (rows.length === 0) return;
    const at = rows.findIndex((row) => row.contains(document.activeElement));
    const go = (to) => {
      const row = rows[Math.max(0, Math.min(rows.length - 1, to))];
      (row.querySelector("input[type=checkbox], a, button") ?? row).focus();
      row.scrollIntoView({ block: "nearest" });
    };
    if (event.key === "j") { go(at + 1); event.preventDefault(); }
    if (event.key === "k") { go(at < 0 ? 0 : at - 1); event.preventDefault(); }
    if (event.key === "x" && at >= 0) {
      const box = rows[at].querySelector("input[type=checkbox]");
      if (box) { box.click(); event.preventDefault(); }
    }
    const button = document.querySelector(`[data-press="${CSS.escape(event.key)}"]`);
    if (button && !button.disabled) { button.click(); event.preventDefault(); }
  });
  all("dialog").forEach((dialog) => {
    dialog.addEventListener("click", (event) => { if (event.target === dialog || event.target.closest("[data-closes]")) dialog.close(); });
  });

  // One box ticks a list.
  document.addEventListener("change", (event) => {
    const box = event.target.closest("[data-ticks]");
    if (!box) return;
    all(`input[type=checkbox][name="${CSS.escape(box.dataset.ticks)}"]`).forEach((one) => { one.checked = box.checked; });
  });

  // A file that is chosen is read into the field beside it.
  all("[data-reads-file]").forEach((label) => { label.hidden = false; });
  document.addEventListener("change", async (event) => {
    const input = event.target.closest("[data-reads-into]");
    const into = input && document.getElementById(input.dataset.readsInto);
    if (into && input.files.length > 0) into.value = await input.files[0].text();
  });

  document.addEventListener("click", async (event) => {
    const copy = event.target.closest("[data-copies]");
    if (copy) {
      const from = document.getElementById(copy.dataset.copies);
      await navigator.clipboard.writeText(from.value ?? from.textContent);
      const was = copy.textContent;
      copy.textContent = "Copied";
      setTimeout(() => { copy.textContent = was; }, 1500);
    }
    const opens = event.target.closest("[data-dialog]");
    if (opens) document.getElementById(opens.dataset.dialog)?.showModal();
  });
})();
