// Asks the admin API every two seconds and shows the answers. What others have named (endpoints, topics, reasons, errors)
// reaches the page as text alone; the Content-Security-Policy lets no other way work.
"use strict";

const PAUSE_MS = 2000, DEADLINE_MS = 10000, FAILURES = 20, FAILURES_ASKED = 500, ENDPOINTS = 100;
const KINDS = { healthy: "good", failing: "warn", down: "bad", paused: "warn", disabled: "bad" };
const byId = (id) => document.getElementById(id);
let timer, isAsking = false, answeredAt = null;

class Unauthorized extends Error {}

async function ask(path) {
  const token = sessionStorage.getItem("token");
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const response = await fetch(path, { headers, cache: "no-store", signal: AbortSignal.timeout(DEADLINE_MS) });
  if (response.status === 401) throw new Unauthorized();
  const body = await response.json();
  if (!response.ok) throw new Error(body.detail || `status ${response.status}`);
  return body;
}

async function look() {
  if (isAsking) return;
  isAsking = true;
  clearTimeout(timer);
  try {
    const [status, endpoints, failures] = await Promise.all([
      ask("/v1/status"), ask(`/v1/endpoints?limit=${ENDPOINTS}&sort=trouble`),
      ask(`/v1/deliveries?status=failed&limit=${FAILURES_ASKED}`),
    ]);
    showBacklog(status.backlog);
    showDispatchers(status.dispatchers);
    showEndpoints(endpoints.data, status.endpoint_counts);
    showBlockedKeys(status.blocked_keys);
    showFailures(failures.data);
    answeredAt = new Date();
    byId("token-form").hidden = true;
    byId("main").hidden = false;
    byId("main").className = "";
    const waits = status.installation?.waits_because;
    const asOf = `as of ${answeredAt.toLocaleTimeString()}`;
    notice(waits ? `Nothing is sent: ${waits} (postrider adopt); ${asOf}` : asOf, waits ? "bad" : "");
  } catch (fault) {
    byId("main").className = "stale";
    if (fault instanceof Unauthorized) return askForToken();
    const since = answeredAt ? `; what is shown is of ${answeredAt.toLocaleTimeString()}` : "";
    notice(`The API cannot be reached (${fault.message})${since}. Trying again.`, "bad");
  } finally {
    isAsking = false;
  }
  // A page that nobody sees asks for nothing; see visibilitychange.
  if (!document.hidden) timer = setTimeout(look, PAUSE_MS);
}

function askForToken() {
  notice(sessionStorage.getItem("token") ? "The API does not know this token." : "", "bad");
  sessionStorage.removeItem("token");
  byId("token-form").hidden = false;
  byId("token").focus();
}

function notice(text, kind = "") {
  byId("notice").textContent = text;
  byId("notice").className = kind;
}

function showBacklog(backlog) {
  fill("backlog", [
    ["Unrouted", count(backlog.unrouted)],
    ["Pending", count(backlog.pending)],
    ["In progress", count(backlog.in_progress)],
    ["Failed", count(backlog.failed), backlog.failed > 0 ? "bad" : ""],
    ["Overdue", backlog.oldest_due_at ? `since ${ago(backlog.oldest_due_at)}` : "none"],
    ["Reached nobody 24 h", count(backlog.unmatched_24h + backlog.unknown_destination_24h)],
    ["Unknown destination 24 h", count(backlog.unknown_destination_24h), backlog.unknown_destination_24h > 0 ? "bad" : ""],
  ].map(([name, value, kind]) => element("div", "", element("dt", "", name), element("dd", kind || "", value))));
}

// The API sorts over all endpoints, the worst first; the words are its own.
function showEndpoints(endpoints, counts) {
  const all = Object.values(counts).reduce((sum, number) => sum + number, 0);
  const words = Object.entries(counts).filter(([, number]) => number > 0).map(([health, number]) => `${count(number)} ${health}`);
  const shown = endpoints.length < all ? `; the worst ${endpoints.length} of ${count(all)}` : "";
  byId("endpoint-count").textContent = words.join(", ") + shown;
  fill("endpoints", endpoints.map((e) => row([
    titled(cell(e.id, "text"), `${e.url}\n${e.topics.join(", ")}`),
    cell(e.health, KINDS[e.health] || "warn"),
    moment(e.health_since),
    cell(cause(e), "text"),
    cell(count(e.pending), "number"),
    cell(count(e.failed_attempts_24h), e.failed_attempts_24h > 0 ? "number bad" : "number"),
    cell(count(e.failed_24h), e.failed_24h > 0 ? "number bad" : "number"),
    cell(count(e.complete_24h), "number"),
    moment(e.oldest_pending_at),
    moment(e.last_success_at),
  ])), 10, "none yet");
}

