// Report: the facts of a run as a page; show(facts) may be called again with newer facts.
"use strict";

// Sections in their order: what each reads of the facts (it is filled again when that changes), and how.
const SECTIONS = [
  ["loss", (f) => [f.curves.loss, f.validations, f.samples, f.result, f.plan?.predicted, f.budget.seconds, f.training?.begin], fillLoss],
  ["comparison", (f) => [f.comparison, f.state], fillComparison],
  ["time", (f) => [f.phases, f.budget, f.state], fillTime],
  ["rates", (f) => [f.curves.rates, f.curves.gradient], fillRates],
  ["decisions", (f) => [f.techniques, f.reasons], fillDecisions],
  ["gains", (f) => f.measured, fillGains],
  ["tasks", (f) => f.tasks, fillTasks],
  ["samples", (f) => f.samples, fillSamples],
  ["data", (f) => [f.corpus, f.plan?.tokenizer], fillData],
  ["machine", (f) => [f.machine, f.versions], fillMachine],
  ["events", (f) => [f.events, f.amendments, f.unreadable], fillEvents],
  ["commands", (f) => f.commands, fillCommands],
];
const shown = new Map(); // section -> the JSON that it shows
const view = { logTime: false, logLoss: false };
let newest = null;

function show(facts) {
  newest = facts;
  const page = document.getElementById("page");
  if (!page.firstChild) frame(page);
  refill("headline", [facts.state, facts.budget, facts.result, facts.validations.at(-1), facts.training, facts.plan?.shape, facts.headline], fillHeadline);
  for (const [id, slice, fill] of SECTIONS) refill(id, slice(facts) ?? null, fill);
  document.getElementById("written").textContent = say("page.written", { when: new Date(facts.written_at * 1000).toLocaleString(parts.language) });
}

function refill(id, slice, fill) {
  const key = JSON.stringify(slice);
  const body = document.querySelector(`#${id} > .body`);
  // What has the keyboard's focus is not taken away; charts and their controls stay when they are filled again.
  const focused = body.contains(document.activeElement) && !document.activeElement.closest(".controls, .chart, summary");
  if (shown.get(id) === key || focused) return;
  shown.set(id, key);
  fill(body, newest);
}

function frame(page) {
  const links = SECTIONS.map(([id]) => make("a", { href: `#${id}` }, say(`section.${id}.short`)));
  document.body.prepend(make("header", {}, make("span", { class: "brand" }, "daybreak"), make("nav", { "aria-label": say("page.contents") }, links), parts.themeButton()));
  page.append(make("section", { id: "headline" }, make("div", { class: "body" })));
  for (const [id] of SECTIONS) {
    page.append(make("section", { id, "aria-labelledby": `${id}-title` }, make("h2", { id: `${id}-title` }, say(`section.${id}`)), make("div", { class: "body" })));
  }
  document.body.append(make("footer", {}, make("p", { id: "written" }), make("p", { id: "connection", role: "status" })));
}

// The headline

function fillHeadline(body, facts) {
  const { result, budget, state } = facts;
  const badge = make("p", { class: `state ${state}` }, say(`state.${state}`));
  const lede = make("p", { class: "lede" }, ledeOf(facts));
  const told = ["crashed", "interrupted", "planned", "prepared", "empty"].includes(state) ? make("p", { class: "note" }, say(`told.${state}`, { used: seconds(budget.used) })) : null;
  body.replaceChildren(badge, make("h1", {}, facts.name), lede, ...[told, figures(facts), comparedBars(result), spent(budget)].filter(Boolean));
}

function ledeOf(facts) {
  const { plan, corpus, request, machine, budget } = facts;
  const shape = plan?.shape;
  const what = !shape ? say(facts.request?.family === "ngram" ? "lede.counts" : "lede.network")
    : shape.family === "ngram" ? say("lede.ngram", { order: shape.order, unit: named("unit_of_counts", shape.unit) })
      : say(`lede.${shape.family}`, { parameters: count(facts.parameters), layers: shape.layers, width: shape.width });
  const names = (request?.sources || []).map((path) => path.replace(/\/+$/, "").split("/").pop());
  const source = names.length === 0 ? say("lede.builtin") : names.slice(0, 3).join(", ") + (names.length > 3 ? ` … (${names.length})` : "");
  const values = {
    what, source, text: corpus ? say("lede.text", { size: size(corpus.bytes), source }) : source,
    used: seconds(budget.used), budget: seconds(budget.seconds), machine: machine ? machineName(machine) : "",
  };
  return say(facts.state === "finished" ? "lede.finished" : "lede.going", values) + say(machine ? "lede.machine" : "lede.end", values);
}

