"""Decimals that cannot wrap: products, ratios and sums of a statement are made safe before it runs.

The engine computes with decimals of 256 bits and gives no error where a number exceeds them: a product of three prices wraps, so does the
numerator that a division scales up, and every sum. `protect` reads the types of a statement's parts from the engine and changes those that
could wrap:

- A product or ratio that needs more than 40 decimal places is computed in Float64, and a note says so.
- A product of up to 40 places stays exact. It is compared with a bound while it is computed, and the statement ends with an error where it
  passes: 1e28, of which half a billion can be added up before a sum of 256 bits wraps.
- Narrower decimals are widened to 256 bits before they are multiplied or added, and those of a remainder get the same places.
- Casts to decimals are compared with the same bounds; more than 40 places are refused. Where a statement makes decimals in other ways, of
  literals, parameters or JSON, what it adds up is compared with them too.
- `toFloat64` gives the nearest float. The engine's own rounds twice, so that 3710 becomes 3709.9999999999995.
- Aggregate functions that take no decimals (`corr`, `avgWeighted`, …) get Float64; so do distances, norms and other products of vectors.
- What stands once in the text for decimals and for values of another type, as in ``APPLY(x -> sum(x))``, is refused.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pointline.sql.guard.allow_lists import TYPE_ARGUMENTS
from pointline.sql.guard.codes import DECIMAL_MARK, RefusedError
from pointline.sql.guard.decimal_functions import (
    BY_NAME,
    BY_TEXT,
    CASTS,
    CONSTANT_PARTS,
    FLOATS_ONLY,
    MIXING,
    MODULI,
    PASSING,
    QUOTIENTS,
    SUMS,
    TAKES_FUNCTIONS,
    VECTORS,
    Stems,
)
from pointline.sql.guard.function_types import marked_uses
from pointline.sql.guard.result_names import keep_names
from pointline.sql.guard.trees import Tree, arguments_of, call, empty_scalars, identifier, number, select_only, text, walk

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from pointline.sql.guard.function_types import FunctionUse
    from pointline.sql.guard.parser import Analysis

MOST_PLACES = 40
_FACTOR = 10**18  # of a product with more than 20 places
_PRODUCT = 10**28  # with more than 20 places
_AMOUNT = 10**36  # with up to 20 places
_FEW_PLACES = 20
_DIGITS_128, _DIGITS_256 = 38, 76
_SHOWN, _MOST_NOTES = 80, 4
_TOO_LARGE = (
    "a decimal is too large to be exact here: amounts go up to 1e36, products with more than 20 places up to 1e28 and their factors up to "
    "1e18; write toFloat64(...) around a factor"
)

# Decimals of so many places up to this size have fewer than 2^53 units.
_EXACT_TIERS = ((8, 90_000_000), (3, 9_000_000_000_000))

_FLOAT = re.compile(r"(?:Nullable\()?Float64\)?")
_DECIMAL = re.compile(r"Decimal\((\d+), (\d+)\)")
_DECIMAL_TYPE = re.compile(r"\bdec(imal|\b)|\bnumeric\b|\bfixed\b", re.IGNORECASE)  # as it is written
_COLUMN = "__column"
_SCALAR = re.compile(r"(?:Nullable\()?Decimal\((\d+), (\d+)\)\)?")
_WIDE_INTEGER = re.compile(r"(?:Nullable\()?U?Int(?:128|256)\)?")
_INTEGER = re.compile(r"(?:Nullable\()?U?Int\d+\)?")


@dataclass(frozen=True)
class _DecimalChange:
    """The change of one function.

    Attributes:
        casts: argument -> the type that it is cast to.
        bounds: argument -> the largest absolute value that it may have.
        result_bound: the same of the result; 0 sets none.
        places: decimal places that an exact result would need, where it is computed in Float64 instead; else 0.
        nearest: argument -> the type of the decimal of which it becomes the nearest float.
    """

    casts: dict[int, str] = field(default_factory=dict)
    bounds: dict[int, int] = field(default_factory=dict)
    result_bound: int = 0
    places: int = 0
    nearest: dict[int, str] = field(default_factory=dict)

    def and_also(self, other: _DecimalChange) -> _DecimalChange:
        """Both: one function of a WITH clause can be used in two places with arguments of two types."""
        floats = {place: kind for change in (self, other) if change.places for place, kind in change.casts.items()}
        return _DecimalChange(
            {**self.casts, **other.casts, **floats},
            {**self.bounds, **other.bounds},
            max(self.result_bound, other.result_bound),
            max(self.places, other.places),
            {**self.nearest, **other.nearest},
        )


def protect(tree: Tree, analyser: Analysis, combinators: Sequence[str], spellings: Mapping[str, str]) -> list[str]:
    """Changes a statement's tree so that no decimal of it can wrap unnoticed.

    Args:
        tree: of a query, checked; changed in place.
        analyser: asks the engine about the statement.
        combinators: suffixes of aggregate functions.
        spellings: other names of functions, and names in lower case where case does not matter -> the engine's own name.

    Returns:
        Notes for the user: what is computed in Float64.

    Raises:
        RefusedError: the engine cannot analyse the statement, or it makes decimals of more than 40 places.
    """
    stems = Stems(combinators, spellings)
    before = copy.deepcopy(tree)
    given = _write_out(tree, stems) | _give_floats(tree, stems)
    if not any(_may_change(function, stems) for function in _functions(tree)):
        return []
    functions, keys, uses, forced = _analysed(tree, stems, analyser)
    given |= forced
    is_open = _brings_decimals(tree)
    changes = {
        key: change
        for key, function in zip(keys, functions, strict=True)
        if (change := _change_of(stems.of(function), uses.get(key, []), is_open=is_open)) is not None
    }
    if not changes and not given:
        return []
    every = _functions(tree)
    known = {id(function): key for function, key in zip(functions, keys, strict=True)}
    notes = _notes(functions, keys, changes, forced, analyser)
    keep_names(tree, before, analyser, changed={id(function) for function in every if known.get(id(function)) in changes} | given)
    floats: set[int] = set()
    for function in every:
        key = known.get(id(function), "")
        _apply(function, key, changes.get(key), uses.get(key, []), floats)
    return notes


def _write_out(tree: Tree, stems: Stems) -> set[int]:
    """Writes parameters as casts and ``APPLY(sum)`` as ``APPLY(x -> sum(x))``; returns those casts.

    Raises:
        RefusedError: a function is given by its name, as in ``arrayMap(multiply, …)``: the types that it gets are unknown.
    """
    casts = set()
    nodes = list(walk(tree, omit=_is_constant))
    aliases = {node["alias"] for node in nodes if "alias" in node}
    for node in nodes:
        kind = node.get("type")
        if kind == "QueryParameter" and _DECIMAL_TYPE.search(str(node.get("param_type"))):
            parameter = {name: value for name, value in node.items() if name != "alias"}
            _replace(node, call("CAST", parameter, text(str(node["param_type"]))))
            casts.add(id(node))
        elif kind == "ColumnsApplyTransformer" and stems(str(node.get("func_name"))) in BY_NAME | SUMS | set(FLOATS_ONLY):
            function = call(str(node.pop("func_name")), identifier(_COLUMN))
            if "parameters" in node:
                function["parameters"] = node.pop("parameters")
            arrow = call("lambda", {**call("tuple", identifier(_COLUMN)), "is_operator": True}, function)
            node |= {"lambda": {**arrow, "is_operator": True, "is_lambda_function": True, "kind": "LAMBDA_FUNCTION"}, "lambda_arg": _COLUMN}
        elif kind == "Function" and TAKES_FUNCTIONS.fullmatch(str(node["name"])):
            arguments = arguments_of(node)
            name = str(arguments[0].get("name")) if arguments and arguments[0].get("type") == "Identifier" else ""
            if len(arguments) > 1 and name not in aliases and stems(name) in (BY_NAME | SUMS) - MIXING - {"toFloat64"}:
                raise RefusedError(
                    "NOT_IMPLEMENTED", f"the function {name} cannot be given by its name here: write it out, such as (a, b) -> {name}(a, b)"
                )
    return casts


def _give_floats(tree: Tree, stems: Stems) -> set[int]:
    """Casts what goes into functions that take no decimals; returns those functions."""
    given = set()
    for function in _functions(tree):
        stem = stems(str(function["name"]))
        if stem in FLOATS_ONLY:
            arguments, most = arguments_of(function), FLOATS_ONLY[stem]
            for place, argument in enumerate(arguments[: len(arguments) if most is None else most]):
                arguments[place] = call("toFloat64", argument)
            given.add(id(function))
    return given


def _may_change(function: Tree, stems: Stems) -> bool:
    stem = stems.of(function)
    return stem in BY_NAME or stem in SUMS or CASTS.fullmatch(stem) is not None


def _functions(tree: Tree) -> list[Tree]:
    """Functions in expressions, the inner ones first."""
    return [node for node in walk(tree, omit=_is_constant, inner_first=True) if node.get("type") == "Function"]


def _is_constant(name: str, node: Tree) -> bool:
    """Whether a node must stay the constant that it is."""
    return name in CONSTANT_PARTS or (name == "table_function" and node.get("name") != "view")


def _places_in(tree: Tree) -> dict[int, str]:
    """Function -> where its names have one meaning: its SELECT, and in it the calls whose lambda it stands in."""
    found: dict[int, str] = {}
    _note_places(tree, "", found)
    return found


def _note_places(node: Any, place: str, found: dict[int, str]) -> None:  # noqa: ANN401 - any JSON
    if isinstance(node, list):
        for item in node:
            _note_places(item, place, found)
    elif isinstance(node, dict):
        kind = node.get("type")
        if kind == "Function":
            found[id(node)] = place
        if kind == "SelectQuery":
            place = str(id(node))
        elif kind == "Function" and any(argument.get("is_lambda_function") for argument in arguments_of(node)):
            place = _key(node, place)
        for value in node.values():
            _note_places(value, place, found)


def _key(function: Tree, place: str) -> str:
    """The same for functions that are written alike in one place, whatever they are called."""
    plain = {name: value for name, value in function.items() if name not in {"alias", "is_operator"}}
    return hashlib.sha256(f"{place} {json.dumps(plain, sort_keys=True)}".encode()).hexdigest()[:16]


def _analysed(tree: Tree, stems: Stems, analyser: Analysis) -> tuple[list[Tree], list[str], dict[str, list[FunctionUse]], set[int]]:
    """The functions that may need a change, their keys and uses, and those that had to get floats before the engine gave any types.

    The engine refuses a product or ratio of too many places as soon as it sees its types. Where it does, the products and ratios of others
    get floats, then all ratios, then all products.
    """
    refusal: RefusedError | None = None
    forced: set[int] = set()
    for is_forced in (None, _is_nested, _is_quotient, _is_quotient_or_product):
        for function in _functions(tree) if is_forced is not None else ():
            if id(function) not in forced and is_forced(function):  # type: ignore[misc]
                arguments = arguments_of(function)
                arguments[:] = [call("toFloat64", argument) for argument in arguments]
                forced.add(id(function))
        functions = [function for function in _functions(tree) if _may_change(function, stems)]
        places = _places_in(tree)
        keys = [_key(function, places[id(function)]) for function in functions]
        try:
            return functions, keys, _uses(tree, keys, stems, analyser), forced
        except RefusedError as error:
            if error.name not in {"DECIMAL_OVERFLOW", "ARGUMENT_OUT_OF_BOUND"}:
                raise
            refusal = refusal or error
    assert refusal is not None  # noqa: S101 - the loop ends by a return, or with one
    raise refusal


def _is_quotient(function: Tree) -> bool:
    return bool(function["name"] == "divide")


def _is_quotient_or_product(function: Tree) -> bool:
    return function["name"] in {"divide", "multiply"}


def _is_nested(function: Tree) -> bool:
    inner = (one for argument in arguments_of(function) for one in _functions(argument))
    return _is_quotient_or_product(function) and any(map(_is_quotient_or_product, inner))


def _uses(tree: Tree, keys: Sequence[str], stems: Stems, analyser: Analysis) -> dict[str, list[FunctionUse]]:
    """Where the engine finds each function, and with which types."""
    numbers = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    mark = f"{hashlib.sha256(''.join(keys).encode()).hexdigest()[:12]}:"
    for scalars in (False, True):
        marked = copy.deepcopy(tree)
        for function, key in zip([function for function in _functions(marked) if _may_change(function, stems)], keys, strict=True):
            inner = {name: value for name, value in function.items() if name != "alias"}
            _replace(function, call("tupleElement", call("tuple", inner, text(f"{mark}{numbers[key]}")), number(1)))
        if not scalars:
            empty_scalars(marked)
        try:
            explained = analyser.explain(analyser.write(json.dumps(marked))[0])
        except RefusedError:
            continue
        found = marked_uses(explained, mark)
        return {key: found.get(place, []) for key, place in numbers.items()}
    analyser.explain(analyser.write(json.dumps(tree))[0])  # gives the error of the statement itself where it is wrong
    raise RefusedError("NOT_IMPLEMENTED", "the types of the statement cannot be told; please write it in another way")


def _replace(function: Tree, other: Tree) -> None:
    """Puts another expression in a function's place, under its alias."""
    alias = function.get("alias")
    function.clear()
    function |= other
    if alias is not None:
        function["alias"] = alias


