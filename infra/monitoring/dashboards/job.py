"""The dashboard of one job: how far it is, what it waits for, what fails."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from infra.monitoring.dashboards.panels import (
    COUNT,
    FRAMES,
    FRAMES_PER_S,
    RATIO,
    SECONDS,
    Panels,
    Query,
    choice,
    curves,
    dial,
    number,
    page,
    states,
    with_rows,
)

NAME = "lipsync-job"
FLEET = 'job="$fleet"'
JOB = f'{FLEET}, job_id="$job_id"'
LEFT = f"(max(lipsync_job_frames{{{JOB}}}) - max(lipsync_job_frames_done{{{JOB}}}))"
RATE = f"max(deriv(lipsync_job_frames_done{{{JOB}}}[2m]))"
"""Frames per second; below zero for a moment when a chunk is begun again."""


def build() -> Dashboard:
    """The whole dashboard."""
    jobs = choice("job_id", "Job", 'label_values(lipsync_job_created_timestamp_seconds{job="$fleet"}, job_id)')
    board = page(
        "Lipsync: job",
        NAME,
        "The life of one job. A job that is done or cancelled leaves the metrics at once, a failed one after a day: "
        "choose a range of time in which it was there.",
        since="now-1h",
    ).with_variable(jobs)
    sections = {
        "At a glance": _at_a_glance(),
        "Course": _course(),
        "What it shares the fleet with": _surroundings(),
    }
    return with_rows(board, sections)


def _at_a_glance() -> Panels:
    return [
        number(
            "State",
            "Where the job stands: queued, running, paused, assembling or failed; none when it has ended.",
            COUNT,
            Query(f"max by (state) (lipsync_job_state{{{JOB}}})", "{{state}}"),
            name_shown=True,
        ),
        number("Frames left", "Frames that nobody has rendered yet.", FRAMES, Query(LEFT)),
        number(
            "Rate",
            "Frames per second of this job over the last two minutes, of all workers that render it.",
            FRAMES_PER_S,
            Query(f"clamp_min({RATE}, 0)"),
        ),
        number(
            "Rendered in",
            "Time until its last frame is rendered, at the rate of the last two minutes; none while it stands.",
            SECONDS,
            Query(f"{LEFT} / ({RATE} > 0)"),
        ),
        number(
            "Age",
            "Since the job was opened.",
            SECONDS,
            Query(f"time() - max(lipsync_job_created_timestamp_seconds{{{JOB}}})"),
        ),
        number(
            "Last sign of life",
            "Since a part of it was last taken, finished or given back.",
            SECONDS,
            Query(f"time() - max(lipsync_job_progress_timestamp_seconds{{{JOB}}})"),
            bad_from=900,
        ),
        number(
            "In quarantine",
            "Parts that failed too often. The job has failed; lipsync status says why; lipsync retry helps.",
            COUNT,
            Query(f'max(lipsync_job_parts{{{JOB}, state="quarantined"}})'),
            bad_from=1,
        ),
        number(
            "Parts in flight",
            "Chunks of the job, its audio track or its assembly, that workers hold now.",
            COUNT,
            Query(f'max(lipsync_job_parts{{{JOB}, state="in_flight"}})'),
        ),
    ]


def _course() -> Panels:
    return [
        dial(
            "Progress",
            "Share of its frames that are rendered.",
            RATIO,
            Query(f"max(lipsync_job_frames_done{{{JOB}}}) / max(lipsync_job_frames{{{JOB}}})"),
            most=1,
        ),
        curves(
            "Frames",
            "Frames that are rendered, and all that there are. A step back is a chunk that is begun again.",
            FRAMES,
            Query(f"max(lipsync_job_frames_done{{{JOB}}})", "rendered"),
            Query(f"max(lipsync_job_frames{{{JOB}}})", "all"),
            span=9,
        ),
        curves(
            "Frames per second",
            "How fast the job moves. Jobs share the workers: with others in the fleet it gets its part of them.",
            FRAMES_PER_S,
            Query(f"clamp_min({RATE}, 0)", "this job"),
            Query(f"fleet:lipsync_frames_rendered:rate5m{{{FLEET}}}", "the whole fleet"),
            span=9,
        ),
        states(
            "States",
            "Which state the job was in, and when.",
            Query(f"max by (state) (lipsync_job_state{{{JOB}}})", "{{state}}"),
        ),
        curves(
            "Chunks",
            "Chunks that are recorded, and all that there are.",
            COUNT,
            Query(f"max(lipsync_job_chunks_done{{{JOB}}})", "done"),
            Query(f"max(lipsync_job_chunks{{{JOB}}})", "all"),
            span=12,
        ),
        curves(
            "Parts that are not finished",
            "Chunks, the audio track and the assembly: waiting for a worker, in a worker's hands, or given up.",
            COUNT,
            Query(f"max by (state) (lipsync_job_parts{{{JOB}}})", "{{state}}"),
            stacked=True,
            span=12,
        ),
    ]


def _surroundings() -> Panels:
    return [
        curves(
            "Jobs under way",
            "All jobs of the fleet that have not ended.",
            COUNT,
            Query(f'max by (state) (lipsync_jobs{{{FLEET}, state=~"queued|running|assembling|paused"}})', "{{state}}"),
            stacked=True,
        ),
        curves(
            "Workers",
            "Workers that could take its parts; none of them idle means that the job waits for its turn.",
            COUNT,
            Query(f"max by (state) (lipsync_workers{{{FLEET}}})", "{{state}}"),
            stacked=True,
        ),
        curves(
            "Time of a chunk",
            "How long chunks of all jobs take, so that a slow job can be told from a slow fleet.",
            SECONDS,
            Query(f'stage:lipsync_chunk_stage_seconds:p50_10m{{{FLEET}, stage="whole"}}', "half of the chunks"),
            Query(f'stage:lipsync_chunk_stage_seconds:p95_10m{{{FLEET}, stage="whole"}}', "95 %"),
        ),
    ]
