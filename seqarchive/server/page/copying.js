// What can be copied: addresses and commands, each with a button.

import { button, el, say } from "./dom.js";

async function copy(text) {
  // Only https and this machine's own pages have a clipboard.
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const box = el("textarea", { class: "hidden", "aria-hidden": "true" });
  box.value = text;
  document.body.append(box);
  box.select();
  const isDone = document.execCommand("copy");
  box.remove();
  if (!isDone) throw new Error("refused");
}

/** A button that copies a text, which is made when it is pressed. */
export function copyButton(what, text) {
  const pressed = async (event) => {
    const pressedButton = event.currentTarget;
    try {
      await copy(await text());
      pressedButton.textContent = "Copied";
      say(`Copied: ${what}`);
    } catch {
      pressedButton.textContent = "Not allowed";
      say("The browser does not allow to copy; select the text instead.");
    }
    setTimeout(() => {
      pressedButton.textContent = "Copy";
    }, 1600);
  };
  return button("Copy", pressed, { class: "copy", "aria-label": `Copy ${what}` });
}

/** Commands and addresses: pairs of what it is and the text (or what makes it). */
export function commands(pairs) {
  return el(
    "ul",
    { class: "commands" },
    pairs.map(([what, text]) =>
      el(
        "li",
        {},
        el("span", { class: "what" }, what),
        el("code", {}, text),
        copyButton(what, () => text),
      ),
    ),
  );
}

/** A name as a word of a shell; a name that means something to a shell is replaced by the digest. */
export function word(name, digest) {
  return /^[A-Za-z0-9_][A-Za-z0-9_.:-]*$/.test(name) ? name : digest;
}
