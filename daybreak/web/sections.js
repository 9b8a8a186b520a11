// Sections: what a report tells below its loss: time, rates, decisions, samples, data, machine, events and commands.
"use strict";

const { say, named, make, known, bits, count, size, seconds, percent, whole, number, fixed, measured, table, pairs, bar, bars, toggle } = parts;
// Sentences of the planner come in the page's language; what has no translation stands in English and is marked so.
const isEnglish = (text) => parts.language !== "en" && /[a-z]{3} [a-z]{2}/i.test(text) && !/[\u4e00-\u9fff]/.test(text);
const sentence = (text, more = {}) => make("span", isEnglish(text) ? { ...more, lang: "en" } : more, text);
const nothing = (key) => make("p", { class: "quiet" }, say(key));
const machineName = (machine) => (machine.kind === "cpu" ? say("machine.cpu", { name: machine.name, cores: machine.cores }) : machine.name);

// A model that only counts is trained by counting.
const phaseName = (facts, name) => named("phase", name === "training" && counts(facts) ? "counting" : name);

// Where the seconds went

function fillTime(body, facts) {
  const { phases, budget, state } = facts;
  if (!phases.length || !budget.used) return body.replaceChildren(nothing("time.none"));
  const stretches = phases.map((p) => ({ name: phaseName(facts, p.name), key: p.name, seconds: p.seconds, planned: p.planned }));
  if (budget.unused > 0) stretches.push({ name: say(state === "running" ? "phase.left" : "phase.unused"), key: "unused", seconds: budget.unused });
  const sum = stretches.reduce((total, p) => total + p.seconds, 0);
  const base = budget.seconds || sum;
  const segments = stretches.map((p) => {
    const text = say("time.segment", { name: p.name, seconds: seconds(p.seconds), share: percent(p.seconds / base, 1) });
    const segment = make("button", { type: "button", class: "segment", "data-phase": p.key, "aria-label": text });
    segment.style.flexGrow = p.seconds / sum;
    for (const event of ["pointerenter", "focus", "click"]) segment.addEventListener(event, () => charts.tip(segment, p.name, `${seconds(p.seconds)} · ${percent(p.seconds / base, 1)}`));
    for (const event of ["pointerleave", "blur"]) segment.addEventListener(event, charts.untip);
    return segment;
  });
  const rows = stretches.map((p) => [
    make("span", { class: "swatched" }, make("span", { class: "swatch", "data-phase": p.key, "aria-hidden": "true" }), p.name),
    fixed(p.seconds, 3), known(p.planned) ? fixed(p.planned, 1) : "–", percent(p.seconds / base, 1),
  ]);
  rows.push([say("time.sum"), fixed(sum, 3), "", percent(sum / base, 1)]);
  const line = say(budget.over > 0 ? "time.adds_over" : "time.adds", { sum: fixed(sum, 3), budget: fixed(base, 3), over: fixed(budget.over, 3) });
  body.replaceChildren(
    make("div", { class: "stack", role: "group", "aria-label": say("section.time") }, segments),
    make("p", { class: "adds" }, line),
    table(say("section.time"), [say("column.phase"), say("column.seconds"), say("column.planned"), say("column.share")], rows, { numeric: [1, 2, 3] }),
  );
  body.querySelector("tbody").lastChild.className = "sum";
}

// Rates over progress

function fillRates(body, facts) {
  const { rates, gradient } = facts.curves;
  if (!rates.progress.length) {
    body.querySelectorAll(".chart").forEach(charts.drop);
    return body.replaceChildren(nothing("rates.none"));
  }
  const wanted = [
    ["learning_rate_factor", rates.progress, rates.learning_rate_factor, {}],
    ["rows", rates.progress, rates.rows, { step: true }],
    ["gradient_norm", gradient.progress, gradient.norm, { width: 1.2 }],
    ["tokens_per_second", rates.progress, rates.tokens_per_second, { width: 1.5 }],
  ];
  if (!body.querySelector(".chart")) {
    body.replaceChildren(make("div", { class: "grid" }, wanted.map(([name]) => make("figure", { "data-name": name }, make("figcaption", {}, say(`rates.${name}`)), make("div")))));
  }
  for (const [name, x, y, style] of wanted) {
    const top = name === "gradient_norm" ? null : [0, 1.08 * Math.max(...y, 1e-9)];
    charts.lines(body.querySelector(`[data-name="${name}"] > div`), {
      label: say(`rates.${name}`), series: [{ name: say(`rates.${name}`), x, y, color: "accent", ...style }], height: 210, legend: false,
      xTitle: say("column.progress"), yTitle: "", xPercent: true, xRange: [0, 1], yRange: top,
    });
  }
}

