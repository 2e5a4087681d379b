// Where one is: the part of the address behind #, which no server has to know.

/** `#/sequence/ID?range=1-2` as ["sequence", "ID"] and its parameters. */
export function here() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
  const parts = path.split("/").map((one) => {
    try {
      return decodeURIComponent(one);
    } catch {
      return one;
    }
  });
  return { parts, parameters: new URLSearchParams(query) };
}

/** The fragment of a place. */
export function to(parts, parameters = {}) {
  const query = new URLSearchParams(
    Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined),
  ).toString();
  return `#/${parts.map(encodeURIComponent).join("/")}${query ? `?${query}` : ""}`;
}

/** Change the parameters of where one is, without going anywhere. */
export function note(parameters) {
  history.replaceState(null, "", to(here().parts, parameters));
}