def _brings_decimals(tree: Tree) -> bool:
    """Whether the statement makes decimals of text or bytes, beside those of the views, whose size is known."""
    for node in walk(tree, omit=_is_constant):
        kind, name = node.get("type"), str(node.get("name"))
        made = kind == "Function" and (name in TYPE_ARGUMENTS or name.startswith("reinterpret"))
        if made or kind == "QueryParameter" or node.get("table_function", {}).get("name") == "values":
            return True
    return False


def _change_of(name: str, uses: Sequence[FunctionUse], *, is_open: bool) -> _DecimalChange | None:
    found = None
    changes = [_change(name, use, is_open=is_open) for use in uses]
    for change in changes:
        if change is not None:
            found = change if found is None else found.and_also(change)
    if found is not None:
        found = _settled(found, uses)
    for place, kind in found.casts.items() if found is not None else ():
        kinds = {
            change.casts[place] if change is not None and place in change.casts else use.arguments[place]
            for use, change in zip(uses, changes, strict=True)
            if place < len(use.arguments)
        }
        if "Decimal" in kind and len(kinds) > 1:
            raise RefusedError(
                "NOT_IMPLEMENTED",
                f"{name}(...) stands once for decimals and for values of another type, {' and '.join(sorted(kinds))}: "
                "write it for each of them",
            )
    return found