// Techniques and reasons

function fillDecisions(body, facts) {
  if (!facts.plan) return body.replaceChildren(nothing("plan.none"));
  const on = facts.techniques.filter((t) => t.on).map((t) => [
    make("code", {}, t.name), t.claim ? named("claim", t.claim === "bits_per_byte" ? facts.headline.name : t.claim) : "–",
    changedBy(t).join(say("list.join")) || (facts.state === "finished" ? "–" : say("technique.untouched")),
  ]);
  const off = facts.techniques.filter((t) => !t.on);
  const refused = off.filter((t) => !t.optional).map((t) => [make("code", {}, t.name), sentence(t.reason)]);
  const optional = off.filter((t) => t.optional).map((t) => t.name);
  const reasons = Object.entries(facts.reasons).map(([name, reason]) => [named("decision", name), sentence(reason)]);
  body.replaceChildren(
    make("h3", {}, say("technique.on")),
    on.length ? table(say("technique.on"), [say("column.technique"), say("column.claim"), say("column.touched")], on) : nothing("technique.none"),
    make("h3", {}, say("technique.refused")),
    refused.length ? table(say("technique.refused"), [say("column.technique"), say("column.reason")], refused) : nothing("technique.none_refused"),
    ...(optional.length ? [make("details", {}, make("summary", {}, say("technique.optional", { n: whole(optional.length) })), make("p", {}, optional.flatMap((name, i) => [i ? say("list.join") : "", make("code", {}, name)])), make("p", { class: "quiet" }, say("technique.optional_how")))] : []),
    make("h3", {}, say("decision.why")),
    reasons.length ? table(say("decision.why"), [say("column.decision"), say("column.reason")], reasons) : nothing("decision.none"),
    ...([...refused, ...reasons].some((row) => row[1].lang) ? [make("p", { class: "quiet" }, say("page.english"))] : []),
  );
}

// What a technique changed: a step of cleaning in documents, any other by the parts of the training that it took hold of.
function changedBy(technique) {
  const { account } = technique;
  if (account) {
    const removed = account.removed_documents && say("technique.removed", { n: whole(account.removed_documents), size: size(account.removed_bytes) });
    const changed = account.changed_documents && say("technique.changed", { n: whole(account.changed_documents) });
    return [changed, removed].filter(Boolean).length ? [changed, removed].filter(Boolean) : [say("technique.unchanged")];
  }
  return technique.touched.filter((touch) => touch.places).map((touch) => (touch.seam === "module" ? say("technique.modules", { n: whole(touch.places) }) : named("seam", touch.seam)));
}

// What each technique gained

function fillGains(body, facts) {
  const found = facts.measured;
  const judged = found.rows.filter((row) => row.time_saved);
  const most = Math.max(0.01, ...judged.flatMap((row) => [row.time_saved.share, row.time_saved.low, row.time_saved.high].map((x) => Math.min(1, Math.abs(x)))));
  const rows = judged.map((row) => make("li", {},
    make("span", { class: "name" }, make("code", {}, row.name), make("small", {}, gainVerdict(row))),
    intervalTrack(row, most),
    make("span", { class: "number" }, signed(row.time_saved.share, 1))));
  const cells = found.rows.map((row) => [
    make("code", {}, row.name), within(row.step_time, "ratio", (x) => signed(x - 1, 1)), within(row.equal_steps, "difference", signedBits),
    within(row.equal_time, "difference", signedBits), within(row.time_saved, "share", (x) => signed(x, 1)), whole(row.seeds), gainVerdict(row),
  ]);
  const headings = ["column.technique", "gains.step_time", "gains.equal_steps", "gains.equal_time", "gains.time_saved", "gains.seeds", "gains.verdict"].map((key) => say(key));
  body.replaceChildren(
    make("p", { class: "quiet" }, say(rows.length ? "gains.told" : "gains.nothing")),
    ...(rows.length ? [make("ul", { class: "bars intervals", "aria-label": say("gains.chart") }, rows)] : []),
    table(say("section.gains"), headings, cells, { numeric: [1, 2, 3, 4, 5] }),
    ...gainRemarks(found).map((line) => make("p", {}, line)),
    make("p", { class: "quiet" }, say("gains.method", { unit: lossUnit(facts), steps: whole(found.method.steps), share: percent(found.method.share), seeds: whole(found.method.most_seeds) })),
    ...(found.missing.length ? [make("p", { class: "quiet" }, say("gains.missing", { n: whole(found.missing.length) }))] : []),
  );
}

