/** Starts the page, and shows the view that its address asks for. */

import { fillBar } from "./bar.js";
import { browse } from "./browse.js";
import { compareView } from "./compare.js";
import { h } from "./dom.js";
import { featureView } from "./feature.js";
import { keysOfView, listen } from "./keys.js";
import { promptView } from "./prompt.js";
import { here, noteScrolled, scrolled } from "./router.js";
import { searching, setSearchText } from "./search.js";
import { steerView } from "./steer.js";
import { overviewOf } from "./store.js";
import { hideTip, watchTips } from "./tooltip.js";

const VIEWS = { features: browse, feature: featureView, prompt: promptView, compare: compareView, steer: steerView };
const main = document.getElementById("main");
let turn = 0;
let shown = null;

function problem(error) {
  if (error.constructor !== Error) console.error(error); // a fault of the page's, not an answer to the reader
  return { title: "monosema", element: h("p", { class: "message problem", role: "alert" }, error.message) };
}

async function viewAt(place, overview) {
  const part = place.parts[0] ?? "features";
  if (!Object.hasOwn(VIEWS, part)) throw new Error(`There is nothing at ${location.hash}.`);
  return VIEWS[part](place, overview);
}

async function show(overview, mark) {
  turn += 1;
  const own = turn;
  const place = here();
  hideTip();
  main.setAttribute("aria-busy", "true");
  const view = await viewAt(place, overview).catch(problem);
  if (own !== turn) return; // the reader has gone on
  shown = view;
  main.removeAttribute("aria-busy");
  main.classList.toggle("wide", view.wide === true);
  main.replaceChildren(view.element);
  document.title = view.title;
  mark(place.parts[0] ?? "features");
  keysOfView(view.keys);
  searching(view.search);
  if (!view.search) setSearchText("");
  window.scrollTo(0, view.scrolls ? 0 : (scrolled() ?? 0));
  view.shown?.();
}

async function start() {
  watchTips();
  listen();
  try {
    const overview = await overviewOf();
    const mark = fillBar(document.getElementById("bar"), overview);
    const again = () => show(overview, mark);
    window.addEventListener("hashchange", again);
    window.addEventListener("scroll", () => !shown?.scrolls && noteScrolled(window.scrollY), { passive: true });
    history.scrollRestoration = "manual";
    await again();
  } catch (error) {
    main.replaceChildren(problem(error).element);
    throw error;
  }
}

start();
