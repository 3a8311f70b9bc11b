"""Figures as one picture: a panel each, of bars, or of a line over a size.

A bar or a point is the median, its whisker the spread, the dashed line what is
wanted: of what stands beside, when a ratio is wanted.
"""
import os
import pathlib
import re
import statistics
import tempfile

# Where it would keep its fonts' list, beside nobody's own.
os.environ.setdefault('MPLCONFIGDIR', os.path.join(tempfile.gettempdir(),
                                                   'rill-bench-plot'))
os.makedirs(os.environ['MPLCONFIGDIR'], exist_ok=True)

import matplotlib    # noqa: E402

matplotlib.use('svg')
matplotlib.rcParams.update({
    'svg.fonttype': 'none', 'svg.hashsalt': 'rill', 'font.size': 8,
    'font.sans-serif': ['DejaVu Sans'], 'xtick.major.size': 0,
    'ytick.major.size': 0,
    'axes.titlesize': 8, 'axes.spines.top': False, 'axes.spines.right': False,
    'axes.grid': True, 'grid.color': '#dddddd', 'axes.axisbelow': True})

from matplotlib import pyplot    # noqa: E402

COLUMNS, WIDE = 3, 3.6
OURS, OTHERS, WANTED = '#1b6ca8', '#b0b0b0', '#c0392b'
WIDE_SPREAD = 30    # From where on a scale is logarithmic.


def wanted_of(figure):
    """Where the line of what is wanted lies, or None."""
    if not figure.wanted:
        return None
    bound = float(figure.wanted.split()[1])
    if not figure.beside:
        return bound
    theirs = figure.samples.get(figure.beside)
    return bound * statistics.median(theirs) if theirs else None


def spread_of(figure):
    names = list(figure.samples)
    middles = [statistics.median(figure.samples[n]) for n in names]
    below = [m - min(figure.samples[n]) for n, m in zip(names, middles)]
    above = [max(figure.samples[n]) - m for n, m in zip(names, middles)]
    return names, middles, [below, above]


def wraps(text, at=44):
    lines = ['']
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > at:
            lines.append('')
        lines[-1] += (' ' if lines[-1] else '') + word
    return '\n'.join(lines)


def bars(axes, figure):
    names, middles, spread = spread_of(figure)
    axes.barh(names, middles, xerr=spread, height=0.6,
              error_kw=dict(lw=0.8, capsize=2),
              color=[OURS if n == figure.ours else OTHERS for n in names])
    axes.invert_yaxis()
    axes.grid(axis='y', visible=False)
    axes.set_xlabel(figure.unit)
    low = min((m for m in middles if m > 0), default=1)
    if max(middles) > WIDE_SPREAD * low and min(middles) > 0:
        axes.set_xscale('log')
    wanted = wanted_of(figure)
    if wanted is not None:
        axes.axvline(wanted, color=WANTED, ls='--', lw=1)


def line(axes, figure):
    names, middles, spread = spread_of(figure)
    sizes = [float(n.replace(',', '')) for n in names]
    axes.errorbar(sizes, middles, yerr=spread, color=OURS, marker='o', ms=3,
                  lw=1.2, elinewidth=0.8, capsize=2)
    axes.set_xscale('log')
    axes.set_xticks(sizes, names)
    axes.set_xlabel(figure.over)
    axes.set_ylabel(figure.unit)
    low = min((m for m in middles if m > 0), default=1)
    if max(middles) > WIDE_SPREAD * low and min(middles) > 0:
        axes.set_yscale('log')
    else:
        axes.set_ylim(0, 1.15 * max(max(m + a for m, a in
                                        zip(middles, spread[1])), 1e-9))
    wanted = wanted_of(figure)
    if wanted is not None:
        axes.axhline(wanted, color=WANTED, ls='--', lw=1)


def draw(path, title, figures):
    """Write an SVG of all figures that have samples."""
    figures = [f for f in figures if f.samples]
    if not figures:
        return
    columns = min(COLUMNS, len(figures))
    rows = -(-len(figures) // columns)
    tall = 2.2 if any(f.over for f in figures) else \
        1.2 + 0.22 * max(len(f.samples) for f in figures)
    picture, grid = pyplot.subplots(rows, columns, squeeze=False,
                                    figsize=(WIDE * columns, tall * rows + 0.4))
    panels = list(grid.flat)
    for axes, figure in zip(panels, figures):
        (line if figure.over else bars)(axes, figure)
        axes.minorticks_off()
        axes.set_title(wraps(figure.name), loc='left')
    for axes in panels[len(figures):]:
        axes.remove()
    picture.suptitle(title, x=0.01, ha='left')
    picture.tight_layout()
    picture.savefig(path, metadata={'Date': None})
    pyplot.close(picture)
    path = pathlib.Path(path)
    text = re.sub(r'\d+\.\d{2,}', lambda n: f'{float(n[0]):.1f}',
                  path.read_text())
    path.write_text(re.sub(r'\s*\n\s*', '\n', text))
