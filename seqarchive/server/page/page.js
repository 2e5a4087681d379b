// The page: finds out where one is, and shows that.

import { summary } from "./api.js";
import { el, say } from "./dom.js";
import { here, to } from "./router.js";
import { collection, collections } from "./collection.js";
import { choice, comparison } from "./comparison.js";
import { front } from "./front.js";
import { releases } from "./releases.js";
import { search } from "./search.js";
import { sequence } from "./sequence.js";
import { track } from "./track.js";
import { tracks } from "./tracks.js";

/** First part of a place: what shows it. Each gives a title and elements. */
const VIEWS = {
  "": front,
  search,
  sequence,
  collections,
  collection,
  compare: (parts, parameters) => (parts.length >= 2 ? comparison(parts) : choice(parts, parameters)),
  releases,
  track,
  tracks,
};

const main = document.getElementById("main");
let shown = 0;

async function view(place) {
  const [kind, ...rest] = place.parts;
  if (!Object.hasOwn(VIEWS, kind)) {
    return {
      title: "No such page",
      elements: [el("p", {}, "There is nothing at this address. Search for a name, or look at the collections.")],
    };
  }
  return VIEWS[kind](rest.filter((one) => one !== ""), place.parameters);
}

function refusal(error) {
  const what = { 0: "No answer", 400: "That makes no sense", 404: "Not found", 409: "Several things" };
  const advice = {
    404: "Look at the spelling, or search for the beginning of the name.",
    409: "Say which one is meant: search for it, and choose.",
  };
  return {
    title: what[error.status] || "Something went wrong",
    elements: [
      el("p", { class: "message", role: "alert" }, error.message),
      el("p", {}, advice[error.status] || "Reload to try it again."),
    ],
  };
}

async function show() {
  const place = here();
  shown += 1;
  const mine = shown;
  main.setAttribute("aria-busy", "true");
  document.body.classList.toggle("front", place.parts[0] === "");
  let found;
  try {
    found = await view(place);
  } catch (error) {
    if (error.status === undefined) console.error(error);
    found = refusal(error);
  }
  if (mine !== shown || found === null) return; // gone on meanwhile
  const heading = found.heading || el("h1", {}, found.title);
  heading.tabIndex = -1;
  main.replaceChildren(heading, ...found.elements);
  main.removeAttribute("aria-busy");
  main.dataset.place = location.hash;
  if (place.parts[0] !== "search") document.getElementById("q").value = "";
  const { name } = await summary().catch(() => ({ name: "seqarchive" }));
  document.title = place.parts[0] === "" ? name : `${found.title} – ${name}`;
  for (const link of document.querySelectorAll("header nav a")) {
    const part = link.getAttribute("href").slice(2);
    if (place.parts[0].startsWith(part.replace(/s$/, ""))) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (mine > 1) {
    heading.focus({ preventScroll: true });
    window.scrollTo(0, 0);
    say(found.title);
  }
}

async function introduce() {
  const about = await summary().catch(() => null);
  if (about === null) return;
  document.getElementById("name").textContent = about.name;
  document.getElementById("to-releases").hidden = !about.has_releases;
  document.getElementById("to-tracks").hidden = !about.has_tracks;
  if (about.release !== null) {
    const line = document.getElementById("release");
    line.append("Release ", el("strong", {}, about.release), ": this never changes. ");
    if (decodeURIComponent(location.pathname).endsWith(`/releases/${about.release}/`)) {
      line.append(el("a", { href: "../../#/releases" }, "All releases"));
    }
    line.hidden = false;
  }
}

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the part behind # says where one is
  main.focus();
});

document.getElementById("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = document.getElementById("q").value.trim();
  if (!text) return;
  const wanted = to(["search"], { q: text });
  if (location.hash === wanted) show();
  else location.hash = wanted;
});

window.addEventListener("hashchange", show);
introduce();
show();
