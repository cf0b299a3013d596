"""Whether the store does what a fleet needs. Pure."""

from infra.errors import Transient
from infra.settings import Settings
from workers.doctor.certificates import judge_certificate
from workers.doctor.clocks import judge_clock
from workers.doctor.findings import Finding, error, warning
from workers.doctor.outcome import Outcome
from workers.doctor.store_facts import StoreProbe


def judge_store(probe: StoreProbe, settings: Settings, address: str) -> Outcome:
    """All that is to be said of the store.

    Args:
        probe: what came of using it.
        settings: where it was looked for.
        address: of it, free of secrets.
    """
    findings: list[Finding] = []
    if probe.certificate is not None:
        findings += judge_certificate(
            probe.certificate, "the store", "set LIPSYNC_S3_CA_BUNDLE to the file of its authority"
        )
    if probe.problem is not None:
        passing = isinstance(probe.problem, Transient)
        findings.append(error("store-unreachable" if passing else "store-refused", str(probe.problem)))
    if probe.denied:
        findings.append(
            error(
                "store-permission",
                f"The credentials lack {', '.join(probe.denied)} in {address}: allow that in the policy of the bucket "
                "or of the user.",
            )
        )
    if probe.differing:
        findings.append(
            error(
                "store-differs",
                f"What {address} answers to {' and '.join(probe.differing)} is not what was stored: look at the "
                "server, or at the proxy before it.",
            )
        )
    if not settings.store and settings.redis_url is not None:
        findings.append(
            warning(
                "store-local",
                f"LIPSYNC_STORE is not set, so this host would use its own folder {address} with a Redis that others "
                "share: set it to the fleet's store.",
            )
        )
    if probe.skew_s is not None:
        findings += judge_clock(probe.skew_s, "the store")
    seen = {
        "address": address,
        "done": probe.done,
        "skew_s": None if probe.skew_s is None else round(probe.skew_s, 1),
        "seconds": round(probe.seconds, 3),
        "certificate_days": None if probe.certificate is None else probe.certificate.days,
    }
    what = f"{', '.join(probe.done)} in {probe.seconds:.1f} s" if probe.done else "no answer"
    return Outcome(f"{address}: {what}", seen, tuple(findings))
