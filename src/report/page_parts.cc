// Colours are named once for light and once for dark; a verdict has a sign beside its colour, for
// those who do not tell the colours apart and for paper. Widths are relative: the page reads on a
// screen of 320 points.

#include "report/page_parts.h"

namespace callgate::report {

const std::string_view kStyle = R"css(
:root { color-scheme: light dark;
  --page: #fbfbf9; --ink: #1c2024; --soft: #5c646c; --line: #d9dcdf; --card: #ffffff; --link: #1b5fae;
  --allow: #1a6b3c; --allow-bg: #e2f3e8; --args: #7a5200; --args-bg: #fbefcf; --errno: #55606b; --errno-bg: #eceff2;
  --kill: #a11d2a; --kill-bg: #fae3e4; --other: #5a3b93; --other-bg: #ede6f8; }
@media (prefers-color-scheme: dark) { :root {
  --page: #14171a; --ink: #e6e8ea; --soft: #9aa3ab; --line: #30363c; --card: #1c2024; --link: #82b7f5;
  --allow: #7fd6a0; --allow-bg: #173524; --args: #f0c869; --args-bg: #3a2f12; --errno: #a5afb8; --errno-bg: #262c32;
  --kill: #f58f95; --kill-bg: #421c21; --other: #c3a9f2; --other-bg: #2f2545; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 76rem; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; }
h3 { font-size: 1rem; margin: 0; }
p { margin: .25rem 0 .75rem; }
code, .call, .then { font-family: ui-monospace, monospace; font-size: .875em; overflow-wrap: anywhere; }
.soft { color: var(--soft); }
.counts { display: flex; flex-wrap: wrap; gap: .5rem; padding: 0; margin: .75rem 0; list-style: none; }
.counts li { padding: .25rem .75rem; border-radius: .5rem; }
.bar { position: sticky; top: 0; background: var(--page); padding: .5rem 0; display: flex; flex-wrap: wrap; gap: .5rem;
  border-bottom: 1px solid var(--line); z-index: 1; align-items: center; }
.bar input { flex: 1 1 12rem; min-width: 0; font: inherit; padding: .4rem .6rem; border: 1px solid var(--soft);
  border-radius: .4rem; background: var(--card); color: inherit; }
.bar select { font: inherit; padding: .4rem; border-radius: .4rem; border: 1px solid var(--soft); background: var(--card);
  color: inherit; max-width: 100%; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .75rem; margin: .75rem 0; }
.calls { display: flex; flex-wrap: wrap; gap: .35rem; margin: .5rem 0 0; padding: 0; list-style: none; }
.call { padding: .1rem .5rem; border-radius: .35rem; max-width: 100%; }
.call.wide { flex: 1 1 100%; }
.allow { color: var(--allow); background: var(--allow-bg); }
.args { color: var(--args); background: var(--args-bg); }
.errno { color: var(--errno); background: var(--errno-bg); }
.kill { color: var(--kill); background: var(--kill-bg); }
.other { color: var(--other); background: var(--other-bg); }
.rules { margin: .25rem 0; padding-left: 1.5rem; color: var(--ink); }
.then { color: var(--soft); }
.mark { font-size: .85em; text-decoration: none; border: 1px solid currentColor; border-radius: .3rem; padding: 0 .25rem;
  white-space: nowrap; }
.change { display: block; color: var(--ink); margin: .15rem 0; }
.looser b { color: var(--kill); } .tighter b { color: var(--allow); }
.findings { list-style: none; padding: 0 .75rem; margin: 0; }
.findings li { border-top: 1px solid var(--line); padding: .5rem 0; }
.findings li:first-child { border: 0; }
.error b { color: var(--kill); } .warning b { color: var(--args); }
a { color: var(--link); }
[hidden] { display: none !important; }
)css";

const std::string_view kScript = R"js(
const box = document.getElementById('search'), kind = document.getElementById('kind');
const none = document.getElementById('none');
function show() {
  const words = box.value.toLowerCase().split(/\s+/).filter(Boolean), wanted = kind.value;
  let any = false;
  for (const card of document.querySelectorAll('.card.group')) {
    let left = false;
    for (const call of card.querySelectorAll('.call')) {
      const is = (!wanted || call.classList.contains(wanted) || call.dataset.has.split(' ').includes(wanted))
        && words.every(word => call.dataset.words.includes(word));
      call.hidden = !is;
      left = left || is;
    }
    card.hidden = !left;
    any = any || left;
  }
  none.hidden = any;
}
box.addEventListener('input', show);
kind.addEventListener('change', show);
document.addEventListener('keydown', event => {
  if (event.key === '/' && document.activeElement !== box) { event.preventDefault(); box.focus(); }
});
document.querySelector('.bar').hidden = false;
show();
)js";

}  // namespace callgate::report
