"""The operator's dashboard: is the fleet well, does it keep up, which host is not."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from infra.monitoring.dashboards.panels import (
    BYTES,
    COUNT,
    FRAMES,
    FRAMES_PER_S,
    PER_S,
    RATIO,
    SECONDS,
    WIDTH,
    Panels,
    Query,
    buckets,
    curves,
    number,
    page,
    rows,
    with_rows,
)

NAME = "lipsync-operator"
FLEET = 'job="$fleet"'


def build() -> Dashboard:
    """The whole dashboard."""
    board = page(
        "Lipsync: fleet",
        NAME,
        "Queue, hosts, versions, stages and errors of a fleet, for who keeps it running.",
        since="now-6h",
    )
    sections = {
        "At a glance": _at_a_glance(),
        "Queue": _queue(),
        "Rendering": _rendering(),
        "Hosts, devices, versions": _hosts(),
        "Errors": _errors(),
    }
    return with_rows(board, sections)


def _at_a_glance() -> Panels:
    return [
        number(
            "Redis",
            "Whether the exporter reaches the fleet's Redis. Without it nothing below is known.",
            COUNT,
            Query(f"max(lipsync_redis_up{{{FLEET}}})"),
            good_from=1,
            words={"0": "away", "1": "there"},
        ),
        number(
            "Alerts",
            "Alerts of this fleet that fire now; what to do about each stands in docs/operating.md.",
            COUNT,
            Query(f'count(ALERTS{{{FLEET}, alertstate="firing", alertname=~"Lipsync.*"}}) or vector(0)'),
            bad_from=1,
        ),
        number(
            "Able workers",
            "Workers that are busy or idle: those that can take work, now or after what they hold.",
            COUNT,
            Query(f"fleet:lipsync_workers_able:count{{{FLEET}}}"),
            good_from=1,
        ),
        number(
            "Rate",
            "Frames per second of the whole fleet over the last five minutes.",
            FRAMES_PER_S,
            Query(f"fleet:lipsync_frames_rendered:rate5m{{{FLEET}}}"),
        ),
        number(
            "Frames left",
            "Frames of all jobs that may be worked on and that nobody has rendered yet.",
            FRAMES,
            Query(f"max(lipsync_frames_left{{{FLEET}}})"),
        ),
        number(
            "Empty in",
            "Time until nothing is left, at the rate of the last five minutes; none while nobody renders.",
            SECONDS,
            Query(f"fleet:lipsync_time_to_empty:seconds{{{FLEET}}}"),
        ),
        number(
            "Oldest waiting part",
            "For how long the part that waits longest has been offered.",
            SECONDS,
            Query(f"max(lipsync_oldest_waiting_seconds{{{FLEET}}})"),
            bad_from=900,
        ),
        number(
            "Failed within a day",
            "Jobs that failed within the last 24 hours.",
            COUNT,
            Query(f'sum(increase(lipsync_jobs_ended_total{{{FLEET}, state="failed"}}[1d]))'),
            bad_from=1,
        ),
    ]


def _queue() -> Panels:
    first = f"sum by (le) (rate(lipsync_first_segment_seconds_bucket{{{FLEET}}}[1h]))"
    return [
        curves(
            "Work that is left",
            "The work that waits. A line that rises over hours means that the fleet is too small.",
            FRAMES,
            Query(f"max(lipsync_frames_left{{{FLEET}}})", "frames left"),
        ),
        curves(
            "Parts and messages",
            "Parts that wait for a worker or are in a worker's hands, and the messages that ring for them. "
            "Messages without parts are left over and do no harm.",
            COUNT,
            Query(f"max by (state) (lipsync_parts{{{FLEET}}})", "parts {{state}}"),
            Query(f"max(lipsync_queue_messages{{{FLEET}}})", "messages"),
        ),
        curves(
            "In and out",
            "Growth of the work that is left, and what the fleet renders. Above zero, the first line means more "
            "comes in than is done.",
            FRAMES_PER_S,
            Query(f"fleet:lipsync_frames_left:deriv15m{{{FLEET}}}", "growth"),
            Query(f"fleet:lipsync_frames_rendered:rate5m{{{FLEET}}}", "rendered"),
        ),
        curves(
            "Workers there and wanted",
            "Workers that can take work, and how many the fleet should have for what is queued: the hint that an "
            "autoscaler may follow.",
            COUNT,
            Query(f"fleet:lipsync_workers_able:count{{{FLEET}}}", "able"),
            Query(f"max(lipsync_workers_desired{{{FLEET}}})", "desired"),
        ),
        curves(
            "Jobs by state",
            "Jobs that have not ended, and those that failed and are still known. Failed ones can be retried.",
            COUNT,
            Query(f'max by (state) (lipsync_jobs{{{FLEET}, state!~"done|cancelled"}})', "{{state}}"),
            stacked=True,
        ),
        curves(
            "Jobs submitted and ended",
            "Jobs per second that were opened, and that were done, failed or were cancelled.",
            PER_S,
            Query(f"sum(rate(lipsync_jobs_submitted_total{{{FLEET}}}[$__rate_interval]))", "submitted"),
            Query(f"sum by (state) (rate(lipsync_jobs_ended_total{{{FLEET}}}[$__rate_interval]))", "{{state}}"),
        ),
        curves(
            "Time to the first segment",
            "From the opening of a job until its first chunk was recorded: what somebody who waits feels first.",
            SECONDS,
            Query(f"histogram_quantile(0.5, {first})", "half of the jobs"),
            Query(f"histogram_quantile(0.95, {first})", "95 %"),
            span=WIDTH,
        ),
    ]


def _rendering() -> Panels:
    whole = f'lipsync_chunk_stage_seconds_bucket{{{FLEET}, stage="whole"}}'
    return [
        curves(
            "Frames per second by worker",
            "What each worker has recorded. A worker that falls behind its like has a sick device or a slow disk.",
            FRAMES_PER_S,
            Query(f"worker:lipsync_frames_rendered:rate5m{{{FLEET}}}", "{{worker}}"),
            stacked=True,
        ),
        curves(
            "Rate and pace",
            "What the fleet renders, and what its live workers reached on their last chunks: the distance between "
            "the two is idle time.",
            FRAMES_PER_S,
            Query(f"fleet:lipsync_frames_rendered:rate5m{{{FLEET}}}", "rate"),
            Query(f"sum(lipsync_worker_pace_frames_per_second{{{FLEET}}})", "pace"),
        ),
        buckets(
            "Time of a chunk",
            "How long chunks took from claim to record. At 260 s an attempt fails.",
            SECONDS,
            Query(f"sum by (le) (increase({whole}[$__rate_interval]))", "{{le}}"),
        ),
        curves(
            "Stages of a chunk, half of the chunks",
            "Median time of each stage; stages overlap, so their sum is more than the whole.",
            SECONDS,
            Query(f"stage:lipsync_chunk_stage_seconds:p50_10m{{{FLEET}}}", "{{stage}}"),
            span=12,
        ),
        curves(
            "Stages of a chunk, 95 %",
            "The time that 95 of 100 chunks keep within, stage by stage.",
            SECONDS,
            Query(f"stage:lipsync_chunk_stage_seconds:p95_10m{{{FLEET}}}", "{{stage}}"),
            span=12,
        ),
    ]


def _hosts() -> Panels:
    starts = f"sum by (le) (increase(lipsync_cold_start_seconds_bucket{{{FLEET}}}[1d]))"
    columns = ("worker", "host", "device", "device_name", "provider", "version", "release")
    return [
        curves(
            "Workers by state",
            "Lost workers have said nothing for half a minute, and are forgotten after an hour.",
            COUNT,
            Query(f"max by (state) (lipsync_workers{{{FLEET}}})", "{{state}}"),
            stacked=True,
        ),
        curves(
            "Versions at work",
            "Live workers by version. During an update one line falls as the other rises; for hours there is one.",
            COUNT,
            Query(f"count by (version) (lipsync_worker_info{{{FLEET}}})", "{{version}}"),
            stacked=True,
        ),
        curves(
            "Starts by host",
            "Starts per worker within half an hour; more than three are an alert.",
            COUNT,
            Query(f"host:lipsync_worker_starts_per_worker:increase30m{{{FLEET}}}", "{{host}}"),
        ),
        rows(
            "Live workers",
            "What each worker says of itself: its device, what its networks run on, and the build that it runs.",
            Query(f"lipsync_worker_info{{{FLEET}}}"),
            columns,
        ),
        curves(
            "Use of devices",
            "Share of the last moments in which each accelerator was at work. Low use with work in the queue means "
            "that a CPU, a disk or the store is too slow.",
            RATIO,
            Query(f"lipsync_device_use_ratio{{{FLEET}}}", "{{worker}}"),
            most=1,
        ),
        curves(
            "Memory of devices",
            "Share of each accelerator's memory that is in use, by whomever.",
            RATIO,
            Query(
                f"lipsync_device_memory_bytes{{{FLEET}}} / lipsync_device_memory_total_bytes{{{FLEET}}}",
                "{{worker}}",
            ),
            most=1,
        ),
        curves(
            "Memory of workers",
            "What the processes of each worker keep resident and share with nobody.",
            BYTES,
            Query(f"lipsync_worker_memory_bytes{{{FLEET}}}", "{{worker}}"),
        ),
        curves(
            "Free on the disks of the caches",
            "Below 5 GB is an alert: an avatar may take several GB.",
            BYTES,
            Query(
                f"min by (host) (lipsync_cache_free_bytes{{{FLEET}}} * on (job, worker) group_left (host) "
                f"lipsync_worker_info{{{FLEET}}})",
                "{{host}}",
            ),
        ),
        curves(
            "Drained hosts",
            "Hosts that take no more work, until somebody lets them.",
            COUNT,
            Query(f"sum(max by (host) (lipsync_host_drained{{{FLEET}}}))", "drained hosts"),
        ),
        curves(
            "Cold starts",
            "Time from the start of a worker's process until it was ready, over the last day.",
            SECONDS,
            Query(f"histogram_quantile(0.5, {starts})", "half of the starts"),
            Query(f"histogram_quantile(0.95, {starts})", "95 %"),
        ),
    ]


def _errors() -> Panels:
    def rate(name: str) -> str:
        return f"sum(rate(lipsync_{name}_total{{{FLEET}}}[$__rate_interval]))"

    return [
        curves(
            "What became of parts",
            "Parts per second by verdict: recorded is the aim; again and quarantined are failures; handed_back is "
            "a worker that was told to stop.",
            PER_S,
            Query(f"sum by (verdict) (rate(lipsync_parts_ended_total{{{FLEET}}}[$__rate_interval]))", "{{verdict}}"),
        ),
        curves(
            "Share of attempts that fail",
            "Of the last quarter of an hour; a fifth is an alert.",
            RATIO,
            Query(f"fleet:lipsync_attempts_failed:ratio15m{{{FLEET}}}", "failed"),
            most=1,
        ),
        curves(
            "Claims and quarantines",
            "Claims that ran out since a worker vanished, claims that workers lost, and parts that were given up.",
            PER_S,
            Query(rate("claims_expired"), "expired"),
            Query(rate("claims_lost"), "lost"),
            Query(rate("quarantines"), "quarantined"),
            Query(rate("attempts"), "attempts"),
        ),
        curves(
            "Errors of the store",
            "By the worker that met them: one worker means its host or its network, all of them mean the store.",
            PER_S,
            Query(f"sum by (worker) (rate(lipsync_store_errors_total{{{FLEET}}}[$__rate_interval])) > 0", "{{worker}}"),
        ),
        curves(
            "Reading the ledger",
            "Time that the exporter took to read Redis for one page. Tens of milliseconds are usual.",
            SECONDS,
            Query(f"max(lipsync_exporter_read_seconds{{{FLEET}}})", "one page"),
        ),
        curves(
            "Clock of Redis",
            "How far it is ahead of the clock of the watching host. Two seconds are an alert.",
            SECONDS,
            Query(f"max(lipsync_redis_clock_offset_seconds{{{FLEET}}})", "ahead"),
        ),
    ]
