// Charts: lines with marks, bands and rules, drawn as SVG; they follow the theme and the width of the page.
"use strict";

const charts = (() => {
  const { make, say, known } = parts;
  const drawn = new Map(); // element -> its spec
  const waiting = new Set(); // elements that were not near the screen yet
  const zooms = new WeakMap(); // element -> the part that the reader has zoomed: {x: [from, to], y: [from, to], log}
  const hidden = new WeakMap(); // element -> names of series that the reader has switched off
  const near = "IntersectionObserver" in window
    ? new IntersectionObserver((entries) => {
      for (const entry of entries) if (entry.isIntersecting && waiting.delete(entry.target)) draw(entry.target);
    }, { rootMargin: "300px" })
    : null;
  const resized = "ResizeObserver" in window
    ? new ResizeObserver((entries) => {
      for (const { target } of entries) if (!waiting.has(target) && target.clientWidth !== Number(target.dataset.width)) draw(target);
    })
    : null;

  // spec: {label, series, xTitle, yTitle, logX, logY, xRange, yRange, height, xUnit, xPercent, marks, bands, rules, legend}
  //   series: {name, x, y, color, width, dash, opacity, points (markers and no line), symbol, size, step, hover, legend}
  //   marks: {x, y, label, text}: buttons on the chart; hovering, focusing or tapping one shows the text, as text
  //   bands: {from, to, color} in y; rules: {x or y, label, color, dash}; colours are names of page.css
  function lines(element, spec) {
    const first = !drawn.has(element);
    drawn.set(element, spec);
    element.classList.add("chart");
    element.style.minHeight = `${spec.height || 360}px`;
    element.setAttribute("role", "group");
    element.setAttribute("aria-label", spec.label || "");
    if (first) {
      waiting.add(element);
      resized?.observe(element);
      if (near) near.observe(element);
      else if (waiting.delete(element)) draw(element);
    } else if (!waiting.has(element)) draw(element);
  }

  // SVG

  function shape(tag, attributes = {}, ...children) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) if (value !== null && value !== undefined) element.setAttribute(name, String(value));
    element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
    return element;
  }

  const colour = (name) => `var(--${name || "accent"})`;
  const DASHES = { dash: "7 5", dot: "2 4", dashdot: "7 4 2 4" };

  // Scales

  const LEAST = 1e-9; // the least value on a logarithmic axis

  function scale(range, log, from, to) {
    const at = (value) => (log ? Math.log10(Math.max(value, LEAST)) : value);
    const [low, high] = range.map(at);
    const width = high - low || 1;
    const pixel = (value) => from + ((at(value) - low) / width) * (to - from);
    const value = (place) => {
      const found = low + ((place - from) / (to - from)) * width;
      return log ? 10 ** found : found;
    };
    return { pixel, value, range, log };
  }

  // Every value of an axis, with a little room, where no range is given.
  function extent(values) {
    const finite = values.filter(known);
    if (!finite.length) return [0, 1];
    const low = finite.reduce((a, b) => Math.min(a, b));
    const high = finite.reduce((a, b) => Math.max(a, b));
    const room = 0.05 * (high - low || Math.abs(high) || 1);
    return [low - room, high + room];
  }

  // About `most` round numbers within a range.
  function ticks([low, high], log, most) {
    if (log && high / Math.max(low, LEAST) > 3) {
      const found = [];
      for (let power = Math.floor(Math.log10(Math.max(low, LEAST))); power <= Math.ceil(Math.log10(high)); power++) {
        for (const digit of [1, 2, 5]) found.push(digit * 10 ** power);
      }
      const inside = found.filter((value) => value >= low * 0.999 && value <= high * 1.001);
      const tens = inside.filter((value) => /^1e|^10*$|^0\.0*1$/.test(String(Number(value.toPrecision(3)))));
      if (inside.length > 2) return inside.length > most && tens.length > 1 ? tens : inside;
    }
    const rough = (high - low) / Math.max(1, most);
    if (!(rough > 0) || !Number.isFinite(rough)) return [low];
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((digit) => digit * power).find((size) => size >= rough);
    const found = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) found.push(i * step || 0); // no -0
    return found;
  }

  function told(value, all, log) {
    if (log && Math.max(...all) < 10000) return parts.number(value);
    const [low, high] = [Math.min(...all), Math.max(...all)];
    const step = all.length > 1 ? (high - low) / (all.length - 1) : Math.abs(value);
    if (Math.max(Math.abs(low), Math.abs(high)) >= 10000) return parts.count(value);
    if (value !== 0 && step < 1e-4) return value.toExponential(0);
    const digits = step >= 1 ? 0 : Math.min(6, Math.ceil(-Math.log10(step) - 1e-9));
    return value.toLocaleString(parts.language, { maximumFractionDigits: digits });
  }

  // Drawing

  function draw(element) {
    const spec = drawn.get(element);
    const width = element.clientWidth;
    element.dataset.width = width;
    if (!width) return; // a closed part of the page: it is drawn when it has a width
    const height = spec.height || 360;
    const off = hidden.get(element) || new Set();
    const visible = spec.series.filter((one) => !off.has(one.name));
    const entries = spec.legend === false ? [] : spec.series.filter((one) => one.legend !== false);
    const legend = keys(element, entries, off);
    const zoomed = zooms.get(element);
    const kept = zoomed && zoomed.log === logs(spec) ? zoomed : null;
    const xRange = kept?.x || (spec.xRange ? [...spec.xRange] : extent(visible.flatMap((one) => one.x)));
    const yRange = kept?.y || (spec.yRange ? [...spec.yRange] : extent(visible.flatMap((one) => one.y)));
    if (spec.logX) xRange[0] = Math.max(xRange[0], Math.min(...visible.flatMap((one) => one.x).filter((x) => x > 0), xRange[1]) * 0.9, LEAST);
    const drawing = shape("svg", { width, height, "aria-hidden": "true" });
    element.querySelectorAll(":scope > svg, :scope > .keys, :scope > .reset, :scope > .readout").forEach((old) => old.remove());
    element.prepend(...(legend ? [legend] : []), drawing);
    const over = legend ? legend.offsetHeight : 0;
    const yTicks = ticks(yRange, spec.logY, Math.max(2, (height - over) / 50));
    const left = 24 + 7 * Math.max(2, ...yTicks.map((value) => told(value, yTicks, spec.logY).length)) + (spec.yTitle ? 14 : -6);
    const plot = { left: Math.round(left), right: width - 20, top: 10, bottom: height - over - (spec.xTitle ? 44 : 26) };
    drawing.setAttribute("height", height - over);
    const x = scale(xRange, spec.logX, plot.left, plot.right);
    const y = scale(yRange, spec.logY, plot.bottom, plot.top);
    const clip = `plot-${[...drawn.keys()].indexOf(element)}`;
    drawing.append(
      shape("defs", {}, shape("clipPath", { id: clip }, shape("rect", { x: plot.left, y: plot.top - 6, width: Math.max(1, plot.right - plot.left + 2), height: Math.max(1, plot.bottom - plot.top + 6) }))),
      ...axes(spec, x, y, plot, yTicks),
      shape("g", { "clip-path": `url(#${clip})` }, bands(spec, y, plot), rules(spec, x, y, plot), visible.filter((one) => !one.points).map((one) => trace(one, x, y))),
      ...visible.filter((one) => one.points).flatMap((one) => points(one, x, y, plot)), // whole, also at the edge
      ...labels(spec, x, y, plot),
    );
    if (kept) element.append(resetButton(element));
    follow(element, drawing, { spec, visible, x, y, plot, over });
    placeMarks(element, spec, x, y, plot, over);
  }

  function axes(spec, x, y, plot, yTicks) {
    const shownX = spec.xPercent ? (value) => parts.percent(value) : (value, all) => told(value, all, spec.logX);
    const xTicks = ticks(x.range, spec.logX, Math.max(2, (plot.right - plot.left) / 75));
    const middle = (plot.top + plot.bottom) / 2;
    return [
      ...yTicks.flatMap((value) => [
        shape("line", { class: "grid-line", x1: plot.left, x2: plot.right, y1: y.pixel(value), y2: y.pixel(value) }),
        shape("text", { x: plot.left - 8, y: y.pixel(value), dy: "0.35em", "text-anchor": "end" }, told(value, yTicks, spec.logY)),
      ]),
      shape("line", { class: "grid-line", x1: plot.left, x2: plot.right, y1: plot.bottom, y2: plot.bottom }),
      ...xTicks.map((value) => shape("text", { x: x.pixel(value), y: plot.bottom + 17, "text-anchor": "middle" }, shownX(value, xTicks))),
      spec.xTitle ? shape("text", { x: (plot.left + plot.right) / 2, y: plot.bottom + 38, "text-anchor": "middle" }, spec.xTitle) : "",
      spec.yTitle ? shape("text", { x: 13, y: middle, "text-anchor": "middle", transform: `rotate(-90 13 ${middle})` }, spec.yTitle) : "",
    ].filter(Boolean);
  }

  const bands = (spec, y, plot) => (spec.bands || []).map((band) => shape("rect", {
    x: plot.left, width: plot.right - plot.left, y: Math.min(y.pixel(band.to), y.pixel(band.from)), height: Math.abs(y.pixel(band.from) - y.pixel(band.to)),
    style: `fill: ${colour(band.color)}`, opacity: 0.12,
  }));

  const rules = (spec, x, y, plot) => (spec.rules || []).map((rule) => shape("line", {
    ...(rule.y === undefined ? { x1: x.pixel(rule.x), x2: x.pixel(rule.x), y1: plot.top, y2: plot.bottom } : { x1: plot.left, x2: plot.right, y1: y.pixel(rule.y), y2: y.pixel(rule.y) }),
    style: `stroke: ${colour(rule.color || "muted")}`, "stroke-width": 1.25, "stroke-dasharray": DASHES[rule.dash || "dash"],
  }));

  // The names of the rules, moved apart where two lines lie close together: the lowest of them has its name below.
  function labels(spec, x, y, plot) {
    const style = (rule) => `fill: ${colour(rule.color || "muted")}`;
    const named = (spec.rules || []).filter((rule) => rule.label);
    const upright = named.filter((rule) => rule.y === undefined && x.pixel(rule.x) >= plot.left && x.pixel(rule.x) <= plot.right)
      .map((rule) => shape("text", { class: "rule", x: x.pixel(rule.x) + 4, y: plot.top + 10, style: style(rule) }, rule.label));
    let above = Infinity;
    const inside = named.filter((rule) => rule.y !== undefined && y.pixel(rule.y) <= plot.bottom && y.pixel(rule.y) >= plot.top);
    const level = inside.sort((a, b) => a.y - b.y).map((rule, i, all) => {
      const line = y.pixel(rule.y);
      const close = i + 1 < all.length && line - y.pixel(all[i + 1].y) < 18;
      const below = close && line + 13 < Math.min(plot.bottom, above);
      const at = below ? line + 13 : Math.min(line - 4, above - 16);
      above = below ? line : at;
      return shape("text", { class: "rule", x: plot.left + 3, y: at, style: style(rule) }, rule.label);
    });
    return [...upright, ...level].filter(Boolean);
  }

  function trace(series, x, y) {
    const places = [];
    let broken = true;
    series.x.forEach((value, i) => {
      if (!known(series.y[i]) || !known(value)) {
        broken = true;
        return;
      }
      const [px, py] = [x.pixel(value).toFixed(1), y.pixel(series.y[i]).toFixed(1)];
      places.push(broken ? `M${px} ${py}` : series.step ? `H${px}V${py}` : `L${px} ${py}`);
      broken = false;
    });
    return shape("path", {
      d: places.join(""), fill: "none", style: `stroke: ${colour(series.color)}`, "stroke-width": series.width || 2, opacity: series.opacity,
      "stroke-dasharray": DASHES[series.dash], "stroke-linejoin": "round",
    });
  }

  function points(series, x, y, plot) {
    const places = series.x.map((value, i) => [x.pixel(value), y.pixel(series.y[i])]);
    const inside = ([px, py]) => px >= plot.left - 1 && px <= plot.right + 1 && py >= plot.top - 6 && py <= plot.bottom + 1;
    return places.filter(inside).map(([px, py]) => point(series, px, py));
  }

  function point(series, px, py) {
    const ink = colour(series.color);
    const size = series.size || 9;
    if ((series.symbol || "circle") === "circle") return shape("circle", { cx: px, cy: py, r: size / 2, style: `fill: ${ink}; stroke: var(--page)`, "stroke-width": 1.5 });
    const corners = Array.from({ length: 10 }, (_, i) => {
      const [angle, radius] = [(i * Math.PI) / 5 - Math.PI / 2, i % 2 ? size * 0.27 : size * 0.7];
      return `${(px + radius * Math.cos(angle)).toFixed(1)},${(py + radius * Math.sin(angle)).toFixed(1)}`;
    });
    const open = series.symbol === "star-open";
    return shape("polygon", { points: corners.join(" "), style: `fill: ${open ? "var(--page)" : ink}; stroke: ${open ? ink : "var(--page)"}`, "stroke-width": 1.5 });
  }

  // The legend: a button a series, which switches it off and on.
  function keys(element, entries, off) {
    if (!entries.length) return null;
    return make("div", { class: "keys" }, entries.map((series) => {
      const swatch = shape("svg", { width: 22, height: 14, "aria-hidden": "true" }, series.points ? point({ ...series, size: Math.min(11, series.size || 9) }, 11, 7) : trace({ ...series, width: Math.max(1.5, series.width || 2), step: false, x: [1, 21], y: [7, 7] }, { pixel: (v) => v }, { pixel: (v) => v }));
      const button = make("button", { type: "button", "aria-pressed": String(!off.has(series.name)) }, swatch, series.name);
      button.addEventListener("click", () => {
        const now = hidden.get(element) || new Set();
        if (!now.delete(series.name)) now.add(series.name);
        hidden.set(element, now);
        const place = [...button.parentElement.children].indexOf(button);
        draw(element);
        element.querySelectorAll(":scope > .keys > button")[place]?.focus();
      });
      return button;
    }));
  }

  // Reading and zooming

  const coarse = () => window.matchMedia("(pointer: coarse)").matches; // a finger that moves over a chart scrolls the page

  function follow(element, drawing, at) {
    const { plot } = at;
    const inside = (event) => {
      const box = drawing.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    let from = null;
    let frame = null;
    const area = shape("rect", { class: "plot", x: plot.left, y: plot.top, width: Math.max(1, plot.right - plot.left), height: Math.max(1, plot.bottom - plot.top), fill: "transparent" });
    drawing.append(area);
    area.addEventListener("pointermove", (event) => {
      const [px, py] = inside(event);
      if (!from) return read(element, drawing, at, px, py);
      const [x0, x1, y0, y1] = [Math.min(from[0], px), Math.max(from[0], px), Math.min(from[1], py), Math.max(from[1], py)];
      frame = frame || drawing.appendChild(shape("rect", { class: "zoom" }));
      for (const [name, value] of Object.entries({ x: x0, y: y0, width: x1 - x0, height: y1 - y0 })) frame.setAttribute(name, value);
    });
    area.addEventListener("pointerleave", () => from || read(element, drawing, at));
    area.addEventListener("pointerdown", (event) => {
      if (event.button || coarse()) return;
      from = inside(event);
      area.setPointerCapture(event.pointerId);
      read(element, drawing, at);
      event.preventDefault();
    });
    area.addEventListener("pointerup", (event) => {
      if (!from) return;
      const [began, [px, py]] = [from, inside(event)];
      from = null;
      frame?.remove();
      frame = null;
      const within = (place, low, high) => Math.max(low, Math.min(high, place));
      const xs = [began[0], px].map((place) => within(place, plot.left, plot.right)).sort((a, b) => a - b);
      const ys = [began[1], py].map((place) => within(place, plot.top, plot.bottom)).sort((a, b) => b - a);
      if (xs[1] - xs[0] < 8 && ys[0] - ys[1] < 8) return;
      const whole = (pair) => Math.abs(pair[1] - pair[0]) < 8; // a narrow frame zooms in one direction
      zoom(element, whole(xs) ? at.x.range : xs.map(at.x.value), whole(ys) ? at.y.range : ys.map(at.y.value));
    });
    area.addEventListener("pointercancel", () => { from = null; frame?.remove(); frame = null; });
    area.addEventListener("dblclick", () => unzoom(element));
  }

  const logs = (spec) => `${Boolean(spec.logX)} ${Boolean(spec.logY)}`;

  // What the reader zoomed stays so when newer facts come.
  function zoom(element, x, y) {
    zooms.set(element, { x, y, log: logs(drawn.get(element)) });
    draw(element);
  }

  function unzoom(element) {
    if (zooms.delete(element)) draw(element);
  }

  const resetButton = (element) => make("button", { type: "button", class: "toggle reset", onclick: () => unzoom(element) }, say("chart.reset"));

  // A line at the pointer, and beside it the value of every series there.
  function read(element, drawing, at, px, py) {
    element.querySelector(":scope > .readout")?.remove();
    drawing.querySelector(".cursor")?.remove();
    if (px === undefined) return;
    const { visible, x, y, plot, over, spec } = at;
    const rows = visible.filter((series) => series.hover !== false && series.x.length).map((series) => {
      const i = nearest(series.x, x.value(px));
      const away = Math.abs(x.pixel(series.x[i]) - px);
      return away <= (series.points ? 14 : 40) && known(series.y[i]) ? { series, x: series.x[i], y: series.y[i], away } : null;
    }).filter(Boolean);
    if (!rows.length) return;
    const closest = rows.reduce((a, b) => (a.away <= b.away ? a : b));
    const place = x.pixel(closest.x);
    drawing.insertBefore(shape("line", { class: "cursor", x1: place, x2: place, y1: plot.top, y2: plot.bottom }), drawing.querySelector(".plot"));
    const head = spec.xPercent ? parts.percent(closest.x, 1) : `${parts.number(closest.x, 4)} ${spec.xUnit || ""}`;
    const box = make("div", { class: "readout", "aria-hidden": "true" }, make("b", {}, head), rows.map((row) => {
      const dot = make("i", {});
      dot.style.background = colour(row.series.color);
      return make("span", {}, dot, `${row.series.name} `, make("b", {}, parts.number(row.y, 4)));
    }));
    element.append(box);
    const side = place + 12 + box.offsetWidth > element.clientWidth ? place - 12 - box.offsetWidth : place + 12;
    box.style.left = `${Math.max(0, side)}px`;
    box.style.top = `${over + Math.max(0, Math.min(py - box.offsetHeight - 10, plot.bottom - box.offsetHeight))}px`;
  }

  // The index of what lies nearest to a value in a list; points of a series need not be in order.
  function nearest(list, value) {
    let best = 0;
    for (let i = 1; i < list.length; i++) if (Math.abs(list[i] - value) < Math.abs(list[best] - value)) best = i;
    return best;
  }

  // Marks are buttons over the chart: they can be reached by keyboard and by finger.
  function placeMarks(element, spec, x, y, plot, over) {
    let layer = element.querySelector(":scope > .marks");
    if (!layer) {
      layer = make("div", { class: "marks" });
      element.append(layer);
    }
    const marks = spec.marks || [];
    while (layer.children.length > marks.length) layer.lastChild.remove();
    marks.forEach((mark, i) => {
      const button = layer.children[i] || layer.appendChild(markButton());
      const [px, py] = [x.pixel(mark.x), y.pixel(mark.y)];
      button.shows = mark;
      button.setAttribute("aria-label", mark.label);
      button.style.left = `${px}px`;
      button.style.top = `${over + py}px`;
      button.hidden = !(px >= plot.left && px <= plot.right && py >= plot.top && py <= plot.bottom);
    });
  }

  function markButton() {
    const button = make("button", { type: "button", class: "mark", "aria-describedby": "tooltip" });
    for (const event of ["pointerenter", "focus", "click"]) button.addEventListener(event, () => tip(button, button.shows.label, button.shows.text));
    for (const event of ["pointerleave", "blur"]) button.addEventListener(event, untip);
    return button;
  }

  // One tooltip for all: a title and a text beside an element.
  function tip(anchor, title, text) {
    let box = document.getElementById("tooltip");
    if (!box) {
      box = make("div", { id: "tooltip", role: "tooltip" }, make("strong"), make("span"));
      document.body.append(box);
      document.addEventListener("keydown", (event) => event.key === "Escape" && untip());
    }
    box.firstChild.textContent = title;
    box.lastChild.textContent = text;
    box.hidden = false;
    const at = anchor.getBoundingClientRect();
    const { width, height } = box.getBoundingClientRect();
    const room = document.documentElement.clientWidth - width - 8;
    box.style.left = `${window.scrollX + Math.max(8, Math.min(room, at.left + at.width / 2 - width / 2))}px`;
    const above = at.top - height - 8;
    box.style.top = `${window.scrollY + (above > 8 ? above : at.bottom + 8)}px`;
  }

  function untip() {
    const box = document.getElementById("tooltip");
    if (box) box.hidden = true;
  }

  // An element that leaves the page, if there is one.
  function drop(element) {
    if (!element) return;
    drawn.delete(element);
    waiting.delete(element);
    near?.unobserve(element);
    resized?.unobserve(element);
  }

  window.addEventListener("beforeprint", () => {
    for (const element of [...waiting]) {
      waiting.delete(element);
      draw(element);
    }
  });

  return { lines, tip, untip, drop, zoom };
})();