const signed = (value, digits) => (known(value) ? `${value > 0 ? "+" : ""}${percent(value, digits)}` : "–");
const signedBits = (value) => (known(value) ? `${value > 0 ? "+" : ""}${fixed(value, 4)}` : "–");
const within = (figure, name, told) => (figure ? [told(figure[name]), known(figure.low) ? make("small", {}, say("gains.interval", { low: told(figure.low), high: told(figure.high) })) : null] : "–");
const gainVerdict = (row) => (row.diverged ? say(row.diverged === "with" ? "gains.diverged_with" : "gains.diverged_without") : row.negligible ? say("gains.negligible", { share: percent(row.time_saved.high, 2) }) : row.verdict === "not measured" && row.step_time ? say("gains.steps_only", { steps: say(`gains.${stepTimeOf(row.step_time)}`) }) : named("gain", row.verdict));

// What the interval of a step time says.
function stepTimeOf({ ratio, low, high }) {
  const [from, to] = known(low) ? [low, high] : [ratio, ratio];
  return to < 1 ? "faster" : from > 1 ? "slower" : "as_fast";
}

// An interval of the time saved on a line whose middle is nothing gained.
function intervalTrack(row, most) {
  const { share, low, high } = row.time_saved;
  const at = (value) => 50 + 50 * Math.max(-1, Math.min(1, value / most));
  const line = make("span", { class: `interval ${row.verdict === "gain" ? "good" : row.verdict === "loss" ? "bad" : ""}` });
  line.style.left = `${at(low)}%`;
  line.style.width = `${at(high) - at(low)}%`;
  const dot = make("span", { class: "estimate" });
  dot.style.left = `${at(share)}%`;
  const text = say("gains.row", { name: row.name, share: signed(share, 1), low: signed(low, 1), high: signed(high, 1), verdict: gainVerdict(row) });
  return make("span", { class: "track", role: "img", "aria-label": text }, line, dot);
}

function gainRemarks(found) {
  return found.rows.flatMap((row) => [
    row.modes && say("gains.modes", { name: row.name, one: named("mode", row.modes.with), other: named("mode", row.modes.without) }),
    row.start && say("gains.start", { name: row.name, cold: seconds(row.start.cold.with), cold_without: seconds(row.start.cold.without), warm: seconds(row.start.warm.with), warm_without: seconds(row.start.warm.without) }),
    row.cold_start?.time_saved && say("gains.cold", { name: row.name, share: signed(row.cold_start.time_saved.share, 1), verdict: named("gain", row.cold_start.verdict) }),
    row.memory && say("gains.memory", { name: row.name, one: size(row.memory.with), other: size(row.memory.without) }),
    known(row.rate_factor) && say("gains.rate", { name: row.name, rate: number(row.learning_rate) }),
  ].filter(Boolean));
}

// Samples, data, machine, events, commands

// Zero-shot tasks

function fillTasks(body, facts) {
  const told = (value) => (typeof value === "number" ? number(value, 4) : String(value));
  const rows = facts.tasks.flatMap((task) => Object.entries(task.scores || {}).map(([score, of]) => [
    task.name, named("score", score), within(of, "value", told), known(task.chance) && score.startsWith("accuracy") ? told(task.chance) : "–", whole(task.items),
  ]));
  const headings = ["tasks.task", "tasks.score", "tasks.value", "tasks.chance", "tasks.questions"].map((key) => say(key));
  body.replaceChildren(make("p", { class: "quiet" }, say("tasks.told")), table(say("section.tasks"), headings, rows, { numeric: [2, 3, 4] }));
}

function fillSamples(body, facts) {
  if (!facts.samples.length) return body.replaceChildren(nothing("sample.none"));
  const list = facts.samples.map((s) => make("li", {},
    make("p", { class: "caption" }, say("sample.at", { progress: percent(s.progress), used: seconds(s.used_seconds) }), known(s.loss) ? say("sample.loss", { bits: bits(s.loss), unit: lossUnit(facts) }) : ""),
    make("blockquote", {}, make("b", {}, s.prompt), s.text)));
  body.replaceChildren(make("p", { class: "quiet" }, say("sample.told")), make("ol", { class: "samples" }, list));
}