function figures(facts) {
  const { result, validations, training, headline } = facts;
  const list = [];
  const told = (value) => measured(value, headline.unit);
  const name = say(`unit.${headline.name}`);
  if (result.model) {
    const share = known(result.scored_share) ? say("figure.share", { size: size(result.model.bytes), share: percent(result.scored_share) }) : "";
    list.push(figure(told(result.model.value), say("figure.model", { figure: name }), share, true));
    for (const more of result.more) list.push(figure(told(more.value), say("figure.more", { figure: name, needs: named("needs", more.needs) }), ""));
  } else if (validations.length) {
    const last = validations.at(-1);
    list.push(figure(told(last.figure), say("figure.on_the_way", { figure: name, progress: percent(last.progress) }), say("figure.scored", { size: size(last.bytes) }), true));
  }
  if (training) list.push(figure(count(training.tokens), say("figure.tokens"), say("figure.rate", { rate: count(training.tokens_per_second) })));
  return list.length ? make("dl", { class: "figures" }, list) : nothing("figure.none");
}

const figure = (value, name, note, main) => make("div", { class: main ? "main" : null }, make("dt", {}, name, note ? make("small", {}, note) : null), make("dd", {}, value));

// Bits per byte of the model beside those of the baselines; the shorter bar is the better one.
function comparedBars(result) {
  const entries = [
    result.model && [say("bar.model"), result.model.value, "accent"],
    ...result.more.map((more) => [say("bar.more", { needs: named("needs", more.needs) }), more.value, "accent-soft"]),
    result.kneser_ney && [say("bar.kneser_ney"), result.kneser_ney.value, "plain"],
    result.xz && [say("bar.xz"), result.xz.value, "plain"],
  ].filter((entry) => entry && known(entry[1]));
  if (entries.length < 2) return null;
  const most = Math.max(...entries.map(([, value]) => value));
  const rows = entries.map(([name, value, kind]) => make("li", {}, make("span", { class: "name" }, name), make("span", { class: "track" }, bar(kind, value / most)), make("span", { class: "number" }, bits(value))));
  const verdict = result.model ? make("p", { class: "quiet" }, ["xz", "kneser_ney"].filter((name) => result[name]).map((name) => versus(result.model.value, result[name].value, name)).join(say("verdict.join")) + say("verdict.end")) : null;
  return make("div", { class: "compared" }, make("p", { class: "caption" }, say("bar.caption")), make("ul", { class: "bars" }, rows), verdict);
}

const versus = (value, other, name) => say(value <= other ? "verdict.fewer" : "verdict.more", { share: percent(Math.abs(1 - value / other)), name: say(`bar.${name}`) });

function spent(budget) {
  if (!budget.seconds) return null;
  const share = Math.min(1, budget.used / budget.seconds);
  const text = say(budget.over > 0 ? "budget.over" : "budget.used", { used: seconds(budget.used), budget: seconds(budget.seconds), over: seconds(budget.over), unused: seconds(budget.unused) });
  return make("div", { class: "spent" }, make("span", { class: "track", role: "img", "aria-label": text }, bar(budget.over > 0 ? "over" : "accent", share)), make("p", { class: "quiet" }, text));
}

// Loss over seconds

function fillLoss(body, facts) {
  if (!facts.curves.loss.seconds.length) {
    charts.drop(body.querySelector(".chart"));
    body.replaceChildren(nothing(facts.plan?.shape?.family === "ngram" ? "loss.counting" : "loss.none"));
    return;
  }
  let chart = body.querySelector(".chart");
  if (!chart) {
    chart = make("div");
    const again = (name) => (on) => { view[name] = on; charts.lines(chart, lossSpec(newest)); };
    const controls = make("div", { class: "controls" }, toggle(say("loss.log_time"), false, again("logTime")), toggle(say("loss.log_loss"), false, again("logLoss")));
    const numbers = make("details", {}, make("summary", {}, say("loss.table")), make("div"));
    body.replaceChildren(make("p", { class: "quiet" }, say("loss.told", { unit: lossUnit(facts) })), controls, chart, numbers);
  }
  charts.lines(chart, lossSpec(facts));
  body.querySelector("details > div").replaceChildren(lossTable(facts));
}

// Losses are told in the unit of the headline; where that is no loss, in nats.
const lossUnit = (facts) => say(facts.headline.higher ? "unit.nats" : `unit.${facts.headline.name}`);

