// What htmx does not do: the first view, the key of the page, copying, and the keyboard.
"use strict";

const view = document.getElementById("view");
const status = document.getElementById("status");
const TOKEN = "oss-vectors-studio";

// A fragment never reaches a server. It is kept for this tab, and taken out of the address.
function takeToken() {
  const text = location.hash.slice(1);
  if (!text || document.getElementById(text)) return false;
  sessionStorage.setItem(TOKEN, text);
  history.replaceState(history.state, "", location.pathname + location.search);
  return true;
}

function show() {
  htmx.ajax("GET", location.pathname + location.search, { target: "#view", swap: "innerHTML" });
}

takeToken();
// who pastes the whole address where the page is open already makes no new document
window.addEventListener("hashchange", () => { if (takeToken()) show(); });

document.body.addEventListener("htmx:configRequest", (event) => {
  const token = sessionStorage.getItem(TOKEN);
  if (token) event.detail.headers["X-Studio-Token"] = token;
});

function say(text) {
  status.textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { status.textContent = ""; }, 4000);
}

document.body.addEventListener("htmx:responseError", (event) => {
  say("The server answered " + event.detail.xhr.status + ".");
});
document.body.addEventListener("htmx:sendError", () => say("The server does not answer."));
document.body.addEventListener("htmx:timeout", () => say("The server takes too long."));

// Readers of a screen begin where the new view begins; so do the tab key and the window.
document.body.addEventListener("htmx:afterSettle", (event) => {
  if (event.detail.target !== view) return;
  const title = view.querySelector("h1");
  const invalid = view.querySelector("[aria-invalid]");
  window.scrollTo(0, 0);
  if (invalid || title) (invalid || title).focus({ preventScroll: true });
});

async function copy(button, text) {
  try {
    await navigator.clipboard.writeText(text);
    say("Copied.");
  } catch (error) {
    say("The browser does not let this page copy; select the text.");
  }
}

document.body.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy], [data-copy-text]");
  if (!button) return;
  const source = button.dataset.copy ? document.getElementById(button.dataset.copy) : null;
  copy(button, source ? source.textContent : button.dataset.copyText);
});

document.addEventListener("keydown", (event) => {
  if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
  const field = event.target.closest?.("input, textarea, select");
  if (event.key === "/" && !field) {
    const search = document.querySelector("[data-search]");
    if (!search) return;
    event.preventDefault();
    search.focus();
    search.select();
  } else if (event.key === "Escape" && field) {
    field.blur();
  } else if (event.key === "Enter" && !event.shiftKey && field && "submits" in field.dataset) {
    // one key is looked up by Enter; Shift and Enter begin another line
    event.preventDefault();
    field.form.requestSubmit();
  }
});

show();
