/** The style of the page, and the policy that lets a browser use this style and nothing else. */
import { createHash } from "node:crypto"
import { type Html, html, trusted } from "./Html.ts"

const css = `
:root{color-scheme:light dark;--page:#f6f7f5;--card:#fff;--ink:#1d2321;--soft:#59635f;--line:#dfe3e0;--rule:#e9ecea;
--accent:#1f6f54;--blue:#2b62a3;--amber:#8a5a00;--red:#b3261e;--ok-tint:#e3f1ea;--amber-tint:#fbf0d9;--red-tint:#fbe6e4;
--s0:#2b62a3;--s1:#a85d00;--s2:#1f6f54;--bar:#3f7fb8;--mark:#c0392b;--code:#f0f2f0}
@media(prefers-color-scheme:dark){:root{--page:#121614;--card:#1a1f1d;--ink:#e6ebe8;--soft:#a2ada8;--line:#303735;
--rule:#272e2b;--accent:#6cc7a2;--blue:#8ab8ee;--amber:#e8b75a;--red:#f2998f;--ok-tint:#163026;--amber-tint:#352a12;
--red-tint:#3b1c1a;--s0:#8ab8ee;--s1:#e8a95a;--s2:#6cc7a2;--bar:#5b9bd6;--mark:#ef7d70;--code:#232a27}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;overflow-wrap:anywhere;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",Arial,sans-serif}
.skip{position:absolute;left:-999px;top:0;padding:.6rem 1rem;background:var(--card);color:var(--ink);z-index:1}
.skip:focus{left:.5rem;top:.5rem}
a{color:var(--blue);text-underline-offset:.15em}
:focus-visible{outline:3px solid var(--blue);outline-offset:2px;border-radius:3px}
.wide{max-width:72rem;margin:0 auto;padding:0 1rem}
header .wide{display:flex;flex-wrap:wrap;gap:.25rem 1rem;align-items:baseline;padding-top:1rem;padding-bottom:1rem}
header .name{font-weight:650;letter-spacing:-.01em}
header .about{color:var(--soft);font-size:.875rem;overflow-wrap:anywhere}
header nav{margin-left:auto;font-size:.875rem;display:flex;gap:1rem;flex-wrap:wrap}
h1,h2,h3{line-height:1.25;margin:0;letter-spacing:-.01em;text-wrap:balance}
h1{font-size:1.6rem;font-weight:650}
h2{font-size:1.0625rem;font-weight:650;margin-bottom:.75rem}
h3{font-size:.9375rem;font-weight:600}
p{margin:.25rem 0;max-width:68ch}
.soft{color:var(--soft)}
.small{font-size:.875rem}
.gap{margin-bottom:1rem}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:1.1rem 1.25rem;margin:0 0 1rem;
min-width:0}
.hero{border-left:6px solid var(--accent);background:var(--ok-tint)}
.hero.attention{border-left-color:var(--amber);background:var(--amber-tint)}
.hero.broken{border-left-color:var(--red);background:var(--red-tint)}
.hero .soft{color:var(--ink)}
.pair{display:grid;gap:0 1rem;grid-template-columns:minmax(0,1fr)}
.pair>div{display:grid}
@media(min-width:64rem){.pair{grid-template-columns:minmax(0,1fr) minmax(0,1fr)}}
.figures{display:grid;gap:.75rem 1.25rem;grid-template-columns:repeat(auto-fit,minmax(6.5rem,1fr));margin:.9rem 0 0}
.figures div{min-width:0}
dt{color:var(--soft);font-size:.8125rem}
.hero dt{color:var(--ink)}
dd{margin:0;font-size:1.125rem;font-weight:600;font-variant-numeric:tabular-nums;line-height:1.35;overflow-wrap:anywhere}
dd small{display:block;font-size:.8125rem;font-weight:400;color:var(--soft)}
.hero dd small{color:var(--ink)}
.advice{list-style:none;margin:0;padding:0;display:grid;gap:.9rem}
.advice li{display:grid;grid-template-columns:6.25rem minmax(0,1fr);justify-items:start;gap:.1rem .75rem}
.advice p,.advice pre{grid-column:2}.advice pre{justify-self:stretch}.advice p{margin-top:0}
.says{white-space:pre-line;overflow-wrap:anywhere}
.chip{display:inline-block;font-size:.75rem;font-weight:650;line-height:1;padding:.34em .55em;border-radius:5px;
border:1px solid currentColor;white-space:nowrap;align-self:start;margin-top:.2em}
td .chip,h3 .chip,dd .chip{margin-top:0}
.chip.ok{color:var(--accent)}.chip.attention{color:var(--amber)}.chip.broken{color:var(--red)}.chip.info{color:var(--soft)}
code,pre{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:.8125rem}
code{background:var(--code);border-radius:4px;padding:.12em .35em;overflow-wrap:anywhere}
pre{margin:.35rem 0 0;padding:.5rem .7rem;background:var(--code);border-radius:6px;white-space:pre-wrap;
overflow-wrap:anywhere}
pre code{padding:0;background:none}
.figure-grid{display:grid;gap:1.5rem 2rem;grid-template-columns:minmax(0,1fr)}
@media(min-width:48rem){.figure-grid{grid-template-columns:minmax(0,1fr) minmax(0,1fr)}}
figure{margin:0;min-width:0}
figcaption{display:flex;flex-wrap:wrap;gap:0 .6rem;align-items:baseline;margin-bottom:.35rem}
figcaption .total{color:var(--soft);font-size:.8125rem}
.plot{display:block;overflow:visible;padding:0 8px 0 60px;font-size:12px;font-variant-numeric:tabular-nums}
.plot text{fill:var(--soft)}
.plot .grid line{stroke:var(--rule)}
.plot .tick{stroke:var(--soft)}
.bar{fill:var(--bar)}.bar.failed{fill:var(--mark)}
.line{fill:none;stroke-width:2;vector-effect:non-scaling-stroke;stroke-linejoin:round}
.line.s0{stroke:var(--s0)}.line.s1{stroke:var(--s1);stroke-dasharray:6 3}.line.s2{stroke:var(--s2);stroke-dasharray:2 3}
.dot.s0{fill:var(--s0)}.dot.s1{fill:var(--s1)}.dot.s2{fill:var(--s2)}
.legend{list-style:none;margin:.25rem 0 0;padding:0;display:flex;flex-wrap:wrap;gap:.1rem 1.1rem;font-size:.8125rem;
color:var(--soft)}
.legend b{color:var(--ink);font-weight:600;font-variant-numeric:tabular-nums}
.stack{display:block;width:100%;border-radius:6px;margin-bottom:.75rem}
.stack .live{fill:var(--s2)}.stack .waiting{fill:var(--s0)}.stack .condemned{fill:var(--s1)}.stack .journaled{fill:var(--mark)}
.stack .ownerless{fill:var(--soft)}
.key{display:inline-block;width:.7em;height:.7em;border-radius:2px;margin-right:.5em}
.key.live{background:var(--s2)}.key.waiting{background:var(--s0)}.key.condemned{background:var(--s1)}
.key.journaled{background:var(--mark)}.key.ownerless{background:var(--soft)}
progress{display:block;width:100%;height:.6rem;accent-color:var(--blue);margin:.4rem 0}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{padding:.42rem .75rem .42rem 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--rule)}
tbody tr:last-child>*{border-bottom:0}
th:last-child,td:last-child{padding-right:0}
thead th{color:var(--soft);font-weight:500;font-size:.8125rem;border-bottom-color:var(--line);vertical-align:bottom}
tbody th{font-weight:500}
th,td{overflow-wrap:break-word}
.long{overflow-wrap:anywhere}
.number{text-align:right;font-variant-numeric:tabular-nums}
td.number,td.number time{white-space:nowrap}
details{margin-top:1rem;font-size:.875rem}
summary{cursor:pointer;color:var(--blue);width:fit-content}
.unseen{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
footer{color:var(--soft);font-size:.8125rem;padding:.5rem 0 2rem}
footer ul{list-style:none;display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;padding:0;margin:.25rem 0}
@media(max-width:40rem){
section{padding:1rem .9rem;border-radius:8px}
header nav{margin-left:0}
h1{font-size:1.35rem}
table,tbody,tr,th[scope=row],td{display:block}
thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
tbody tr{padding:.5rem 0;border-bottom:1px solid var(--rule)}
tbody tr:last-child{border-bottom:0}
tbody th[scope=row],td{border:0;padding:.1rem 0}
tbody th[scope=row]{text-align:left;font-weight:600}
td{display:flex;justify-content:space-between;gap:1rem;text-align:right}
td>span{min-width:0;overflow-wrap:anywhere}
td.none,.plot .odd{display:none}
.advice li{grid-template-columns:minmax(0,1fr)}.advice p,.advice pre{grid-column:1}.advice p{margin-top:.3rem}
td::before{content:attr(data-name);color:var(--soft);text-align:left;flex:none}
}
@media(forced-colors:active){.bar,.stack rect{fill:CanvasText}.line{stroke:CanvasText}}
@media print{body{background:#fff}.skip,nav{display:none}section{break-inside:avoid}}
`

/** The style sheet's element. */
export const style: Html = html`<style>${trusted(css)}</style>`

/** Allows this style by its hash. No script, image, frame, form or request is allowed. */
export const policy = `default-src 'none'; style-src 'sha256-${createHash("sha256").update(css).digest("base64")}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`
