// What is wrong with a page for those who cannot see it, see it badly, or have no mouse; as texts.
() => {
  const found = [];
  const visible = (one) => one.getClientRects().length > 0 && getComputedStyle(one).visibility !== "hidden";
  const all = (selector) => [...document.querySelectorAll(selector)].filter(visible);
  const told = (one) => one.outerHTML.slice(0, 90);

  const name = (one) => {
    const by = one.getAttribute("aria-labelledby");
    const labels = one.labels ? [...one.labels].map((label) => label.textContent) : [];
    const texts = by ? by.split(" ").map((id) => document.getElementById(id)?.textContent) : [];
    return [one.getAttribute("aria-label"), ...texts, ...labels].join("").trim();
  };
  for (const one of all("input, select, textarea")) if (!name(one)) found.push(`no label: ${told(one)}`);
  for (const one of all("a, button, summary")) if (!(name(one) || one.textContent.trim())) found.push(`no name: ${told(one)}`);
  for (const one of all("[role=img], [role=slider], [role=group], [role=region], nav")) if (!name(one)) found.push(`no name: ${told(one)}`);
  for (const one of all("img")) if (!one.hasAttribute("alt")) found.push(`no alt: ${told(one)}`);
  for (const one of all("table")) {
    if (!one.caption) found.push(`no caption: ${told(one)}`);
    if (!one.querySelector("th[scope]")) found.push(`no headings: ${told(one)}`);
  }
  let level = 0;
  for (const one of all("h1, h2, h3, h4")) {
    const now = Number(one.tagName[1]);
    if (now > level + 1) found.push(`a level is missing: ${told(one)}`);
    level = now;
  }
  if (all("h1").length !== 1) found.push("not one h1");
  if (!document.documentElement.lang) found.push("no language");
  for (const part of ["header", "main", "footer", "nav", "[role=search]"]) if (!all(part).length) found.push(`no ${part}`);
  const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
  for (const id of new Set(ids)) if (ids.filter((one) => one === id).length > 1) found.push(`twice: #${id}`);
  for (const one of all("[tabindex]")) if (one.tabIndex > 0) found.push(`out of order: ${told(one)}`);
  for (const one of all("button, .action, header nav a, input, select")) {
    if (one.getBoundingClientRect().height < 20) found.push(`too small to touch: ${told(one)}`);
  }

  // --- contrast ---
  const colour = (text) => (text.match(/[\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const over = (top, below) => {
    const part = top[3] ?? 1;
    return [0, 1, 2].map((n) => top[n] * part + below[n] * (1 - part));
  };
  const behind = (one) => {
    const chain = [];
    for (let at = one; at; at = at.parentElement) chain.unshift(colour(getComputedStyle(at).backgroundColor));
    return chain.reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((n) => (n / 255 <= 0.04045 ? n / 255 / 12.92 : ((n / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const seen = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const one = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !visible(one) || one.closest(".hidden, .skip, :disabled, title, desc")) continue;
    const style = getComputedStyle(one);
    const ink = one instanceof SVGElement ? style.fill : style.color;
    const below = behind(one);
    const key = `${ink} on ${below} ${style.fontSize} ${style.fontWeight}`;
    if (seen.has(key)) continue;
    seen.add(key);
    const [bright, dark] = [light(over(colour(ink), below)), light(below)].sort((a, b) => b - a);
    const isLarge = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    if ((bright + 0.05) / (dark + 0.05) < (isLarge ? 3 : 4.5)) found.push(`contrast: ${key}: ${told(one)}`);
  }
  return found;
}
