"""Write the dashboards beside this file."""

from pathlib import Path

from infra.monitoring.dashboards import job, operator
from infra.monitoring.dashboards.panels import write

for board in (operator, job):
    (Path(__file__).parent / f"{board.NAME}.json").write_text(write(board.build()))
