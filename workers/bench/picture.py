"""A report as a picture."""

import importlib.util
import logging
from pathlib import Path

import numpy as np

from infra.errors import Failed, Rejected
from infra.store_directory import file_error
from jobs.console import check_output
from workers.bench.machine import describe_machine
from workers.bench.report import Bars, Report

FORMATS = (".png", ".svg")
WIDTH_INCHES, CHART_INCHES = 9.0, 3.2
BINS = 40
BLUE = "#3b6ea5"


def check_picture(path: Path) -> None:
    """Refuse a picture that cannot be drawn, before anything is measured for it.

    Raises:
        Rejected: its name or place is none for a picture.
        Failed: the package `matplotlib` is missing.
    """
    if path.suffix.lower() not in FORMATS:
        raise Rejected(f"{path} cannot be drawn: name a picture that ends in {' or '.join(FORMATS)}.")
    check_output(path)
    if importlib.util.find_spec("matplotlib") is None:
        raise Failed("Drawing figures needs the package `matplotlib`: install lipsync-fleet with its extra `plot`.")


def draw(report: Report, path: Path) -> None:
    """Draw the charts of a report, one below the other.

    Args:
        report: has at least one chart.
        path: as `check_picture` wants it.

    Raises:
        Failed: it cannot be written.
    """
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # else it tells of its fonts, at the first import at length
    from matplotlib.figure import Figure  # large, and in the extra `plot` only

    figure = Figure(figsize=(WIDTH_INCHES, CHART_INCHES * len(report.charts)), layout="constrained")
    figure.suptitle(f"lipsync bench --what {report.what}\n{describe_machine()}", fontsize="medium")
    for axes, chart in zip(figure.subplots(len(report.charts), squeeze=False)[:, 0], report.charts, strict=True):
        axes.set_title(chart.title)
        axes.set_xlabel(chart.unit)
        axes.margins(x=0.1)
        axes.spines[["top", "right"]].set_visible(False)
        if isinstance(chart, Bars):
            bars = axes.barh(list(chart.values), list(chart.values.values()), color=BLUE)
            axes.bar_label(bars, fmt="%.2f", padding=3)
            axes.invert_yaxis()
        else:
            edges = np.histogram_bin_edges(np.concatenate([*chart.samples.values()]), BINS).tolist()
            for name, samples in chart.samples.items():
                axes.hist(samples, edges, histtype="stepfilled", alpha=0.6, label=name)
            axes.set_ylabel("how many")
            axes.yaxis.get_major_locator().set_params(integer=True)
            axes.legend(frameon=False)
    try:
        figure.savefig(path)
    except OSError as error:
        raise file_error(f"Writing {path}", error) from error