function fillData(body, facts) {
  const { corpus, plan } = facts;
  if (!corpus) return body.replaceChildren(nothing("data.none"));
  const shares = Object.entries(corpus.languages).sort((a, b) => b[1] - a[1]).map(([name, share]) => `${named("script", name)} ${percent(share, share < 0.1 ? 1 : 0)}`);
  const tokens = Object.entries(corpus.bytes_per_token).map(([vocabulary, value]) => say("data.per_vocabulary", { vocabulary: whole(Number(vocabulary)), value: fixed(value, 2) }));
  const sources = corpus.sources.length ? corpus.sources.join("\n") + (corpus.files > corpus.sources.length ? `\n… (${whole(corpus.files)})` : "") : say("lede.builtin");
  const vocabulary = plan?.tokenizer?.vocabulary;
  body.replaceChildren(pairs([
    [say("data.documents"), say("data.documents_in", { documents: whole(corpus.documents), size: size(corpus.bytes), files: whole(corpus.files) })],
    [say("data.heldout"), say(corpus.heldout ? "data.heldout_file" : "data.heldout_hash", { documents: whole(corpus.heldout_documents), size: size(corpus.heldout_bytes), file: corpus.heldout })],
    [say("data.languages"), shares.join(say("list.join"))],
    [say("data.spoken"), spoken(corpus).join(say("list.join"))],
    [say("data.kinds"), Object.entries(corpus.kinds || {}).map(([name, n]) => say("data.kind", { name: named("kind", name), n: whole(n) })).join(say("list.join"))],
    [say("data.licences"), Object.entries(corpus.licences || {}).slice(0, 12).map(([name, n]) => say("data.kind", { name, n: whole(n) })).join(say("list.join"))],
    [say("data.tokenizer"), vocabulary ? say("data.tokenizer_is", { kind: plan.tokenizer.kind, vocabulary: whole(vocabulary) }) : ""],
    [say("data.bytes_per_token"), tokens.join(say("list.join"))],
    [say("data.replaced"), corpus.replaced_bytes ? size(corpus.replaced_bytes) : ""],
    [say("data.sources"), make("span", { class: "paths" }, sources)],
    [say("data.digest"), make("code", {}, corpus.digest)],
    [say("data.notes"), corpus.notes.length ? sentence(corpus.notes.join("\n"), { class: "paths" }) : ""],
  ]), ...cleaned(corpus), ...lengths(corpus), ...sampled(corpus));
}

const spoken = (corpus) => Object.entries(corpus.spoken || {}).filter(([, share]) => share >= 0.001).map(([code, share]) => `${languageName(code)} ${percent(share, share < 0.1 ? 1 : 0)}`);

// Browsers know most languages by name; words.json has those that some do not.
function languageName(code) {
  const own = named("language", code);
  if (own !== code) return own;
  try {
    return new Intl.DisplayNames([parts.language], { type: "language" }).of(code) || code;
  } catch {
    return code;
  }
}

// A kind of thing that a step of cleaning counted: a language, or a name of ours.
function foundWhat(what) {
  const own = named("count", what);
  const runs = /^(kept with fewer than )?(\d+)( or more)? runs of an evaluation$/.exec(what);
  if (runs) return say(runs[1] ? "count.fewer runs" : "count.runs", { n: runs[2] });
  return own === what && /^[a-z]{2,3}$/.test(what) ? languageName(what) : own;
}

// How some documents begin, as they are trained on.
function sampled(corpus) {
  if (!corpus.samples?.length) return [];
  return [
    make("h3", {}, say("data.samples")),
    make("ul", { class: "samples" }, corpus.samples.map((text) => make("li", {}, make("blockquote", {}, text)))),
  ];
}

