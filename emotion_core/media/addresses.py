"""Addresses in a network that a user named: taken apart, looked up, and none of a private network by accident."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urlsplit

from emotion_core.errors import EmotionError

if TYPE_CHECKING:
    import socket

PICTURES = ("http", "https")
STREAMS = (*PICTURES, "rtsp")
_PORTS = {"http": 80, "https": 443, "rtsp": 554}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address


@dataclass(frozen=True)
class Found:
    """A host's address, to be connected to as it is: a second look-up might say another one.

    Attributes:
        family: of the socket.
        socket_address: for ``socket.connect``; its first part is the number.
    """

    family: socket.AddressFamily
    socket_address: tuple[Any, ...]


def is_url(source: str, schemes: tuple[str, ...] = STREAMS) -> bool:
    """Whether it is written as an address of one of these kinds."""
    scheme, mark, _ = source.partition("://")
    return bool(mark) and scheme.lower() in schemes


def split(url: str) -> tuple[SplitResult, str, int]:
    """The parts of an address, its host and its port; raises EmotionError where it has no host or a bad port."""
    try:
        parts = urlsplit(url)
        port = _PORTS[parts.scheme] if parts.port is None else parts.port
        host = parts.hostname
    except (KeyError, ValueError):
        host = None
    if not host or any(character <= " " or character == "\x7f" for character in url):
        raise EmotionError(f"{shown(url)}: expected an address such as https://host/picture.jpg, without blanks")
    return parts, host, port


def login(parts: SplitResult) -> str | None:
    """``user:password`` of an address, None where it has none."""
    return None if parts.username is None else f"{unquote(parts.username)}:{unquote(parts.password or '')}"


def shown(url: str) -> str:
    """The address for messages and results: without the user and the password in it."""
    scheme, mark, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}"


def look_up(host: str, port: int, allow_private: bool = False) -> list[Found]:
    """All addresses of a host, the preferred one first.

    Args:
        host, port: which.
        allow_private: take also those of the own machine and network.

    Raises:
        EmotionError: it has none, or one of them is not public while only such are allowed.
    """
    import socket  # whoever names no address need not wait for it

    try:
        entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise EmotionError(f"the host {host} is not known: check its name and the network") from None
    found = [Found(family, address) for family, _, _, _, address in entries]
    if not found:
        raise EmotionError(f"the host {host} has no address: check its name")
    for one in () if allow_private else found:
        if not is_public(number := str(one.socket_address[0])):
            raise EmotionError(
                f"{host} is {number}, an address of this machine or a private network: refused unless --allow-private "
                "(of a node: allow_private) is given"
            )
    return found


def is_public(number: str) -> bool:
    """Whether an IPv4 or IPv6 address is one of the public internet's; those that hold an IPv4 one count as that."""
    address = ipaddress.ip_address(number)
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        address = inner or address
    return address.is_global and not (address.is_multicast or address.is_reserved)
