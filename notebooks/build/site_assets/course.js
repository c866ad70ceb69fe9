// The theme button, the search over all pages, and wide tables that the keyboard can scroll.
"use strict";

const MOST_SHOWN = 30;
const AROUND = 90; // characters shown before and after the first word found

function setUpTheme() {
  const button = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  const show = () => button.setAttribute("aria-pressed", String(isDark()));
  button.addEventListener("click", () => {
    courseTheme.keep(isDark() ? "light" : "dark");
    show();
  });
  system.addEventListener("change", show);
  show();
  button.hidden = false;
}

// A section is [file, page title, heading, anchor, text]. All words must stand in it; a heading counts more than
// the text, and the beginning of a word more than its middle. No section, no score: 0.
function score(section, words) {
  const heading = ` ${section[2].toLowerCase()}`;
  const text = ` ${section[4].toLowerCase()}`;
  let total = 0;
  for (const word of words) {
    const found =
      (heading.includes(word) ? 4 : 0) +
      (heading.includes(` ${word}`) ? 4 : 0) +
      (text.includes(word) ? 1 : 0) +
      (text.includes(` ${word}`) ? 2 : 0);
    if (found === 0) return 0;
    total += found;
  }
  return total;
}

// Only text nodes and elements made here: nothing that was searched or typed is read as HTML.
function marked(text, words) {
  const fragment = document.createDocumentFragment();
  const lower = text.toLowerCase();
  let at = 0;
  while (at < text.length) {
    let next = null;
    for (const word of words) {
      const where = lower.indexOf(word, at);
      if (where >= 0 && (next === null || where < next.where)) next = { where, length: word.length };
    }
    if (next === null) break;
    fragment.append(text.slice(at, next.where));
    const mark = document.createElement("mark");
    mark.textContent = text.slice(next.where, next.where + next.length);
    fragment.append(mark);
    at = next.where + next.length;
  }
  fragment.append(text.slice(at));
  return fragment;
}

function excerpt(text, words) {
  const lower = text.toLowerCase();
  const places = words.map((word) => lower.indexOf(word)).filter((where) => where >= 0);
  const first = places.length ? Math.min(...places) : 0;
  const start = first <= AROUND ? 0 : text.indexOf(" ", first - AROUND) + 1;
  const end = Math.min(text.length, first + AROUND);
  return (start > 0 ? "… " : "") + text.slice(start, end) + (end < text.length ? " …" : "");
}

function entry(section, words) {
  const [file, title, heading, anchor, text] = section;
  const item = document.createElement("li");
  const link = document.createElement("a");
  link.href = `${file}#${encodeURIComponent(anchor)}`;
  link.append(marked(heading === title ? title : `${heading} – ${title}`, words));
  const shown = document.createElement("p");
  shown.append(marked(excerpt(text, words), words));
  item.append(link, shown);
  return item;
}

function setUpSearch() {
  const form = document.getElementById("search");
  const query = document.getElementById("query");
  const panel = document.getElementById("found");
  const count = document.getElementById("found-count");
  const list = document.getElementById("found-list");

  const close = () => {
    panel.hidden = true;
  };
  const update = () => {
    const words = query.value.toLowerCase().split(/\s+/).filter(Boolean);
    if (words.length === 0) return close();
    const scored = courseSearch.map((section) => [score(section, words), section]).filter(([s]) => s > 0);
    scored.sort((a, b) => b[0] - a[0]);
    const shown = scored.slice(0, MOST_SHOWN);
    list.replaceChildren(...shown.map(([, section]) => entry(section, words)));
    const all = scored.length === 1 ? "1 section" : `${scored.length} sections`;
    count.textContent = scored.length > shown.length ? `${all}, the first ${shown.length} are shown` : all;
    panel.hidden = false;
  };
  const move = (step) => {
    const links = [...list.querySelectorAll("a")];
    const at = links.indexOf(document.activeElement) + step;
    if (at < 0) query.focus();
    else links[Math.min(at, links.length - 1)]?.focus();
  };

  query.addEventListener("input", update);
  query.addEventListener("focus", update);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    update();
    move(1);
  });
  document.addEventListener("keydown", (event) => {
    if (panel.hidden || !(panel.contains(event.target) || event.target === query)) return;
    if (event.key === "Escape") {
      // First the focus, which opens the results again, then they are closed.
      query.focus();
      close();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      move(event.key === "ArrowDown" ? 1 : -1);
    } else return;
    event.preventDefault();
  });
  list.addEventListener("click", (event) => {
    if (event.target.closest("a")) close();
  });
  document.addEventListener("click", (event) => {
    if (!panel.contains(event.target) && !form.contains(event.target)) close();
  });
  form.hidden = false;
}

// What scrolls must be reachable by Tab; what does not would only be one stop more.
function markScrollable() {
  for (const box of document.querySelectorAll(".scroll, main pre")) {
    if (box.scrollWidth > box.clientWidth) {
      box.tabIndex = 0;
      box.setAttribute("role", "group"); // not a region: a page would have dozens of landmarks
      box.setAttribute("aria-label", box.dataset.label ?? (box.closest(".output") ? "Output" : "Code"));
    } else {
      for (const name of ["tabindex", "role", "aria-label"]) box.removeAttribute(name);
    }
  }
}

setUpTheme();
setUpSearch();
markScrollable();
addEventListener("resize", markScrollable);
document.addEventListener("toggle", markScrollable, true);
// On a narrow screen the list of contents would push the text away.
if (!matchMedia("(min-width: 64rem)").matches) document.querySelector(".contents details")?.removeAttribute("open");
