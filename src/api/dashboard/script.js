// Asks the admin API every two seconds and shows the answers. What others have named (endpoints, topics, reasons, errors)
// reaches the page as text alone; the Content-Security-Policy lets no other way work.
"use strict";

const PAUSE_MS = 2000, DEADLINE_MS = 10000, FAILURES = 20, ENDPOINTS = 500;
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
      ask("/v1/status"), ask(`/v1/endpoints?limit=${ENDPOINTS}`), ask(`/v1/deliveries?status=failed&limit=${FAILURES}`),
    ]);
    showBacklog(status.backlog);
    showDispatchers(status.dispatchers);
    showEndpoints(endpoints);
    showFailures(failures.data);
    answeredAt = new Date();
    byId("token-form").hidden = true;
    byId("main").hidden = false;
    byId("main").className = "";
    notice(`as of ${answeredAt.toLocaleTimeString()}`);
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
    ["Oldest due", ago(backlog.oldest_due_at)],
    ["Reached nobody 24 h", count(backlog.unmatched_24h + backlog.unknown_destination_24h)],
    ["Unknown destination 24 h", count(backlog.unknown_destination_24h), backlog.unknown_destination_24h > 0 ? "bad" : ""],
  ].map(([name, value, kind]) => element("div", "", element("dt", "", name), element("dd", kind || "", value))));
}

function showEndpoints({ data, next_cursor }) {
  byId("endpoint-count").textContent = next_cursor ? `the first ${data.length}` : `${data.length}`;
  const trouble = (e) => (e.state === "enabled" ? 0 : 2) + (e.failed_24h > 0 || e.consecutive_failures > 0 ? 1 : 0);
  data.sort((a, b) => trouble(b) - trouble(a) || b.pending - a.pending || (a.id < b.id ? -1 : 1));
  fill("endpoints", data.map((e) => row([
    titled(cell(e.id, "text"), `${e.url}\n${e.topics.join(", ")}`),
    cell(e.reason ? `${e.state}: ${e.reason}` : e.state, `text ${{ enabled: "good", disabled: "bad" }[e.state] || "warn"}`),
    cell(count(e.pending), "number"),
    cell(count(e.failed_24h), e.failed_24h > 0 ? "number bad" : "number"),
    cell(count(e.complete_24h), "number"),
    moment(e.oldest_pending_at),
    moment(e.last_success_at),
  ])), 7, "none yet");
}

// The error of the last attempt is worth more than that the event was cancelled after it.
function why(d) {
  const error = d.last_error ?? (d.cancelled_at ? "cancelled" : "–");
  return d.cancelled_at && error !== "cancelled" ? `${error}; then cancelled` : error;
}

function showFailures(deliveries) {
  fill("failures", deliveries.map((d) => row([
    moment(d.failed_at || d.cancelled_at),
    cell(d.endpoint_id ?? "deleted"),
    cell(d.topic ?? "–"),
    cell(d.event_id, "number"),
    cell(d.id, "number"),
    cell(count(d.attempts), "number"),
    cell(why(d), "text"),
  ])), 7, "none");
}

function showDispatchers(dispatchers) {
  fill("dispatchers", dispatchers.map((d) => row([
    cell(d.id, "number"),
    cell(d.is_leader ? `${d.host}, leading` : d.host),
    cell(d.version),
    moment(d.started_at),
    cell(d.is_live ? "live" : "lapsed", d.is_live ? "good" : "bad"),
    cell(d.wake_reason ? `${d.wake_mode}: ${d.wake_reason}` : d.wake_mode, d.wake_reason ? "text warn" : "text"),
  ])), 6, "none: nothing is delivered");
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
