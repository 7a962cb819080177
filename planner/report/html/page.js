"use strict";
// Draws the calendars from the block of JSON. Text enters the page by textContent alone.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const DAY = 86400000; // milliseconds
  const WEEKDAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
  const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  const isShort = new Set(data.short);
  const COMPLETE = 0;
  const said = data.isPlan ? { before: "now", after: "as planned" } : { before: "before", after: "after" };

  const dayNumber = (iso) => Date.parse(iso) / DAY; // a date alone is read as UTC
  const names = new Map();
  const dayName = (day) => {
    if (!names.has(day)) {
      const d = new Date(day * DAY);
      names.set(day, `${WEEKDAYS[d.getUTCDay()]} ${d.getUTCDate()} ${MONTHS[d.getUTCMonth()]} ${d.getUTCFullYear()}`);
    }
    return names.get(day);
  };
  const make = (tag, look, text) => {
    const node = document.createElement(tag);
    if (look) node.className = look;
    if (text !== undefined) node.textContent = text;
    return node;
  };

  // Per view and phase: day → [state, expected, found].
  const expand = (snapshot) => {
    const start = dayNumber(snapshot.start);
    return snapshot.phases.map((stretches) => {
      const days = new Map();
      for (const [offset, length, ...standing] of stretches)
        for (let n = 0; n < length; n++) days.set(start + offset + n, standing);
      return days;
    });
  };
  const views = { before: expand(data.before), after: expand(data.after) };
  const UNKNOWN = [-1, 0, 0];
  const look = (view, phase, day) => views[view][phase].get(day) || UNKNOWN;
  const failures = new Map();
  for (const [phase, state, reason, days] of data.failures)
    for (const day of days) failures.set(`${data.phases.indexOf(phase)} ${dayNumber(day)}`, `${state}: ${reason}`);

  let view = data.isPlan ? "before" : "after";
  const cells = []; // {node, phase, day}
  const of = new WeakMap(); // node → its entry, with its place in its map
  const maps = [];

  const stateName = (state) => (state < 0 ? "not looked at" : data.states[state][1]);
  const counts = ([state, expected, found]) =>
    state === COMPLETE || state === data.planned || isShort.has(state) ? `expected ${expected}, found ${found}` : "nothing expected";

  const failureOf = (cell, state) =>
    (view === "after" && state !== COMPLETE && failures.get(`${cell.phase} ${cell.day}`)) || "";

  const paint = () => {
    for (const cell of cells) {
      const standing = look(view, cell.phase, cell.day);
      const [state, expected, found] = standing;
      const fixed = !data.isPlan && view === "after" && state === COMPLETE && isShort.has(look("before", cell.phase, cell.day)[0]);
      cell.node.className = `cell s-${state < 0 ? "unknown" : data.states[state][0]}${fixed ? " fixed" : ""}`;
      // A date of which almost nothing is there must not look like one with nothing.
      if (expected > found) cell.node.style.setProperty("--f", Math.max(found / expected, 0.12));
      const why = failureOf(cell, state);
      cell.node.setAttribute("aria-label",
        `${data.phases[cell.phase]}, ${dayName(cell.day)}: ${stateName(state)}, ${counts(standing)}${why && `. ${why}`}`);
    }
    for (const name of ["before", "after"])
      document.getElementById(name).setAttribute("aria-pressed", String(name === view));
  };

  // -- the card beside what is pointed at, or has the focus
  const card = document.getElementById("card");
  const show = (node, lines) => {
    card.replaceChildren(...lines.filter(Boolean).map((line) => make("div", "", line)));
    card.hidden = false;
    const box = node.getBoundingClientRect();
    const { width, height } = card.getBoundingClientRect();
    const left = Math.min(Math.max(12, box.left + box.width / 2 - width / 2), innerWidth - width - 12);
    const above = box.top - height - 10;
    card.style.left = `${Math.max(12, left)}px`;
    card.style.top = `${above > 8 ? above : box.bottom + 10}px`;
  };
  const hide = () => { card.hidden = true; };
  const describe = (node) => {
    const cell = of.get(node);
    if (!cell) return show(node, node.dataset.card.split("\n"));
    const standing = look(view, cell.phase, cell.day);
    const other = view === "after" ? "before" : "after";
    const then = look(other, cell.phase, cell.day);
    const meaning = standing[0] < 0 ? "" : data.states[standing[0]][2];
    return show(node, [
      `${data.phases[cell.phase]}, ${dayName(cell.day)}`,
      `${stateName(standing[0])}${meaning && standing[0] !== COMPLETE ? `: ${meaning}` : ""}`,
      counts(standing),
      then.join() === standing.join() ? "" : `${said[other]}: ${stateName(then[0])}, ${counts(then)}`,
      failureOf(cell, standing[0]),
    ]);
  };
  const target = (event) => event.target instanceof Element && event.target.closest("[data-card], .cells > .cell");
  for (const kind of ["pointerover", "focusin", "click"])
    document.addEventListener(kind, (event) => {
      const node = target(event);
      if (node) describe(node);
      else if (kind !== "focusin") hide();
    });
  document.addEventListener("focusout", hide);
  document.addEventListener("scroll", () => {
    const node = document.activeElement;
    // Moving the focus scrolls; the card goes along.
    if (!card.hidden && node && (of.has(node) || node.dataset.card)) describe(node);
    else hide();
  }, { capture: true, passive: true });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });

  // -- moving the focus: one stop for Tab in each map, arrow keys within
  const arrows = (box, rows, up) => {
    box.addEventListener("keydown", (event) => {
      const node = target(event);
      if (!node || event.ctrlKey || event.metaKey || event.altKey) return;
      const y = rows.findIndex((row) => row.includes(node));
      if (y < 0) return;
      const row = rows[y], x = row.indexOf(node);
      const gap = (step) => {
        for (let n = x + step; row[n]; n += step)
          if (isShort.has((of.has(row[n]) ? look(view, of.get(row[n]).phase, of.get(row[n]).day) : UNKNOWN)[0])
            || row[n].classList.contains("bad")) return row[n];
        return null;
      };
      const goal = {
        ArrowRight: () => row[x + 1], ArrowLeft: () => row[x - 1],
        ArrowDown: () => up(rows[y + 1], x, node), ArrowUp: () => up(rows[y - 1], x, node),
        Home: () => row[0], End: () => row[row.length - 1],
        n: () => gap(1), p: () => gap(-1),
      }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
      if (!goal) return;
      event.preventDefault();
      const to = goal();
      if (to) to.focus();
    });
    // The stop follows the focus, however that came.
    let stop = rows.length ? rows[0][0] : null;
    if (stop) stop.tabIndex = 0;
    box.addEventListener("focusin", (event) => {
      const node = target(event);
      if (!node) return;
      if (stop) stop.tabIndex = -1;
      stop = node;
      stop.tabIndex = 0;
    });
  };

  // -- the calendars
  const place = (node, offset, days, total) => {
    node.style.left = `${(offset / total) * 100}%`;
    if (days) node.style.width = `${(days / total) * 100}%`;
    return node;
  };
  const axis = (start, total) => {
    const line = make("div", "line"), months = make("div", "over-cells");
    line.setAttribute("aria-hidden", "true");
    for (let n = 0; n < total; n++) {
      const d = new Date((start + n) * DAY);
      const first = d.getUTCDate() === 1;
      if (first ? total - n > 12 : n === 0 && d.getUTCDate() < 18) {
        const year = n === 0 || d.getUTCMonth() === 0 ? ` ${d.getUTCFullYear()}` : "";
        months.append(place(make("span", "", MONTHS[d.getUTCMonth()] + year), n, 0, total));
      }
    }
    line.append(make("span", "name"), months);
    return line;
  };
  const isBare = (start, total) => {
    const due = (standing) => standing[0] === COMPLETE || isShort.has(standing[0]);
    for (let phase = 0; phase < data.phases.length; phase++)
      for (let n = 0; n < total; n++)
        if (due(look("before", phase, start + n)) || due(look("after", phase, start + n))) return false;
    return true;
  };
  const shortIn = (name, start, total) => {
    let count = 0;
    for (let phase = 0; phase < data.phases.length; phase++)
      for (let n = 0; n < total; n++) count += isShort.has(look(name, phase, start + n)[0]);
    return count;
  };
  const countIn = (start, total, is) => {
    let count = 0;
    for (let phase = 0; phase < data.phases.length; phase++)
      for (let n = 0; n < total; n++) count += is(look("after", phase, start + n)[0]);
    return count;
  };
  const drawMap = (part) => {
    const start = dayNumber(part.start), total = part.days;
    const box = make("div", "season"), head = make("header"), pan = make("div", "pan");
    const map = make("div", "map"), rows = [];
    if (isBare(start, total)) {
      // Not complete: a source that was never loaded looks the same.
      head.append(make("h3", "", part.name), make("small", "", "no source holds anything, so nothing was expected"));
      box.append(head);
      return box;
    }
    const before = shortIn("before", start, total), after = shortIn("after", start, total);
    head.append(make("h3", "", part.name));
    const todo = data.isPlan && before ? countIn(start, total, (state) => state === data.planned || isShort.has(state)) : 0;
    if (data.isPlan) head.append(before
      ? make("small", "bad", `✗ ${before} phase-dates short or out of date now; the plan writes ${todo}`)
      : make("small", "ok", "✓ nothing short"));
    else head.append(before || after
      ? make("small", after ? "bad" : "ok", `${after ? "✗" : "✓"} ${before || "no"} phase-dates short before, ${after || "none"} after`)
      : make("small", "ok", "✓ complete, before and after"));
    map.setAttribute("role", "grid");
    map.setAttribute("aria-label", `${part.name}: a row per phase, a cell per date`);
    map.append(axis(start, total));
    data.phases.forEach((name, phase) => {
      const line = make("div", "line"), title = make("span", "name", name), strip = make("div", "cells");
      line.setAttribute("role", "row");
      title.setAttribute("role", "rowheader");
      title.title = name;
      strip.setAttribute("role", "presentation");
      const row = [];
      for (let n = 0; n < total; n++) {
        const node = document.createElement("div");
        node.setAttribute("role", "gridcell");
        node.tabIndex = -1;
        const cell = { node, phase, day: start + n };
        of.set(node, cell);
        cells.push(cell);
        row.push(node);
      }
      strip.append(...row);
      line.append(title, strip);
      map.append(line);
      rows.push(row);
    });
    if (part.parts.length) {
      const line = make("div", "line"), marks = make("div", "over-cells parts");
      line.setAttribute("aria-hidden", "true");
      for (const [name, first, days] of part.parts) {
        const mark = make("span", days / total < 0.06 ? "narrow" : "", name);
        marks.append(place(mark, dayNumber(first) - start, days - 0.6, total));
      }
      line.append(make("span", "name"), marks);
      map.append(line);
    }
    arrows(map, rows, (row, x) => row && row[x]);
    pan.append(map);
    box.append(head, pan);
    return box;
  };
  if (data.maps.length) {
    document.getElementById("maps").replaceChildren(...data.maps.map(drawMap));
    for (const id of ["switch", "hint"]) document.getElementById(id).hidden = false;
    for (const name of ["before", "after"])
      document.getElementById(name).addEventListener("click", () => { view = name; hide(); paint(); });
    paint();
  }

  // On paper nothing can be unfolded.
  addEventListener("beforeprint", () => {
    for (const folded of document.querySelectorAll("details")) folded.open = true;
  });

  // -- the timeline
  const timeline = document.getElementById("timeline");
  if (timeline) {
    const rows = [...timeline.querySelectorAll("svg[role=list]")].map((svg) => [...svg.querySelectorAll(".bar")]);
    const middle = (node) => { const box = node.getBoundingClientRect(); return box.left + box.width / 2; };
    arrows(timeline, rows, (row, _, from) => row && row.reduce(
      (best, each) => (Math.abs(middle(each) - middle(from)) < Math.abs(middle(best) - middle(from)) ? each : best)));
  }
})();
