"""Texts in which the engine reads SQL, types, zones, patterns or names of files."""

from __future__ import annotations

from itertools import cycle, product
from typing import TYPE_CHECKING

from tests.server.attacks.attempts import Attempt, Kind, plain, quoted

if TYPE_CHECKING:
    from tests.server.attacks.engine import Engine

_SCALARS = (
    "file('<closed>')",
    "hostName()",
    "(SELECT count() FROM lake.trades)",
    "CAST('x', concat('Enum8(''x''=1,''', hex(file('<closed>')), '''=2)'))",
)
_STRUCTURES = (
    "a String DEFAULT {}",
    "a String, b String DEFAULT {}",
    "a String MATERIALIZED {}",
    "a String ALIAS {}",
    "a String EPHEMERAL {}",
    "a String DEFAULT {} COMMENT 'x'",
    "a String /* x */ DEFAULT {}",
    "a DEFAULT {}",
    "`a` String DEFAULT {}",
    "a String CODEC(ZSTD({}))",
    "a String TTL now() + toIntervalDay(length({}))",
    "a FixedString(length({}))",
    "a Enum8({} = 1)",
    "a AggregateFunction(groupConcat({}), String)",
    "a SimpleAggregateFunction(groupConcat({}), String)",
    "a Tuple(x String DEFAULT {})",
    "a String STATISTICS({})",
    "a String PRIMARY KEY, INDEX i {} TYPE minmax",
    "a String, CONSTRAINT c CHECK {} != ''",
    "a String, PROJECTION p (SELECT {})",
    "a DateTime({})",
)
_TAKERS = (
    "SELECT * FROM values({}, ('x'))",
    "SELECT * FROM values({}, 'x', 'y')",
    "SELECT * FROM `values`({}, ('x'))",
    "WITH {} AS s SELECT * FROM values(s, ('x'))",
    "WITH (SELECT {}) AS s SELECT * FROM values(s, ('x'))",
    "SELECT * FROM values(({}), ('x'))",
    "SELECT * FROM values({} AS s, ('x'))",
    "SELECT * FROM SQLStandardValues({}, ('x'))",
    "SELECT * FROM view(SELECT * FROM values({}, ('x')))",
    "EXPLAIN SELECT * FROM values({}, ('x'))",
    "EXPLAIN PIPELINE SELECT * FROM values({}, ('x'))",
    "DESCRIBE values({}, ('x'))",
    "DESCRIBE (SELECT * FROM values({}, ('x')))",
    "SELECT 1 IN (SELECT * FROM values({}, ('x')))",
    "SELECT * FROM numbers(1) AS n, values({}, ('x')) AS v",
    "WITH v AS (SELECT * FROM values({}, ('x'))) SELECT * FROM v",
    "SELECT * FROM values(identity({}), ('x'))",
    "SELECT * FROM values(if(1, {}, ''), ('x'))",
)
_TYPE_TAKERS = (
    "SELECT CAST('x', {})",
    "SELECT `cast`('x', {})",
    "SELECT accurateCastOrNull('x', {})",
    "SELECT accurateCastOrDefault('x', {})",
    "SELECT reinterpret('x', {})",
    "SELECT JSONExtract('{{}}', {})",
    "SELECT JSONExtract('{{}}', 'a', {})",
    "SELECT JSONExtractKeysAndValues('{{}}', {})",
    "SELECT JSONExtractCaseInsensitive('{{}}', 'a', {})",
    "SELECT defaultValueOfTypeName({})",
    "SELECT variantElement(if(number % 2, 'a', 1), {}) FROM numbers(1)",
    "SELECT dynamicElement('x', {})",
    "SELECT getSubcolumn('x', {})",
    "WITH {} AS t SELECT CAST('x', t)",
    "SELECT CAST('x', concat({}, ''))",
    "SELECT CAST('x', (SELECT {}))",
    "SELECT arrayMap(x -> CAST('x', {}), [1])",
    "SELECT kqlParameterCast('x', 't', {})",
)
_TYPES = (
    "AggregateFunction(groupConcat({}), String)",
    "Array(AggregateFunction(groupConcat({}), String))",
    "Tuple(a SimpleAggregateFunction(groupConcat({}), String))",
    "FixedString(length({}))",
    "Enum8({} = 1)",
    "Nested(a AggregateFunction(quantile({}), Float64))",
    "Map(String, AggregateFunction(groupConcat({}), String))",
    "Variant(AggregateFunction(groupConcat({}), String))",
    "JSON(a AggregateFunction(groupConcat({}), String))",
    "Dynamic(max_types={})",
    "Object({})",
)
_ZONES = (
    "../../../../../../..<closed>",
    "<closed>",
    "./<closed>",
    "file:<closed>",
    "UTC/../../../../..<closed>",
    "Europe/Berlin/../../../../../..<closed>",
    "posix/../../..<closed>",
    "localtime",
    "posixrules",
    "../zoneinfo/UTC",
    "//etc/localtime",
    "UTC\\0<closed>",
    "Etc/../../../..<closed>",
)
_ZONE_TAKERS = (
    "SELECT toTimeZone(now(), {})",
    "SELECT toDateTime(0, {})",
    "SELECT toDateTime64(0, 3, {})",
    "SELECT CAST(0, concat('DateTime(''', {}, ''')'))",
    "SELECT formatDateTime(now(), '%F', {})",
    "SELECT toStartOfInterval(now(), toIntervalHour(1), {})",
    "SELECT makeDateTime(2024, 1, 1, 1, 1, 1, {})",
    "SELECT parseDateTimeBestEffort('2024-01-01', {})",
    "SELECT toUTCTimestamp(now(), {})",
    "SELECT dateDiff('day', now(), now(), {})",
    "SELECT snowflakeIDToDateTime(1, 0, {})",
    "SELECT dateTrunc('day', now(), {})",
)
_OTHER = """
SELECT convertCharset('a', 'utf-8', '../../../../../..<closed>')
SELECT convertCharset('a', '<closed>', '<closed>')
SELECT match('a', file('<closed>'))
SELECT extractAll('a', (SELECT file('<closed>')))
SELECT replaceRegexpAll('a', '(?<x>a)', file('<closed>'))
SELECT tokens('a b', 'splitByString([file(\\'<closed>\\')])')
SELECT tokens('a b', 'ngrams(length(file(\\'<closed>\\')))')
SELECT hasAllTokens('a b', 'a', 'splitByString(file(\\'<closed>\\'))')
SELECT hasAnyTokens('a b', ['a'], 'sparseGrams(length(hostName()))')
SELECT toInterval(1, 'file(\\'<closed>\\')')
SELECT dictGet('<closed>', 'a', 1)
SELECT dictGet({d:String}, 'a', 1)
SELECT dictHas('lake.trades', 1)
SELECT joinGet('lake.trades', 'price_int', 1)
SELECT joinGetOrNull('system.users', 'name', 1)
SELECT catboostEvaluate('<closed>', 1)
SELECT naiveBayesClassifier('<closed>', 'x')
SELECT regionToName(toUInt32(1), '../../../..<closed>')
SELECT hasColumnInTable('system', 'users', 'name')
SELECT formatRow('Template', 1), formatRow('Protobuf', 1)
SELECT formatRowNoNewline('CapnProto', 1)
SELECT groupFormat('Protobuf')(number) FROM numbers(1)
SELECT structureToProtobufSchema('a String DEFAULT file(\\'<closed>\\')')
SELECT generateRandomStructure(1, 1)
SELECT getSetting('<closed>')
SELECT getSettingOrDefault('custom_a', file('<closed>'))
SELECT getServerSetting('path')
SELECT getMergeTreeSetting('disk')
SELECT getMacro('<closed>')
SELECT sequenceMatch('(?1).*file')(toDateTime(number), number = 1) FROM numbers(2)
SELECT JSON_VALUE('{}', '$[file(\\'<closed>\\')]')
SELECT JSON_QUERY('{}', '$.*?(@.a == file())')
SELECT h3ToString(file('<closed>'))
SELECT printf('%n%s', file('<closed>'))
SELECT format('{}{}', 'a', file('<closed>'))
SELECT formatDateTime(now(), file('<closed>'))
SELECT parseDateTime('2024', file('<closed>'))
SELECT transform(1, [1], [file('<closed>')], '')
SELECT eval('SELECT 1')
SELECT evalMLMethod('x', 1)
"""


