// Parts: elements, words, numbers for people, tables and the theme; what every page of daybreak is made of.
"use strict";

const parts = (() => {
  const read = (id) => {
    const block = document.getElementById(id);
    return block ? JSON.parse(block.textContent) : null;
  };
  const words = read("words") || {};
  const language = document.documentElement.lang || "en";

  // The words of a key with {places} filled in; a key without words is a name and is shown as it is.
  function say(key, values = {}) {
    const line = Object.hasOwn(words, key) ? words[key] : key;
    return line.replace(/\{(\w+)\}/g, (place, name) => (name in values ? String(values[name]) : place));
  }

  // As say(), for names that the records bring: a phase, a state, a figure. Unknown ones are shown as they are.
  function named(kind, name) {
    const key = `${kind}.${name}`;
    return Object.hasOwn(words, key) ? words[key] : String(name).replaceAll("_", " ");
  }

  // An element. Children are elements or texts; texts are never read as HTML.
  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (name === "onclick") element.addEventListener("click", value);
      else element.setAttribute(name, value === true ? "" : String(value));
    }
    for (const child of children.flat()) {
      if (child !== null && child !== undefined) element.append(child);
    }
    return element;
  }

  // Numbers

  const known = (value) => typeof value === "number" && Number.isFinite(value);
  const none = "–";

  function number(value, digits = 3) {
    if (!known(value)) return none;
    return value.toLocaleString(language, { maximumSignificantDigits: Math.max(digits, Math.abs(value) >= 100 ? String(Math.trunc(Math.abs(value))).length : digits) });
  }
  const fixed = (value, digits) =>
    known(value) ? value.toLocaleString(language, { minimumFractionDigits: digits, maximumFractionDigits: digits }) : none;
  const whole = (value) => (known(value) ? Math.round(value).toLocaleString(language) : none);
  const percent = (value, digits = 0) =>
    known(value) ? value.toLocaleString(language, { style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits }) : none;
  const bits = (value) => fixed(value, 3);

  // 12,345,678 as "12.3M", or in Chinese by ten thousands.
  function count(value) {
    if (!known(value)) return none;
    if (Math.abs(value) < 10000) return whole(value);
    return value.toLocaleString(language, { notation: "compact", compactDisplay: "short", maximumSignificantDigits: 3 });
  }

  function size(value) {
    if (!known(value)) return none;
    for (const [limit, unit] of [[1e12, "TB"], [1e9, "GB"], [1e6, "MB"], [1e3, "KB"]]) {
      if (value >= 0.9995 * limit) return `${number(value / limit)} ${unit}`;
    }
    return say("unit.bytes", { n: whole(value) });
  }

  function seconds(value, digits) {
    if (!known(value)) return none;
    if (digits !== undefined) return say("unit.seconds", { n: fixed(value, digits) });
    if (value < 100) return say("unit.seconds", { n: number(value) });
    const total = Math.round(value);
    const pad = (n) => String(n).padStart(2, "0");
    if (total < 3600) return say("unit.minutes", { m: Math.floor(total / 60), s: pad(total % 60) });
    const hours = Math.floor(total / 3600);
    if (hours < 48) return say("unit.hours", { h: hours, m: pad(Math.floor((total % 3600) / 60)) });
    return say("unit.days", { d: Math.floor(hours / 24), h: hours % 24 });
  }

  // A value with the unit of its record.
  function measured(value, unit) {
    if (!known(value)) return none;
    if (unit === "bits/byte" || unit === "nats/token") return bits(value);
    if (unit === "share") return percent(value, 1);
    if (unit === "bytes") return size(value);
    if (unit === "s") return seconds(value);
    if (unit === "tokens/s" || unit === "tokens") return count(value);
    return Math.abs(value) >= 1000 ? whole(value) : number(value);
  }

  // A table that scrolls inside itself where the screen is narrow. rows: lists of elements or texts.
  function table(caption, headings, rows, { numeric = [] } = {}) {
    const style = (i) => (numeric.includes(i) ? { class: "number" } : {});
    const head = make("tr", {}, headings.map((text, i) => make("th", { scope: "col", ...style(i) }, text)));
    const body = rows.map((cells) =>
      make("tr", {}, cells.map((cell, i) => (i === 0 ? make("th", { scope: "row" }, cell) : make("td", style(i), cell)))),
    );
    const whole = make("table", {}, make("caption", {}, caption), make("thead", {}, head), make("tbody", {}, body));
    return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, whole);
  }

  // Pairs of a name and a value. Empty values are left out.
  function pairs(list) {
    const kept = list.filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== none);
    return make("dl", { class: "pairs" }, kept.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
  }

  function toggle(label, pressed, change) {
    const button = make("button", { type: "button", class: "toggle", "aria-pressed": pressed ? "true" : "false" }, label);
    button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", on ? "true" : "false");
      change(on);
    });
    return button;
  }

  // The theme: the system's until somebody presses the button.

  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (document.documentElement.dataset.theme || (dark.matches ? "dark" : "light")) === "dark";

  function themeButton() {
    try {
      const kept = localStorage.getItem("daybreak-theme");
      if (kept === "dark" || kept === "light") document.documentElement.dataset.theme = kept;
    } catch { /* pages from a file may not keep anything */ }
    const button = make("button", { type: "button", class: "toggle theme" });
    const told = () => { button.textContent = say(isDark() ? "theme.light" : "theme.dark"); };
    const changed = () => { told(); document.dispatchEvent(new Event("themechange")); };
    button.addEventListener("click", () => {
      const next = isDark() ? "light" : "dark";
      document.documentElement.dataset.theme = next;
      try { localStorage.setItem("daybreak-theme", next); } catch { /* as above */ }
      changed();
    });
    dark.addEventListener("change", changed);
    told();
    return button;
  }

  // The top of every page: contents by section (its id and a short name) and the theme.
  function header(sections) {
    const links = sections.map(([id, name]) => make("a", { href: `#${id}` }, name));
    return make("header", {}, make("span", { class: "brand" }, "daybreak"), make("nav", { "aria-label": say("page.contents") }, links), themeButton());
  }

  // A bar of a list of bars; share of the longest one's length.
  function bar(kind, share) {
    const element = make("span", { class: `bar ${kind}` });
    element.style.width = `${100 * share}%`;
    return element;
  }

  function bars(label, entries) {
    const most = Math.max(...entries.map(([, value]) => value), Number.MIN_VALUE);
    const rows = entries.map(([name, value, told, kind = "plain"]) => make("li", {}, make("span", { class: "name" }, name), make("span", { class: "track" }, bar(kind, value / most)), make("span", { class: "number" }, told)));
    return make("div", { class: "compared" }, make("p", { class: "caption" }, label), make("ul", { class: "bars", "aria-label": label }, rows));
  }

  return { read, say, named, make, known, number, fixed, whole, percent, bits, count, size, seconds, measured, table, pairs, bar, bars, toggle, header, language };
})();
