"""The style sheet of the explorer: colours of JupyterLab's theme, light or dark, and of the page where there is none."""

STYLE = """<style>
.mmr-answer, .mmr-why { --line: var(--jp-brand-color1, #1565c0); --right: #009e73; --faint: var(--jp-border-color1, #999);
  color: var(--jp-content-font-color1, inherit); font-size: var(--jp-ui-font-size1, 13px); line-height: 1.35; }
.mmr-answer { overflow-x: auto; padding-bottom: 4px; }
.mmr-answer .mmr-rows { --least: 62px; min-width: calc(var(--columns) * var(--least)); max-width: calc(var(--columns) * 1.7 * var(--least)); }
.mmr-answer .mmr-texts { --least: 116px; }
.mmr-answer h4, .mmr-why h4 { margin: .6em 0 .3em; font-size: inherit; font-weight: 600; position: sticky; left: 0; width: max-content; max-width: 90vw; }
.mmr-answer ol.mmr-row { display: grid; grid-template-columns: repeat(var(--columns), minmax(0, 1fr)); list-style: none; margin: 0; padding: 0; }
.mmr-answer li { display: flex; flex-direction: column; align-items: center; margin: 0 3px; padding: 3px; border: 1px solid transparent; border-radius: 4px;
  text-align: center; font-variant-numeric: tabular-nums; white-space: nowrap; font-size: 11px; }
.mmr-answer li img { width: 100%; max-height: 110px; object-fit: contain; border-radius: 2px; display: block; }
.mmr-answer li p { width: 100%; box-sizing: border-box; min-height: 6.8em; margin: 0 0 2px; padding: 4px; white-space: normal; overflow-wrap: anywhere;
  text-align: left; border: 1px solid var(--faint); border-radius: 3px; }
.mmr-answer li.mmr-right { border: 3px solid var(--right); padding: 1px; }
.mmr-answer svg { display: block; width: 100%; height: 54px; }
.mmr-answer path { fill: none; stroke: var(--faint); stroke-width: 1.3; vector-effect: non-scaling-stroke; }
.mmr-answer path.mmr-up { stroke: var(--line); }
.mmr-answer path.mmr-down { stroke-dasharray: 3 3; }
.mmr-answer path.mmr-right { stroke: var(--right); stroke-width: 4; }
.mmr-why .mmr-words { line-height: 1.2; margin: .4em 0; }
.mmr-why .mmr-words span { display: inline-flex; flex-direction: column; align-items: center; padding: 2px 4px; border: 1px solid transparent; }
.mmr-why .mmr-words .mmr-chosen { border-color: var(--line); border-radius: 4px; font-weight: 600; }
.mmr-why .mmr-words small { font-size: 10px; opacity: .8; }
.mmr-why .mmr-regions { display: flex; flex-wrap: wrap; gap: 16px; align-items: flex-start; }
.mmr-why .mmr-picture { position: relative; width: 260px; max-width: 100%; }
.mmr-why .mmr-picture img, .mmr-why .mmr-empty { display: block; width: 100%; margin: 0; }
.mmr-why .mmr-empty { aspect-ratio: 1; border: 1px solid var(--faint); box-sizing: border-box; padding: 8px; }
.mmr-why .mmr-picture svg { position: absolute; inset: 0; width: 100%; height: 100%; overflow: visible; }
.mmr-why rect { fill: #ffd400; stroke: #ffd400; vector-effect: non-scaling-stroke; filter: drop-shadow(0 0 1px #000); }
.mmr-why rect.mmr-against { fill: #000; stroke: #fff; stroke-dasharray: 4 3; }
.mmr-why .mmr-picture b { position: absolute; padding: 0 3px; font-size: 11px; line-height: 1.3; color: #fff; background: #000; }
.mmr-why .mmr-regions > div:last-child { max-width: 20em; }
.mmr-why .mmr-bars { list-style: none; margin: 0; padding: 0; font-variant-numeric: tabular-nums; }
.mmr-why .mmr-bars li { display: flex; gap: 6px; align-items: center; }
.mmr-why .mmr-bars span { min-width: 3.6em; }
.mmr-why .mmr-bars i { height: .8em; background: var(--line); }
.mmr-why .mmr-against i { background: none; border: 1px dashed currentColor; box-sizing: border-box; }
.mmr-why .mmr-reactions { border-collapse: collapse; font-size: inherit; margin: .4em 0; }
.mmr-why .mmr-reactions th, .mmr-why .mmr-reactions td { padding: 2px 10px 2px 0; text-align: left; vertical-align: bottom; color: inherit;
  font-variant-numeric: tabular-nums; }
.mmr-why .mmr-reactions td { white-space: nowrap; }
</style>
"""