def kinds(engine: Engine) -> list[Kind]:
    """All of them."""
    return [
        Kind("structure as text", _structures(), "a structure that the engine cannot read either"),
        Kind("type as text", _types(), "getSubcolumn and dynamicElement look for a name in a value that has none"),
        Kind("type by name", _type_names(engine), "types that only hold values"),
        Kind("time zone", _zones(), "the engine looks for zones in itself only"),
        Kind("other text", plain(line for line in _OTHER.splitlines() if line), "tokenizers and patterns in which the engine runs nothing"),
    ]


def _structures() -> list[Attempt]:
    filled = [quoted(structure.format(scalar)) for structure, scalar in product(_STRUCTURES, _SCALARS)]
    texts = [taker.format(text) for text, taker in zip(filled * 2, cycle(_TAKERS), strict=False)]
    texts += [taker.format(quoted(_STRUCTURES[1].format(scalar))) for taker, scalar in product(_TAKERS, _SCALARS[:2])]
    texts += [taker.format(f"$${_STRUCTURES[0].format(_SCALARS[0])}$$") for taker in _TAKERS]
    texts += [taker.format(f"'{_STRUCTURES[0].format('hostName()').replace('D', chr(92) + 'x44')}'") for taker in _TAKERS]
    texts += [taker.format(f"concat('a String DEF', {quoted('AULT ' + _SCALARS[0])})") for taker in _TAKERS]
    found = plain(texts)
    return found + [Attempt("SELECT * FROM values({s:String}, ('x'))", {"s": structure.format(_SCALARS[1])}) for structure in _STRUCTURES]


def _types() -> list[Attempt]:
    filled = [quoted(kind.format(scalar)) for kind, scalar in product(_TYPES, _SCALARS[:2])]
    texts = [taker.format(text) for text, taker in product(filled, _TYPE_TAKERS) if not taker.startswith("SELECT dynamic") or "(g" in text]
    found = plain(texts)
    return found + [Attempt(f"SELECT {{x:{kind.format(scalar)}}}", {"x": "a"}) for kind, scalar in product(_TYPES, _SCALARS[:2])]


def _type_names(engine: Engine) -> list[Attempt]:
    found = []
    for kind in engine.types:
        found += plain((f"SELECT CAST('<closed>' AS {kind})", f"SELECT * FROM values('a {kind}', '<closed>')"))
        found.append(Attempt(f"SELECT {{x:{kind}}}", {"x": "<closed>"}))
    return found


def _zones() -> list[Attempt]:
    texts = [taker.format(quoted(zone)) for zone, taker in product(_ZONES, _ZONE_TAKERS)]
    texts += [f"SELECT CAST(0 AS DateTime({quoted(zone)}))" for zone in _ZONES]
    texts += [f"SELECT * FROM values('a DateTime(''{zone}'')', 0)" for zone in _ZONES]
    return plain(texts)
