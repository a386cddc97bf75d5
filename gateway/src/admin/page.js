// The status page. It asks its own gateway and nobody else; text of peers only ever becomes textContent.
"use strict";

const PAGE_SIZE = innerWidth < 640 ? 12 : 25;
const CLIENTS_EVERY = 10_000;
const GONE_AFTER = 7_000;
const AGAIN_AFTER = 3_000;
const HOUR = 3600;
const WIDTH = 360;
const HEIGHT = 84;
const SVG = "http://www.w3.org/2000/svg";

const $ = (id) => document.getElementById(id);
const view = {
  status: null, samples: [], interval: 10, heard: 0, gone: 0, skew: 0,
  filter: "all", sort: "bytes", search: "", offset: 0, matching: 0, asked: null,
};

// --- words ---------------------------------------------------------------------------------------------
const CLASSES = {
  onboarding: "Onboarding", agent_control: "Agent control", token: "Token", automation: "Automation", arc: "Arc",
  ingestion: "Ingestion", collection_endpoint: "Collection endpoint", blob: "Blob storage",
  agent_metrics: "Agent metrics", packages: "Packages", hosts: "Own hosts",
};
const LIMITS = {
  connections: "Connections", tunnels: "Tunnels", setups: "Set-ups in progress",
  setups_waiting: "Waiting for a set-up", clients: "Clients in the table",
};
const number = new Intl.NumberFormat("en").format;

function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let at = 0;
  while (count >= 1000 && at < units.length - 1) { count /= 1000; at += 1; }
  return (at === 0 || count >= 100 ? Math.round(count) : count.toFixed(1)) + " " + units[at];
}

function span(seconds) {
  if (seconds < 90) return Math.round(seconds) + " s";
  if (seconds < 90 * 60) return Math.round(seconds / 60) + " min";
  if (seconds < 36 * HOUR) return Math.round(seconds / HOUR) + " h";
  return Math.round(seconds / (24 * HOUR)) + " d";
}

const clock = (time) => time.slice(0, 19).replace("T", " ") + " UTC";
const plural = (count, one, more) => number(count) + " " + (count === 1 ? one : more);

