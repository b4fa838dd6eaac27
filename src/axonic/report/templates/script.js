"use strict";
(() => {
  const SPAN = 1000, LEFT = 62, RIGHT = 14, TOP = 12, BOTTOM = 44;
  const NS = "http://www.w3.org/2000/svg";
  const make = (tag, values, parent) => {
    const node = document.createElementNS(NS, tag);
    for (const [name, value] of Object.entries(values)) node.setAttribute(name, value);
    parent.append(node);
    return node;
  };
  const short = v => {
    if (v === null || !isFinite(v)) return "–";
    if (v === 0) return "0";
    const size = Math.abs(v);
    if (Number.isInteger(v) && size < 1e5) return String(v);
    if (size >= 1e-3 && size < 1e5) return size < 1000 ? String(Number(v.toPrecision(3))) : String(Math.round(v));
    return v.toExponential(1).replace(".0e", "e").replace("e+", "e");
  };
  const roundUp = step => {
    const power = 10 ** Math.floor(Math.log10(step));
    return [1, 2, 5, 10].map(f => f * power).find(s => s >= step * (1 - 1e-9));
  };
  // an axis: [kind, low, high, whole, title], with the part that is shown as places from a to b
  const value = ([kind, low, high], place) => {
    const share = place / SPAN;
    return kind === "log" ? low * (high / low) ** share : low + share * (high - low);
  };
  const placeOf = ([kind, low, high], v) =>
    SPAN * (kind === "log" ? Math.log(v / low) / Math.log(high / low) : (v - low) / (high - low));
  const ticks = (axis, a, b, most) => {
    const low = value(axis, a), high = value(axis, b);
    if (axis[0] === "log") {
      const first = Math.ceil(Math.log10(low) - 1e-9), last = Math.floor(Math.log10(high) + 1e-9);
      if (last - first >= 1) {
        const by = Math.ceil((last - first + 1) / most), found = [];
        for (let d = first; d <= last; d += by) found.push(Number("1e" + d));
        return found;
      }
    }
    let step = roundUp((high - low) / most);
    if (axis[3]) step = Math.max(1, step);
    const found = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) found.push(Number((i * step).toPrecision(12)));
    return found;
  };
  const points = path => {
    const found = [];
    for (const pair of path.getAttribute("d").matchAll(/[ML]([-\d.]+),([-\d.]+)/g)) found.push([+pair[1], +pair[2]]);
    return found;
  };

  for (const svg of document.querySelectorAll("svg.plot")) {
    const about = JSON.parse(svg.dataset.plot), figure = svg.closest("figure");
    const inner = svg.querySelector(".inner"), grid = svg.querySelector(".grid"), words = svg.querySelector(".words");
    const readout = figure.querySelector("output"), [xTitle, yTitle] = svg.querySelectorAll(".axis");
    const series = about.names.map((name, i) => ({
      name, form: about.forms[i], path: inner.querySelector(`[data-series="${i}"]`), shown: true,
    }));
    for (const one of series) one.points = one.form === "bars" || one.form === "rule" ? [] : points(one.path);
    let view = [0, SPAN, 0, SPAN], size = [0, 0], at = -1;

    const draw = () => {
      const width = Math.max(260, svg.clientWidth || 680);
      const height = Math.round(about.ratio === 1 ? width : Math.max(240, width * about.ratio));
      size = [width - LEFT - RIGHT, height - TOP - BOTTOM];
      svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      inner.setAttribute("width", size[0]);
      inner.setAttribute("height", size[1]);
      const [x0, x1, y0, y1] = view;
      inner.setAttribute("viewBox", `${x0} ${SPAN - y1} ${x1 - x0} ${y1 - y0}`);
      grid.replaceChildren();
      for (const v of ticks(about.x, x0, x1, Math.max(4, Math.floor(size[0] / 75)))) {
        const x = LEFT + (placeOf(about.x, v) - x0) / (x1 - x0) * size[0];
        make("path", {d: `M${x},${TOP}V${TOP + size[1]}`}, grid);
        make("text", {x, y: TOP + size[1] + 16, "text-anchor": "middle"}, grid).textContent = short(v);
      }
      for (const v of ticks(about.y, y0, y1, 5)) {
        const y = TOP + (1 - (placeOf(about.y, v) - y0) / (y1 - y0)) * size[1];
        make("path", {d: `M${LEFT},${y}H${LEFT + size[0]}`}, grid);
        make("text", {x: LEFT - 6, y: y + 4, "text-anchor": "end"}, grid).textContent = short(v);
      }
      for (const text of words.children) {
        const place = (text.dataset.at - x0) / (x1 - x0);
        text.style.display = place < -0.001 || place > 1.001 ? "none" : "";
        const right = place > 0.7;
        text.setAttribute("text-anchor", right ? "end" : "start");
        text.setAttribute("x", LEFT + place * size[0] + (right ? -4 : 4));
      }
      xTitle.setAttribute("x", LEFT + size[0] / 2);
      xTitle.setAttribute("y", height - 6);
      yTitle.setAttribute("transform", `translate(13 ${TOP + size[1] / 2}) rotate(-90)`);
    };
    const cursor = make("path", {class: "cursor", d: ""}, inner);
    const brush = make("path", {class: "brush", d: ""}, inner);

    const tell = (x, y) => {
      const lines = series.filter(s => s.shown && s.form === "line" && s.points.length);
      const near = (list, measure) => list.reduce((best, p) => measure(p) < measure(best) ? p : best);
      const said = [];
      let mark = null;
      if (lines.length) {
        let all = lines.map(s => [s, near(s.points, p => Math.abs(p[0] - x))]);
        if (all.length > 4 && y !== null) all = [all.reduce((a, b) => Math.abs(b[1][1] - y) < Math.abs(a[1][1] - y) ? b : a)];
        mark = all[0][1];
        const shown = value(about.x, mark[0]);
        said.push(`${about.x[4]} ${short(about.x[3] ? Math.round(shown) : shown)}`);
        for (const [s, p] of all) said.push(`${s.name} ${short(value(about.y, SPAN - p[1]))}`);
      } else {
        const dots = series.filter(s => s.shown && (s.form === "dots" || s.form === "blobs")).flatMap(s => s.points);
        const bars = series.find(s => s.form === "bars");
        if (dots.length) {
          mark = near(dots, p => (p[0] - x) ** 2 + (y === null ? 0 : (p[1] - y) ** 2));
          said.push(`${about.x[4]} ${short(value(about.x, mark[0]))}`, `${about.y[4]} ${short(value(about.y, SPAN - mark[1]))}`);
        } else if (bars) {
          for (const m of bars.path.getAttribute("d").matchAll(/M([-\d.]+),[-\d.]+V([-\d.]+)H([-\d.]+)/g))
            if (x >= +m[1] && x <= +m[3]) said.push(`${short(value(about.x, +m[1]))} to ${short(value(about.x, +m[3]))}`, `${short(Math.round(value(about.y, SPAN - m[2])))} rows`);
        }
      }
      cursor.setAttribute("d", mark ? `M${mark[0]},0V${SPAN}` : "");
      readout.textContent = said.join(" · ");
      return mark;
    };
    const placeAt = event => {
      const box = svg.getBoundingClientRect();
      const x = (event.clientX - box.left - LEFT) / size[0], y = (event.clientY - box.top - TOP) / size[1];
      return [view[0] + x * (view[1] - view[0]), SPAN - view[3] + y * (view[3] - view[2])];
    };
    const zoom = (x0, x1, y0, y1) => {
      if (x1 - x0 < 2 || y1 - y0 < 2) return;
      view = [Math.max(0, x0), Math.min(SPAN, x1), Math.max(0, y0), Math.min(SPAN, y1)];
      draw();
    };
    const scale = factor => {
      const [x0, x1, y0, y1] = view, cx = (x0 + x1) / 2, cy = (y0 + y1) / 2;
      const w = (x1 - x0) * factor / 2, h = (y1 - y0) * (about.ratio === 1 ? factor : 1) / 2;
      zoom(cx - w, cx + w, cy - h, cy + h);
    };
    const all = () => { view = [0, SPAN, 0, SPAN]; draw(); };
    let from = null;
    svg.addEventListener("pointerdown", event => {
      if (event.pointerType !== "mouse" || event.button) return;
      from = placeAt(event);
      svg.setPointerCapture(event.pointerId);
    });
    svg.addEventListener("pointermove", event => {
      const here = placeAt(event);
      if (from) brush.setAttribute("d", `M${from[0]},${from[1]}H${here[0]}V${here[1]}H${from[0]}Z`);
      else tell(here[0], here[1]);
    });
    svg.addEventListener("pointerup", event => {
      if (!from) return;
      const here = placeAt(event), start = from;
      from = null;
      brush.setAttribute("d", "");
      const [x0, x1] = [start[0], here[0]].sort((a, b) => a - b), [y0, y1] = [start[1], here[1]].sort((a, b) => a - b);
      if (x1 - x0 > 8 && y1 - y0 > 8) zoom(x0, x1, SPAN - y1, SPAN - y0);
    });
    svg.addEventListener("pointerleave", () => { if (!from) { cursor.setAttribute("d", ""); readout.textContent = ""; } });
    svg.addEventListener("dblclick", all);
    svg.addEventListener("keydown", event => {
      const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
      if (step) {
        const xs = [...new Set(series.filter(s => s.shown).flatMap(s => s.points.map(p => p[0])))].sort((a, b) => a - b);
        if (!xs.length) return;
        at = Math.min(xs.length - 1, Math.max(0, at + step * Math.max(1, Math.round(xs.length / 100))));
        tell(xs[at], null);
      } else if (event.key === "+" || event.key === "-") scale(event.key === "+" ? 0.5 : 2);
      else if (event.key === "Escape") all();
      else return;
      event.preventDefault();
    });
    for (const button of figure.querySelectorAll("[data-zoom]"))
      button.addEventListener("click", () => ({in: () => scale(0.5), out: () => scale(2), all})[button.dataset.zoom]());
    for (const button of figure.querySelectorAll("[data-series]"))
      if (button.tagName === "BUTTON") button.addEventListener("click", () => {
        const one = series[button.dataset.series];
        one.shown = !one.shown;
        one.path.style.display = one.shown ? "" : "none";
        button.setAttribute("aria-pressed", one.shown);
      });
    new ResizeObserver(draw).observe(figure);
    draw();
  }

  for (const svg of document.querySelectorAll("svg.heat")) {
    const about = JSON.parse(svg.dataset.heat), readout = svg.closest("figure").querySelector("output");
    const inner = svg.querySelector(".inner"), height = svg.viewBox.baseVal.height;
    const draw = () => {
      const width = Math.max(260, svg.clientWidth || 680), left = Math.min(124, width * 0.2), room = width - left - RIGHT;
      svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      inner.setAttribute("x", left);
      inner.setAttribute("width", room);
      for (const text of svg.querySelectorAll(".row")) text.setAttribute("x", left - 6);
      for (const text of svg.querySelectorAll("[data-at]")) text.setAttribute("x", left + text.dataset.at * room);
      svg.querySelector(".axis").setAttribute("x", left + room / 2);
    };
    new ResizeObserver(draw).observe(svg.closest("figure"));
    draw();
    let at = [0, 0];
    const tell = (i, j) => {
      at = [Math.min(about.rows.length - 1, Math.max(0, i)), Math.min(about.x.length - 1, Math.max(0, j))];
      readout.textContent = `${about.rows[at[0]]} · epoch ${about.x[at[1]]} · ${short(about.values[at[0]][at[1]])}`;
    };
    svg.addEventListener("pointermove", event => {
      const box = inner.getBoundingClientRect();
      tell(Math.floor((event.clientY - box.top) / box.height * about.rows.length), Math.floor((event.clientX - box.left) / box.width * about.x.length));
    });
    svg.addEventListener("keydown", event => {
      const step = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0]}[event.key];
      if (!step) return;
      tell(at[0] + step[0], at[1] + step[1]);
      event.preventDefault();
    });
  }
  window.addEventListener("beforeprint", () => { for (const part of document.querySelectorAll("details")) part.open = true; });
})();
