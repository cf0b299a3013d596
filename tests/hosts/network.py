"""A network that exists on this machine alone: a bridge, and a network namespace for each host."""

import json
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path

from tests.hosts.commands import run


class Network:
    """One bridge with an address of this machine, and namespaces with one cable each; nothing leads out of it."""

    def __init__(self, name: str, network: IPv4Network) -> None:
        self._name = name
        self._network = network
        self._bridge = f"{name}-br"
        self._cables: dict[str, str] = {}

    @property
    def address(self) -> str:
        """This machine's address on the bridge."""
        return str(self._network[1])

    def up(self) -> None:
        """Lay the bridge.

        Raises:
            RuntimeError: the kernel makes none, or the machine has another use for these addresses.
        """
        taken = [
            address["local"]
            for link in json.loads(run("ip", "-json", "address"))
            for address in link.get("addr_info", [])
            if address["family"] == "inet"
            and IPv4Interface(f"{address['local']}/{address['prefixlen']}").network.overlaps(self._network)
        ]
        if taken:
            raise RuntimeError(
                f"The hosts' network {self._network} cannot be laid: this machine has {taken[0]} already."
            )
        run("ip", "link", "add", "name", self._bridge, "type", "bridge")
        run("ip", "address", "add", f"{self.address}/{self._network.prefixlen}", "dev", self._bridge)
        run("ip", "link", "set", self._bridge, "up")

    def join(self, host: str) -> str:
        """Give a host a namespace on the bridge and return its address there; the same host gets the same again.

        That of its network card, too: else its neighbours would call the old card for half a minute.
        """
        cable = self._cables.setdefault(host, f"{self._name}-{len(self._cables) + 2}")
        address = self._network[int(cable.rpartition("-")[2])]
        card = "02:00:" + address.packed.hex(":")  # locally administered
        space = self.namespace(host).name
        run("ip", "netns", "add", space)
        run("ip", "link", "add", cable, "type", "veth", "peer", "name", "host0", "address", card, "netns", space)
        run("ip", "link", "set", cable, "master", self._bridge, "up")
        run("ip", "-netns", space, "address", "add", f"{address}/{self._network.prefixlen}", "dev", "host0")
        run("ip", "-netns", space, "link", "set", "lo", "up")
        run("ip", "-netns", space, "link", "set", "host0", "up")
        return str(address)

    def namespace(self, host: str) -> Path:
        """The file that stands for a host's network namespace."""
        return Path("/run/netns") / f"{self._name}-{host}"

    def cut(self, host: str) -> None:
        """Pull a host's cable: packets vanish, and nobody is told."""
        run("ip", "link", "set", self._cables[host], "down")

    def mend(self, host: str) -> None:
        """Plug it in again."""
        run("ip", "link", "set", self._cables[host], "up")

    def leave(self, host: str) -> None:
        """Take a host off the bridge; its processes must have ended."""
        run("ip", "link", "delete", self._cables[host])  # by itself it would go a moment after its namespace
        run("ip", "netns", "delete", self.namespace(host).name)

    def down(self) -> None:
        """Remove the bridge and all that is named like this network, whoever made it."""
        for link in json.loads(run("ip", "-json", "link")):
            if link["ifname"].startswith(f"{self._name}-"):
                run("ip", "link", "delete", link["ifname"])
        for space in Path("/run/netns").glob(f"{self._name}-*"):
            run("ip", "netns", "delete", space.name)
