"""The benchmarks' drivers, one small turn where no peer can be had: who is
missing is named, its samples are left out, and every other figure is told.
"""
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / 'tests' / 'bench'))

import bus    # noqa: E402
import figures    # noqa: E402
import peers    # noqa: E402
import store    # noqa: E402

SIZE = 64 << 20
PEERS = {'fio', 'JetStream', 'Redis, AOF always', 'slower of bus and fio',
         'fio, one, synced'}


def measured(module):
    said = []
    found = module.figures(1, SIZE, said.append)
    for figure in found:
        if figure.ours not in figure.samples or \
                PEERS & set(figure.samples) or \
                (figure.beside in PEERS and figure.met() is not None):
            yield f'{figure.name}: {figure.samples}'
    if not any(text.startswith('left out: fio: fio is not') for text in said):
        yield f'it says {said}'
    if not '\n'.join(figures.tell(found)):
        yield 'nothing is told'


def main():
    if os.environ.get('RILL_BUILD', 'build/release') != 'build/release':
        print('ok the benchmarks are programs of the release build only')
        return 0
    peers.PATH = '/nowhere'
    wrong = [line for module in (store, bus) for line in measured(module)]
    print(f'{"not ok" if wrong else "ok"} a benchmark names the peers that it '
          'cannot have and measures the rest')
    for line in wrong:
        print('#', line)
    return bool(wrong)


if __name__ == '__main__':
    sys.exit(main())
