"""The operations that there are, each with its inputs and parameters, by id."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ...errors import BadInput, NotFound
from ..provenance import Provenance
from ..track import INTERVAL, SIGNAL, TABLE, AnyTrack, type_of

#: Types of parameters, by the names that clients know.
STRING, NUMBER, INTEGER, BOOLEAN = "string", "number", "integer", "boolean"

#: Of a parameter that must be given.
REQUIRED = object()

GENOME = "genome"


@dataclass(frozen=True)
class Parameter:
    """What an operation can be told.

    Args:
        type: ``string``, ``number`` (a float), ``integer`` or ``boolean``.
        default: ``REQUIRED`` if there is none; None if nothing is said without it.
        choices: What it can be, if not anything.
        minimum, maximum: Both are allowed.
    """

    name: str
    type: str
    description: str
    default: Any = REQUIRED
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None

    @property
    def is_required(self) -> bool:
        """Whether it must be given."""
        return self.default is REQUIRED

    def parsed(self, value: Any) -> Any:
        """A value of the right type, from what a client sent or somebody typed.

        Raises:
            BadInput: It cannot be one.
        """
        if value is None and self.default is None:
            return None
        try:
            found = _PARSERS[self.type](value)
        except (LookupError, ValueError, TypeError, OverflowError):
            raise BadInput(f"{self.name} is {_KINDS[self.type]}, not {value!r}") from None
        if self.choices and found not in self.choices:
            raise BadInput(f"{self.name} is one of {', '.join(self.choices)}, not {found!r}")
        # Not "less than": NaN is neither less nor more.
        if self.minimum is not None and not found >= self.minimum:
            raise BadInput(f"{self.name} is at least {self.minimum:g}, not {value!r}")
        if self.maximum is not None and not found <= self.maximum:
            raise BadInput(f"{self.name} is at most {self.maximum:g}, not {value!r}")
        return found

    def as_dict(self) -> dict[str, Any]:
        """For JSON; NaN and infinities as texts."""
        found: dict[str, Any] = {
            "name": self.name,
            "type": self.type,
            "description": self.description,
            "required": self.is_required,
        }
        if not self.is_required:
            found["default"] = _for_json(self.default)
        if self.choices:
            found["choices"] = list(self.choices)
        for bound in ("minimum", "maximum"):
            if getattr(self, bound) is not None:
                found[bound] = getattr(self, bound)
        return found


def _for_json(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _parsed_string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _parsed_number(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    return float(value)


def _parsed_integer(value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise TypeError
    return int(value)


def _parsed_boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[
        str(value).lower()
    ]


_PARSERS: Mapping[str, Callable[[Any], Any]] = {
    STRING: _parsed_string,
    NUMBER: _parsed_number,
    INTEGER: _parsed_integer,
    BOOLEAN: _parsed_boolean,
}
_KINDS = {
    STRING: "a text",
    NUMBER: "a number",
    INTEGER: "a whole number",
    BOOLEAN: "true or false",
}


@dataclass(frozen=True)
class Input:
    """What an operation is done to.

    Args:
        kind: ``genome`` or ``track``.
        types: What a track may be.
    """

    name: str
    kind: str
    description: str
    types: tuple[str, ...] = (INTERVAL, SIGNAL, TABLE)

    def require(self, given: Any) -> None:
        """Raise BadInput unless an operation can be done to it."""
        if self.kind == "track" and type_of(given) not in self.types:
            raise BadInput(f"{self.name} is {' or '.join(self.types)}, not {type_of(given)}")

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        found: dict[str, Any] = {
            "name": self.name,
            "type": self.kind,
            "description": self.description,
        }
        if self.kind == "track":
            found["track_types"] = list(self.types)
        return found


def genome(name: str = "genome", description: str = "the genome") -> Input:
    """An input that is a genome."""
    return Input(name, GENOME, description, ())


def track(name: str, description: str, *types: str) -> Input:
    """An input that is a track, of one of some types; of any if none is given."""
    return Input(name, "track", description, types or (INTERVAL, SIGNAL, TABLE))


@dataclass(frozen=True)
class Operation:
    """A pure function: equal inputs and parameters give equal results, in each version.

    Args:
        function: Takes inputs and parameters by their names.
        output: The type of the result, ``interval``, ``signal`` or ``table``; empty if it is that
            of the first track.
        commutative: The order of the inputs does not matter.
        version: Another one whenever results change.
    """

    id: str
    version: str
    description: str
    inputs: tuple[Input, ...]
    params: tuple[Parameter, ...]
    output: str
    function: Callable[..., AnyTrack]
    commutative: bool = False

    def parsed(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters with values of the right types.

        Raises:
            BadInput: One that is not known, cannot be what it is given as, or is missing.
        """
        known = {one.name for one in self.params}
        for name in params:
            if name not in known:
                has = f"it has {', '.join(sorted(known))}" if known else "it has none"
                raise BadInput(f"{self.id} has no parameter {name!r}; {has}")
        found = {}
        for one in self.params:
            value = params.get(one.name, one.default)
            if value is REQUIRED:
                raise BadInput(f"{self.id} needs {one.name} ({one.description})")
            found[one.name] = one.parsed(value)
        return found

    def ordered(self, inputs: Mapping[str, Any]) -> list[Any]:
        """What is given for each input, in their order.

        Raises:
            BadInput: One that is not known, or is missing.
        """
        known = [one.name for one in self.inputs]
        for name in inputs:
            if name not in known:
                raise BadInput(f"{self.id} has no input {name!r}; it has {', '.join(known)}")
        for one in self.inputs:
            if inputs.get(one.name) is None:
                raise BadInput(f"{self.id} needs {one.name} ({one.description})")
        return [inputs[name] for name in known]

    def provenance(self, input_ids: Mapping[str, str], params: Mapping[str, Any]) -> Provenance:
        """How this operation on these inputs is looked up. Raises BadInput."""
        return Provenance(
            self.id,
            tuple(self.ordered(input_ids)),
            tuple(self.parsed(params).items()),
            version=self.version,
            roles=() if self.commutative else tuple(one.name for one in self.inputs),
            commutative=self.commutative,
        )

    def run(self, inputs: Mapping[str, Any], params: Mapping[str, Any]) -> AnyTrack:
        """Do it.

        Raises:
            BadInput: Inputs or parameters that are not right.
        """
        for one, given in zip(self.inputs, self.ordered(inputs), strict=True):
            one.require(given)
        return self.function(**inputs, **self.parsed(params))

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "id": self.id,
            "version": self.version,
            "description": self.description,
            "inputs": [one.as_dict() for one in self.inputs],
            "params": [one.as_dict() for one in self.params],
            "output": self.output or "that of the track",
            "commutative": self.commutative,
        }


OPERATIONS: dict[str, Operation] = {}

_Function = TypeVar("_Function", bound=Callable[..., AnyTrack])


def operation(
    name: str,
    description: str,
    *,
    inputs: Sequence[Input],
    params: Sequence[Parameter] = (),
    output: str = "",
    version: str = "1",
    commutative: bool = False,
) -> Callable[[_Function], _Function]:
    """Register a function as an operation. It is called with keywords, and stays a function."""

    def register(function: _Function) -> _Function:
        OPERATIONS[name] = Operation(
            name,
            version,
            description,
            tuple(inputs),
            tuple(params),
            output,
            function,
            commutative,
        )
        return function

    return register


def operation_of(name: str) -> Operation:
    """The operation of an id.

    Raises:
        NotFound: There is none.
    """
    try:
        return OPERATIONS[name]
    except KeyError:
        raise NotFound(f"there is no operation {name!r}; `track operations` lists them") from None