def _settled(change: _DecimalChange, uses: Sequence[FunctionUse]) -> _DecimalChange:
    """Without the nearest float where the argument is no decimal in another use: there the engine's own cast has to do."""
    other = {place for place in change.nearest if any(_SCALAR.fullmatch(use.arguments[place]) is None for use in uses)}
    if not other:
        return change
    nearest = {place: kind for place, kind in change.nearest.items() if place not in other}
    nullable = {place for place in other for use in uses if use.arguments[place].startswith("Nullable(")}
    casts = {place: "Nullable(Float64)" if place in nullable else "Float64" for place in other} if change.places else {}
    return replace(change, nearest=nearest, casts={**change.casts, **casts})


def _change(name: str, use: FunctionUse, *, is_open: bool) -> _DecimalChange | None:
    """What a function of these types needs."""
    decimals = {place: kind for place, kind in enumerate(use.arguments) if _DECIMAL.search(kind) and "AggregateFunction" not in kind}
    found = None
    if name == "toFloat64" or (CASTS.fullmatch(name) and _FLOAT.fullmatch(use.result)):
        found = _DecimalChange(nearest={0: use.arguments[0]}) if use.arguments and _SCALAR.fullmatch(use.arguments[0]) else None
    elif CASTS.fullmatch(name):
        found = _cast(use)
    elif name in VECTORS or (name == "multiply" and not all(map(_SCALAR.fullmatch, decimals.values()))):
        found = _to_float(decimals, places=2 * max(_places(use), default=0))
    elif name == "multiply" and (scalar := _SCALAR.fullmatch(use.result)) is not None:
        found = _product(use, decimals, int(scalar[2]))
    elif name in MODULI and decimals and not any("Float" in kind for kind in use.arguments):
        found = _remainder(use)
    elif name in QUOTIENTS and not any("Float" in kind for kind in use.arguments):
        found = _quotient(use, decimals)
    elif name in SUMS or name in BY_TEXT:
        sized = {place: kind for place, kind in decimals.items() if is_open and name in SUMS and _SCALAR.fullmatch(kind)}
        places = _places(use)
        found = _DecimalChange(_widened(decimals), {place: _PRODUCT if places[place] > _FEW_PLACES else _AMOUNT for place in sized})
    return found if found is not None and found != _DecimalChange() else None


