// Keeps a page up to date: hears what changes by server-sent events, and says when it does not.
(() => {
  const { live, run_id: run } = calendar.data;
  const SILENT = 5000; // milliseconds without a word, before the page says so
  const WORST = 86400 * 365;
  const byId = (id) => document.getElementById(id);
  const fill = (id, ...nodes) => { if (byId(id)) byId(id).replaceChildren(...nodes); };
  const time = (seconds) => {
    const s = Math.round(Math.min(seconds, WORST));
    if (s < 60) return `${s} s`;
    if (s < 3600) return `${Math.floor(s / 60)} min ${String(s % 60).padStart(2, "0")} s`;
    return `${Math.floor(s / 3600)} h ${String(Math.floor(s / 60) % 60).padStart(2, "0")} min`;
  };
  const size = (bytes) => (bytes >= 2 ** 40 ? `${(bytes / 2 ** 40).toFixed(1)} TiB`
    : bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(1)} GiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`);
  const when = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 19).replace("T", " ") + " UTC";
  const link = (text, href) => { const node = make("a", "", text); node.href = href; return node; };
  const cell = (tag, content, look) => {
    const node = make(tag, look);
    node.append(...[content].flat().filter((each) => each !== "" && each !== null && each !== undefined));
    return node;
  };
  const table = (columns, rows, looks = []) => {
    const box = make("div", "scroll"), node = make("table", "list"), head = make("tr"), body = make("tbody");
    box.tabIndex = 0;
    columns.forEach((name, n) => { const th = make("th", looks[n] || "", name); th.scope = "col"; head.append(th); });
    for (const row of rows) {
      const line = make("tr");
      row.forEach((content, n) => {
        const td = cell(n ? "td" : "th", content, looks[n]);
        if (!n) td.scope = "row";
        line.append(td);
      });
      body.append(line);
    }
    const top = make("thead");
    top.append(head);
    node.append(top, body);
    box.append(node);
    return box;
  };
  const quiet = (text) => make("p", "quiet", text);
  // A table is written anew only when it says something else, so that what is selected in it stays.
  const told = new Map();
  const rewrite = (id, content, draw) => {
    const text = JSON.stringify(content);
    if (told.get(id) === text) return;
    told.set(id, text);
    fill(id, ...[draw(content)].flat());
  };

  // -- a run
  const MARKS = { complete: "✓", failed: "✕", cancelled: "■", running: "●", paused: "⏸" };
  const band = (status) => {
    const left = status.estimate.left_seconds, worst = status.left_worst_seconds;
    if (status.is_ended) return "none";
    if (left === null) return "unknown";
    return worst > left * 1.05 ? `${time(left)} to ${time(worst)}` : time(left);
  };
  const figures = (status) => {
    const steps = status.steps, total = Object.values(steps).reduce((a, b) => a + b, 0);
    const planned = status.estimate.planned_seconds;
    const limit = status.billed.max_dollars, unknown = Object.keys(status.billed.unknown).join(", ");
    return [
      [`${steps.succeeded}`, `of ${total} steps succeeded`],
      [`${steps.running}`, "at work"],
      [`${steps.failed + steps.blocked}`, "failed or blocked", steps.failed + steps.blocked ? "bad" : ""],
      [time(status.estimate.spent_seconds), planned ? `so far; planned ${time(planned)}` : "so far"],
      [band(status), "left, about", status.estimate.drifts ? "bad" : ""],
      [`$${status.billed.dollars.toFixed(4)}`, `billed so far${limit === null ? "" : ` of $${limit} at most`}${unknown && `; unknown for ${unknown}`}`],
    ].map(([value, label, look]) => {
      const item = make("li", look || "");
      item.append(make("b", "", value), make("span", "", label));
      return item;
    });
  };
  const working = (rows, at) => (rows.length ? rows.map((each) => {
    const box = make("article", "work"), head = make("h3"), lines = make("pre", "", each.lines.join("\n"));
    head.append(make("span", "", each.step));
    const since = each.since ? `, for ${time(Math.max(0, at - each.since))}` : "";
    const who = each.is_parked ? "a service works for it" : `on ${each.worker}`;
    box.append(head, make("p", "", `${each.dates}: attempt ${each.attempt}, ${who}${since}`));
    const path = make("p", "quiet", "log: ");
    path.append(make("code", "", each.log));
    box.append(path);
    lines.tabIndex = 0;
    lines.setAttribute("aria-label", `Last lines of the log of ${each.step}`);
    if (each.lines.length) box.append(lines);
    else box.append(quiet(`No log of it is on this machine: it is on that of ${each.worker}, or is still empty.`));
    return box;
  }) : quiet("No worker is at it now."));
  const waiting = ([waits, retries]) => {
    const rows = [
      ...waits.map((each) => [`${each.steps}`, each.for, each.since || "unknown"]),
      ...retries.map((each) => [`${each.steps.length}`, `another attempt: ${each.reason}`, `again at ${each.again}`]),
    ];
    return rows.length ? table(["steps", "wait for", "since"], rows) : quiet("Nothing waits.");
  };
  const planned = (rows) => table(
    ["phase", "steps", "succeeded", "running", "failed", "blocked", "work planned", "work so far", "billed"],
    rows.map((each) => [each.phase, each.steps, each.succeeded || "–", each.running || "–", each.failed || "–", each.blocked || "–",
      each.planned_seconds === null ? "unknown" : time(each.planned_seconds), time(each.worked_seconds),
      each.billed ? size(each.billed) : "–"].map(String)),
    ["", "n", "n", "n", "n", "n", "n", "n", "n"]);
  const runs = (phases) => Object.entries(phases).map(([phase, dates]) => `${phase}: ${dates.length} ${dates.length === 1 ? "date" : "dates"} (${dates[0]}${dates.length > 1 ? ` to ${dates[dates.length - 1]}` : ""})`).join("; ");
  const causes = (found) => (found.length ? table(["what", "state", "reason, and how to try again"], found.map((each) => [
    runs(each.phases), make("span", "badge bad", each.state),
    [make("p", "reason", each.reason), Object.keys(each.waiting).length ? make("p", "", `not tried for it: ${runs(each.waiting)}`) : "", command(each.retry)],
  ])) : []);
  const commands = (state) => {
    const usual = state === "paused" ? "resume" : "pause";
    const list = make("ul", "commands");
    for (const text of [`planner watch ${run}`, `planner ${usual} ${run}`, `planner cancel ${run}`, `planner logs ${run}`, `planner status ${run}`]) {
      const item = make("li");
      item.append(command(text));
      list.append(item);
    }
    return list;
  };
  const showRun = (status) => {
    const good = { complete: "good", failed: "bad", cancelled: "bad" }[status.state] || "";
    byId("state").className = `badge ${good}`;
    byId("state").textContent = `${MARKS[status.state] || "…"} ${status.state}`;
    const drift = status.estimate.drifts ? " It drifts: twice as long as was planned, or more." : "";
    byId("verdict").textContent = `${status.note || ""}${drift}${status.deadline && !status.is_ended ? ` It is cancelled at ${status.deadline}.` : ""}`.trim();
    fill("figures", ...figures(status));
    fill("working", ...[working(status.working, status.at)].flat());
    rewrite("waiting", [status.waiting, status.retrying], waiting);
    rewrite("planned", status.phases, planned);
    byId("causes").parentElement.hidden = !status.causes.length;
    rewrite("causes", status.causes, causes);
    rewrite("commands", status.state, commands);
  };

  // -- the list
  const showIndex = (status) => {
    rewrite("runs", status.runs, (rows) => (rows.length ? table(
      ["run", "state", "pipeline", "steps", "begun", "reason", "by"],
      rows.map((each) => (each.unreadable ? [each.unreadable, "", "", "", "", "", ""] : [
        link(each.run_id, `/runs/${each.run_id}`),
        make("span", `badge ${{ complete: "good", failed: "bad", cancelled: "bad" }[each.state] || ""}`, `${MARKS[each.state] || "…"} ${each.state}`),
        each.pipeline, `${each.steps_settled} of ${each.steps_total}`, when(each.created), each.reason, each.by || "",
      ]))) : [quiet("No runs yet."), command("planner enqueue --gaps")]));
    rewrite("gaps", status.gaps, (gaps) => {
      if (gaps === null) return [quiet("They are not counted: counting is billed, and was not asked for."), command("planner serve --gaps-every 1h")];
      const parts = [];
      if (gaps.trouble) parts.push(make("p", "lost", gaps.trouble));
      if (gaps.counted_at === null) return [...parts, quiet(gaps.trouble ? "They were not counted yet." : "They are being counted …")];
      const open = link("Every phase, every date: what would be done about them", "/gaps");
      parts.push(make("p", "quiet", `Counted ${when(gaps.counted_at)}.`));
      parts.push(gaps.rows.length ? table(["phase", "reason", "dates", "the oldest", "days old"],
        gaps.rows.map((each) => [each.phase, each.reason, `${each.dates}`, each.oldest, `${each.age_days}`]), ["", "", "n", "n", "n"])
        : make("p", "", "No gaps among the dates that can be judged."));
      const more = make("p", "after");
      more.append(open);
      return [...parts, more];
    });
  };

  // -- hearing
  let source = null, since = live.since, heard = Date.now(), isOver = false, trouble = live.trouble || "";
  const tell = () => {
    // One that was refused does not come back by itself.
    if (source && source.readyState === EventSource.CLOSED && Date.now() - heard > SILENT) { close(); open(heard); }
    const silent = source && Date.now() - heard > SILENT;
    const text = trouble || (silent ? `What serves this page does not answer since ${Math.round((Date.now() - heard) / 1000)} s: what stands here is of before.` : "");
    if (byId("trouble").textContent !== text) byId("trouble").textContent = text;
  };
  const take = (event) => {
    const found = JSON.parse(event.data);
    heard = Date.now();
    since = event.lastEventId || since;
    trouble = found.trouble;
    if (found.status) {
      if (found.cells) calendar.update(found.cells, found.steps);
      if (run) showRun(found.status);
      else showIndex(found.status);
      if (run && found.status.is_ended && !isOver) {
        isOver = true;
        close();
        const line = make("p", "verdict");
        line.append("The run has ended. ", link("Its report", `/runs/${run}`));
        byId("verdict").after(line);
      }
    }
    tell();
  };
  const close = () => { if (source) source.close(); source = null; };
  const open = (at = Date.now()) => {
    if (source || isOver) return;
    heard = at;
    source = new EventSource(`${live.url}?since=${encodeURIComponent(since)}`);
    source.addEventListener("message", take);
  };
  // While nobody looks nothing is asked for.
  const look = () => (document.hidden ? close() : open());
  document.addEventListener("visibilitychange", look);
  addEventListener("pagehide", close);
  addEventListener("pageshow", look);
  setInterval(tell, 1000);
  if (run) showRun(live.status);
  else showIndex(live.status);
  tell();
  look();
})();
