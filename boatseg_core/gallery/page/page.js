"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement;
  const { columns, rows } = JSON.parse($("data").textContent);
  const grid = $("grid");
  const cards = [...grid.children].map((node, index) => ({ node, index, values: rows[index] }));
  const modes = [...document.querySelectorAll(".modes input")];
  let shown = cards;
  let at = -1;

  $("tools").hidden = $("theme").hidden = false;

  // What is drawn.
  const setMode = (value) => {
    const input = modes.find((candidate) => candidate.value === value);
    if (!input) return;
    input.checked = true;
    root.dataset.mode = value;
    for (const button of $("box-modes").children)
      button.setAttribute("aria-pressed", String(button.dataset.value === value));
  };
  for (const input of modes) {
    input.addEventListener("change", () => setMode(input.value));
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.value = input.value;
    button.textContent = input.dataset.label;
    button.addEventListener("click", () => setMode(input.value));
    $("box-modes").append(button);
  }
  $("box-modes").hidden = modes.length < 2;
  $("box-modes").after(document.querySelector(".legend").cloneNode(true));
  setMode(root.dataset.mode);
  const setOpacity = () => root.style.setProperty("--opacity", $("opacity").value / 100);
  $("opacity").addEventListener("input", setOpacity);
  setOpacity();
  $("theme").addEventListener("click", () => {
    const dark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });

  // Filters, one control a column.
  const filters = [];
  const short = (number) => (Number.isInteger(number) ? number : Number(number.toPrecision(3)));
  const control = (kind, label, attributes) => {
    const element = document.createElement(kind);
    element.setAttribute("aria-label", label);
    Object.assign(element, attributes);
    element.addEventListener("input", () => update());
    return element;
  };
  columns.forEach((column, position) => {
    $("sort").append(new Option(column.label, position));
    const field = document.createElement("div");
    const name = document.createElement("span");
    field.className = "field";
    name.textContent = column.label;
    if (column.kind === "number" && column.low < column.high) {
      const range = document.createElement("span");
      range.className = "range";
      const low = control("input", `${column.label}, at least`, { type: "number", step: "any", placeholder: short(column.low) });
      const high = control("input", `${column.label}, at most`, { type: "number", step: "any", placeholder: short(column.high) });
      range.append(low, "–", high);
      field.append(name, range);
      filters.push({
        active: () => low.value !== "" || high.value !== "",
        clear: () => { low.value = high.value = ""; },
        test: (values) => {
          const value = values[position];
          return value !== null && (low.value === "" || value >= Number(low.value)) && (high.value === "" || value <= Number(high.value));
        },
      });
    } else if (column.kind === "choice" && column.choices.length > 1) {
      const select = control("select", column.label, {});
      select.append(new Option("all", ""));
      column.choices.forEach((choice) => select.append(new Option(choice, choice)));
      field.append(name, select);
      filters.push({
        active: () => select.selectedIndex > 0,
        clear: () => { select.selectedIndex = 0; },
        test: (values) => values[position] === select.value,
      });
    } else return;
    $("filters").append(field);
  });
  document.querySelector(".filters").hidden = !filters.length;
  document.querySelector(".order").hidden = $("direction").hidden = !columns.length;
  document.addEventListener("click", (event) => {
    const open = document.querySelector(".filters[open]");
    if (open && !open.contains(event.target)) open.open = false;
  });

  const compare = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), undefined, { numeric: true });
  };
  const update = () => {
    const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const active = filters.filter((filter) => filter.active());
    const key = $("sort").value;
    const sign = $("direction").getAttribute("aria-pressed") === "true" ? -1 : 1;
    shown = cards.filter(({ node, values }) => {
      const text = `${node.dataset.id} ${values.filter((v) => typeof v === "string").join(" ")}`.toLowerCase();
      return words.every((word) => text.includes(word)) && active.every((filter) => filter.test(values));
    });
    shown.sort((a, b) => {
      if (key === "") return sign * (a.index - b.index);
      const [x, y] = [a.values[key], b.values[key]];
      // What has no value comes last in either direction.
      if (x === null || y === null) return (x === null) - (y === null) || a.index - b.index;
      return sign * compare(x, y) || a.index - b.index;
    });
    const visible = new Set(shown);
    cards.forEach((card) => { card.node.hidden = !visible.has(card); });
    grid.append(...shown.map((card) => card.node));
    $("count").textContent = shown.length === cards.length
      ? `${cards.length} picture${cards.length === 1 ? "" : "s"}`
      : `${shown.length} of ${cards.length} pictures`;
    $("nothing").hidden = shown.length > 0 || !cards.length;
    $("active").hidden = !active.length;
    $("active").textContent = active.length;
  };
  $("search").addEventListener("input", update);
  $("sort").addEventListener("change", update);
  $("direction").addEventListener("click", () => {
    const button = $("direction");
    button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
    update();
  });
  $("reset").addEventListener("click", () => {
    $("search").value = "";
    filters.forEach((filter) => filter.clear());
    update();
    $("search").focus();
  });
  $("filters").addEventListener("submit", (event) => event.preventDefault());

  // Zoom, about a point of the picture's frame; what is drawn over the picture goes with it.
  const frame = $("box-picture");
  let zoom = 1, left = 0, top = 0;
  const place = () => {
    const { width, height } = frame.getBoundingClientRect();
    left = Math.min(0, Math.max(width * (1 - zoom), left));
    top = Math.min(0, Math.max(height * (1 - zoom), top));
    const stack = frame.querySelector(".stack");
    stack.style.transformOrigin = "0 0";
    stack.style.transform = `translate(${left}px, ${top}px) scale(${zoom})`;
    frame.classList.toggle("zoomed", zoom > 1);
    frame.classList.toggle("near", zoom > 3);
    $("zoom-fit").textContent = `${Number(zoom.toFixed(1))}×`;
    $("zoom-out").disabled = zoom <= 1;
    $("zoom-in").disabled = zoom >= 16;
  };
  const zoomTo = (wanted, x, y) => {
    const { width, height } = frame.getBoundingClientRect();
    [x, y] = [x ?? width / 2, y ?? height / 2];
    const next = Math.max(1, Math.min(16, wanted));
    left = x - ((x - left) / zoom) * next;
    top = y - ((y - top) / zoom) * next;
    zoom = next;
    place();
  };
  const fit = () => { zoom = 1; left = top = 0; place(); };
  frame.addEventListener("wheel", (event) => {
    event.preventDefault();
    const { left: x, top: y } = frame.getBoundingClientRect();
    zoomTo(zoom * Math.exp(-event.deltaY / 400), event.clientX - x, event.clientY - y);
  }, { passive: false });
  let grabbed = null;
  let moved = false;
  frame.addEventListener("pointerdown", (event) => {
    moved = false;
    if (zoom > 1) grabbed = { x: event.clientX - left, y: event.clientY - top };
  });
  frame.addEventListener("pointermove", (event) => {
    if (!grabbed) return;
    [left, top] = [event.clientX - grabbed.x, event.clientY - grabbed.y];
    moved = true;
    place();
  });
  addEventListener("pointerup", () => { grabbed = null; });
  frame.addEventListener("dragstart", (event) => event.preventDefault());
  $("zoom-in").addEventListener("click", () => zoomTo(zoom * 1.5));
  $("zoom-out").addEventListener("click", () => zoomTo(zoom / 1.5));
  $("zoom-fit").addEventListener("click", fit);

  // Lightbox.
  const box = $("box");
  const show = (position) => {
    at = Math.max(0, Math.min(shown.length - 1, position));
    const { node } = shown[at];
    $("box-name").textContent = node.dataset.id;
    $("box-place").textContent = `${at + 1} of ${shown.length}`;
    $("box-picture").replaceChildren(node.querySelector(".stack").cloneNode(true));
    fit();
    $("box-fields").replaceChildren(...[...node.querySelectorAll(".fields > div")].map((field) => field.cloneNode(true)));
    $("box-back").disabled = at === 0;
    $("box-next").disabled = at === shown.length - 1;
  };
  grid.addEventListener("click", (event) => {
    const card = event.target.closest(".open")?.closest(".card");
    if (!card) return;
    show(shown.findIndex(({ node }) => node === card));
    box.showModal();
  });
  box.addEventListener("close", () => shown[at]?.node.querySelector(".open").focus());
  $("box-close").addEventListener("click", () => box.close());
  $("box-back").addEventListener("click", () => show(at - 1));
  $("box-next").addEventListener("click", () => show(at + 1));
  frame.addEventListener("click", () => { if (zoom === 1 && !moved) box.close(); });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (box.open) {
      const step = { ArrowLeft: -1, ArrowRight: 1, Home: -shown.length, End: shown.length }[event.key];
      if (step) {
        event.preventDefault();
        show(at + step);
      }
      if (event.key === "+" || event.key === "=") zoomTo(zoom * 1.5);
      if (event.key === "-") zoomTo(zoom / 1.5);
      if (event.key === "0") fit();
    }
    if (event.target.matches("input[type=search], input[type=number], select")) return;
    if (event.key === "/" && !box.open) {
      event.preventDefault();
      $("search").focus();
    }
    const chosen = modes[Number(event.key) - 1];
    if (chosen) setMode(chosen.value);
  });
  update();
})();
