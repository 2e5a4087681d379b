"""Provenance: how a track was computed, as the key under which it is looked up."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import BadInput
from ..identifiers import Digest, digest_of


@dataclass(frozen=True)
class Provenance:
    """Records how a track was produced.

    ``cache_key`` is the key of the interface that this one follows; it cannot tell ``True`` from
    1, nor ``f(a, b)`` from ``f(b, a)``. What stores look up is ``digest``, which can.

    Args:
        operation: What was done, such as ``transform.log``.
        input_ids: What it was done to; in order, unless it is ``commutative``.
        params: Key and value of each parameter. Values are what JSON has, and may be nested;
            numbers may be NaN or infinite.
        version: Of the operation. Results of another version are not served for this one.
        roles: What each input was, in the same order; empty if that goes without saying.
        commutative: The order of the inputs does not matter.

    Examples:
        >>> p = Provenance("transform.log", ("abc",), (("base", 2),))
        >>> p.cache_key()
        ('transform.log', ('abc',), (('base', 2),))
    """

    operation: str
    input_ids: tuple[str, ...]
    params: tuple[tuple[str, Any], ...]
    version: str = field(default="", kw_only=True)
    roles: tuple[str, ...] = field(default=(), kw_only=True)
    commutative: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        pairs = self.params.items() if isinstance(self.params, Mapping) else self.params
        params = tuple(sorted(((str(key), value) for key, value in pairs), key=lambda one: one[0]))
        if len({key for key, _ in params}) < len(params):
            raise BadInput(f"{self.operation}: a parameter is given twice")
        object.__setattr__(self, "params", params)
        object.__setattr__(self, "input_ids", tuple(self.input_ids))
        object.__setattr__(self, "roles", tuple(self.roles))
        if self.roles and len(self.roles) != len(self.input_ids):
            raise BadInput(f"{self.operation}: there are roles for other numbers of inputs")

    def cache_key(self) -> tuple[Any, ...]:
        """Return a hashable key: operation, input ids and parameters, as they are."""
        return (self.operation, self.input_ids, self.params)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Provenance):
            return NotImplemented
        return self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    @property
    def digest(self) -> Digest:
        """What this computation, and no other one, has: sha512t24u of ``canonical``."""
        return digest_of(self.canonical())

    def canonical(self) -> bytes:
        """All that tells it from other computations, in the one way in which it is written."""
        inputs = [
            [role, one]
            for role, one in zip(
                self.roles or [""] * len(self.input_ids), self.input_ids, strict=True
            )
        ]
        if self.commutative:
            inputs.sort()
        document = {
            "commutative": self.commutative,
            "inputs": inputs,
            "operation": self.operation,
            "params": {key: _typed(value) for key, value in self.params},
            "version": self.version,
        }
        text = json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8", "surrogatepass")

    def with_inputs(self, input_ids: Sequence[str]) -> Provenance:
        """The same, done to the same under other names."""
        return Provenance(
            self.operation,
            tuple(input_ids),
            self.params,
            version=self.version,
            roles=self.roles,
            commutative=self.commutative,
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON, and back with ``from_dict``."""
        return {
            "operation": self.operation,
            "version": self.version,
            "inputs": list(self.input_ids),
            "roles": list(self.roles),
            "commutative": self.commutative,
            "params": {key: _typed(value) for key, value in self.params},
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Provenance:
        """What ``as_dict`` gave.

        Raises:
            BadInput: Something else.
        """
        try:
            return cls(
                _text(document["operation"]),
                tuple(map(_text, document["inputs"])),
                tuple((key, _untyped(value)) for key, value in document["params"].items()),
                version=_text(document["version"]),
                roles=tuple(map(_text, document["roles"])),
                commutative=bool(document["commutative"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            raise BadInput("this is no provenance") from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _typed(value: Any) -> Any:
    """A value with its type, since JSON has but one for numbers: ``2`` is not ``2.0``."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if getattr(value, "ndim", None) == 0:  # of numpy's
        value = value.item()
    for kind, types, to_json in _KINDS:
        if isinstance(value, types):
            return {kind: to_json(value)}
    raise BadInput(f"a parameter cannot be {type(value).__name__}")


def _typed_mapping(value: Mapping[Any, Any]) -> dict[str, Any]:
    if not all(isinstance(key, str) for key in value):
        raise BadInput("the keys of a parameter that is a mapping are texts")
    return {key: _typed(one) for key, one in value.items()}


_KINDS: tuple[tuple[str, type | tuple[type, ...], Callable[[Any], Any]], ...] = (
    ("int", int, lambda value: str(int(value))),
    ("float", float, lambda value: repr(float(value) + 0.0)),  # -0.0 is 0.0
    ("list", (list, tuple), lambda value: [_typed(one) for one in value]),
    ("set", (set, frozenset), lambda value: sorted(map(_typed, value), key=json.dumps)),
    ("map", Mapping, _typed_mapping),
)

_FROM_JSON: Mapping[str, Callable[[Any], Any]] = {
    "int": int,
    "float": float,
    "list": lambda inner: tuple(map(_untyped, inner)),
    "set": lambda inner: frozenset(map(_untyped, inner)),
    "map": lambda inner: {key: _untyped(one) for key, one in inner.items()},
}


def _untyped(value: Any) -> Any:
    if value is None or isinstance(value, (bool, str)):
        return value
    ((kind, inner),) = value.items()
    return _FROM_JSON[kind](inner)
