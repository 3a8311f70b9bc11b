#!/usr/bin/python3
"""Write README's tables anew, from what scripts/bench measured last.

Between `<!-- bench NAME -->` and `<!-- end -->` stands what build/bench/NAME.json
tells, and the pictures beside it are those of build/bench. What somebody wrote
behind a "missed" stays as long as it is missed. Names the rows that were not
measured, which stay as they are, and ends with 1 when a miss has no reason.
"""
import re
import shutil
import sys

from figures import read, tell
from peers import BUILD, ROOT

README, PLOTS = ROOT / 'README.md', ROOT / 'tests' / 'bench' / 'plots'
BLOCK = re.compile(r'(<!-- bench (\w+) -->\n).*?(<!-- end -->)', re.S)


def ends(line):
    """The first and the last cell of a table's line, stripped."""
    cells = [cell.strip() for cell in line.strip('|').split(' | ')]
    return cells[0], cells[-1]


def explained(line, reasons):
    """A line of a table, with the reason that it had."""
    title, verdict = ends(line)
    if verdict != 'missed':
        return line
    return line[:line.rindex('missed')] + reasons.get(title, verdict) + ' |'


def renewed(block):
    name = block[2]
    path = BUILD / f'{name}.json'
    told = read(path) if path.exists() else {'figures': []}
    if not told['figures']:
        print(f'{name}: not measured, stays as it is')
        return block[0]
    reasons = {title: verdict for title, verdict in
               map(ends, block[0].splitlines()) if verdict.startswith('missed')}
    most = max(len(values) for figure in told['figures']
               for values in figure.samples.values())
    lines = [f'`{name}` on {told["machine"]}, up to {most} samples of each:',
             '', *(explained(line, reasons) for line in tell(told['figures']))]
    for title, verdict in map(ends, lines):
        if verdict == 'missed':
            print(f'{name}: say why: {title}')
    if (PLOTS / f'{name}.svg').exists():
        shutil.copy(BUILD / f'{name}.svg', PLOTS)
    return block[1] + '\n'.join(lines) + block[3]


def main():
    text = BLOCK.sub(renewed, README.read_text())
    README.write_text(text)
    return 1 if re.search(r'missed \|$', text, re.M) else 0


if __name__ == '__main__':
    sys.exit(main())