def _places(use: FunctionUse) -> list[int]:
    """Decimal places of each argument; 0 of what is no decimal."""
    return [int(found[2]) if (found := _DECIMAL.search(kind)) is not None else 0 for kind in use.arguments]


def _remainder(use: FunctionUse) -> _DecimalChange:
    """The engine takes the remainder of the digits, whatever the decimal places of each number."""
    wide = f"Decimal({_DIGITS_256}, {max(_places(use))})"
    kinds = [f"Nullable({wide})" if kind.startswith("Nullable(") else wide for kind in use.arguments]
    return _DecimalChange({place: kind for place, kind in enumerate(kinds) if kind != use.arguments[place]})


def _quotient(use: FunctionUse, decimals: dict[int, str]) -> _DecimalChange:
    """The engine multiplies the numerator by ten for each place of the denominator."""
    places = _places(use)
    if sum(places) > MOST_PLACES:
        return _to_float(decimals, places=sum(places))
    return _DecimalChange(_widened(decimals), {0: _AMOUNT} if 0 in decimals and sum(places[1:]) > 0 else {})


def _product(use: FunctionUse, decimals: dict[int, str], places: int) -> _DecimalChange:
    if places > MOST_PLACES:
        return _to_float(decimals, places=places)
    is_fine = places > _FEW_PLACES
    bounds = dict.fromkeys(decimals, _FACTOR if is_fine else _AMOUNT)
    integers = _INTEGER if is_fine else _WIDE_INTEGER
    bounds |= {place: _FACTOR for place, kind in enumerate(use.arguments) if integers.fullmatch(kind)}
    return _DecimalChange(_widened(decimals), bounds, _PRODUCT if is_fine else _AMOUNT)


