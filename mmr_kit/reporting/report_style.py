"""The style sheet of the report: light and dark, a phone's width, and paper."""

REPORT_STYLE = """<style>
:root { color-scheme: light dark; --line: color-mix(in srgb, CanvasText 18%, Canvas); --soft: color-mix(in srgb, CanvasText 5%, Canvas);
  --link: light-dark(#0b57a4, #8ab8f0); --yes: light-dark(#00694d, #4fd0a5); --no: light-dark(#a33a00, #ff9f66); --open: light-dark(#5a5a5a, #b5b5b5); }
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 78rem; padding: 1rem clamp(.75rem, 3vw, 2rem) 4rem; overflow-wrap: break-word; }
a { color: var(--link); text-underline-offset: .15em; }
a:focus-visible, summary:focus-visible, .mmr-scroll:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .5rem 0; }
h2 { font-size: 1.35rem; line-height: 1.25; margin: 3rem 0 .5rem; padding-top: .75rem; border-top: 2px solid var(--line); }
h3 { font-size: 1.1rem; margin: 1.5rem 0 .25rem; }
h4 { font-size: 1rem; margin: 0; }
.lead { font-size: 1.1rem; margin: .25rem 0; max-width: 60rem; }
.muted, .how { color: color-mix(in srgb, CanvasText 72%, Canvas); font-size: .875rem; }
nav ul, .counts, .files { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; list-style: none; padding: 0; margin: .5rem 0; }
.counts { gap: .5rem; }
.counts li { border: 1px solid var(--line); border-radius: .5rem; padding: .35rem .75rem; }
.counts b { font-size: 1.2rem; }
.files { font-size: .875rem; }
.verdict { white-space: nowrap; font-weight: 600; }
.verdict span { display: inline-block; width: 1.35em; height: 1.35em; line-height: 1.3em; text-align: center; border: 1px solid currentColor;
  border-radius: 50%; margin-right: .2em; font-size: .85em; }
.supported { color: var(--yes); } .not_supported { color: var(--no); } .inconclusive, .not_measured, .not_judged { color: var(--open); }
.list { border-collapse: collapse; width: 100%; font-size: .9375rem; }
.list th, .list td { text-align: left; vertical-align: top; padding: .3rem .5rem .3rem 0; border-top: 1px solid var(--line); font-weight: normal; }
.list thead th { font-weight: 600; border: 0; }
.list th[scope=row] { white-space: nowrap; }
.numbers { border-collapse: collapse; font-size: .8125rem; font-variant-numeric: tabular-nums; }
.numbers th, .numbers td { text-align: left; vertical-align: top; padding: .2rem .75rem .2rem 0; border-top: 1px solid var(--line); font-weight: normal;
  white-space: nowrap; }
.numbers thead th { font-weight: 600; }
.numbers td:last-child { white-space: normal; min-width: 15rem; }
.numbers tr, .claim { scroll-margin-top: 3rem; }
.numbers tr:target, .claim:target { background: color-mix(in srgb, var(--link) 18%, Canvas); }
.mmr-scroll { overflow-x: auto; max-width: 100%; }
.mmr-scroll:empty { display: none; }
.mmr .mmr-numbers td a { color: inherit; text-decoration: underline dotted; text-decoration-color: color-mix(in srgb, currentColor 45%, transparent); }
.mmr .mmr-numbers td a:hover { text-decoration: underline; }
.mmr > ul { font-size: .875rem; padding-left: 1.2rem; }
figure { margin: 1rem 0; }
figure img { display: block; max-width: min(100%, 52rem); height: auto; background: white; border-radius: .25rem; }
figcaption { font-size: .875rem; color: color-mix(in srgb, CanvasText 72%, Canvas); margin-top: .25rem; }
.claim { border-left: 3px solid var(--line); margin: .75rem 0; padding: .1rem 0 .1rem .75rem; }
.claim ul { margin: .25rem 0; padding-left: 1.2rem; font-size: .9375rem; }
.claim p { margin: .15rem 0; }
details { border: 1px solid var(--line); border-radius: .5rem; margin: .5rem 0; padding: .4rem .75rem; background: var(--soft); }
summary { cursor: pointer; font-weight: 600; }
dl { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: .15rem 1rem; font-size: .875rem; }
dt { font-weight: 600; } dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
.missing { border: 1px dashed currentColor; border-radius: .5rem; padding: .5rem .75rem; }
@media (max-width: 480px) {
  dl { grid-template-columns: 1fr; } dd { margin-bottom: .35rem; }
  .mmr .mmr-numbers.mmr-table th:first-child { min-width: 5.5em; max-width: 8em; }
  .list th, .list td { padding-right: .35rem; font-size: .875rem; }
}
@page { size: A4 landscape; margin: 1.2cm; }
@media print {
  :root { color-scheme: only light; }
  body { font-size: 9.5pt; max-width: none; padding: 0; }
  nav, .numbers-of { display: none; }
  a { color: inherit; text-decoration: none; }
  .mmr .mmr-table { font-size: 7pt; } .mmr .mmr-numbers.mmr-table th:first-child { position: static; }
  .mmr-scroll { overflow: visible; }
  details::details-content { content-visibility: visible; block-size: auto; }
  h2, h3, .files { break-after: avoid; } tr, .claim, figure { break-inside: avoid; }
  figure img { max-height: 16cm; width: auto; }
}
</style>
"""
