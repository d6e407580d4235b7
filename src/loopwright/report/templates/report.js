"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const element = (id) => document.getElementById(id);

  // Numbers as loopwright.report.formats writes them.
  const significant = (value, digits = 3) => {
    if (value === 0) return "0";
    const size = Math.abs(value);
    if (size < 1e-4 || size >= 1e6) return value.toExponential(digits - 1);
    const rounded = Number(value.toPrecision(digits));
    const whole = Math.abs(rounded) >= 1 ? String(Math.trunc(Math.abs(rounded))).length : 0;
    return whole ? rounded.toFixed(Math.max(digits - whole, 0)) : rounded.toPrecision(digits);
  };
  const milliseconds = (value) => (value === null ? "-" : significant(value));
  const count = (value) => {
    for (const [size, unit] of [[1e9, " G"], [1e6, " M"], [1e3, " k"]]) {
      if (value >= size) return significant(value / size) + unit;
    }
    return String(value);
  };

  const make = (tag, text, className) => {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  };

  // The layer table: its rows stay, their cells show the network that was asked for.
  const table = element("layer-table");
  const rows = [...table.tBodies[0].rows];
  const operatorsOf = (network) => (network === "delivered" ? data.delivered : data.chosen[network]);
  let network = "delivered";

  const showChange = (cell, before, after) => {
    if (before === after) cell.replaceChildren(make("span", before, "same"));
    else {
      const second = make("span");
      second.append(make("i", "→", "to"), " ", make("b", after));
      cell.replaceChildren(make("span", before), " ", second);
    }
  };

  // Lines break beside an arrow, never within.
  const steps = (sequence) => {
    const code = make("code");
    sequence.split(" -> ").forEach((step, number) => {
      if (number) code.append(" ", make("span", "->", "arrow"), " ");
      code.append(step);
    });
    return code;
  };

  const showLayer = (row, before, after) => {
    const changed = after !== before;
    row.classList.toggle("kept", !changed);
    const becomes = row.querySelector(".becomes");
    if (!changed) becomes.replaceChildren("unchanged");
    else becomes.replaceChildren(...(after.name ? [make("b", after.name), " "] : []), steps(after.sequence));
    const numbers = row.querySelectorAll(".number");
    showChange(numbers[0], count(before.macs), count(after.macs));
    showChange(numbers[1], count(before.parameters), count(after.parameters));
    showChange(numbers[2], milliseconds(before.latency_ms), milliseconds(after.latency_ms));
  };

  const pair = (index) => [data.before[index], operatorsOf(network)[index]].map((number) => data.operators[number]);

  const closeNest = (button) => {
    const next = button.closest("tr").nextElementSibling;
    if (next && next.classList.contains("opened")) next.remove();
    button.setAttribute("aria-expanded", "false");
  };

  const openNest = (button, index) => {
    const [before, after] = pair(index);
    const opened = make("tr", undefined, "opened");
    const cell = make("td");
    cell.colSpan = 6;
    const shown = make("div", undefined, "nests");
    for (const [title, operator] of after === before ? [["unchanged", before]] : [["before", before], ["after", after]]) {
      const one = make("div");
      const text = make("pre");
      text.append(make("code", operator.nest));
      one.append(make("h3", title), text);
      shown.append(one);
    }
    cell.append(shown);
    opened.append(cell);
    button.closest("tr").after(opened);
    button.setAttribute("aria-expanded", "true");
  };

  rows.forEach((row, index) => {
    const button = row.querySelector(".nest");
    button.addEventListener("click", () => {
      if (button.getAttribute("aria-expanded") === "true") closeNest(button);
      else openNest(button, index);
    });
  });

  const filterLayers = () => {
    const words = element("layer-filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    const changedOnly = element("changed-only").checked;
    let visible = 0;
    rows.forEach((row) => {
      closeNest(row.querySelector(".nest"));
      const text = (row.cells[0].textContent + " " + row.cells[1].textContent).toLowerCase();
      const kept = row.classList.contains("kept");
      row.hidden = !(words.every((word) => text.includes(word)) && !(changedOnly && kept));
      visible += row.hidden ? 0 : 1;
    });
    const changed = rows.filter((row) => !row.classList.contains("kept")).length;
    element("layer-count").textContent = `${visible} of ${rows.length} layers; ${changed} changed`;
  };

  // The bars of the layers.
  const bars = element("figure-layers");
  const measure = element("measure");
  const drawLayers = () => {
    if (!bars) return;
    const pairs = rows.map((_, index) => pair(index));
    const name = network === "delivered" ? "chosen" : "candidate " + network;
    const texts = pairs.map(([before, after]) => (after === before ? "unchanged" : after.name || after.sequence));
    const escaped = texts.map((text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;"));
    Plotly.update(
      bars,
      {
        y: [pairs.map(([before]) => before[measure.value]), pairs.map(([, after]) => after[measure.value])],
        customdata: [pairs.map(() => "untransformed"), escaped],
        name: ["original", name],
      },
      { "yaxis.title.text": measure.selectedOptions[0].textContent },
    );
  };

  // The front.
  const front = element("figure-front");
  const drawn = front ? front.data.map((trace) => ({ ...trace })) : [];
  const axis = element("axis");
  const height = element("height");

  const nonDominated = (points, lower) => {
    const sign = lower ? 1 : -1;
    let best = Infinity;
    return [...points]
      .sort((a, b) => a.x - b.x || sign * (a.y - b.y))
      .filter((point) => {
        if (sign * point.y >= best) return false;
        best = sign * point.y;
        return true;
      });
  };

  const visibleStatuses = () =>
    new Set([...document.querySelectorAll("input[name=status]:checked")].map((box) => box.value));

  const shownRow = (row, statuses) => {
    if (row[axis.value] === null || row[height.value] === null) return false;
    if (row.status === "original") return true;
    const family = element("family").value;
    return statuses.has(row.status) && (!family || row.family === family);
  };

  const pointTrace = (trace, statuses) => {
    const kept = trace.customdata.map((_, k) => k).filter((k) => shownRow(data.front[trace.customdata[k]], statuses));
    const of = (name) => kept.map((k) => data.front[trace.customdata[k]][name]);
    const sizes = kept.map((k) => trace.marker.size[k]);
    return {
      ...trace,
      x: of(axis.value),
      y: of(height.value),
      text: kept.map((k) => trace.text[k]),
      customdata: kept.map((k) => trace.customdata[k]),
      marker: { ...trace.marker, size: sizes },
    };
  };

  const pointsOf = (traces) =>
    traces.flatMap((trace) => trace.x.map((x, k) => ({ x, y: trace.y[k], row: data.front[trace.customdata[k]] })));

  const drawFront = () => {
    if (!front) return;
    const statuses = visibleStatuses();
    const traces = drawn.map((trace) => (trace.customdata ? pointTrace(trace, statuses) : { ...trace }));
    const points = pointsOf(traces.filter((trace) => trace.customdata));
    const legal = points.filter((point) => point.row.status !== "rejected");
    const line = nonDominated(legal, data.lower.includes(height.value));
    const ring = points.filter((point) => String(point.row.candidate) === network);
    const place = (part, found) => {
      const trace = traces.find((one) => one.meta === part);
      trace.x = found.map((point) => point.x);
      trace.y = found.map((point) => point.y);
    };
    place("front", line);
    place("ring", ring);
    const layout = { ...front.layout };
    layout.xaxis = { ...layout.xaxis, title: { text: data.titles[axis.value] }, autorange: true };
    layout.yaxis = { ...layout.yaxis, title: { text: data.titles[height.value] }, autorange: true };
    const original = data.front[0][height.value];
    layout.shapes = layout.shapes.map((shape) => ({ ...shape, y0: original, y1: original }));
    Plotly.react(front, traces, layout);
    for (const box of document.querySelectorAll("input[name=status]")) {
      box.disabled = !data.front.some((row) => row.status === box.value && row[axis.value] !== null);
    }
    const candidates = points.filter((point) => point.row.status !== "original").length;
    element("front-count").textContent =
      `${candidates} of ${data.front.length - 1} candidates shown, ${line.length} points not dominated.`;
  };

  const show = (wanted) => {
    network = wanted;
    element("network").value = wanted;
    rows.forEach((row, index) => showLayer(row, ...pair(index)));
    filterLayers();
    drawLayers();
    drawFront();
  };

  if (front) {
    element("front-controls").addEventListener("change", drawFront);
    element("front-controls").addEventListener("submit", (event) => event.preventDefault());
    front.on("plotly_click", (event) => {
      const row = data.front[event.points[0].customdata];
      if (!row) return;
      const wanted = row.status === "original" ? "delivered" : String(row.candidate);
      if (operatorsOf(wanted)) show(wanted);
      else element("front-count").textContent = `Candidate ${wanted} was not timed, so its layers are not in this report.`;
    });
  }
  element("network").addEventListener("change", (event) => show(event.target.value));
  if (measure) measure.addEventListener("change", drawLayers);
  element("layer-filter").addEventListener("input", filterLayers);
  element("changed-only").addEventListener("change", filterLayers);
  filterLayers();
  drawFront();

{% include "print.js" %}
})();