def _cast(use: FunctionUse) -> _DecimalChange | None:
    made = [(int(digits), int(places)) for digits, places in _DECIMAL.findall(use.result)]
    if any(places > MOST_PLACES for _, places in made):
        raise RefusedError(
            "ARGUMENT_OUT_OF_BOUND",
            f"decimals have at most {MOST_PLACES} places here, because larger ones can wrap unnoticed; use toFloat64(...) or fewer places",
        )
    if _SCALAR.fullmatch(use.result) is None:
        return None
    digits, places = made[0]
    most = _PRODUCT if places > _FEW_PLACES else _AMOUNT
    value = use.arguments[0] if use.arguments else ""
    bounds = {0: most} if _may_pass(value, most) or _WIDE_INTEGER.fullmatch(value) else {}
    return _DecimalChange(bounds=bounds, result_bound=most if digits > _DIGITS_128 else 0)


def _may_pass(kind: str, bound: int) -> bool:
    """Whether a decimal of this type can be as large as that; the engine cannot even compare those that cannot."""
    found = _SCALAR.fullmatch(kind)
    return found is not None and 10 ** (int(found[1]) - int(found[2])) > bound


def _to_float(decimals: dict[int, str], places: int) -> _DecimalChange:
    scalars = {place: kind for place, kind in decimals.items() if _SCALAR.fullmatch(kind)}
    others = {place: _DECIMAL.sub("Float64", kind) for place, kind in decimals.items() if place not in scalars}
    return _DecimalChange(others, places=places, nearest=scalars)


def _widened(decimals: dict[int, str]) -> dict[int, str]:
    wide = {place: _DECIMAL.sub(rf"Decimal({_DIGITS_256}, \2)", kind) for place, kind in decimals.items()}
    return {place: kind for place, kind in wide.items() if kind != decimals[place]}


def _apply(function: Tree, key: str, change: _DecimalChange | None, uses: Sequence[FunctionUse], floats: set[int]) -> None:
    """Puts a change into the tree, and casts decimals that would be combined with a Float64 which was a decimal before."""
    arguments = arguments_of(function)
    if any(id(argument) in floats for argument in arguments) and function["name"] in PASSING:
        floats.add(id(function))
        if function["name"] in MIXING:
            decimals = {place for use in uses for place, kind in enumerate(use.arguments) if _SCALAR.fullmatch(kind)}
            for place in decimals:
                arguments[place] = call("toFloat64", arguments[place])
    if change is None:
        return
    for place, kind in change.casts.items():
        arguments[place] = call("CAST", arguments[place], text(kind))
    for place, kind in change.nearest.items():
        if id(arguments[place]) not in floats:
            arguments[place] = _nearest(arguments[place], f"__{key}_{place}", kind)
    if change.places:
        floats.add(id(function))
    elif change.nearest:
        _replace(function, arguments[0])
    else:
        _bound(function, key, change)


