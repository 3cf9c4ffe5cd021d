"""What of the command line the tests have run: `trellis` is started through a shim that writes down its words.

The whole suite is to have run every command with every flag that help shows; a run of some tests is not asked for that.
"""

import functools
import os
import pathlib
import re
import shlex
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
PLACE = ROOT / "target/tmp/uses"


def through_shim(program):
    """A program that is `program`, and writes down that it is started and with which words."""
    program = pathlib.Path(program).resolve()
    PLACE.mkdir(parents=True, exist_ok=True)
    # Tests start it as users of many kinds.
    PLACE.chmod(0o777)
    shim = PLACE / "trellis"
    text = f"""#!/bin/sh
{{ printf '%s\\0' "$@" >"{PLACE}/words.$$.$(date +%s%N)"; }} 2>/dev/null
exec {shlex.quote(str(program))} "$@"
"""
    # Several processes of one run may do this at once.
    made = PLACE / f"trellis.{os.getpid()}"
    made.write_text(text)
    made.chmod(0o755)
    made.rename(shim)
    return str(shim)


def forget():
    """Nothing of an earlier run counts."""
    for path in PLACE.glob("words.*"):
        path.unlink(missing_ok=True)


def _help(program, *words):
    return subprocess.run([program, *words, "--help"], capture_output=True, text=True, check=True).stdout


@functools.cache
def commands(program):
    """Every command that help shows: `up`, `key list`."""
    found = []
    for first in _listed(_help(program)):
        text = _help(program, first)
        found += [f"{first} {second}" for second in _listed(text)] if "Commands:" in text else [first]
    return found


def _listed(text):
    part = text.split("Commands:")[1].split("Options:")[0]
    return [name for name in re.findall(r"^  ([a-z][a-z-]*)(?:  |$)", part, re.M) if name != "help"]


def _command(words, known):
    """`key list` of `key --data-dir state list`."""
    for command in known:
        first, *second = command.split()
        if words[:1] == [first] and (not second or second[0] in words[1:4]):
            return command
    return None


def _of_words(words, known, used):
    command = _command(words, known)
    # Asking for help is no use of it.
    if command is None or "--help" in words:
        return
    flags = used.setdefault(command, set())
    for index, word in enumerate(words):
        if word == "--":
            # What runs in a host may be trellis itself, in a script too, where words may be quoted.
            rest = " ".join(words[index + 1:]).replace("'", "").split()
            for at, one in enumerate(rest):
                if one.endswith("/trellis"):
                    _of_words(rest[at + 1:], known, used)
            return
        if re.fullmatch(r"--[a-z][a-z0-9-]*(=.*)?", word, re.S):
            flags.add(word.split("=")[0])
        elif re.fullmatch(r"-[a-z]", word):
            flags.add(word)


def used(known):
    """Command -> the flags it was run with."""
    found = {}
    for path in PLACE.glob("words.*"):
        _of_words(path.read_bytes().decode(errors="replace").split("\0")[:-1], known, found)
    return found


def shown(program, command):
    """The flags that a command's help shows, each by its long name and its short one."""
    return re.findall(r"^ +(?:(-[a-z]), )?(--[a-z][a-z0-9-]*)", _help(program, *command.split()), re.M)


def missing(program):
    """What help shows and nothing has run."""
    known = commands(program)
    ran = used(known)
    lines = []
    for command in known:
        if command not in ran:
            lines.append(f"trellis {command}")
            continue
        for short, long in shown(program, command):
            if long not in ("--help", "--version") and not {short, long} & ran[command]:
                lines.append(f"trellis {command} {long}")
    return lines