// One row for each endpoint: how many of its keys wait for a delivery that fails, and the one that has waited for longest.
function showBlockedKeys(endpoints) {
  fill("blocked-keys", endpoints.map((e) => row([
    cell(e.endpoint_id, "text"),
    cell(count(e.keys), "number"),
    cell(count(e.failed), e.failed > 0 ? "number bad" : "number"),
    cell(e.key, "text"),
    moment(e.since),
    cell(e.delivery_id, "number"),
    cell(e.last_error ?? "–", "text"),
  ])), 7, "none");
}

// The error of the last attempt is worth more than that the event was cancelled after it.
function why(d) {
  const error = d.last_error ?? (d.cancelled_at ? "cancelled" : "–");
  return d.cancelled_at && error !== "cancelled" ? `${error}; then cancelled` : error;
}

function cause(endpoint) {
  const probe = endpoint.health === "down" ? `next probe ${ago(endpoint.next_probe_at)}` : null;
  return [endpoint.cause, probe].filter(Boolean).join("; ") || "–";
}

// One row for each endpoint and reason: the newest of them, and how many more there are.
function showFailures(deliveries) {
  const groups = new Map();
  for (const d of deliveries) {
    const reason = why(d);
    const key = JSON.stringify([d.endpoint_id, reason]);
    const group = groups.get(key);
    if (group) group.more += 1;
    else groups.set(key, { newest: d, reason, more: 0 });
  }
  fill("failures", [...groups.values()].slice(0, FAILURES).map(({ newest: d, reason, more }) => row([
    moment(d.failed_at || d.cancelled_at),
    cell(d.endpoint_id ?? "deleted"),
    cell(d.topic ?? "–"),
    cell(d.event_id, "number"),
    cell(d.id, "number"),
    cell(count(d.attempts), "number"),
    cell(more > 0 ? `${reason} (and ${count(more)} more)` : reason, "text"),
  ])), 7, "none");
}

function showDispatchers(dispatchers) {
  fill("dispatchers", dispatchers.map((d) => row([
    cell(d.id, "number"),
    cell(d.is_leader ? `${d.host}, leading` : d.host),
    cell(d.version),
    moment(d.started_at),
    cell(d.state, { live: "good", silent: "warn" }[d.state] || "bad"),
    moment(d.last_seen_at),
    cell(d.wake_reason ? `${d.wake_mode}: ${d.wake_reason}` : d.wake_mode, d.wake_reason ? "text warn" : "text"),
  ])), 7, "none: nothing is delivered");
}

// Replaces what an element holds; `empty` stands in a table that has no rows.
function fill(id, children, columns, empty) {
  const blank = () => {
    const td = cell(empty, "faint");
    td.colSpan = columns;
    return row([td]);
  };
  byId(id).replaceChildren(...(children.length === 0 && empty ? [blank()] : children));
}

function element(name, kind, ...children) {
  const made = document.createElement(name);
  made.className = kind;
  made.append(...children.map((child) => (child instanceof Node ? child : document.createTextNode(child))));
  return made;
}

const row = (cells) => element("tr", "", ...cells);
const cell = (text, kind = "") => element("td", kind, String(text));
const count = (number) => number.toLocaleString();
const moment = (time) => titled(cell(ago(time)), time ? new Date(time).toLocaleString() : "");

function titled(made, text) {
  made.title = text;
  return made;
}

function ago(time) {
  if (!time) return "–";
  const seconds = (Date.now() - new Date(time)) / 1000;
  const far = Math.abs(seconds);
  if (far < 1) return "now";
  const [size, unit] = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]].find(([size]) => far >= size);
  const text = `${Math.floor(far / size)} ${unit}`;
  return seconds > 0 ? `${text} ago` : `in ${text}`;
}

byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", byId("token").value.trim());
  byId("token").value = "";
  look();
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
look();
