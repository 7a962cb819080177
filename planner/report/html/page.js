"use strict";
// Draws the calendars from the block of JSON. Text enters the page by textContent alone.
const make = (tag, look, text) => {
  const node = document.createElement(tag);
  if (look) node.className = look;
  if (text !== undefined) node.textContent = text;
  return node;
};
const command = (text) => {
  const line = make("span", "command"), button = make("button", "copy", "copy");
  button.type = "button";
  button.setAttribute("aria-label", `copy ${text}`);
  button.addEventListener("click", () => {
    const done = () => { button.textContent = "copied"; };
    // Without TLS, as on a machine of one's own network, there is no clipboard: it is selected.
    if (navigator.clipboard) navigator.clipboard.writeText(text).then(done, () => {});
    else getSelection().selectAllChildren(line.firstChild);
  });
  line.append(make("code", "", text), button);
  return line;
};

const calendar = (() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const DAY = 86400000; // milliseconds
  const WIDEST = 40; // pixels of a cell
  const WEEKDAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
  const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  const isShort = new Set(data.short);
  const COMPLETE = 0;
  const code = new Map(data.states.map(([name], n) => [name, n]));
  const bad = new Set([...data.short, code.get("failed"), code.get("blocked"), code.get("cancelled"),
    code.get("retrying"), code.get("unjudged"), code.get("watched"), code.get("beyond")]);
  const isPlan = data.moment === "before";
  const said = {
    before: { before: "now", after: "as planned" },
    during: { before: "before", after: "now" },
    after: { before: "before", after: "after" },
  }[data.moment];
  const byId = (id) => document.getElementById(id);
  const phaseOf = new Map(data.phases.map((name, n) => [name, n]));
  const shapes = data.phases.map((name) => data.shapes.find((each) => each.phase === name));

  const dayNumber = (iso) => Date.parse(iso) / DAY; // a date alone is read as UTC
  const isoOf = (day) => new Date(day * DAY).toISOString().slice(0, 10);
  const names = new Map();
  const dayName = (day) => {
    if (!names.has(day)) {
      const d = new Date(day * DAY);
      names.set(day, `${WEEKDAYS[d.getUTCDay()]} ${d.getUTCDate()} ${MONTHS[d.getUTCMonth()]} ${d.getUTCFullYear()}`);
    }
    return names.get(day);
  };
  const at = (phase, day) => phase * 1e6 + day; // one number for both

  // Per view and phase: day → [state, expected, found].
  const expand = (snapshot) => {
    const start = dayNumber(snapshot.start);
    return data.phases.map((_, phase) => {
      const days = new Map();
      for (const [offset, length, ...standing] of snapshot.phases[phase] || [])
        for (let n = 0; n < length; n++) days.set(start + offset + n, standing);
      return days;
    });
  };
  const views = { before: expand(data.before), after: expand(data.after) };
  const UNKNOWN = [-1, 0, 0];
  const look = (name, phase, day) => views[name][phase].get(day) || UNKNOWN;
  const failures = new Map();
  for (const [phase, state, reason, days] of data.failures)
    for (const day of days) failures.set(at(phaseOf.get(phase), dayNumber(day)), `${state}: ${reason}`);
  const details = new Map(), lacking = new Map();
  let unnamed = 0;
  for (const [phase, day, text, ids, more] of data.details) {
    const key = [phaseOf.get(phase), dayNumber(day)];
    details.set(at(...key), text);
    if (more > 0) unnamed += 1;
    for (const id of ids) {
      if (!lacking.has(id)) lacking.set(id, []);
      lacking.get(id).push(key);
    }
  }
  const steps = new Map(); // phase and day → its step's row
  const takeSteps = (rows) => {
    for (const row of rows)
      for (const [first, last] of row[2])
        for (let day = dayNumber(first); day <= dayNumber(last); day++)
          steps.set(at(phaseOf.get(row[1]), day), row);
  };
  takeSteps(data.steps);
  const due = new Set(); // phases and days that a run has still to come to

  let view = isPlan ? "before" : "after";
  const cells = [];
  const entries = new Map(); // phase and day → its entry
  const of = new WeakMap(); // node → its entry

  const stateName = (state) => (state < 0 ? "not looked at" : data.states[state][1]);
  const counts = ([state, expected, found]) =>
    state === COMPLETE || state === data.planned || expected || isShort.has(state)
      ? `expected ${expected}, found ${found}` : "nothing expected";
  const why = (cell, state) => {
    const key = at(cell.phase, cell.day);
    const told = data.moment === "during" ? (steps.get(key) || [])[6] : failures.get(key);
    return (view === "after" && state !== COMPLETE && told) || "";
  };
  const detail = (cell, state) =>
    ((view === "before") === (data.moment !== "after") && state !== COMPLETE && details.get(at(cell.phase, cell.day))) || "";
  const labelOf = (cell) => {
    const standing = look(view, cell.phase, cell.day);
    const told = why(cell, standing[0]) || detail(cell, standing[0]);
    return `${data.phases[cell.phase]}, ${dayName(cell.day)}: ${stateName(standing[0])}, ${counts(standing)}${told && `. ${told}`}`;
  };
  const isFixed = (cell, state) => !isPlan && view === "after" && state === COMPLETE
    && isShort.has(look("before", cell.phase, cell.day)[0]);

  let only = ""; // the state that is shown alone
  const paintCell = (cell) => {
    const [state, expected, found] = look(view, cell.phase, cell.day);
    const name = state < 0 ? "unknown" : data.states[state][0], fixed = isFixed(cell, state);
    const isDue = view === "after" && due.has(at(cell.phase, cell.day));
    const dim = only && only !== name && !(only === "fixed" && fixed) && !(only === "due" && isDue);
    cell.node.className = `cell s-${name}${fixed ? " fixed" : ""}${isDue ? " due" : ""}${dim ? " dim" : ""}${cell.lit ? ` ${cell.lit}` : ""}`;
    // A date of which almost nothing is there must not look like one with nothing.
    if (expected > found) cell.node.style.setProperty("--f", Math.max(found / expected, 0.12));
    cell.isNamed = false;
  };
  // What a screen reader says of a cell is written while nothing else is to be done.
  let unnamedCells = 0;
  const idle = window.requestIdleCallback || ((call) => setTimeout(() => call({ timeRemaining: () => 5 }), 1));
  const nameCell = (cell) => {
    if (cell.isNamed) return;
    cell.node.setAttribute("aria-label", labelOf(cell));
    cell.isNamed = true;
  };
  const nameSome = (time) => {
    while (unnamedCells < cells.length && time.timeRemaining() > 2)
      for (let n = 0; n < 50 && unnamedCells < cells.length; n++) nameCell(cells[unnamedCells++]);
    if (unnamedCells < cells.length) idle(nameSome);
  };
  const paint = () => {
    cells.forEach(paintCell);
    for (const name of ["before", "after"])
      byId(name).setAttribute("aria-pressed", String(name === view));
    unnamedCells = 0;
    idle(nameSome);
  };

  // -- the address: what is chosen stands in it, so that it can be sent to others
  const address = () => new URLSearchParams(location.hash.slice(1));
  const note = (changes) => {
    const words = address();
    for (const [key, value] of Object.entries(changes))
      if (value) words.set(key, value);
      else words.delete(key);
    const text = words.toString();
    if (`#${text}` !== location.hash) history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
  };

  // -- the card beside what is pointed at, or has the focus
  const card = byId("card");
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
  const linesOf = (cell) => {
    const standing = look(view, cell.phase, cell.day);
    const other = view === "after" ? "before" : "after";
    const then = look(other, cell.phase, cell.day);
    const meaning = standing[0] < 0 ? "" : data.states[standing[0]][2];
    const period = cell.days > 1 ? `, for ${dayName(cell.first)} to ${dayName(cell.first + cell.days - 1)}` : "";
    return [
      `${data.phases[cell.phase]}, ${dayName(cell.day)}${period}`,
      `${stateName(standing[0])}${meaning && standing[0] !== COMPLETE ? `: ${meaning}` : ""}`
        + (view === "after" && due.has(at(cell.phase, cell.day)) ? "; this run is still to come to it" : ""),
      counts(standing),
      then.join() === standing.join() ? "" : `${said[other]}: ${stateName(then[0])}, ${counts(then)}`,
      detail(cell, standing[0]),
      why(cell, standing[0]),
    ];
  };
  const describe = (node) => {
    const cell = of.get(node);
    show(node, cell ? linesOf(cell) : node.dataset.card.split("\n"));
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

  // -- what a date rests on, and what rests on it
  const period = (shape, day) => {
    if (shape.every === "week") {
      const first = day - ((new Date(day * DAY).getUTCDay() + 6 - shape.starts) % 7 + 7) % 7;
      return [first, first + 6];
    }
    if (shape.every !== "month") return [day, day];
    const d = new Date(day * DAY);
    const first = Date.UTC(d.getUTCFullYear(), d.getUTCMonth(), 1) / DAY;
    return [first, Date.UTC(d.getUTCFullYear(), d.getUTCMonth() + 1, 1) / DAY - 1];
  };
  const dateOf = (shape, day) => period(shape, day)[shape.dated === "first" ? 0 : 1];
  const reads = (shape, day) => (shape.reads_its_period ? period(shape, day) : [day - shape.before, day + shape.ahead]);
  const above = (phase, day) => {
    const shape = shapes[phase];
    return shape ? shape.after.map((name) => [phaseOf.get(name), ...reads(shape, day)]) : [];
  };
  const below = (phase, day) => shapes.flatMap((shape, other) => {
    if (!shape || !shape.after.includes(data.phases[phase])) return [];
    if (shape.reads_its_period) return [[other, dateOf(shape, day), dateOf(shape, day)]];
    return [[other, day - shape.ahead, day + shape.before]];
  });
  let lit = [];
  const light = (ranges, name) => {
    for (const [phase, first, last] of ranges)
      for (let day = first; day <= last; day++) {
        const cell = entries.get(at(phase, day));
        if (cell && !cell.lit) { cell.lit = name; lit.push(cell); cell.node.classList.add(name); }
      }
  };
  const unlight = () => {
    for (const cell of lit) { cell.node.classList.remove(cell.lit); cell.lit = ""; }
    lit = [];
  };

  // -- the panel: all of one date
  const panel = byId("panel");
  let chosen = null;
  const tally = (ranges) => ranges.map(([phase, first, last]) => {
    const found = new Map();
    for (let day = first; day <= last; day++) {
      const [state] = look(view, phase, day);
      if (state >= 0) found.set(state, (found.get(state) || 0) + 1);
    }
    const told = [...found].map(([state, n]) => `${n} ${stateName(state)}`).join(", ");
    return `${data.phases[phase]}, ${first === last ? isoOf(first) : `${isoOf(first)} to ${isoOf(last)}`}: ${told || "not looked at"}`;
  });
  const fact = (name, ...lines) => {
    const pair = make("div");
    pair.append(make("dt", "", name), ...lines.filter(Boolean).map((line) => {
      const told = make("dd");
      told.append(line);
      return told;
    }));
    return pair;
  };
  const commandsOf = (cell, step) => {
    const phase = data.phases[cell.phase], day = isoOf(cell.day), state = look(view, cell.phase, cell.day)[0];
    const found = [`planner explain ${phase} ${day}`];
    if (step) found.push(`planner logs ${data.run_id} ${step[0]}`);
    if (data.moment === "after" && failures.has(at(cell.phase, cell.day)))
      found.push(`planner retry ${data.run_id} --phase ${phase} --dates ${day}`);
    else if (isPlan && isShort.has(state)) found.push(`planner enqueue --gaps --start ${day} --end ${day}`);
    return found;
  };
  const fillPanel = () => {
    if (!chosen) return;
    const key = at(chosen.phase, chosen.day), step = steps.get(key);
    const [title, ...lines] = linesOf(chosen).filter(Boolean);
    const head = make("header"), list = make("dl"), close = make("button", "", "Close");
    close.type = "button";
    close.addEventListener("click", () => choose(null));
    head.append(make("h3", "", title), close);
    list.append(fact("how it stands", ...lines));
    const told = details.get(key);
    if (told && !lines.includes(told)) list.append(fact({ before: "as counted", during: "as counted last", after: "in the recount" }[data.moment], told));
    if (step) list.append(fact("step",
      `${step[0]}: ${step[3]}`,
      step[4] ? `attempt ${step[4]}${step[5] ? `, on ${step[5]}` : ""}` : "not begun",
      step[7] && `log, on that machine: ${step[7]}`));
    const up = above(chosen.phase, chosen.day), down = below(chosen.phase, chosen.day);
    if (shapes[chosen.phase]) {
      list.append(fact("rests on", ...(up.length ? tally(up) : ["nothing: it is a source"])));
      list.append(fact("rests on it", ...(down.length ? tally(down) : ["nothing"])));
    }
    list.append(fact("commands", ...commandsOf(chosen, step).map(command)));
    panel.replaceChildren(head, list);
    panel.hidden = false;
  };
  const choose = (cell) => {
    unlight();
    if (chosen) chosen.node.removeAttribute("aria-selected");
    chosen = cell;
    hide();
    if (!cell) { panel.hidden = true; note({ phase: "", date: "" }); return; }
    cell.node.setAttribute("aria-selected", "true");
    light([[cell.phase, cell.day, cell.day]], "lit");
    light(above(cell.phase, cell.day), "lit-above");
    light(below(cell.phase, cell.day), "lit-below");
    note({ phase: data.phases[cell.phase], date: isoOf(cell.day) });
    // Below its calendar, which it must not cover: what is lit stands there.
    cell.node.closest(".season").after(panel);
    fillPanel();
    panel.scrollIntoView({ block: "nearest" });
  };
  document.addEventListener("click", (event) => {
    const cell = of.get(target(event));
    if (cell) choose(cell);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { if (card.hidden) choose(null); hide(); }
    const cell = event.key === "Enter" && of.get(document.activeElement);
    if (cell) { event.preventDefault(); choose(cell); }
  });

  // -- moving the focus: one stop for Tab in each map, arrow keys within
  const typed = (event) => (event.key.length === 1 ? event.key.toLowerCase() : event.key);
  const isTyping = (event) => event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea");
  const arrows = (box, rows, up) => {
    const placeOf = new Map();
    rows.forEach((row, y) => row.forEach((node, x) => placeOf.set(node, [y, x])));
    box.addEventListener("keydown", (event) => {
      const node = target(event);
      if (!node || isTyping(event) || !placeOf.has(node)) return;
      const [y, x] = placeOf.get(node), row = rows[y];
      const goal = {
        ArrowRight: () => row[x + 1], ArrowLeft: () => row[x - 1],
        ArrowDown: () => up(rows[y + 1], x, node), ArrowUp: () => up(rows[y - 1], x, node),
        Home: () => row[0], End: () => row[row.length - 1],
      }[event.key];
      if (!goal) return;
      event.preventDefault();
      const to = goal();
      if (to) { if (of.has(to)) nameCell(of.get(to)); to.focus(); }
    });
    // The stop follows the focus, however that came.
    let stop = rows.length && rows[0].length ? rows[0][rows[0].length - 1] : null;
    if (stop && !of.has(stop)) stop = rows[0][0];
    if (stop) stop.tabIndex = 0;
    box.addEventListener("focusin", (event) => {
      const node = target(event);
      if (!node) return;
      if (stop) stop.tabIndex = -1;
      stop = node;
      stop.tabIndex = 0;
      if (of.has(node)) nameCell(of.get(node));
    });
  };

  // N and P: the next finding in any row, by day and then by phase, over all calendars.
  const order = [], orders = []; // made when it is first asked for
  const isFinding = (node) => {
    const cell = of.get(node);
    return cell ? bad.has(look(view, cell.phase, cell.day)[0]) : node.classList.contains("bad");
  };
  document.addEventListener("keydown", (event) => {
    const step = { n: 1, p: -1 }[typed(event)];
    if (!step || isTyping(event)) return;
    const from = document.activeElement;
    for (const add of orders.splice(0)) add();
    const list = from.closest("#timeline") ? [...document.querySelectorAll("#timeline .bar")] : order;
    let n = list.indexOf(from);
    if (n < 0) n = step > 0 ? -1 : list.length;
    for (n += step; list[n] && !isFinding(list[n]); n += step);
    if (!list[n]) return;
    event.preventDefault();
    if (of.has(list[n])) nameCell(of.get(list[n]));
    list[n].focus();
  });

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
  const countIn = (name, start, total, is) => {
    let count = 0;
    for (let phase = 0; phase < data.phases.length; phase++)
      for (let n = 0; n < total; n++) count += is(look(name, phase, start + n)[0]);
    return count;
  };
  // How many dates were in some states when they were counted last.
  const counted = (...states) => data.maps.reduce((sum, part) => sum + countIn(data.moment === "after" ? "after" : "before",
    dayNumber(part.start), part.days, (state) => state >= 0 && states.includes(data.states[state][0])), 0);
  const isDueState = (state) => state === COMPLETE || isShort.has(state);
  const isBare = (start, total) =>
    !countIn("before", start, total, isDueState) && !countIn("after", start, total, isDueState);
  const headline = (start, total) => {
    const short = (state) => isShort.has(state);
    const before = countIn("before", start, total, short), after = countIn("after", start, total, short);
    if (isPlan) {
      const todo = before ? countIn("after", start, total, (state) => state === data.planned || short(state)) : 0;
      return before ? ["bad", `✗ ${before} phase-dates short or out of date now; the plan writes ${todo}`] : ["ok", "✓ nothing short"];
    }
    if (data.moment === "during") return ["", before ? `${before} phase-dates short or out of date before` : "nothing short before"];
    return before || after
      ? [after ? "bad" : "ok", `${after ? "✗" : "✓"} ${before || "no"} phase-dates short before, ${after || "none"} after`]
      : ["ok", "✓ complete, before and after"];
  };
  // The cells of a row: a day each, or as many days as a period has, of a phase due once in it.
  const BETWEEN = code.get("between");
  const spans = (phase, start, total) => {
    const shape = shapes[phase], found = [];
    if (!shape || shape.every === "day") {
      for (let n = 0; n < total; n++) found.push([start + n, start + n, 1]);
      return found;
    }
    for (let n = 0; n < total;) {
      let [first, last] = period(shape, start + n);
      first = Math.max(first, start);
      last = Math.min(last, start + total - 1);
      const busy = [];
      for (let day = first; day <= last; day++)
        if (["before", "after"].some((name) => { const [s] = look(name, phase, day); return s >= 0 && s !== BETWEEN; })) busy.push(day);
      if (last > first && busy.length === 1) found.push([busy[0], first, last - first + 1]);
      else for (let day = first; day <= last; day++) found.push([day, day, 1]);
      n = last - start + 1;
    }
    return found;
  };
  const blank = make("div");
  blank.setAttribute("role", "gridcell");
  blank.tabIndex = -1;
  const drawRow = (phase, start, total) => {
    const line = make("div", "line"), title = make("span", "name", data.phases[phase]), strip = make("div", "cells");
    line.setAttribute("role", "row");
    title.setAttribute("role", "rowheader");
    title.title = data.phases[phase];
    strip.setAttribute("role", "presentation");
    const row = [], byDay = [];
    for (const [day, first, days] of spans(phase, start, total)) {
      const node = blank.cloneNode();
      if (days > 1) node.style.flexGrow = node.style.flexShrink = days;
      if (days > 1) node.style.setProperty("--days", days);
      const cell = { node, phase, day, first, days, lit: "", isNamed: false };
      of.set(node, cell);
      cells.push(cell);
      for (let n = 0; n < days; n++) { entries.set(at(phase, first + n), cell); byDay[first + n - start] = node; }
      row.push(node);
    }
    strip.append(...row);
    line.append(title, strip);
    return { line, row, byDay };
  };
  const drawMap = (part) => {
    const start = dayNumber(part.start), total = part.days;
    const box = make("div", "season"), head = make("header"), pan = make("div", "pan");
    const map = make("div", "map");
    map.style.maxWidth = `${104 + total * WIDEST}px`;
    head.append(make("h3", "", part.name));
    if (isBare(start, total)) {
      // Not complete: a source that was never loaded looks the same.
      head.append(make("small", "", "no source holds anything, so nothing was expected"));
      box.append(head);
      return box;
    }
    head.append(make("small", ...headline(start, total)));
    map.setAttribute("role", "grid");
    map.setAttribute("aria-label", `${part.name}: a row per phase, a cell per date`);
    map.append(axis(start, total));
    const drawn = data.phases.map((_, phase) => drawRow(phase, start, total));
    map.append(...drawn.map((each) => each.line));
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
    const byRow = new Map(drawn.map((each) => [each.row, each.byDay]));
    arrows(map, drawn.map((each) => each.row), (row, _, node) => row && byRow.get(row)[of.get(node).day - start]);
    orders.push(() => {
      for (let n = 0; n < total; n++)
        for (const { byDay } of drawn) if (of.get(byDay[n]).day === start + n) order.push(byDay[n]);
    });
    pan.append(map);
    const frame = make("div", "frame");
    frame.append(pan);
    box.append(head, frame);
    const cue = () => {
      frame.classList.toggle("more-left", pan.scrollLeft > 2);
      frame.classList.toggle("more-right", pan.scrollLeft + pan.clientWidth < pan.scrollWidth - 2);
    };
    pan.addEventListener("scroll", cue, { passive: true });
    cueOf.set(pan, cue);
    arrived.observe(pan);
    return box;
  };
  // The newest days are in sight first; a calendar is laid out when it comes into sight.
  const arrived = new IntersectionObserver((seen) => {
    for (const { target: pan, isIntersecting } of seen) {
      if (!isIntersecting) continue;
      arrived.unobserve(pan);
      if (!pan.scrollLeft) pan.scrollLeft = pan.scrollWidth;
      cueOf.get(pan)();
    }
  });
  const cueOf = new Map();

  // -- one state alone; and who lacks an id
  const showOnly = (name) => {
    only = name;
    for (const button of document.querySelectorAll("[data-show]"))
      button.setAttribute("aria-pressed", String(button.dataset.show === name));
    note({ show: name });
    paint();
  };
  const goTo = (cell) => { nameCell(cell); cell.node.focus(); choose(cell); };
  const FOUND_SHOWN = 200;
  const search = (text) => {
    const box = byId("found"), hits = lacking.get(text) || [];
    note({ find: text });
    if (!text) { box.replaceChildren(); return; }
    // A date that holds nothing lacks every id, and none of them is named.
    const bare = counted("missing");
    const untold = [unnamed && `${unnamed === 1 ? "1 date lacks" : `${unnamed} dates lack`} more ids than are named here`,
      bare && `${bare === 1 ? "1 date holds nothing, and lacks" : `${bare} dates hold nothing, and lack`} all that is due`];
    const more = untold.some(Boolean) ? ` ${untold.filter(Boolean).join("; ")}: planner gaps --entities names them all.` : "";
    box.replaceChildren(make("span", "", hits.length
      ? `${hits.length} phase-dates lack ${text}:` : `No date is known here to lack ${text}.`));
    for (const [phase, day] of hits.slice(0, FOUND_SHOWN)) {
      const cell = entries.get(at(phase, day)), button = make("button", "hit", `${data.phases[phase]} ${isoOf(day)}`);
      button.type = "button";
      if (cell) button.addEventListener("click", () => goTo(cell));
      box.append(button);
    }
    if (hits.length > FOUND_SHOWN) box.append(make("span", "", `and ${hits.length - FOUND_SHOWN} more.`));
    if (more) box.append(make("span", "quiet", more));
  };
  const follow = () => {
    const words = address(), show = words.get("show"), find = words.get("find");
    if (show && [...document.querySelectorAll("[data-show]")].some((each) => each.dataset.show === show)) showOnly(show);
    if (find) { byId("find-text").value = find; search(find); }
    const cell = entries.get(at(phaseOf.get(words.get("phase")), dayNumber(words.get("date") || "")));
    if (cell) { cell.node.scrollIntoView({ block: "nearest", inline: "center" }); choose(cell); }
  };

  // -- what a run does meanwhile
  const update = (changed, stepRows) => {
    takeSteps(stepRows);
    const painted = [];
    for (const [phaseName, iso, state, expected, found] of changed) {
      const phase = phaseOf.get(phaseName), day = dayNumber(iso), key = at(phase, day);
      const before = look("before", phase, day);
      due.delete(key);
      if (state === null) { due.add(key); views.after[phase].set(day, before); }
      else views.after[phase].set(day, [state, expected ?? before[1], found ?? before[2]]);
      const cell = entries.get(key);
      if (cell) painted.push(cell);
    }
    for (const cell of painted) paintCell(cell);
    unnamedCells = 0;
    idle(nameSome);
    if (chosen && (painted.includes(chosen) || stepRows.length)) fillPanel();
    if (!card.hidden && of.has(document.activeElement)) describe(document.activeElement);
  };
  if (data.live && data.live.cells) update(data.live.cells, data.live.steps);

  if (byId("maps") && data.maps.length) {
    performance.mark("begun");
    byId("maps").replaceChildren(...data.maps.map(drawMap));
    byId("switch").hidden = byId("hint").hidden = false;
    byId("find").hidden = !lacking.size;
    byId("no-ids").hidden = lacking.size > 0 || !counted("missing", "partial", "late");
    for (const name of ["before", "after"])
      byId(name).addEventListener("click", () => { view = name; hide(); paint(); fillPanel(); });
    for (const button of document.querySelectorAll("[data-show]"))
      button.addEventListener("click", () => showOnly(only === button.dataset.show ? "" : button.dataset.show));
    byId("find").addEventListener("submit", (event) => event.preventDefault());
    byId("find-text").addEventListener("input", (event) => search(event.target.value.trim()));
    paint();
    document.body.getBoundingClientRect();
    performance.measure("drawn", "begun");
    addEventListener("resize", () => { for (const cue of cueOf.values()) cue(); });
    follow();
    addEventListener("hashchange", follow);
  }

  // On paper nothing can be unfolded.
  addEventListener("beforeprint", () => {
    for (const folded of document.querySelectorAll("details")) folded.open = true;
  });

  // -- the timeline
  const timeline = byId("timeline");
  if (timeline) {
    const rows = [...timeline.querySelectorAll("svg[role=list]")].map((svg) => [...svg.querySelectorAll(".bar")]);
    const middle = (node) => { const box = node.getBoundingClientRect(); return box.left + box.width / 2; };
    arrows(timeline, rows, (row, _, from) => row && row.reduce(
      (best, each) => (Math.abs(middle(each) - middle(from)) < Math.abs(middle(best) - middle(from)) ? each : best)));
  }
  const nodeOf = (phase, iso) => entries.get(at(phaseOf.get(phase), dayNumber(iso)))?.node;
  return { data, update, nodeOf };
})();
