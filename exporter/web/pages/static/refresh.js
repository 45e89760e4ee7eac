// Fetches the page again every few seconds and takes over what has changed, while somebody looks at it.
"use strict";

const every = 1000 * Number(document.body.dataset.refresh);
const status = document.getElementById("refresh");
let shownAt = new Date();

// Not its property, which a field by the name of "id" takes away from its form.
const idOf = (node) => node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("id") : null;

// A link to another part of the page, an opened list, a marked word and the scroll bars stay as they are,
// because elements stay: only what differs in them is changed.
function takeOver(from, to) {
  for (const { name, value } of [...to.attributes])
    if (from.getAttribute(name) !== value && name !== "open") from.setAttribute(name, value);
  for (const { name } of [...from.attributes])
    if (!to.hasAttribute(name) && name !== "open") from.removeAttribute(name);
  const known = new Map([...from.children].filter(idOf).map((one) => [idOf(one), one]));
  let here = from.firstChild;
  for (const wanted of [...to.childNodes]) {
    const isSame = here && !idOf(here) && here.nodeName === wanted.nodeName;
    const kept = idOf(wanted) ? known.get(idOf(wanted)) : isSame ? here : null;
    if (!kept) {
      from.insertBefore(wanted, here);
      continue;
    }
    if (kept === here) here = here.nextSibling;
    else from.insertBefore(kept, here);
    if (kept.nodeType === Node.ELEMENT_NODE) takeOver(kept, wanted);
    else if (kept.data !== wanted.data) kept.data = wanted.data;
  }
  while (here) {
    const next = here.nextSibling;
    here.remove();
    here = next;
  }
}

function say(words) {
  if (status.textContent !== words) status.textContent = words;
}

function isInUse() {
  return document.activeElement.matches("input, select, textarea");
}

async function refresh(event, typed = false) {
  if (document.hidden) return;
  if (isInUse() && !typed) return say("Paused while you fill in");
  const asked = location.href;
  try {
    const answer = await fetch(asked, { cache: "no-store", signal: AbortSignal.timeout(10000) });
    if (!answer.ok && answer.status !== 404) throw new Error(`the exporter answers ${answer.status}`);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const main = page.querySelector("main");
    if (!main || asked !== location.href || (isInUse() && !typed)) return;
    const focused = document.activeElement;
    takeOver(document.querySelector("main"), main);
    if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
    document.title = page.title;
    shownAt = new Date();
    say(`Refreshes every ${every / 1000} s`);
  } catch (error) {
    const why = error.message.startsWith("the exporter") ? `Not refreshed: ${error.message}` : "Connection lost";
    say(`${why}. Shown is ${shownAt.toISOString().slice(11, 19)} UTC; trying again`);
  }
}

async function keepFresh() {
  await refresh();
  setTimeout(keepFresh, every);
}

// Feeds are found while somebody types; without a script, the form's button does it.
let typing;
document.addEventListener("input", ({ target }) => {
  const form = target.closest("form.live");
  if (!form) return;
  clearTimeout(typing);
  typing = setTimeout(() => {
    const asked = new URLSearchParams([...new FormData(form)].filter(([name, value]) => value && value !== "all"));
    history.replaceState(null, "", asked.size ? `?${asked}` : location.pathname);
    refresh(null, true);
  }, 200);
});

if (every > 0) {
  say(`Refreshes every ${every / 1000} s`);
  setTimeout(keepFresh, every);
  document.addEventListener("visibilitychange", refresh);
}
