/** The bar at the top: where one is, where one can go. */

import { askForFeature, showKeys } from "./dialogs.js";
import { h } from "./dom.js";
import { onKey } from "./keys.js";
import { address, go } from "./router.js";
import { focusSearch, searchForm } from "./search.js";
import { themeButton } from "./theme.js";

/** Fills the bar; what it returns marks the entry of the view that is shown. */
export function fillBar(bar, overview) {
  const places = [
    ["features", "Features"],
    overview.live && ["prompt", "Prompt"],
    overview.steers && ["steer", "Steer"],
    overview.others.length > 0 && ["compare", "Compare"],
  ];
  const links = places
    .filter(Boolean)
    .map(([part, label]) => h("a", { href: address([part]), "data-part": part }, label));
  const help = h(
    "button",
    { type: "button", class: "quiet", title: "Keys (?)", "aria-label": "Keys", onclick: showKeys },
    "?",
  );
  bar.replaceChildren(
    h(
      "a",
      { class: "brand", href: address(["features"]) },
      "monosema",
      h("span", { class: "soft" }, overview.dictionary),
    ),
    h("nav", { "aria-label": "Views" }, links),
    searchForm(overview.width),
    h("div", { class: "buttons" }, themeButton(), help),
  );
  onKey("/", focusSearch);
  onKey("?", showKeys);
  onKey("g", () => askForFeature(overview.width));
  onKey("b", () => go(address(["features"])));
  return (part) => {
    for (const link of links) {
      const current = link.dataset.part === (part === "feature" ? "features" : part);
      if (current) link.setAttribute("aria-current", part === "feature" ? "true" : "page");
      else link.removeAttribute("aria-current");
    }
  };
}