def _nearest(argument: Tree, name: str, kind: str) -> Tree:
    """The float next to a decimal.

    A decimal of 64 bits with few enough digits is a whole number that a float holds, divided by a power of ten that a float holds: rounded
    once. Where no such decimal equals the value, its text is read.
    """
    argument, value = _named(argument, name)
    parts = []
    for n, (places, most) in enumerate(_EXACT_TIERS):
        ends = [
            call(name, value, call("toInt64", text(end))) for name, end in (("greaterOrEquals", f"-{most}"), ("lessOrEquals", f"{most}"))
        ]
        within = call("if", call("and", *ends), value, call("CAST", number(0), text(kind)))
        small, again = _named(call("toDecimal64", within, number(places)), f"{name}_small_{n}")
        parts += [call("equals", argument if n == 0 else value, small), call("toFloat64", again)]
    return call("multiIf", *copy.deepcopy(parts), call("toFloat64", call("toString", copy.deepcopy(value))))


def _bound(function: Tree, key: str, change: _DecimalChange) -> None:
    """Ends the statement where an argument or the result passes its bound."""
    arguments = arguments_of(function)
    if not change.result_bound:  # of a sum each argument is checked by itself: outside the function there are groups, not rows
        for place, bound in change.bounds.items():
            argument, value = _named(arguments[place], f"__{key}_{place}")
            arguments[place] = _checked(argument, _beyond(value, bound))
        return
    outside = []
    for place, bound in change.bounds.items():
        if not _is_small(arguments[place]):
            arguments[place], value = _named(arguments[place], f"__{key}_{place}")
            outside += _beyond(value, bound)
    inner, value = _named({name: value for name, value in function.items() if name != "alias"}, f"__{key}")
    _replace(function, _checked(inner, [*outside, *_beyond(value, change.result_bound)]))


def _checked(expression: Tree, outside: Sequence[Tree]) -> Tree:
    """The expression, computed together with a check of its size."""
    check = call("throwIf", call("ifNull", call("or", *outside), number(0)), text(f"{DECIMAL_MARK}{_TOO_LARGE}"))
    return call("tupleElement", call("tuple", expression, check), number(1))


def _is_small(argument: Tree) -> bool:
    """Whether it is a whole number in the text, which 64 bits hold."""
    value = argument.get("value", {}) if argument.get("type") == "Literal" else {}
    return value.get("field_type") in {"UInt64", "Int64"} and abs(int(value["value"])) <= _FACTOR


def _named(expression: Tree, name: str) -> tuple[Tree, Tree]:
    """The expression with a name, and what the name stands for in another place."""
    if expression.get("type") in {"Identifier", "Literal"} or "alias" in expression:
        plain = {part: value for part, value in expression.items() if part != "alias"}
        return expression, copy.deepcopy(plain)
    return {**expression, "alias": name}, identifier(name)


def _beyond(value: Tree, bound: int) -> list[Tree]:
    ends = (("less", f"-{bound}"), ("greater", f"{bound}"))
    return [call(name, copy.deepcopy(value), call("toInt256", text(end))) for name, end in ends]


def _notes(
    functions: Sequence[Tree], keys: Sequence[str], changes: Mapping[str, _DecimalChange], forced: Collection[int], analyser: Analysis
) -> list[str]:
    found: dict[str, str] = {}
    seen = set()
    for function, key in zip(functions, keys, strict=True):
        places = changes[key].places if key in changes else 0
        if key in seen or not (places or id(function) in forced):
            continue
        seen.add(key)
        plain = {name: value for name, value in function.items() if name != "alias"}
        (shown,) = analyser.write(json.dumps(select_only(plain)))
        shown = shown.removeprefix("SELECT ")
        shown = shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 3]}..."
        needed = f"would need {places} places" if places else "has too many places"
        found[shown] = f"{shown} is computed in Float64 (about 16 digits): an exact decimal {needed}"
    notes = list(found.values())
    return notes if len(notes) <= _MOST_NOTES else [*notes[: _MOST_NOTES - 1], f"and {len(notes) - _MOST_NOTES + 1} more in Float64"]
