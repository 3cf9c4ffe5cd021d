"""Values that satisfy, or nearly satisfy, a described shape."""

import functools
import random
import re
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import sre_parse

ALPHABET = "abcz019-AZ.:/_ *,"


def from_pattern(pattern, rng, reach=3):
    """A text made along a regular expression, repeating up to `reach` times more than it must.

    Look-aheads and anchors are not obeyed."""
    return _text(_parse(pattern), rng, reach)


_parse = functools.cache(sre_parse.parse)


def _text(parsed, rng, reach):
    return "".join(_token(operator, argument, rng, reach) for operator, argument in parsed)


def _token(operator, argument, rng, reach):
    name = str(operator)
    if name == "LITERAL":
        return chr(argument)
    if name == "NOT_LITERAL":
        return rng.choice([c for c in ALPHABET if ord(c) != argument])
    if name == "ANY":
        return rng.choice(ALPHABET)
    if name == "IN":
        return _one_of(argument, rng)
    if name in ("MAX_REPEAT", "MIN_REPEAT"):
        low, high, inner = argument
        count = rng.randint(low, min(int(high), low + reach))
        return "".join(_text(inner, rng, reach) for _ in range(count))
    if name == "SUBPATTERN":
        return _text(argument[-1], rng, reach)
    if name == "BRANCH":
        return _text(rng.choice(argument[1]), rng, reach)
    if name in ("AT", "ASSERT", "ASSERT_NOT"):
        return ""
    raise NotImplementedError(name)


def _one_of(parts, rng):
    if str(parts[0][0]) == "NEGATE":
        forbidden = re.compile("[" + "".join(map(_class_text, parts[1:])) + "]")
        return rng.choice([c for c in ALPHABET if not forbidden.match(c)])
    operator, argument = rng.choice(parts)
    if str(operator) == "LITERAL":
        return chr(argument)
    if str(operator) == "RANGE":
        return chr(rng.randint(argument[0], min(argument[1], argument[0] + 90)))
    return {
        "CATEGORY_DIGIT": "7",
        "CATEGORY_NOT_DIGIT": "x",
        "CATEGORY_SPACE": " ",
        "CATEGORY_NOT_SPACE": rng.choice("ab1-"),
        "CATEGORY_WORD": rng.choice("ab1_"),
    }[str(argument)]


def _class_text(part):
    operator, argument = part
    if str(operator) == "LITERAL":
        return re.escape(chr(argument))
    if str(operator) == "RANGE":
        return f"{re.escape(chr(argument[0]))}-{re.escape(chr(argument[1]))}"
    return {"CATEGORY_SPACE": r"\s", "CATEGORY_DIGIT": r"\d", "CATEGORY_WORD": r"\w"}[str(argument)]


def near(text, rng):
    """`text` with one small change."""
    if not text:
        return rng.choice(ALPHABET)
    at = rng.randrange(len(text))
    change = rng.randrange(4)
    if change == 0:
        return text[:at] + text[at + 1:]
    if change == 1:
        return text[:at] + rng.choice(ALPHABET) + text[at:]
    if change == 2:
        return text[:at] + rng.choice(ALPHABET) + text[at + 1:]
    return text + text[at:]


class Maximal:
    """Values with every member of a shape set.

    A union has one member; which one is told by `variant`, so `variants()` values together set all.
    """

    # Deeper than this a shape contains itself: only what must be there is.
    MAX_DEPTH = 20

    def __init__(self, service, variant=0, seed=7):
        self.service = service
        self.variant = variant
        self.rng = random.Random(seed)

    @staticmethod
    def variants(service):
        unions = [len(s["members"]) for s in service["shapes"].values() if s.get("union")]
        return max(unions, default=1)

    def value(self, name, depth=0):
        shape = self.service["shapes"][name]
        return getattr(self, "_" + shape["type"])(shape, depth + 1)

    def _structure(self, shape, depth):
        members = list(shape["members"].items())
        if shape.get("union"):
            # Deep down the same member again and again would have no end.
            deep = depth > self.MAX_DEPTH
            members = [self.rng.choice(members) if deep else members[self.variant % len(members)]]
        elif depth > self.MAX_DEPTH:
            members = [(name, member) for name, member in members if member["required"]]
        made = {name: self.value(member["shape"], depth) for name, member in members}
        for name, member in members:
            # A header has no other letters, and blanks at its ends are no part of it.
            if member.get("location") == "header" and isinstance(made[name], str):
                made[name] = made[name].encode("ascii", "ignore").decode()
        return made

    def _list(self, shape, depth):
        low, high = shape["range"]
        most = 2 if depth < self.MAX_DEPTH else 0
        count = max(low or 0, min(most, high if high is not None else most))
        return [self.value(shape["element"], depth) for _ in range(count)]

    def _map(self, shape, depth):
        low, high = shape["range"]
        count = max(low or 0, min(2, high if high is not None else 2))
        made = {}
        while len(made) < count:
            made[self.value(shape["key"], depth)] = self.value(shape["value"], depth)
        return made

    def _string(self, shape, _depth):
        if shape["values"]:
            return self.rng.choice(shape["values"])
        low, high = shape["range"]
        low, high = low or 0, high if high is not None else 1 << 20
        if shape["pattern"]:
            for attempt in range(10_000):
                text = from_pattern(shape["pattern"], self.rng, reach=(3, 12, 60)[attempt % 3])
                if text and low <= len(text) <= high and re.fullmatch(shape["pattern"], text):
                    return text
            raise ValueError(f"no text found for {shape['pattern']}")
        # Characters that every wire has to escape in its own way.
        text = f"x{self.rng.randrange(1000)} é&<>\"'+%/=?#~☃"
        return (text + "y" * low)[: max(low, min(high, len(text)))]

    def _integer(self, shape, _depth):
        low, high = shape["range"]
        return self.rng.randint(low if low is not None else 0, high if high is not None else (low or 0) + 1000)

    _long = _integer

    def _double(self, shape, depth):
        low, high = shape["range"]
        return self.rng.choice([low if low is not None else -0.25, high if high is not None else 12.5, (low or 0) + 0.5]) * 1.0

    _float = _double

    def _boolean(self, _shape, _depth):
        return self.rng.choice([True, False])

    def _timestamp(self, _shape, _depth):
        return f"20{self.rng.randrange(10, 40)}-02-03T04:05:06.789Z"

    def _blob(self, _shape, _depth):
        return "AAECAw=="
