/** Which features the table shows, and in what order: from the address, and back to it. */

import { DESCENDING } from "./columns.js";
import { address, amend } from "./router.js";
import { shownInFull } from "./store.js";

/** What an address asks for. */
export function filtersOf(query) {
  const sort = query.get("sort") in DESCENDING ? query.get("sort") : "feature";
  const order = query.get("order");
  const descending = order === "asc" || order === "desc" ? order === "desc" : DESCENDING[sort];
  const some = shownInFull !== null && query.get("all") !== "yes";
  return {
    sort,
    descending,
    from: share(query.get("from")),
    to: share(query.get("to")),
    head: /^\d+$/.test(query.get("head") ?? "") ? Number(query.get("head")) : null,
    text: query.get("text") ?? "",
    some,
  };
}

function share(text) {
  const number = text ? Number(text) : NaN;
  return number >= 0 && number <= 1 ? number : null;
}

/** The address of some filters; what is as it is at first is left out. */
export function addressOf({ sort, descending, from, to, head, text, some }) {
  return address(["features"], {
    sort: sort === "feature" && !descending ? null : sort,
    order: descending === DESCENDING[sort] ? null : descending ? "desc" : "asc",
    from,
    to,
    head,
    text,
    all: shownInFull !== null && !some ? "yes" : null,
  });
}

/** Whether anything but the order is chosen. */
export function filtered({ from, to, head, text }) {
  return from !== null || to !== null || head !== null || text !== "";
}

/** Puts filters into the address. */
export function amendTo(filters) {
  amend(addressOf(filters));
}