function lossSpec(facts) {
  const { curves, validations, samples, result, plan, budget, training } = facts;
  const begin = view.logTime ? training.begin : 0;
  const end = Math.max(budget.seconds || 0, training.used_seconds);
  const [unit, scale] = end < 600 ? ["seconds", 1] : end < 7200 ? ["minutes", 60] : ["hours", 3600];
  const moment = (used) => (used - begin) / scale;
  const at = (list) => list.map(moment);
  const predicted = facts.headline.higher ? null : plan?.predicted;
  const weights = [...new Set(validations.map((v) => v.weights))];
  const series = [
    { name: say("loss.raw"), x: at(curves.loss.seconds), y: curves.loss.values, color: "muted", width: 1, opacity: 0.5, hover: false },
    { name: say("loss.smooth"), x: at(curves.smooth.seconds), y: curves.smooth.values, color: "accent", width: 2.5 },
    ...weights.map((name, i) => {
      const those = validations.filter((v) => v.weights === name);
      return { name: say(name === "current" ? "loss.validation" : "loss.validation_of", { weights: name }), x: at(those.map((v) => v.used_seconds)), y: those.map((v) => v.loss), color: `series-${2 + (i % 4)}`, points: true };
    }),
  ];
  // A share of tokens has no place among losses.
  const ends = facts.headline.higher ? [] : [[result.model, "loss.final", "star", "accent"], ...result.more.map((m) => [m, "loss.final_more", "star-open", "accent"])];
  for (const [figure, key, symbol, color] of ends) {
    if (figure) series.push({ name: say(key, { needs: named("needs", figure.needs) }), x: [moment(training.used_seconds)], y: [figure.value], color, points: true, symbol, size: 14 });
  }
  const rules = [
    known(result.xz?.value) && { y: result.xz.value, label: `${say("bar.xz")} ${bits(result.xz.value)}` },
    known(result.kneser_ney?.value) && { y: result.kneser_ney.value, label: `${say("bar.kneser_ney")} ${bits(result.kneser_ney.value)}` },
    predicted && { y: predicted.figure, label: `${say("loss.predicted")} ${bits(predicted.figure)}`, color: "accent-text", dash: "dot" },
    !view.logTime && { x: moment(training.begin), label: say("loss.begin"), dash: "dot" },
  ].filter(Boolean);
  return {
    label: say("loss.label", { unit: lossUnit(facts) }), series, rules, logX: view.logTime, logY: view.logLoss, height: 440,
    xTitle: say(view.logTime ? "loss.x_log" : "loss.x", { unit: say(`loss.${unit}`) }), yTitle: lossUnit(facts),
    xRange: [view.logTime ? Math.max(1e-6, moment(curves.loss.seconds[0])) / 1.1 : 0, moment(1.01 * end)],
    yRange: lossRange(facts, rules),
    bands: predicted ? [{ from: predicted.figure_low, to: predicted.figure_high }] : [],
    marks: samples.filter((s) => known(s.loss)).map((s) => ({ x: moment(s.used_seconds), y: s.loss, label: say("sample.at", { progress: percent(s.progress), used: seconds(s.used_seconds) }), text: s.prompt + s.text })),
  };
}

// All that is told, without the very first steps of a long run: they would press the rest flat.
function lossRange(facts, rules) {
  const { curves, validations, result } = facts;
  const line = curves.smooth.values;
  const higher = facts.headline.higher;
  const ends = higher ? [] : [result.model, ...result.more].filter(Boolean).map((m) => m.value);
  const others = [...validations.map((v) => v.loss), ...rules.filter((r) => r.y).map((r) => r.y), ...ends];
  const top = view.logLoss || line.length < 12 ? Math.max(...line) : line[Math.floor(line.length * 0.03)];
  const low = Math.min(...others, ...curves.loss.values, higher ? Infinity : (facts.plan?.predicted.figure_low ?? Infinity));
  const high = Math.max(...others, top);
  return view.logLoss ? [low * 0.95, high * 1.05] : [Math.max(0, low - 0.06 * (high - low)), high + 0.06 * (high - low)];
}

function lossTable(facts) {
  const { smooth } = facts.curves;
  const every = Math.max(1, Math.ceil(smooth.seconds.length / 12));
  const picked = smooth.seconds.map((at, i) => [at, say("loss.smooth"), smooth.values[i]]).filter((_, i) => i % every === 0 || i === smooth.seconds.length - 1);
  const scored = facts.validations.map((v) => [v.used_seconds, say(v.weights === "current" ? "loss.validation" : "loss.validation_of", { weights: v.weights }), v.loss]);
  const rows = [...picked, ...scored].sort((a, b) => a[0] - b[0]).map(([at, what, value]) => [seconds(at, 1), what, bits(value)]);
  return table(say("loss.table"), [say("column.seconds"), say("column.figure"), lossUnit(facts)], rows, { numeric: [0, 2] });
}

// Plan against fact

function fillComparison(body, facts) {
  if (!facts.comparison.length) return body.replaceChildren(nothing("plan.none"));
  const rows = facts.comparison.map((row) => [named("fact", row.name), planned(row), [measured(row.fact, row.unit), make("small", {}, verdictOf(row))], known(row.ratio) ? say("plan.times", { n: fixed(row.ratio, 2) }) : "–"]);
  body.replaceChildren(
    table(say("section.comparison"), [say("column.figure"), say("column.plan"), say("column.fact"), say("column.ratio")], rows, { numeric: [1, 2, 3] }),
    make("p", { class: "quiet" }, say("plan.told")),
  );
}

const planned = (row) => [measured(row.plan, row.unit), known(row.low) ? make("small", {}, `${measured(row.low, row.unit)} – ${measured(row.high, row.unit)}`) : null];

function verdictOf(row) {
  if (!known(row.low) || !known(row.fact)) return "";
  if (row.fact >= row.low && row.fact <= row.high) return say("plan.inside");
  return say((row.fact > row.high) === row.higher ? "plan.better" : "plan.worse");
}

// From here on the page lives

show(parts.read("facts"));
