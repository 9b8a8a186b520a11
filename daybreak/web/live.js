// Live: follows a run by its event stream; what a reader is just using is left as it is until they are done with it.
"use strict";

(() => {
  const AGAIN = 3000; // ms until the next attempt where the browser makes none of its own
  const HIDDEN = 10000; // ms that a hidden page goes on asking
  const DRAWING_SHARE = 0.03; // of one core that drawing may cost: the training may run on the same machine
  const status = document.getElementById("connection");
  const identity = parts.read("facts").watch?.identity;
  let stream = null;
  let connected = false;
  let pending = null; // newer facts that are not shown yet
  let timer = 0;
  let drawAfter = 0;
  let scrolled = -Infinity;
  let pointed = -Infinity;
  let pressed = false;

  function tell() {
    const facts = pending || newest;
    const { missing, problem } = facts.watch || {};
    const kind = !connected ? (stream ? "lost" : "connecting")
      : missing ? "missing"
        : problem ? "problem"
          : reading() && pending ? "held"
            : facts.state === "running" ? "on" : ["empty", "planned", "prepared"].includes(facts.state) ? "waiting" : "ended";
    if (status.dataset.kind !== kind) {
      status.dataset.kind = kind;
      status.textContent = say(`live.${kind}`);
    }
    const { used, seconds: given } = facts.budget;
    document.title = `${facts.state === "running" && given ? `${percent(Math.min(1, used / given))} · ` : ""}${facts.name} · daybreak`;
  }

  // Text that is selected, a tip that is open, a chart that is being zoomed.
  function reading() {
    const selection = document.getSelection();
    const tip = document.getElementById("tooltip");
    return pressed || Boolean(selection && !selection.isCollapsed) || Boolean(tip && !tip.hidden);
  }

  function busy() {
    const now = performance.now();
    return reading() || now < drawAfter || now - scrolled < 400 || now - pointed < 1500;
  }

  function update() {
    if (pending && !busy() && !document.hidden) {
      const began = performance.now();
      const facts = pending;
      pending = null;
      show(facts);
      drawAfter = began + Math.min(10000, (performance.now() - began) / DRAWING_SHARE);
    }
    tell();
    clearTimeout(timer);
    if (pending) timer = setTimeout(update, 250);
  }

  function connect() {
    stream?.close();
    stream = new EventSource("events");
    stream.onopen = () => { connected = true; tell(); };
    stream.onmessage = (message) => {
      const facts = JSON.parse(message.data);
      if (facts.watch.identity !== identity) return location.reload(); // another run or version serves here now
      pending = facts;
      update();
    };
    stream.onerror = () => {
      connected = false;
      tell();
      if (stream.readyState === EventSource.CLOSED) setTimeout(connect, AGAIN);
    };
  }

  let hiding = 0;
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hiding);
    if (document.hidden) {
      hiding = setTimeout(() => { stream.close(); stream = null; connected = false; }, HIDDEN);
    } else if (stream) update();
    else connect();
  });
  window.addEventListener("scroll", () => { scrolled = performance.now(); }, { passive: true, capture: true });
  window.addEventListener("pointermove", (event) => { if (event.target.closest?.(".chart")) pointed = performance.now(); }, { passive: true });
  window.addEventListener("pointerdown", () => { pressed = true; });
  for (const end of ["pointerup", "pointercancel", "blur"]) window.addEventListener(end, () => { pressed = false; });

  document.documentElement.classList.add("live");
  tell();
  connect();
})();