// What each step of cleaning took away and changed, with examples.
function cleaned(corpus) {
  const accounts = corpus.accounts || [];
  if (!accounts.length) return [];
  const rows = accounts.map((a) => [
    make("code", {}, a.name), whole(a.documents), `${whole(a.removed_documents)}${a.removed_bytes ? ` (${size(a.removed_bytes)})` : ""}`, whole(a.changed_documents),
    make("span", {}, Object.entries(a.counts).sort((x, y) => y[1] - x[1]).slice(0, 6).map(([what, n]) => `${foundWhat(what)} ${whole(n)}`).join(say("list.join"))),
  ]);
  const left = corpus.bytes + (corpus.heldout ? 0 : corpus.heldout_bytes);
  const taking = accounts.filter((a) => a.removed_bytes);
  const shown = accounts.filter((a) => a.examples.length).map((a) => make("details", {},
    make("summary", {}, make("code", {}, a.name)),
    make("ul", { class: "samples" }, a.examples.map(([, before, after]) => make("li", {},
      make("blockquote", {}, before), after ? make("blockquote", { class: "after" }, after) : make("p", { class: "quiet" }, say("clean.gone")))))));
  return [
    make("h3", {}, say("clean.title")),
    make("p", { class: "quiet" }, say("clean.told", { read: size(corpus.read_bytes), left: size(left) })),
    table(say("clean.title"), ["clean.step", "clean.seen", "clean.removed", "clean.changed", "clean.found"].map((key) => say(key)), rows, { numeric: [1, 2, 3] }),
    ...(taking.length ? [bars(say("clean.chart"), [[say("clean.kept"), left, size(left), "accent"], ...taking.map((a) => [a.name, a.removed_bytes, size(a.removed_bytes)])])] : []),
    ...(shown.length ? [make("p", { class: "caption" }, say("clean.examples")), ...shown] : []),
  ];
}

// How long documents are, by powers of two.
function lengths(corpus) {
  const entries = Object.entries(corpus.sizes || {}).map(([below, n]) => [Number(below), n]).sort((a, b) => a[0] - b[0]);
  if (entries.length < 2) return [];
  return [bars(say("data.lengths"), entries.map(([below, n]) => [say("data.below", { size: size(below) }), n, whole(n)]))];
}

function fillMachine(body, facts) {
  const { machine, versions } = facts;
  if (!machine && !versions) return body.replaceChildren(nothing("machine.none"));
  const rates = Object.entries(machine?.matmul_flops || {}).map(([dtype, rate]) => `${dtype} ${number(rate / 1e9)} GFLOP/s`);
  const installed = Object.entries(versions || machine.versions).filter(([name]) => name !== "system").map(([name, version]) => `${name} ${version}`);
  body.replaceChildren(pairs([
    ...(machine ? [
      [say("machine.processor"), machineName(machine)],
      [say("machine.devices"), machine.devices > 1 ? whole(machine.devices) : ""],
      [say("machine.memory"), size(machine.memory_bytes)],
      [say("machine.matmul"), rates.join(say("list.join"))],
      [say("machine.bandwidth"), machine.bandwidth_bytes_per_second ? `${number(machine.bandwidth_bytes_per_second / 1e9)} GB/s` : ""],
      [say("machine.disk"), machine.disk_bytes_per_second ? `${size(machine.disk_bytes_per_second)}/s` : ""],
      [say("machine.dtypes"), machine.fast_dtypes.join(say("list.join"))],
      [say("machine.compiler"), machine.compiler ? make("code", {}, machine.compiler) : say("machine.no_compiler")],
    ] : []),
    [say("machine.system"), versions?.system],
    [say("machine.versions"), installed.join(say("list.join"))],
  ]));
}

function fillEvents(body, facts) {
  const told = facts.events.map((e) => [seconds(e.used_seconds), named("event", e.name), sentence(detailOf(e))]);
  const amended = facts.amendments.map((a) => {
    const { amendment, reason, ...rest } = a;
    return ["–", say("event.amendment", { what: named("amendment", amendment) }), sentence([pairsIn(rest), reason].filter(Boolean).join("; "))];
  });
  const unread = Object.entries(facts.unreadable).map(([name, why]) => ["–", say("event.unreadable", { name }), sentence(why)]);
  const rows = [...unread, ...told, ...amended];
  if (!rows.length) return body.replaceChildren(nothing("event.none"));
  const hidden = facts.events_in_all - facts.events.length;
  const list = table(say("section.events"), [say("column.when"), say("column.event"), say("column.detail")], rows, { numeric: [0] });
  body.replaceChildren(list, ...(hidden > 0 ? [make("p", { class: "quiet" }, say("event.hidden", { n: whole(hidden) }))] : []));
}

const detailOf = (event) => (typeof event.detail.what === "string" ? event.detail.what : pairsIn(event.detail));
const pairsIn = (values) => Object.entries(values).map(([name, value]) => `${name}: ${typeof value === "number" ? number(value, 4) : typeof value === "string" ? value : JSON.stringify(value)}`).join(", ");

function fillCommands(body, facts) {
  const entries = Object.entries(facts.commands);
  if (!entries.length) return body.replaceChildren(nothing("command.none"));
  body.replaceChildren(make("dl", { class: "commands" }, entries.map(([name, line]) => make("div", {}, make("dt", {}, say(`command.${name}`)), make("dd", {}, make("code", { tabindex: "0" }, line))))));
}
