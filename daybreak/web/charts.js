// Charts: lines with marks, bands and rules, on top of Plotly; they follow the theme and the width of the page.
"use strict";

const charts = (() => {
  const drawn = new Map(); // element -> its spec
  const waiting = new Set(); // elements that were not near the screen yet
  const zooms = new WeakMap(); // element -> the axes that the reader has zoomed: name -> {type, range}
  let ready = typeof Plotly !== "undefined";
  const near = "IntersectionObserver" in window
    ? new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (ready && entry.isIntersecting && waiting.delete(entry.target)) draw(entry.target);
      }
    }, { rootMargin: "300px" })
    : null;

  // Plotly reads a few tags and entities in its texts: names of runs and techniques are not to be read.
  const plain = (text) => String(text ?? "").replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

  // A colour of page.css as Plotly needs it: "accent", "muted", "ink", "line", "series-2" ... or any CSS colour.
  function colour(name, opacity = 1) {
    const probe = document.createElement("span");
    probe.style.color = /^[a-z]+(-[a-z0-9]+)*$/.test(name) ? `var(--${name}, ${name})` : name;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return opacity === 1 ? found : found.replace(/^rgba?\(([^,]+,[^,]+,[^,)]+).*\)$/, `rgba($1, ${opacity})`);
  }

  // spec: {label, series, xTitle, yTitle, logX, logY, xRange, yRange, height, xFormat, marks, bands, rules, legend}
  //   series: {name, x, y, color, width, dash, opacity, points (markers and no line), symbol, size, step, hover, axisText}
  //   marks: {x, y, label, text}: buttons on the chart; hovering, focusing or tapping one shows the text, as text
  //   bands: {from, to, color, label} in y; rules: {x or y, label, color, dash}
  function lines(element, spec) {
    const first = !drawn.has(element);
    drawn.set(element, spec);
    element.classList.add("chart");
    element.style.minHeight = `${spec.height || 360}px`;
    element.setAttribute("role", "group");
    element.setAttribute("aria-label", spec.label || "");
    if (first) {
      waiting.add(element);
      if (ready) watch(element);
    } else if (!waiting.has(element)) draw(element);
  }

  // Drawn when it comes near the screen.
  function watch(element) {
    if (near) near.observe(element);
    else if (waiting.delete(element)) draw(element);
  }

  // Plotly is large: words and tables are on the screen before it is read. It lies in the page as a text, or beside it.
  function start() {
    const script = document.createElement("script");
    const text = document.getElementById("plotly");
    const begin = () => {
      ready = true;
      for (const element of [...waiting]) watch(element);
      document.documentElement.dataset.charts = "ready";
    };
    if (text) script.textContent = text.textContent;
    else {
      script.src = "plotly.js";
      script.addEventListener("load", begin);
    }
    document.head.append(script);
    if (text) begin();
  }
  if (!ready) document.addEventListener("DOMContentLoaded", () => requestAnimationFrame(() => setTimeout(start)));

  function trace(series) {
    const ink = colour(series.color || "accent", series.opacity ?? 1);
    const points = Boolean(series.points);
    return {
      type: "scatter",
      mode: points ? "markers" : "lines",
      name: plain(series.name),
      x: series.x,
      y: series.y,
      showlegend: series.legend !== false,
      hoverinfo: series.hover === false ? "skip" : undefined,
      hovertemplate: series.hover === false ? undefined : `%{y:${series.format || ".4g"}}<extra>${plain(series.name)}</extra>`,
      line: { color: ink, width: series.width || 2, dash: series.dash || "solid", shape: series.step ? "hv" : "linear" },
      marker: { color: ink, size: series.size || 9, symbol: series.symbol || "circle", line: { color: colour("page"), width: 1.5 } },
    };
  }

  function axis(title, { log, range, format, grid = true }) {
    const given = range && (log ? range.map((value) => Math.log10(Math.max(value, 1e-9))) : range);
    return {
      title: { text: plain(title), standoff: 8, font: { size: 13 } },
      type: log ? "log" : "linear",
      ...(given ? { range: given, autorange: false } : { autorange: true }),
      ...(format ? { tickformat: format } : {}),
      ...(log ? { dtick: "D2", minor: {}, exponentformat: "none" } : { nticks: 7 }),
      showgrid: grid,
      gridcolor: colour("line"),
      linecolor: colour("line"),
      zeroline: false,
      automargin: true,
      ticks: "",
      fixedrange: coarse(),
    };
  }

  // A finger that moves over a chart scrolls the page.
  const coarse = () => window.matchMedia("(pointer: coarse)").matches;

  function shapes(spec) {
    const bands = (spec.bands || []).map((band) => ({
      type: "rect", xref: "paper", x0: 0, x1: 1, y0: band.from, y1: band.to, layer: "below",
      line: { width: 0 }, fillcolor: colour(band.color || "accent", 0.12),
    }));
    const rules = (spec.rules || []).map((rule) => ({
      type: "line", layer: "below", line: { color: colour(rule.color || "muted"), width: 1.25, dash: rule.dash || "dash" },
      ...(rule.y === undefined ? { x0: rule.x, x1: rule.x, yref: "paper", y0: 0, y1: 1 } : { xref: "paper", x0: 0, x1: 1, y0: rule.y, y1: rule.y }),
    }));
    return [...bands, ...rules];
  }

  // The names of the rules, moved apart where two lines lie close together.
  function annotations(spec, height) {
    const told = (spec.rules || []).filter((rule) => rule.label);
    const font = (rule) => ({ size: 12, color: colour(rule.color || "muted") });
    const upright = told.filter((rule) => rule.y === undefined).map((rule) => ({
      x: spec.logX ? Math.log10(Math.max(rule.x, 1e-9)) : rule.x, yref: "paper", y: 1, yanchor: "top",
      xanchor: rule.anchor || "left", text: plain(rule.label), showarrow: false, font: font(rule), bgcolor: colour("page", 0.8),
    }));
    const scale = (y) => (spec.logY ? Math.log10(Math.max(y, 1e-9)) : y);
    const [low, high] = (spec.yRange || [0, 1]).map(scale);
    let below = -Infinity;
    const level = told.filter((rule) => rule.y !== undefined).sort((a, b) => a.y - b.y).map((rule) => {
      const pixel = ((scale(rule.y) - low) / (high - low || 1)) * height;
      const at = Math.max(pixel, below + 17);
      below = at;
      return {
        xref: "paper", x: 0, xanchor: "left", y: scale(rule.y), yanchor: "bottom", yshift: at - pixel,
        text: plain(rule.label), showarrow: false, font: font(rule), bgcolor: colour("page", 0.8), borderpad: 1,
      };
    });
    return [...upright, ...level];
  }

  function draw(element) {
    const spec = drawn.get(element);
    const height = spec.height || 360;
    const ink = colour("ink");
    const layout = {
      height,
      autosize: true,
      margin: { l: 56, r: 12, t: 12, b: 44 },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: ink },
      xaxis: axis(spec.xTitle, { log: spec.logX, range: spec.xRange, format: spec.xFormat, grid: false }),
      yaxis: axis(spec.yTitle, { log: spec.logY, range: spec.yRange, format: spec.yFormat }),
      hovermode: "x unified",
      dragmode: coarse() ? false : "zoom",
      hoverlabel: { bgcolor: colour("raised"), bordercolor: colour("line"), font: { color: ink, size: 13 } },
      showlegend: spec.legend !== false,
      legend: { uirevision: "kept", orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { size: 13 }, itemwidth: 30 },
      shapes: shapes(spec),
      annotations: annotations(spec, height - 80),
    };
    for (const [name, { type, range }] of Object.entries(zooms.get(element) || {})) {
      if (layout[name].type === type) Object.assign(layout[name], { range: [...range], autorange: false });
    }
    const config = { displayModeBar: false, responsive: true, displaylogo: false, doubleClick: "reset+autosize" };
    const first = !element.classList.contains("js-plotly-plot");
    Plotly.react(element, spec.series.map(trace), layout, config);
    if (first) {
      element.on("plotly_afterplot", () => placeMarks(element));
      element.on("plotly_relayout", (change) => keepZoom(element, change));
      element.on("plotly_doubleclick", () => zooms.delete(element));
    }
    placeMarks(element);
  }

  // What the reader zoomed stays so when newer facts come.
  function keepZoom(element, change) {
    const kept = zooms.get(element) || {};
    for (const name of ["xaxis", "yaxis"]) {
      if (`${name}.range[0]` in change) {
        kept[name] = { type: element.layout[name].type, range: [change[`${name}.range[0]`], change[`${name}.range[1]`]] };
      } else if (`${name}.autorange` in change || `${name}.range` in change) delete kept[name];
    }
    zooms.set(element, kept);
  }

  // Marks are buttons over the chart: they can be reached by keyboard and by finger.
  function placeMarks(element) {
    const spec = drawn.get(element);
    const { xaxis, yaxis } = element._fullLayout || {};
    let layer = element.querySelector(":scope > .marks");
    if (!layer) {
      layer = document.createElement("div");
      layer.className = "marks";
      element.append(layer);
    }
    const marks = xaxis && xaxis.d2p ? spec.marks || [] : [];
    while (layer.children.length > marks.length) layer.lastChild.remove();
    marks.forEach((mark, i) => {
      const button = layer.children[i] || layer.appendChild(markButton());
      const [x, y] = [xaxis.d2p(mark.x), yaxis.d2p(mark.y)];
      button.shows = mark;
      button.setAttribute("aria-label", mark.label);
      button.style.left = `${xaxis._offset + x}px`;
      button.style.top = `${yaxis._offset + y}px`;
      button.hidden = !(x >= 0 && x <= xaxis._length && y >= 0 && y <= yaxis._length);
    });
  }

  function markButton() {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "mark";
    button.setAttribute("aria-describedby", "tooltip");
    for (const event of ["pointerenter", "focus", "click"]) button.addEventListener(event, () => tip(button, button.shows.label, button.shows.text));
    for (const event of ["pointerleave", "blur"]) button.addEventListener(event, untip);
    return button;
  }

  // One tooltip for all: a title and a text beside an element.
  function tip(anchor, title, text) {
    let box = document.getElementById("tooltip");
    if (!box) {
      box = document.createElement("div");
      box.id = "tooltip";
      box.setAttribute("role", "tooltip");
      box.append(document.createElement("strong"), document.createElement("span"));
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

  function redraw() {
    for (const element of drawn.keys()) if (!waiting.has(element)) draw(element);
  }

  // An element that leaves the page, if there is one.
  function drop(element) {
    if (!element) return;
    if (drawn.delete(element) && !waiting.delete(element)) Plotly.purge(element);
    if (near) near.unobserve(element);
  }

  document.addEventListener("themechange", redraw);
  window.addEventListener("beforeprint", () => {
    if (!ready) return;
    for (const element of [...waiting]) {
      waiting.delete(element);
      draw(element);
    }
  });

  return { lines, colour, tip, untip, redraw, drop, plain };
})();
