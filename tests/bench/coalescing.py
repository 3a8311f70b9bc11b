#!/usr/bin/python3
"""How one cache serves a crowd that wants the same object at the same moment.

  coalescing.py [TURNS]       3 turns if not said

Fifty terminals ask for 1 MB in 16 chunks of 64 KiB; the parent gives its first
byte after 0.5 s and the rest over 0.5 s. Times are medians; of what came from
above and of who has it whole the worst turn is told.
"""
import pathlib
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / 'plays'))
from coalescing import SIZE, TERMINALS, WAYS, coalesce

ROW = '{:40} {:>9} {:>12} {:>9} {:>9}'


def main():
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    print(ROW.format('', 'from above', 'first byte', 'whole', 'after'))
    for (watches, dies), how in WAYS.items():
        told = [coalesce(watches, dies) for _ in range(turns)]

        def median(what):
            return f'{statistics.median(t[what] for t in told):.3f} s'
        print(ROW.format(how, f'{max(t["sent"] for t in told) / SIZE:.3f}',
                         median('first'),
                         f'{min(t["whole"] for t in told)}/{TERMINALS}',
                         median('took')), flush=True)
    print('from above: in objects, with all that is said beside; first byte: '
          'of the\nterminal that was served last, once its first chunk was '
          'there whole.')


if __name__ == '__main__':
    main()
