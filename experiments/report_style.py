"""How a report looks, by day and by night, on paper and on a phone."""

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1b1f24; --soft: #59616a; --line: #dfe3e8;
  --wash: #f5f7f9; --mark: #2f5fc4; --good: #1d7a46; --bad: #b3392f; --ground: #e9ece6;
  --road: #c3c8ce; --lane: #eef0f2; --ego: #14181d; --ego-edge: #fff; --car: #7c8894;
  --walker: #b8339f; --hit: #e0301e; --way: #2f5fc4; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171b; --ink: #e7eaee; --soft: #a0a9b4;
  --line: #333a43; --wash: #1d2127; --mark: #7ea6ff; --good: #57c488; --bad: #ff8a7d;
  --ground: #191d1b; --road: #3a4149; --lane: #565f6a; --ego: #fff; --ego-edge: #14171b;
  --car: #99a5b1; --walker: #f08be0; --hit: #ff5a49; --way: #6f98f2; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; max-width: 1080px; padding: 44px 28px 80px; color: var(--ink);
  background: var(--paper);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 6px; letter-spacing: -.01em; }
h2 { font-size: 21px; margin: 52px 0 10px; padding-top: 14px; border-top: 2px solid var(--ink); }
h3 { font-size: 17px; margin: 36px 0 8px; }
h4 { font-size: 14px; margin: 18px 0 6px; }
p { max-width: 74ch; margin: 8px 0; }
a { color: var(--mark); }
nav { margin: 14px 0 0; font-size: 13px; } nav a { margin-right: 14px; white-space: nowrap; }
ul.short { padding-left: 20px; max-width: 80ch; } ul.short li { margin: 4px 0; }
.meta, figcaption, .note, .place { color: var(--soft); font-size: 13px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: 10px 0; font-size: 13px;
  font-variant-numeric: tabular-nums; }
th, td { padding: 6px 9px; border-bottom: 1px solid var(--line); text-align: right;
  vertical-align: top; white-space: nowrap; }
th { color: var(--soft); font-weight: 600; vertical-align: bottom; border-bottom-color: var(--ink);
  white-space: normal; }
th span { white-space: nowrap; font-weight: 400; font-size: 11px; }
th:first-child, td:first-child, .left { text-align: left; }
td.wrap { white-space: normal; min-width: 240px; }
tr.part td { color: var(--soft); border-bottom-style: dotted; }
tr.part td:first-child { padding-left: 22px; }
tr.group td { font-weight: 600; padding-top: 14px; border-bottom-color: var(--ink); }
td small { display: block; color: var(--soft); font-size: 11px; }
.good { color: var(--good); } .bad { color: var(--bad); }
.whisker { display: block; margin: 2px 0 0 auto; }
.whisker line { stroke: var(--mark); stroke-width: 2; } .whisker .scale { stroke: var(--line); }
.whisker circle { fill: var(--mark); }
figure { margin: 14px 0; break-inside: avoid; }
figure img, figure video { display: block; max-width: 100%; border: 1px solid var(--line);
  border-radius: 4px; background: #18191d; }
figure.plot img { border: 0; background: none; }
@media (prefers-color-scheme: dark) { figure.plot img { background: #fff; padding: 8px; } }
.grid { display: grid; gap: 18px; grid-template-columns: repeat(auto-fill, minmax(330px, 1fr)); }
.grid figure { margin: 0; } .grid img, .grid video { width: 100%; }
code, pre { font: 12.5px/1.5 ui-monospace, "SF Mono", Menlo, "DejaVu Sans Mono", monospace; }
pre { background: var(--wash); padding: 12px 14px; border-radius: 4px; white-space: pre-wrap;
  overflow-wrap: anywhere; }
details > summary { cursor: pointer; color: var(--mark); }
details.policy { margin: 10px 0; } details.policy > summary { padding: 6px 0; }
.drive { border-top: 1px solid var(--line); padding: 2px 0 12px; break-inside: avoid; }
.beside { display: grid; gap: 18px; grid-template-columns: 220px 1fr; align-items: start; }
.beside > :only-child { grid-column: 1 / -1; }
.beside ol { margin: 6px 0; padding-left: 22px; } .beside li { margin: 3px 0; }
.strips { display: grid; gap: 12px 18px; margin-top: 10px;
  grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); }
.strips figure { margin: 0; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; font-size: 13px; color: var(--soft); }
.legend span { white-space: nowrap; } .key { width: 22px; height: 14px; vertical-align: -2px; }
.hidden { position: absolute; }
.strip, .map { display: block; width: 100%; height: auto; }
.map { border: 1px solid var(--line); border-radius: 4px; }
.ground { fill: var(--ground); } .road { fill: var(--road); }
.mark, .way, .trail, .crossed, .ring, .bar { fill: none; vector-effect: non-scaling-stroke; }
.mark { stroke: var(--lane); stroke-width: .8px; }
.way { stroke: var(--way); stroke-width: 2.5px; stroke-opacity: .75; }
.trail { stroke: var(--ego); stroke-width: 1.6px; stroke-dasharray: 3 2; }
.crossed { stroke: var(--hit); stroke-width: 3.5px; }
.ring { stroke: var(--hit); stroke-width: 1.6px; } .bar { stroke: var(--ink); stroke-width: 1.5px; }
.ego { fill: var(--ego); stroke: var(--ego-edge); stroke-width: .25; }
.car { fill: var(--car); } .walker { fill: var(--walker); } .hit { fill: var(--hit); }
.strip text { font-size: 2.4px; text-anchor: middle; fill: var(--ink); }
.start { fill: var(--ego); } .goal { fill: var(--way); } .spot { fill: var(--hit); }
.number { fill: #fff; text-anchor: middle; font-weight: 700; }
@media (max-width: 640px) { body { padding: 22px 14px 60px; font-size: 14px; }
  h1 { font-size: 24px; } .beside { grid-template-columns: 1fr; } .map { max-width: 300px; }
  .strips, .grid { grid-template-columns: 1fr; } th, td { padding: 5px 6px; } }
@media print { body { max-width: none; padding: 0; font-size: 11px; } h2 { break-after: avoid; }
  table { font-size: 9.5px; } th, td { padding: 3px 5px; } tr { break-inside: avoid; }
  .wide { overflow: visible; } }
"""
