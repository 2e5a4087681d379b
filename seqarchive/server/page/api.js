// What the server is asked. All addresses are relative to the page, wherever that is.

/** An answer that is none: `status` is 0 if there was no answer at all. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** An identifier as a part of a path. */
export function part(text) {
  if (text === "." || text === "..") throw new Refused(404, `'${text}' is not in the archive`);
  return encodeURIComponent(text);
}

/** The whole address of a path with parameters; those that are null are left out. */
export function address(path, parameters = {}) {
  const found = new URL(path, document.baseURI);
  found.hash = "";
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== null && value !== undefined && value !== "") found.searchParams.set(name, value);
  }
  return found.href;
}

async function answer(path, parameters) {
  let found;
  try {
    found = await fetch(address(path, parameters));
  } catch {
    throw new Refused(0, "The server does not answer. Look at the connection, then reload.");
  }
  if (!found.ok) {
    const said = await found.json().catch(() => ({}));
    throw new Refused(found.status, said.msg || `The server answered with status ${found.status}.`);
  }
  return found;
}

/** What the server says, as JSON. */
export async function json(path, parameters) {
  return (await answer(path, parameters)).json();
}

/** The same, as text. */
export async function text(path, parameters) {
  return (await answer(path, parameters)).text();
}

let known = null;

/** What is served; asked for once. */
export function summary() {
  known ??= json("summary");
  return known;
}
