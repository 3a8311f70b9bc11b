"""Figures: what was measured, in turn, of whom; told as a table and as JSON.

A figure has samples of several, taken one after the other in each turn, so that
what disturbs the machine disturbs all of them. What is told is the median and
the spread, and the ratio of the pairs: its median, and its spread.
"""
import dataclasses
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


def spread(values, unit=''):
    low, high = min(values), max(values)
    return f'{short(statistics.median(values))} ' \
           f'({short(low)} to {short(high)}){unit and " " + unit}'


def short(value):
    return f'{value:.0f}' if abs(value) >= 100 else f'{value:.3g}'


def grown(figures):
    """Figures over the same sizes as one table, of medians; the spread is drawn.
    """
    sizes = list(max((f.samples for f in figures), key=len))
    yield f'| {figures[0].over} | {" | ".join(sizes)} | wanted |'
    yield '|---|' + '---:|' * len(sizes) + '---|'
    for figure in figures:
        middles = [short(statistics.median(figure.samples[size]))
                   if size in figure.samples else '' for size in sizes]
        met = {True: 'met', False: 'MISSED', None: ''}[figure.met()]
        yield f'| {figure.name}, {figure.unit} | {" | ".join(middles)} | ' \
              f'{figure.wanted}{met and ": " + met} |'
    yield ''


def tell(figures):
    """The table, as lines."""
    over = {}
    for figure in figures:
        if figure.over:
            over.setdefault(figure.over, []).append(figure)
    for some in over.values():
        yield from grown(some)
    for figure in figures:
        if figure.over:
            continue
        yield f'{figure.name}, {figure.unit}' \
              + (f' – {figure.notes}' if figure.notes else '')
        for who, values in figure.samples.items():
            yield f'    {who:28} {spread(values)}'
        ratios = figure.ratios()
        if ratios:
            yield f'    {figure.ours} / {figure.beside}: {spread(ratios)}'
        if figure.wanted:
            of = 'ratio ' if figure.beside else ''
            told = {True: 'met', False: 'MISSED', None: 'not measured'}
            yield f'    wanted: {of}{figure.wanted}: {told[figure.met()]}'
        yield ''
