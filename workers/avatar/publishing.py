"""Publishing an avatar of this machine with all that belongs to it: the one way of `import`, `synth` and `push`."""

from infra.object_store import ObjectStore, open_store
from infra.settings import Settings
from jobs import keys
from jobs.console import print_result
from workers.avatar.export_records import carried_record, parse_exports
from workers.avatar.inventory import facts
from workers.avatar.pack import Pack, publish
from workers.canary import make_canary


def publish_proved(
    pack: Pack, name: str, store: ObjectStore, settings: Settings, export_record: bytes | None = None
) -> None:
    """Render the canary of a pack here, then publish both, and the record of its checkpoints where there is one.

    Raises:
        Failed: the networks do not answer as the contract demands; nothing was published.
        Transient: somebody removed the avatar at the same time.
    """
    beside = {keys.canary(pack.digest): make_canary(pack, settings)}
    if export_record is not None:
        beside[keys.exports(pack.digest)] = export_record
    publish(pack, store, name, beside)


def publish_and_print(
    pack: Pack,
    name: str,
    settings: Settings,
    *,
    as_json: bool,
    export_record: bytes | None = None,
    made_of: str | None = None,
) -> None:
    """Publish a pack in the store of the settings and print what it is.

    Args:
        pack: what to publish.
        name: what jobs will call it.
        settings: where to, and how to run the networks.
        as_json: see `jobs.console`.
        export_record: what was measured just now; without it, a record that is known already is carried along.
        made_of: digest of the pack that this one was made of, None for itself.
    """
    store = open_store(settings)
    record = export_record or carried_record(pack, made_of or pack.digest, store, settings.cache)
    publish_proved(pack, name, store, settings, record)
    document = facts(name, pack.digest, pack.spec)
    if record:
        document["exports"] = parse_exports(record)
    print_result(document, f"Avatar {name} is {pack.digest} in {store.url}.", as_json=as_json)
