"""Figures: what was measured, in turn, of whom; told as a table and as JSON.

A figure has samples of several, taken one after the other in each turn, so that
what disturbs the machine disturbs all of them. What is told is the median and
the spread, and the ratio of the pairs: its median, and its spread.
"""
import dataclasses
import json
import statistics


@dataclasses.dataclass
class Figure:
    name: str                  # What is done.
    unit: str
    ours: str                  # Whose samples are ours,
    beside: str = ''           # and whose they are compared with.
    wanted: str = ''           # Of the ratio, or of ours: '>= 1.5', '<= 10'.
    notes: str = ''
    over: str = ''             # Who are sizes of this: its plot is a line.
    samples: dict = dataclasses.field(default_factory=dict)

    def add(self, who, value):
        self.samples.setdefault(who, []).append(value)

    def ratios(self):
        """Of each turn: ours by theirs. None when there is nobody beside."""
        theirs = self.samples.get(self.beside)
        mine = self.samples.get(self.ours)
        if not theirs or not mine:
            return None
        return [a / b for a, b in zip(mine, theirs) if b]

    def judged(self):
        """The value that is compared with what is wanted, or None."""
        if self.beside:
            ratios = self.ratios()
            return statistics.median(ratios) if ratios else None
        mine = self.samples.get(self.ours)
        return statistics.median(mine) if mine else None

    def met(self):
        """True, False, or None: it was not to be told."""
        value = self.judged()
        if value is None or not self.wanted:
            return None
        sign, bound = self.wanted.split()
        return value >= float(bound) if sign == '>=' else value <= float(bound)

    def json(self):
        return dict(dataclasses.asdict(self), ratios=self.ratios(),
                    judged=self.judged(), met=self.met())

    def title(self):
        return f'{self.name}, {self.unit}'

    def verdict(self):
        if not self.wanted:
            return ''
        return {True: 'met', False: 'missed', None: 'not measured'}[self.met()]


def write(path, **told):
    """A row's figures, and what it ran on, as JSON."""
    told['figures'] = [figure.json() for figure in told['figures']]
    path.write_text(json.dumps(told, indent=1) + '\n')


def read(path):
    """What was written."""
    told = json.loads(path.read_text())
    names = {field.name for field in dataclasses.fields(Figure)}
    told['figures'] = [Figure(**{k: v for k, v in figure.items() if k in names})
                       for figure in told['figures']]
    return told


def spread(values):
    middle, *ends = map(short, (statistics.median(values), min(values),
                                max(values)))
    return middle if {middle} == set(ends) else \
        f'{middle} ({ends[0]} to {ends[1]})'


def short(value):
    return f'{value:.0f}' if abs(value) >= 100 else f'{value:.3g}'


def lined_up(rows):
    """Cells, the head's first, as lines of Markdown; the last are not filled."""
    wide = [max(map(len, column)) for column in zip(*rows)]
    wide[-1] = 3
    rows = [rows[0], ['-' * w for w in wide], *rows[1:]]
    for row in rows:
        yield '| ' + ' | '.join(c.ljust(w) for c, w in zip(row, wide)) + ' |'
    yield ''


def grown(figures):
    """Figures over the same sizes, of medians; the spread is drawn."""
    sizes = list(max((f.samples for f in figures), key=len))
    yield [figures[0].over, *sizes, 'wanted', '']
    for figure in figures:
        middles = [short(statistics.median(figure.samples[size]))
                   if size in figure.samples else '' for size in sizes]
        yield [figure.title(), *middles, figure.wanted, figure.verdict()]


def compared(figures):
    yield ['', 'measured', 'beside', 'ratio', 'wanted', '']
    for figure in figures:
        told = {who: spread(values) for who, values in figure.samples.items()}
        ours, ratios = told.pop(figure.ours, ''), figure.ratios()
        others = [f'{who} {value}' for who, value in told.items()]
        if figure.notes:
            others.append(figure.notes)
        of = f'{figure.wanted} of {figure.beside}' if figure.beside and \
            figure.wanted else figure.wanted
        yield [figure.title(), ours, '; '.join(others),
               spread(ratios) if ratios else '', of, figure.verdict()]


def tell(figures):
    """The tables, as lines of Markdown."""
    over = {}
    for figure in figures:
        over.setdefault(figure.over, []).append(figure)
    for size, some in over.items():
        yield from lined_up(list((grown if size else compared)(some)))