// --- drawing -------------------------------------------------------------------------------------------
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function make(name, className, text) {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

// Keeps one child for each item, in order, and has the same child show the same item where it stays.
function keep(parent, items, build, show) {
  while (parent.children.length > items.length) parent.lastElementChild.remove();
  items.forEach((item, at) => {
    const child = parent.children[at] || parent.appendChild(build());
    show(child, item);
  });
}

function chart(name, value, format) {
  const svg = $("chart-" + name);
  if (svg.children.length === 0) {
    for (const part of ["area", "stroke"]) {
      const path = document.createElementNS(SVG, "path");
      path.setAttribute("class", part);
      svg.append(path);
    }
  }
  const now = Date.now() / 1000 + view.skew;
  const shown = view.samples.filter((sample) => now - sample.time <= HOUR + view.interval);
  // A young gateway has less to show than an hour.
  const range = Math.min(HOUR, Math.max(2 * 60, shown.length > 0 ? now - shown[0].time : 0));
  for (const from of document.querySelectorAll(".axis span:first-child")) write(from, (range === HOUR ? "1 h" : span(range)) + " ago");
  const peak = shown.reduce((most, sample) => Math.max(most, value(sample)), 0);
  const x = (sample) => (WIDTH * (1 - Math.min(1, Math.max(0, (now - sample.time) / range)))).toFixed(1);
  const y = (sample) => (HEIGHT - 2 - (peak > 0 ? value(sample) / peak : 0) * (HEIGHT - 10)).toFixed(1);
  let stroke = "", area = "", last = null;
  for (const sample of shown) {
    const joined = last && sample.time - last.time < 2.5 * view.interval;
    if (!joined && last) area += "L" + x(last) + " " + HEIGHT + "Z";
    stroke += (joined ? "L" : "M") + x(sample) + " " + y(sample);
    area += joined ? "L" + x(sample) + " " + y(sample)
      : "M" + x(sample) + " " + HEIGHT + "L" + x(sample) + " " + y(sample);
    last = sample;
  }
  if (last) area += "L" + x(last) + " " + HEIGHT + "Z";
  svg.children[0].setAttribute("d", area);
  svg.children[1].setAttribute("d", stroke);
  write($("peak-" + name), peak > 0 ? "peak " + format(peak) : "");
  svg.dataset.samples = shown.length;
}

function drawCharts() {
  chart("up", (sample) => sample.bytes_up / view.interval, (peak) => bytes(peak) + "/s");
  chart("down", (sample) => sample.bytes_down / view.interval, (peak) => bytes(peak) + "/s");
  chart("tunnels", (sample) => sample.tunnels, number);
  chart("refusals", (sample) => sample.refusals * 60 / view.interval, (peak) => number(Math.ceil(peak)) + "/min");
}

function verdict(status) {
  const { traffic, readiness, clients } = status;
  const down = readiness.canaries.filter((canary) => canary.state === "down");
  const unknown = readiness.canaries.some((canary) => canary.state === "unknown");
  const names = down.map((canary) => CLASSES[canary.class] || canary.class).join(", ");
  if (status.state !== "serving") return ["warn", "Draining: " + plural(traffic.tunnels, "tunnel", "tunnels") + " left"];
  if (!readiness.ready && down.length > 0) return ["bad", "Not ready: Azure cannot be reached"];
  if (!readiness.ready) return ["warn", unknown ? "Starting: the way to Azure is being tried" : "Not ready"];
  if (down.length > 0) return ["bad", "Cannot be reached: " + names];
  if (traffic.bytes_up_per_second + traffic.bytes_down_per_second > 0) return ["good", "Traffic is flowing"];
  if (traffic.tunnels > 0) return ["good", "Ready: tunnels are open, nothing moves just now"];
  if (traffic.refusals_per_minute > 0 && traffic.connects_per_minute === 0) return ["warn", "Requests come, and all are refused"];
  if (clients.silent > 0) return ["warn", "No tunnel is open, and " + plural(clients.silent, "client is", "clients are") + " silent"];
  if (clients.known === 0) return ["good", "Ready: no client has come yet"];
  return ["good", "Ready: no tunnel is open just now"];
}

function say(kind, text) {
  $("verdict").className = "verdict " + kind;
  write($("verdict-text"), text);
  const title = text + " · la-gateway";
  if (document.title !== title) document.title = title;
}

function drawStatus() {
  const status = view.status;
  if (!status) return;
  const { traffic, clients } = status;
  say(...verdict(status));
  document.body.dataset.state = status.state;
  write($("version"), "version " + status.version);
  write($("uptime"), "up " + span(status.uptime_seconds));
  write($("clock"), clock(status.time));
  write($("rate-up"), bytes(traffic.bytes_up_per_second) + "/s");
  write($("rate-down"), bytes(traffic.bytes_down_per_second) + "/s");
  write($("rate-tunnels"), number(traffic.tunnels));
  write($("rate-refusals"), number(traffic.refusals_per_minute) + "/min");
  const draining = status.state !== "serving";
  $("drain").hidden = !draining;
  if (draining) {
    const accepts = status.state === "lame-duck" ? "Connections are still accepted for " : "No new connections are accepted. What is left is cut in ";
    write($("drain"), "This gateway is ending. " + accepts + span(status.seconds_left || 0) + ".");
  }
  drawProblems(status.configuration);
  drawCanaries(status.readiness);
  drawLimits(status.limits);
  drawConfiguration(status);
  drawRefusals(status.refusals);
  write($("count-all"), number(clients.known));
  write($("count-active"), number(clients.active));
  write($("count-silent"), number(clients.silent));
  $("count-silent").className = clients.silent > 0 ? "warn" : "";
  write($("count-refused"), number(clients.refused));
}

function drawProblems(configuration) {
  const box = $("problems");
  box.hidden = configuration.problems.length === 0;
  if (box.hidden) return;
  if (box.children.length === 0) {
    box.append(make("p", "", "What is written is wrong; the configuration before it stays in force."), make("ul"));
  }
  keep(box.lastElementChild, configuration.problems.slice(0, 10), () => make("li"), write);
}

function drawCanaries(readiness) {
  const rows = readiness.canaries.map((canary) => canary)
    .concat(readiness.not_probed.map((name) => ({ class: name, host: "", state: "none" })));
  const hint = rows.length === 0 ? "No role may reach anything."
    : readiness.walking ? "" : "Canaries are off: [readiness] interval is 0s.";
  write($("canary-hint"), hint);
  $("canary-hint").hidden = hint === "";
  const build = () => {
    const row = make("li");
    const name = make("span");
    name.append(make("span", "", ""), make("span", "host", ""));
    row.append(make("span", "tag"), name, make("span", "took"), make("span", "why"));
    return row;
  };
  keep($("canaries"), rows, build, (row, canary) => {
    const [tag, name, took, why] = row.children;
    const words = { up: ["good", "up"], down: ["bad", "down"], unknown: ["", "not yet"], none: ["", "no canary"] };
    const [kind, word] = words[canary.state] || ["", canary.state];
    row.dataset.state = canary.state;
    tag.className = "tag " + kind;
    write(tag, word);
    write(name.children[0], CLASSES[canary.class] || canary.class);
    write(name.children[1], canary.host);
    name.children[1].title = canary.host;
    const walked = canary.took_ms !== null && canary.took_ms !== undefined;
    write(took, walked ? canary.took_ms + " ms, " + span(canary.age_seconds || 0) + " ago" : "");
    why.hidden = !canary.failure;
    write(why, canary.failure ? canary.failure.station + ": " + canary.failure.detail + " (" + canary.failures + " in a row)" : "");
  });
}

function drawLimits(limits) {
  const build = () => {
    const row = make("li");
    const line = make("div");
    line.append(make("span"), make("span", "of"));
    row.append(line, make("progress"));
    return row;
  };
  keep($("limits"), limits, build, (row, limit) => {
    const [line, bar] = row.children;
    const share = limit.most > 0 ? limit.used / limit.most : 0;
    row.className = share >= 0.95 ? "bad" : share >= 0.8 ? "warn" : "";
    write(line.children[0], LIMITS[limit.name] || limit.name);
    write(line.children[1], number(limit.used) + " of " + number(limit.most));
    bar.max = limit.most || 1;
    bar.value = limit.used;
    bar.setAttribute("aria-label", LIMITS[limit.name] || limit.name);
  });
}

function drawConfiguration(status) {
  const { configuration } = status;
  const when = new Date(configuration.last_success * 1000);
  const rows = [
    ["Hash", configuration.hash], ["File", configuration.file || "built-in default"],
    ["Last reload", clock(when.toISOString())],
    ["Policy", configuration.policy], ["Version", status.version + ", process " + status.pid],
  ];
  if (configuration.waits.length > 0) rows.push(["Waits", configuration.waits.join("; ")]);
  const list = $("config");
  while (list.children.length > rows.length * 2) list.lastElementChild.remove();
  rows.forEach(([name, value], at) => {
    if (!list.children[at * 2]) list.append(make("dt"), make("dd"));
    write(list.children[at * 2], name);
    write(list.children[at * 2 + 1], value);
    list.children[at * 2 + 1].className = name === "Hash" ? "mono" : "";
  });
}

function cell(label, className) {
  const made = make("td", className);
  made.setAttribute("role", "cell");
  if (label) made.dataset.label = label;
  return made;
}

function line() {
  const made = make("tr");
  made.setAttribute("role", "row");
  return made;
}

function drawRefusals(refusals) {
  $("no-refusals").hidden = refusals.length > 0;
  $("refusal-scroll").hidden = refusals.length === 0;
  const build = () => {
    const row = line();
    const reason = cell("", "");
    reason.append(make("code"), make("span", "sub"));
    const last = cell("", "");
    const copy = make("div", "copy");
    const button = make("button", "", "Copy");
    button.type = "button";
    button.addEventListener("click", () => copyFrom(button, copy.firstElementChild));
    copy.append(make("code"), button);
    last.append(make("span", "sub"), copy);
    row.append(reason, cell("last hour", "n"), cell("since start", "n"), cell("", ""), last);
    return row;
  };
  keep($("refusals").tBodies[0], refusals, build, (row, refusal) => {
    const [reason, hour, total, advice, last] = row.children;
    write(reason.children[0], refusal.reason);
    write(reason.children[1], refusal.status + ", " + refusal.fault);
    write(hour, number(refusal.last_hour));
    write(total, number(refusal.total));
    write(advice, refusal.advice.replaceAll("`", ""));
    const example = refusal.example;
    write(last.children[0], example
      ? span(example.seconds_ago) + " ago" + (example.user ? ", " + example.user : "") + ", from " + example.from
      : "no target could be read");
    last.children[1].hidden = !example;
    if (example) {
      write(last.children[1].children[0], example.command);
      last.children[1].children[1].setAttribute("aria-label", "Copy the command that explains " + refusal.reason);
    }
  });
}

async function copyFrom(button, element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(element);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
}

function drawClients(page) {
  const build = () => {
    const row = line();
    const id = cell("", "id");
    id.append(make("span"), make("span", "sub"));
    const state = cell("", "");
    state.append(make("span", "tag"));
    const refused = cell("refused", "n");
    refused.append(make("span", "sub reason"), make("span"));
    row.append(id, cell("role", ""), state, cell("heard of", "n"), cell("tunnels", "n"), cell("sent", "n"), cell("received", "n"), refused);
    return row;
  };
  keep($("clients").tBodies[0], page.clients, build, (row, client) => {
    const [id, role, state, heard, tunnels, sent, received, refused] = row.children;
    const name = client.id.slice(client.id.indexOf(":") + 1);
    write(id.children[0], name);
    write(id.children[1], client.user !== null ? client.addresses.slice(0, 2).join(", ") + (client.addresses.length > 2 || client.more_addresses ? " …" : "") : "");
    write(role, client.role);
    const [kind, word] = client.state === "silent" ? ["warn", "silent"] : client.open_tunnels > 0 ? ["good", "talking"] : ["", "heard of"];
    state.children[0].className = "tag " + kind;
    write(state.children[0], word);
    row.dataset.state = word;
    write(heard, span(client.unseen_seconds) + " ago");
    write(tunnels, number(client.open_tunnels));
    write(sent, bytes(client.bytes_up));
    write(received, bytes(client.bytes_down));
    write(refused.children[0], client.last_refusal || "");
    write(refused.children[1], number(client.refused));
  });
  view.matching = page.matching;
  const first = page.matching === 0 ? 0 : view.offset + 1;
  write($("page-range"), page.matching === 0 ? "" : number(first) + " to " + number(view.offset + page.clients.length) + " of " + number(page.matching));
  $("page-before").disabled = view.offset === 0;
  $("page-next").disabled = view.offset + page.clients.length >= page.matching;
  const empty = page.matching === 0;
  const nobody = view.filter === "all" && view.search === "";
  $("no-clients").hidden = !empty;
  $("client-scroll").hidden = empty;
  write($("no-clients"), nobody ? "No client has come yet. Set this gateway as the HTTPS proxy of an agent." : "No client matches.");
  for (const button of document.querySelectorAll("#clients th button")) {
    const sort = button.dataset.sort;
    const oldest = sort === "newest" && view.sort === "oldest";
    const direction = sort !== view.sort && !oldest ? "none" : sort === "id" || view.sort === "newest" ? "ascending" : "descending";
    button.parentElement.setAttribute("aria-sort", direction);
  }
}

// --- asking --------------------------------------------------------------------------------------------
async function ask(path, signal) {
  const answer = await fetch(path, { signal, cache: "no-store", credentials: "same-origin" });
  if (!answer.ok) throw new Error(path + ": " + answer.status);
  return answer.json();
}

async function askClients() {
  if (view.asked) view.asked.abort();
  const asked = view.asked = new AbortController();
  const query = new URLSearchParams({ sort: view.sort, offset: view.offset, limit: PAGE_SIZE });
  if (view.filter === "active" || view.filter === "silent") query.set("state", view.filter);
  if (view.filter === "refused") query.set("refused", "true");
  if (view.search) query.set("search", view.search);
  try {
    const page = await ask("/api/clients?" + query, asked.signal);
    if (view.offset >= page.matching && view.offset > 0) {
      view.offset = Math.max(0, Math.floor((page.matching - 1) / PAGE_SIZE) * PAGE_SIZE);
      return askClients();
    }
    drawClients(page);
  } catch {
    // Another question overtook this one, or the next look asks again.
  }
}

async function askHistory() {
  try {
    const history = await ask("/api/history");
    view.interval = history.interval_seconds;
    view.samples = history.samples;
    drawCharts();
  } catch {
    // The stream says when the gateway is back, and then it is asked again.
  }
}

function hear(event) {
  const wasGone = view.gone !== 0 || view.heard === 0;
  view.heard = Date.now();
  view.gone = 0;
  document.body.dataset.link = "live";
  $("gone").hidden = true;
  if (event.type === "status") {
    view.status = JSON.parse(event.data);
    view.skew = Date.parse(view.status.time) / 1000 - Date.now() / 1000;
    drawStatus();
  } else {
    view.samples = view.samples.concat(JSON.parse(event.data)).slice(-HOUR / view.interval);
  }
  drawCharts();
  if (wasGone) {
    askHistory();
    askClients();
  }
}

let stream = null;
function listen() {
  if (stream) stream.close();
  stream = new EventSource("/api/events");
  stream.addEventListener("status", hear);
  stream.addEventListener("sample", hear);
}

function look() {
  const quiet = Date.now() - Math.max(view.heard, started);
  if (quiet > GONE_AFTER && view.gone === 0) {
    view.gone = Date.now();
    document.body.dataset.link = "gone";
    say("bad", "The gateway does not answer");
    const since = view.status ? " since " + clock(view.status.time) : "";
    const ending = view.status && view.status.state !== "serving" ? " It was ending." : "";
    write($("gone"), "No word from the gateway" + since + "." + ending + " What is shown is from then. Trying again until it is back.");
    $("gone").hidden = false;
    $("drain").hidden = true;
  }
  if (stream.readyState === EventSource.CLOSED || quiet > 3 * GONE_AFTER && quiet % (2 * GONE_AFTER) < AGAIN_AFTER) listen();
}

// --- hands ---------------------------------------------------------------------------------------------
const SORTS = { all: "bytes", active: "bytes", silent: "oldest", refused: "refused" };
for (const button of document.querySelectorAll("[data-filter]")) {
  button.addEventListener("click", () => {
    view.filter = button.dataset.filter;
    view.sort = SORTS[view.filter];
    view.offset = 0;
    for (const other of document.querySelectorAll("[data-filter]")) other.setAttribute("aria-pressed", String(other === button));
    askClients();
  });
}
for (const button of document.querySelectorAll("#clients th button")) {
  button.addEventListener("click", () => {
    const sort = button.dataset.sort;
    view.sort = sort === "newest" && view.sort === "newest" ? "oldest" : sort;
    view.offset = 0;
    askClients();
  });
}
let typed = 0;
$("search").addEventListener("input", () => {
  clearTimeout(typed);
  typed = setTimeout(() => {
    view.search = $("search").value.trim();
    view.offset = 0;
    askClients();
  }, 250);
});
$("page-before").addEventListener("click", () => { view.offset = Math.max(0, view.offset - PAGE_SIZE); askClients(); });
$("page-next").addEventListener("click", () => { view.offset += PAGE_SIZE; askClients(); });

const started = Date.now();
listen();
askHistory();
askClients();
setInterval(look, AGAIN_AFTER);
setInterval(() => { if (!document.hidden && view.gone === 0) askClients(); }, CLIENTS_EVERY);
